"""Samples out of line: a bad one, a swapped pair, a wrong sex are named; depth and groups are held against none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import dediag
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import sample_quality
from dediag.diagnostics.sample_quality import DIAGNOSTIC, compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.simulation import simulate
from dediag.study import AuditSettings, Study

CONTRAST = ("group", "case", "control")
SETTINGS = AuditSettings(bootstraps=8)
STRONG = {"effect_share": 0.2, "effect_sd": 1.2}


def study(n_test, n_reference, *, n_genes=500, seed=1, design="~ group", **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    return open_study(cohort, design, CONTRAST, settings=SETTINGS)


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def healthy():
    return compute(study(6, 15, **STRONG))


@pytest.fixture(scope="module")
def swapped():
    return compute(study(6, 15, seed=2, sample_swap=1, **STRONG))


@pytest.mark.parametrize("sizes", [(3, 3), (4, 12), (20, 8)])
def test_ordinary_samples_are_in_line(sizes):
    result = compute(study(*sizes))
    assert judge(result).status is Status.PASS
    assert judge(result).calls_at_risk == 0


def test_groups_that_can_be_told_apart_have_no_swap(healthy):
    assert judge(healthy).status is Status.PASS
    assert numbers(healthy)["suspected_swap"] == "none"
    assert "place one in the other group" in judge(healthy).headline


@pytest.mark.parametrize("sizes", [(3, 9), (4, 12), (5, 20), (10, 10), (20, 8)])
def test_a_bad_sample_is_named(sizes):
    result = compute(study(*sizes, seed=3, bad_sample=1.5))
    verdict, value = judge(result), numbers(result)
    assert verdict.status in (Status.WARN, Status.FAIL)
    assert value["worst_sample"] == result.samples[0]
    assert f"{result.samples[0]} is out of line: its weight is" in verdict.headline
    assert verdict.calls_at_risk == result.calls.lost


def test_swapped_samples_are_named(swapped):
    assert judge(swapped).status is Status.FAIL
    assert numbers(swapped)["suspected_swap"] == "case06, control15"
    assert "case06" in judge(swapped).headline
    assert "look exchanged" in judge(swapped).headline


def test_one_mislabelled_sample_warns_and_is_read_both_ways():
    cohort, _ = simulate(n_genes=500, n_test=6, n_reference=15, seed=2, **STRONG)
    samples = cohort.samples.copy()
    samples.iloc[5, 0] = "control"
    result = compute(open_study(replace(cohort, samples=samples), "~ group", CONTRAST, settings=SETTINGS))
    verdict = judge(result)
    assert verdict.status is Status.WARN
    assert numbers(result)["suspected_swap"] == "case06"
    assert "Mislabelled, or without the group's effect" in verdict.headline


def test_without_effects_a_swap_cannot_be_seen_and_the_text_says_so():
    result = compute(study(6, 15, effect_share=0.0, sample_swap=1))
    assert numbers(result)["suspected_swap"] is None
    assert "a swap could not be seen" in judge(result).headline


def test_depth_alone_is_no_fault():
    """A sample of a twentieth of the depth varies more, and the model says so."""
    cohort, _ = simulate(n_genes=500, n_test=6, n_reference=10, seed=4)
    counts = np.array(cohort.counts)
    counts[:, 2] = np.random.default_rng(1).binomial(counts[:, 2].astype(int), 0.05)
    result = compute(open_study(cohort.with_counts(counts), "~ group", CONTRAST, settings=SETTINGS))
    assert judge(result).status is Status.PASS
    assert result.weights.ratio[2] > 0.5
    assert result.places.measures["distance_own"].argmax() == 2  # it does lie apart


def test_a_group_that_varies_more_is_not_held_against_its_samples():
    result = compute(study(6, 12, group_dispersion_ratio=4.0))
    assert result.weights.dispersion == "group"
    assert result.weights.weight[result.group == 0].max() < result.weights.weight[result.group == 1].min()
    assert judge(result).status is Status.PASS


def test_in_small_groups_both_readings_are_printed():
    both = "a bad sample and a group that varies more look alike"
    result = compute(study(3, 3, bad_sample=1.5))
    assert result.weights.dispersion == "shared"
    assert both in judge(result).headline
    assert both in judge(compute(study(3, 3))).headline
    assert both not in judge(compute(study(5, 5))).headline


def test_exchanging_the_groups_changes_nothing_but_their_names(swapped):
    cohort, _ = simulate(n_genes=500, n_test=6, n_reference=15, seed=2, sample_swap=1, **STRONG)
    other = compute(open_study(cohort, "~ group", ("group", "control", "case"), settings=SETTINGS))
    np.testing.assert_allclose(other.weights.weight, swapped.weights.weight, rtol=1e-4)
    np.testing.assert_array_equal(other.places.swap.votes, swapped.places.swap.votes)
    assert judge(other).status is judge(swapped).status


# Sex -----------------------------------------------------------------------------------------------------------------


def test_a_wrong_sex_is_named():
    cohort, _ = simulate(n_genes=500, n_test=6, n_reference=8, seed=1)
    male = np.arange(14) % 2 == 0
    counts, genes = np.array(cohort.counts), cohort.genes.to_list()
    genes[:2] = ["XIST", "RPS4Y1"]
    counts[0], counts[1] = np.where(male, 0, 400), np.where(male, 300, 2)
    samples = cohort.samples.assign(sex=np.where(male, "m", "f"))
    named = replace(cohort.with_counts(counts), genes=pd.Index(genes), samples=samples)
    right = compute(open_study(named, "~ group", CONTRAST, settings=SETTINGS))
    assert judge(right).status is Status.PASS
    assert numbers(right)["sex_mismatches"] == 0
    samples = samples.copy()
    samples.loc["case03", "sex"] = "f"
    wrong = compute(open_study(replace(named, samples=samples), "~ group", CONTRAST, settings=SETTINGS))
    assert judge(wrong).status is Status.FAIL
    assert "of another sex than recorded: case03." in judge(wrong).headline
    row = dict(zip(tables(wrong)[0].columns["sample"], tables(wrong)[0].columns["sex_shown"], strict=True))
    assert row["case03"] == "male"


# Designs and odd studies ---------------------------------------------------------------------------------------------


def test_covariates_of_the_design_are_taken_off():
    opened = study(6, 12, design="~ batch + group", confounded_covariate=0.3, **STRONG)
    result = compute(opened)
    assert judge(result).status is Status.PASS
    assert numbers(result)["suspected_swap"] == "none"
    bad = compute(study(6, 12, design="~ batch + group", confounded_covariate=0.3, bad_sample=1.5))
    assert numbers(bad)["worst_sample"] == "case01"
    assert judge(bad).status is not Status.PASS


def test_samples_of_other_levels_count_toward_the_weights_and_are_not_judged():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=15, seed=2)
    samples = cohort.samples.assign(group=["case"] * 5 + ["other"] * 6 + ["control"] * 9)
    opened = open_study(replace(cohort, samples=samples), "~ group", CONTRAST, settings=SETTINGS)
    result = compute(opened)
    assert len(result.samples) == len(result.weights.weight) == len(result.places.swap.votes) == 14
    assert result.weights.everyone.size == 20
    assert judge(result).status is Status.PASS


def test_offsets_take_the_place_of_size_factors():
    cohort, _ = simulate(n_genes=300, n_test=4, n_reference=6, seed=2)
    plain = compute(open_study(cohort, "~ group", CONTRAST, settings=SETTINGS))
    factors = fit(cohort, "~ group", CONTRAST).size_factors
    same = replace(cohort, offsets=np.broadcast_to(factors, cohort.counts.shape))
    given = compute(open_study(same, "~ group", CONTRAST, settings=SETTINGS))
    np.testing.assert_allclose(given.weights.weight, plain.weights.weight, rtol=1e-3)


def test_what_cannot_be_answered_says_why():
    with pytest.raises(NotAssessable, match="group of two"):
        compute(study(2, 2, n_genes=100))
    with pytest.raises(NotAssessable, match="fewer than 50 genes"):
        compute(study(4, 4, n_genes=40))
    cohort, _ = simulate(n_genes=100, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))
    cohort, _ = simulate(n_genes=100, n_test=3, n_reference=2, seed=2)
    samples = cohort.samples.assign(batch=["a", "b", "c", "a", "b"])
    opened = open_study(replace(cohort, samples=samples), "~ batch + group", CONTRAST)
    with pytest.raises(NotAssessable, match="residual degrees of freedom"):
        compute(opened)


# The verdict ---------------------------------------------------------------------------------------------------------


def low(result, ratio, spreads, lost=0):
    """The result in which the third test sample has this weight, and the weights lose so many calls."""
    weights = result.weights
    values = {"ratio": weights.ratio.copy(), "spreads": weights.spreads.copy()}
    values["ratio"][2], values["spreads"][2] = ratio, spreads
    calls = replace(result.calls, before=100, after=100 - lost, lost=lost, gained=0)
    return replace(result, weights=replace(weights, **values), calls=calls)


def test_a_weight_warns_beyond_both_limits_and_fails_where_the_calls_change(healthy):
    ratio, spreads, very = sample_quality.WEIGHT_LIMIT, sample_quality.SPREADS, sample_quality.VERY_LOW
    changed = round(100 * sample_quality.CHANGED)
    assert judge(low(healthy, 0.99 * ratio, 1.01 * spreads)).status is Status.WARN
    assert judge(low(healthy, 1.01 * ratio, 1.01 * spreads)).status is Status.PASS
    assert judge(low(healthy, 0.99 * ratio, 0.99 * spreads)).status is Status.PASS
    assert judge(low(healthy, 0.99 * very, 9.0, changed)).status is Status.FAIL
    assert judge(low(healthy, 1.01 * very, 9.0, changed)).status is Status.WARN
    assert judge(low(healthy, 0.99 * very, 9.0, changed - 1)).status is Status.WARN
    assert judge(low(healthy, 0.99 * very, 9.0, changed)).calls_at_risk == changed
    few = low(healthy, 0.99 * very, 9.0, sample_quality.CHANGED_CALLS - 1)
    assert judge(replace(few, calls=replace(few.calls, before=10))).status is Status.WARN  # 40 % of next to nothing
    assert "case03 is out of line" in judge(low(healthy, 0.99 * very, 9.0)).headline
    unknown = replace(low(healthy, 0.99 * very, 9.0), calls=None)
    assert judge(unknown).status is Status.WARN
    assert numbers(unknown)["n_calls_weighted"] is None


def test_the_worst_alarm_comes_first_and_none_is_lost(swapped):
    verdict = judge(low(swapped, 0.2, 9.0))
    assert verdict.status is Status.FAIL
    assert "look exchanged" in verdict.headline
    assert "Also: case03 is out of line" in verdict.advice


def test_samples_all_the_way_between_the_groups_are_a_factor(swapped):
    votes = swapped.places.swap.votes.copy()
    votes[6:9] = 0.6  # with the swapped one 4 of 15
    swap = replace(swapped.places.swap, votes=votes)
    result = replace(swapped, places=replace(swapped.places, swap=swap))
    assert swap.told_apart
    assert judge(result).status is Status.WARN
    assert "2 of 21 samples look like the other group" in judge(result).headline
    assert "unrecorded factor" in judge(result).headline
    assert numbers(result)["suspected_swap"] is None


def test_metrics_tables_and_figures(healthy):
    value = numbers(healthy)
    assert set(DIAGNOSTIC.metric_names) <= value.keys()
    assert value["min_weight"] == pytest.approx(healthy.weights.weight.min())
    assert value["calls_changed"] == healthy.calls.lost + healthy.calls.gained
    (table,) = tables(healthy)
    assert len(table.columns["sample"]) == 21
    assert {"weight", "expected", "sere", "share_of_zeros", "correlation_other"} <= table.columns.keys()
    assert "sex_shown" not in table.columns
    weights, places = draw(healthy)
    assert healthy.samples[healthy.worst] in weights.svg
    assert places.svg == draw(healthy)[1].svg


@pytest.mark.slow
def test_false_alarms_are_rare_and_bad_or_swapped_samples_are_found():
    sizes = [(5, 20), (6, 15), (10, 10), (20, 8)]
    more = [(3, 3), (3, 9), (4, 4)]
    assert {judge(compute(study(*n, seed=s))).status for n in sizes + more for s in range(100, 105)} == {Status.PASS}
    bad = [compute(study(*n, n_genes=800, seed=s, bad_sample=1.5)) for n in sizes for s in range(100, 105)]
    assert np.mean([judge(r).status is not Status.PASS for r in bad]) >= 0.9
    swaps = [compute(study(*n, n_genes=800, seed=s, sample_swap=1, **STRONG)) for n in sizes for s in range(100, 105)]
    assert np.mean([judge(r).status is Status.FAIL for r in swaps]) >= 0.9


def test_replicates_that_their_authors_left_out_are_out_of_line(real_data):
    """Gierlinski et al. (2015) left out 6 of 48 wild-type and 4 of 48 mutant replicates of schurch2016."""
    folder = real_data / "data" / "schurch2016"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    result = compute(open_study(cohort, "~ group", ("group", "Snf2", "WT"), settings=SETTINGS))
    left_out = {f"WT_rep{k}" for k in (21, 22, 25, 28, 34, 36)} | {f"Snf2_rep{k:02d}" for k in (6, 13, 25, 35)}
    named = {result.samples[k] for k in np.flatnonzero(result.out_of_line)}
    assert {"Snf2_rep06", "Snf2_rep13"} <= named <= left_out
    assert numbers(result)["suspected_swap"] == "none"


def test_a_published_sample_of_the_wrong_sex_is_seen(real_data):
    """NA12892 of one laboratory is recorded as female and has the Y genes of a male."""
    folder = real_data / "data" / "hapmap_ceu_depth"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    result = compute(open_study(cohort, "~ group", ("group", "Cheung", "Montgomery"), settings=SETTINGS))
    assert result.wrong_sex == ["Montgomery_NA12892"]
