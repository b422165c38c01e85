"""Single samples: a bad one is named, ordinary ones are not; and whose samples a group's mean rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dediag
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import influence
from dediag.diagnostics.influence import (
    CALLS_LIMIT,
    DIAGNOSTIC,
    SPREAD_LIMIT,
    compute,
    draw,
    judge,
    metrics,
    plan,
    tables,
)
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.simulation import simulate
from dediag.stats.fellows import over_fellows
from dediag.study import LEFT_OUT, AuditSettings, Study

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=500, seed=1, design="~ group", **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    return open_study(cohort, design, CONTRAST)


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def healthy():
    return compute(study(6, 15, effect_share=0.2, effect_sd=1.2))


@pytest.fixture(scope="module")
def damaged():
    return compute(study(5, 20, n_genes=800, bad_sample=1.5))


@pytest.mark.parametrize("sizes", [(4, 12), (20, 8)])
def test_an_ordinary_study_does_not_hang_on_a_sample(sizes):
    result = compute(study(*sizes))
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert verdict.calls_at_risk == 0
    assert "has no vote" in verdict.headline


@pytest.mark.parametrize("sizes", [(3, 9), (4, 12), (6, 15), (10, 10), (20, 8)])
def test_a_bad_sample_is_named(sizes):
    result = compute(study(*sizes, seed=3, bad_sample=1.5, effect_share=0.2))
    verdict, value = judge(result), numbers(result)
    assert verdict.status in (Status.WARN, Status.FAIL)
    assert value["worst_sample"] == result.samples[0]
    assert value["worst_sample"].startswith("case")
    assert f"Sample {value['worst_sample']} " in verdict.headline


def test_a_bad_sample_in_a_small_group_fails_with_the_calls_it_made(damaged):
    verdict, value = judge(damaged), numbers(damaged)
    assert verdict.status is Status.FAIL
    assert "carries the result" in verdict.headline
    assert verdict.calls_at_risk == damaged.without.lost[damaged.worst] > 10
    assert value["de_change_worst"] < -20
    assert value["cooks_share_worst"] > 0.15
    assert 0 < value["calls_lost_without_some_sample"] <= len(damaged.genes)


def test_each_refit_is_the_analysis_of_the_other_samples(healthy):
    opened = study(6, 15, effect_share=0.2, effect_sd=1.2)
    everyone = np.arange(21)
    for i in (0, 20):
        alone = fit(opened.cohort.take_samples(everyone[everyone != i]), "~ group", CONTRAST, search="newton")
        at = healthy.samples.index(str(opened.cohort.samples.index[i]))
        before, after = opened.fit.significant, alone.significant
        assert healthy.without.calls[at] == after.sum()
        assert healthy.without.lost[at] == (before & ~after).sum()
        assert healthy.without.gained[at] == (after & ~before).sum()
        above = opened.above_floor
        moved = (alone.lfc - opened.fit.lfc)[above] / opened.fit.lfc_se[above]
        assert healthy.without.shift[at] == pytest.approx(np.sqrt(np.nanmean(moved**2)), rel=1e-4)


def test_loss_of_power_in_a_small_group_is_no_alarm():
    """Without one of three samples many calls are lost, whichever it is."""
    result = compute(study(3, 12, n_genes=800, seed=2, effect_share=0.2, effect_sd=1.2))
    lost = result.without.lost[result.group == 0] / len(result.genes)
    assert lost.min() > 0.1
    assert judge(result).status is Status.PASS


def test_exchanging_the_groups_changes_nothing_but_their_names(damaged):
    cohort, _ = simulate(n_genes=800, n_test=5, n_reference=20, seed=1, bad_sample=1.5)
    other = compute(open_study(cohort, "~ group", ("group", "control", "case")))
    assert other.samples == damaged.samples
    assert (other.group == 1 - damaged.group).all()
    np.testing.assert_allclose(other.influence, damaged.influence, rtol=1e-4)
    np.testing.assert_allclose(other.without.shift, damaged.without.shift, rtol=1e-3)
    assert judge(other).status is judge(damaged).status


# Whose samples a mean rests on ---------------------------------------------------------------------------------------


def test_groups_have_no_vote_on_each_other_at_any_sizes():
    result = compute(study(3, 60, n_genes=200))
    assert numbers(result)["cross_group_score"] < 1e-12
    assert result.cross[1] < 1e-12
    for parts in result.votes:
        assert np.abs(parts.cross).max() < 1e-9
        assert np.abs(parts.own).max() < 1e-4  # zero at the optimum, but for the ridge
    assert "so the larger group has no vote" in judge(result).headline


def test_a_shared_covariate_gives_them_one_and_the_text_says_so():
    opened = study(6, 15, n_genes=200, design="~ batch + group", confounded_covariate=0.4)
    result = compute(opened)
    value = numbers(result)["cross_group_score"]
    assert 0.005 < value < 0.5
    assert f"shared covariates bring {100 * value:.1f} %" in judge(result).headline
    X, case, gene = opened.fit.design.matrix, opened.test_samples, opened.above_floor[0]
    mu = np.exp2(X @ opened.exact.coefficients[gene]) * opened.fit.size_factors
    w = mu / (1 + opened.fit.dispersion[gene] * mu)
    batch = X[:, 1].mean()  # the log mean of a case at the average batch: from all samples, and from the cases alone
    v, among_cases = np.array([1.0, batch, 1.0]), np.array([1.0, batch])
    variance = v @ np.linalg.inv((X.T * w) @ X) @ v
    alone = among_cases @ np.linalg.inv((X[case, :2].T * w[case]) @ X[case, :2]) @ among_cases
    assert result.votes[0].share[0] == pytest.approx(1 - variance / alone, rel=1e-6)


# Designs and odd studies ---------------------------------------------------------------------------------------------


def test_other_levels_stay_in_every_refit_and_are_not_left_out():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=15, seed=2)
    samples = cohort.samples.assign(group=["case"] * 5 + ["other"] * 6 + ["control"] * 9)
    opened = open_study(replace(cohort, samples=samples), "~ group", CONTRAST)
    assert all(set(range(5, 11)) <= set(rows) and len(rows) == 19 for rows in plan(opened)["leave_one_out"].rows)
    result = compute(opened)
    assert len(result.samples) == 14
    assert judge(result).status is Status.PASS
    assert numbers(result)["cross_group_score"] < 1e-12


def test_of_many_samples_the_most_influential_are_left_out():
    opened = study(8, 60, n_genes=120)
    result = compute(opened)
    assert len(result.samples) == LEFT_OUT
    assert (result.group == 0).sum() == 8
    kept = opened.cooks_shares.observed[[str(s) not in result.samples for s in opened.cohort.samples.index]]
    assert result.share.min() >= kept.max()


def test_a_group_of_two_is_not_judged():
    result = compute(study(2, 8, n_genes=300))
    assert np.isnan(result.influence[result.group == 0]).all()
    assert np.isnan(result.without.beyond[result.group == 0]).all()
    assert np.isfinite(result.influence[result.group == 1]).all()
    assert result.group[result.worst] == 1
    assert judge(result).status is Status.PASS


def test_what_cannot_be_answered_says_why():
    with pytest.raises(NotAssessable, match="group of two"):
        plan(study(2, 2, n_genes=100))
    cohort, _ = simulate(n_genes=100, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    with pytest.raises(NotAssessable, match="interaction"):
        plan(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))
    low = replace(fit(cohort, "~ group", CONTRAST), coefficients=np.full((100, 2), -9.0))
    with pytest.raises(NotAssessable, match=r"below 0\.5"):
        plan(Study(cohort, low))


def test_a_sample_that_the_design_needs_is_kept():
    cohort, _ = simulate(n_genes=150, n_test=5, n_reference=8, seed=1)
    samples = cohort.samples.assign(batch=["x", *["y", "z"] * 6])
    opened = open_study(replace(cohort, samples=samples), "~ batch + group", CONTRAST)
    result = compute(opened)
    assert len(result.samples) == 12
    assert str(samples.index[0]) not in result.samples


def test_without_calls_it_still_answers():
    result = compute(study(5, 8, n_genes=200, seed=5, effect_share=0.0))
    assert len(result.genes) < 3
    assert judge(result).status is Status.PASS
    assert draw(result)
    bad = compute(study(10, 10, n_genes=300, seed=5, effect_share=0.0, bad_sample=1.5))
    assert judge(bad).status is Status.WARN


# The verdict ---------------------------------------------------------------------------------------------------------


def changed(result, **values):
    """The result in which the last test sample has these values."""
    at = int(np.flatnonzero(result.group == 0)[-1])

    def put(array, value):
        array = array.copy()
        array[at] = value
        return array

    own = {name: put(getattr(result, name), v) for name, v in values.items() if name == "influence"}
    rest = {name: put(getattr(result.without, name), v) for name, v in values.items() if name != "influence"}
    return replace(result, without=replace(result.without, **rest), **own)


def test_either_kind_of_evidence_warns_and_both_fail(healthy):
    influential = {"influence": 1.01 * influence.INFLUENCE_LIMIT, "shift": 1.01 * influence.SHIFT_LIMIT}
    decisive = {"relative": 1.01 * CALLS_LIMIT, "spreads": 1.01 * SPREAD_LIMIT}
    assert judge(changed(healthy, **influential)).status is Status.WARN
    assert judge(changed(healthy, **decisive)).status is Status.WARN
    assert judge(changed(healthy, **influential, **decisive)).status is Status.FAIL
    for evidence in (influential, decisive):
        for name, value in evidence.items():  # all but one over their limits
            assert judge(changed(healthy, **(evidence | {name: 0.98 * value}))).status is Status.PASS
    harmless = judge(changed(healthy, **(influential | {"shift": 0.5 * influence.SHIFT_LIMIT})))
    assert "(limit 2.5) but moves the fold changes by 0.12 standard errors (limit 0.25)" in harmless.headline
    both = judge(changed(healthy, **influential))
    assert "(limit 2.5) and moves the fold changes by 0.253 standard errors (limit 0.25)" in both.headline
    named = judge(changed(healthy, **decisive))
    assert f"Sample {healthy.samples[5]} carries the result" in named.headline
    assert numbers(changed(healthy, **decisive))["worst_sample"] == healthy.samples[5]


def test_metrics_tables_and_figures(healthy):
    assert set(DIAGNOSTIC.metric_names) <= numbers(healthy).keys()
    samples, genes, votes = tables(healthy)
    assert len(samples.columns["sample"]) == 21
    assert genes.columns["lost_without"] == sorted(genes.columns["lost_without"], reverse=True)
    assert votes.columns["log_mean_of"] == ["case", "control"]
    first, second = draw(healthy)
    assert healthy.samples[healthy.worst] in first.svg
    assert first.svg == draw(healthy)[0].svg
    assert "0.0 % from other samples" in second.alt


@pytest.mark.slow
def test_false_alarms_are_rare_and_bad_samples_are_found():
    sizes = [(4, 12), (5, 20), (6, 15), (10, 10), (20, 8), (3, 9)]
    sound = [judge(compute(study(*n, seed=seed))).status for n in sizes for seed in range(100, 106)]
    assert set(sound) == {Status.PASS}
    bad = [compute(study(*n, seed=seed, bad_sample=1.5)) for n in sizes for seed in range(100, 105)]
    assert np.mean([judge(r).status is not Status.PASS for r in bad]) >= 0.9
    assert {numbers(r)["worst_sample"] == r.samples[0] for r in bad} == {True}


def test_outlying_replicates_of_a_real_study_are_those_its_authors_left_out(real_data):
    """Gierlinski et al. (2015) left out 6 of 48 wild-type and 4 of 48 mutant replicates of schurch2016."""
    folder = real_data / "data" / "schurch2016"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    opened = open_study(cohort, "~ group", ("group", "Snf2", "WT"), settings=AuditSettings(draws=5))
    shares = opened.cooks_shares
    ratio = pd.Series(
        over_fellows(shares.observed / shares.fair, opened.test_samples.astype(np.intp)), cohort.samples.index
    )
    left_out = {f"WT_rep{k}" for k in (21, 22, 25, 28, 34, 36)} | {f"Snf2_rep{k:02d}" for k in (6, 13, 25, 35)}
    furthest = [
        *ratio[opened.test_samples].nlargest(3).index,
        *ratio[opened.reference_samples].nlargest(5).index,
    ]
    assert set(furthest) <= left_out
