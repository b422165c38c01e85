"""Lists of draws: ordinary studies show what the model expects, a bad sample does not; how far calls exaggerate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dediag
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import influence
from dediag.diagnostics.replicability import DIAGNOSTIC, STABLE, compute, draw, judge, metrics, plan, tables
from dediag.finding import Status
from dediag.settings import AuditSettings
from dediag.simulation import simulate
from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.combination import twice_median
from dediag.stats.control_variate import Expectation

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=600, seed=1, design="~ group", settings=None, **more):
    faults = {"effect_share": 0.2, "effect_sd": 1.2} | more
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **faults)
    return open_study(cohort, design, CONTRAST, settings=settings or AuditSettings(draws=40))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def healthy():
    return study(6, 15)


@pytest.fixture(scope="module")
def found(healthy):
    return compute(healthy)


@pytest.mark.parametrize("sizes", [(4, 12), (10, 10), (20, 8), (3, 4)])
def test_ordinary_studies_pass(sizes):
    result = compute(study(*sizes))
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert verdict.calls_at_risk == 0
    assert "shows no fault" in verdict.headline
    assert ("balanced draws" in verdict.headline) == (sizes != (10, 10))


@pytest.mark.parametrize(("sizes", "shared"), [((6, 60), True), ((60, 6), False)])
def test_a_corrupted_sample_leaves_the_interval_and_influence_names_it(sizes, shared):
    """In the smaller group every draw has it and they agree too well; in the larger one some do and they differ."""
    opened = study(*sizes, n_genes=1000, effect_share=0.1, bad_sample=1.5 if shared else 4.0)
    result = compute(opened)
    verdict, lists = judge(result), result.lists.draws
    low, high = lists.expected_jaccard.interval(0.9)
    assert lists.jaccard > high if shared else lists.jaccard < low
    assert verdict.status in (Status.WARN, Status.FAIL) or not shared
    named = {m.name: m.value for m in influence.metrics(influence.compute(opened))}
    assert named["worst_sample"] == opened.cohort.samples.index[0]


def test_unequal_dispersion_makes_draws_call_less_than_the_model_says():
    result = compute(study(5, 20, group_dispersion_ratio=4.0))
    verdict = judge(result)
    assert verdict.status in (Status.WARN, Status.FAIL)
    assert "limit 1.5 times" in verdict.headline
    assert numbers(result)["calls_ratio"] < 2 / 3


def test_draws_are_balanced_where_groups_differ_and_halves_where_they_do_not(healthy):
    assert plan(healthy)["draws"] == healthy.balanced_draws
    alike = study(9, 10)
    assert plan(alike)["draws"] == alike.half_draws != alike.balanced_draws
    asked = study(9, 10, settings=AuditSettings(draws=10, draw_size=5))
    assert plan(asked)["draws"] == asked.balanced_draws


def test_numbers_are_those_of_the_draws(healthy, found):
    refits, fit, value = healthy.ensemble(healthy.balanced_draws), healthy.fit, numbers(found)
    called = fit.significant
    same = np.where(fit.lfc > 0.0, refits.up.mean(axis=0), refits.down.mean(axis=0))[called]
    assert value["n_stable"] == (same >= STABLE).sum() > 0
    assert value["calls_per_draw"] == pytest.approx((refits.n_up + refits.n_down).mean())
    adjusted = benjamini_hochberg(twice_median(refits.pvalue))
    assert value["n_by_twice_median"] == (adjusted < 0.1).sum()
    assert 0.0 < value["called_again"] < 1.0
    assert value["jaccard_new_draw"] < value["jaccard_observed"]
    strongest = fit.cohort.genes[np.nanargmin(fit.pvalue)]
    assert found.genes[0] == strongest
    assert len(found.genes) == called.sum()


def test_exaggeration_and_wrong_signs_are_near_the_truth():
    """Mean over cohorts of both rates beside those of the simulated truth."""
    told, true = [], []
    for seed in range(6):
        cohort, truth = simulate(n_genes=1500, n_test=4, n_reference=8, seed=seed, effect_share=0.2, effect_sd=0.8)
        result = compute(open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(draws=4, bootstraps=6)))
        effect = truth.loc[list(result.genes), "lfc"].to_numpy()
        sign = np.sign(result.curse.estimate)
        told.append((result.curse.exaggeration, result.curse.wrong_sign_rate))
        wrong = np.where(effect == 0.0, 0.5, np.sign(effect) != sign)
        true.append((np.abs(result.curse.estimate).sum() / (sign * effect).sum(), wrong.mean()))
    (exaggeration, wrong_sign), (true_exaggeration, true_wrong_sign) = np.mean(told, axis=0), np.mean(true, axis=0)
    assert exaggeration == pytest.approx(true_exaggeration, rel=0.08)
    assert wrong_sign == pytest.approx(true_wrong_sign, abs=0.025)


def test_a_repetition_calls_as_many_again_as_was_said():
    """The same population studied twice: the calls of the first that the second calls again."""
    told, true = [], []
    for seed in range(4):
        cohort, _ = simulate(n_genes=1500, n_test=12, n_reference=24, seed=seed, effect_share=0.2, effect_sd=0.8)
        first, second = (np.r_[k:12:2, 12 + k : 36 : 2] for k in (0, 1))  # independent halves with the same truth
        settings = AuditSettings(draws=4, bootstraps=8)
        opened = open_study(cohort.take_samples(first), "~ group", CONTRAST, settings=settings)
        result = compute(opened)
        other = dediag.fit(cohort.take_samples(second), "~ group", CONTRAST)
        again = other.significant & opened.significant & (np.sign(other.lfc) == np.sign(opened.fit.lfc))
        told.append(result.again_share)
        true.append(again.sum() / opened.significant.sum())
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.05)


def test_three_v_three_cannot_be_drawn_from_but_repeated():
    result = compute(study(3, 3))
    verdict, value = judge(result), numbers(result)
    assert verdict.status is Status.NOT_ASSESSABLE
    assert "at 3 v 3 fewer than two smaller studies" in verdict.reason
    assert "call about" in verdict.headline
    assert value["jaccard_observed"] is None
    assert value["n_stable"] is None
    assert value["exaggeration"] > 1.0
    assert [figure.name for figure in draw(result)] == ["winners_curse"]
    assert set(tables(result)[0].columns["frequency"]) == {None}


def test_without_calls_there_is_nothing_to_come_back():
    result = compute(study(6, 6, effect_share=0.0))
    verdict = judge(result)
    assert verdict.status is Status.NOT_ASSESSABLE
    assert len(result.genes) < 10
    assert draw(result) == [] or result.genes
    assert set(DIAGNOSTIC.metric_names) <= set(numbers(result))


def test_one_draw_is_not_compared():
    verdict = judge(compute(study(4, 8, settings=AuditSettings(draws=1))))
    assert verdict.status is Status.NOT_ASSESSABLE
    assert "call about" in verdict.headline


def test_advice_names_a_group_only_if_every_draw_has_all_of_it():
    """The same overlap above the expected one, in balanced draws (which share the small group) and in halves."""
    for sizes, named in (((5, 20), True), ((9, 10), False)):
        result = compute(study(*sizes))
        lists = result.lists.draws
        above = replace(lists, expected_jaccard=Expectation(lists.jaccard - 0.1, 0.01, 9.0))
        verdict = judge(replace(result, lists=replace(result.lists, draws=above)))
        assert verdict.status is Status.WARN
        assert ("those of case" in verdict.advice) is named


def test_pairs_cannot_be_drawn_apart_and_that_is_said():
    cohort, _ = simulate(n_genes=300, n_test=6, n_reference=6, seed=1, effect_share=0.3, effect_sd=1.5)
    paired = replace(cohort, samples=cohort.samples.assign(pair=[f"p{k % 6}" for k in range(12)]))
    opened = open_study(paired, "~ pair + group", CONTRAST, settings=AuditSettings(draws=10, bootstraps=6))
    verdict = judge(compute(opened))
    assert verdict.status is Status.NOT_ASSESSABLE
    assert "fewer than two" in verdict.reason


def test_what_cannot_be_asked_is_said():
    with pytest.raises(NotAssessable, match="6 simulated cohorts"):
        plan(study(4, 8, settings=AuditSettings(bootstraps=5)))
    cohort, _ = simulate(n_genes=100, n_test=8, n_reference=8, seed=1)
    samples = cohort.samples.assign(sex=["f", "m"] * 8)
    with pytest.raises(NotAssessable, match="interaction"):
        plan(open_study(replace(cohort, samples=pd.DataFrame(samples)), "~ sex * group", CONTRAST))


@pytest.mark.parametrize(
    ("difference", "sd", "status"),
    [
        (0.0, 0.01, Status.PASS),
        (0.049, 0.001, Status.PASS),  # beyond chance, but small
        (0.2, 0.2, Status.PASS),  # large, but within chance
        (0.06, 0.01, Status.WARN),
        (-0.06, 0.01, Status.WARN),
        (0.2, 0.01, Status.FAIL),
        (-0.2, 0.01, Status.FAIL),
    ],
)
def test_both_size_and_chance_must_be_passed(found, difference, sd, status):
    lists = found.lists.draws
    moved = replace(lists, expected_jaccard=Expectation(lists.jaccard - difference, sd, 11))
    verdict = judge(replace(found, lists=replace(found.lists, draws=moved)))
    assert verdict.status is status
    assert ("limit 0.05" in verdict.headline) == (sd * 3.2 < abs(difference))  # said where it is beyond chance
    assert ("shows no fault" in verdict.headline) == (status is Status.PASS)


def test_tables_and_figures(found):
    (genes,) = tables(found)
    assert genes.columns["gene"] == list(found.genes[:200])
    assert all(0.0 <= share <= 1.0 for share in genes.columns["frequency"])
    assert [figure.name for figure in draw(found)] == ["frequency", "overlap", "winners_curse"]


@pytest.mark.slow
def test_five_v_twenty_of_a_real_experiment(real_data):
    """Draws of a real study with many replicates overlap as its model says, and what a repetition would call is so."""
    folder = real_data / "data" / "schurch2016"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    clean = cohort.samples["clean"] == "yes"
    groups = [np.flatnonzero(clean & (cohort.samples["group"] == level)) for level in ("Snf2", "WT")]
    rng, told, true = np.random.default_rng(1), [], []
    for _ in range(3):
        test, reference = (rng.permutation(members) for members in groups)
        halves = [np.sort(np.r_[test[5 * k : 5 * k + 5], reference[20 * k : 20 * k + 20]]) for k in (0, 1)]
        opened = open_study(cohort.take_samples(halves[0]), "~ group", ("group", "Snf2", "WT"))
        result = compute(opened)
        assert judge(result).status is Status.PASS
        other = dediag.fit(cohort.take_samples(halves[1]), "~ group", ("group", "Snf2", "WT"))
        again = other.significant & opened.significant & (np.sign(other.lfc) == np.sign(opened.fit.lfc))
        told.append(result.again_share)
        true.append(again.sum() / opened.significant.sum())
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.08)
