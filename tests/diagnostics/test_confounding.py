"""The contrast beside everything else that is known: what goes with the groups is named, what does not is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import dediag
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics.confounding import CHANCE, compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=300, seed=1, design="~ group", columns=None, **faults):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **faults)
    if columns:
        cohort = replace(cohort, samples=cohort.samples.assign(**columns))
    return open_study(cohort, design, CONTRAST)


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def entangled():
    return compute(study(6, 15, confounded_covariate=0.8, effect_share=0.2, effect_sd=1.2))


def test_a_covariate_that_goes_with_the_groups_is_named_with_its_price(entangled):
    verdict, value = judge(entangled), numbers(entangled)
    assert verdict.status is Status.WARN
    assert value["worst_covariate"] == "batch"
    assert value["association_worst"] > 0.5
    assert value["p_value_worst"] < CHANCE
    assert verdict.calls_at_risk == value["calls_changed"] > 10
    assert "Add 'batch' to the design (at 2." in verdict.advice


def test_in_the_design_it_costs_precision():
    result = compute(study(6, 15, confounded_covariate=0.8, design="~ batch + group"))
    assert judge(result).status is Status.PASS
    assert numbers(result)["vif_contrast"] == pytest.approx(2.43, abs=0.01)
    dear = compute(study(6, 15, confounded_covariate=0.9, design="~ batch + group"))
    assert judge(dear).status is Status.WARN
    assert "times the variance" in judge(dear).headline


@pytest.mark.parametrize("sizes", [(3, 3), (6, 15)])
def test_what_cannot_be_told_apart_fails_at_any_size(sizes):
    batch = ["b1"] * sizes[0] + ["b2", *["b3"] * (sizes[1] - 1)]  # one in the test group
    verdict = judge(compute(study(*sizes, columns={"batch": batch})))
    assert verdict.status is Status.FAIL
    assert "no analysis can tell" in verdict.headline


def test_unrelated_columns_are_no_alarm():
    """Of 60 cohorts with three columns by chance 1 % may warn at most: more than two have a chance of 2 %."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        columns = {
            "batch": rng.choice(["a", "b", "c"], 18),
            "age": rng.normal(50, 9, 18),
            "sex": rng.choice(["f", "m"], 18),
        }
        alarms += judge(compute(study(6, 12, n_genes=60, seed=seed, columns=columns))).status is not Status.PASS
    assert alarms <= 2


def test_individuals_with_samples_in_both_groups():
    donors = [f"d{k}" for k in range(6)]
    pairs = {"donor": donors + donors}
    verdict = judge(compute(study(6, 6, columns=pairs)))
    assert verdict.status is Status.WARN
    assert "6 values of 'donor' have several samples, 6 of them in both groups" in verdict.headline
    assert numbers(compute(study(6, 6, columns=pairs)))["repeated_individuals"] == 6
    known = compute(study(6, 6, columns=pairs, design="~ donor + group"))
    assert judge(known).status is Status.PASS
    assert numbers(known)["repeated_individuals"] == 0


@pytest.mark.parametrize("each", [2, 3])
def test_repeated_measurements_within_a_group_are_to_be_added_up(each):
    repeats = {"donor": [f"d{k // each}" for k in range(12)]}
    verdict = judge(compute(study(6, 6, columns=repeats)))
    assert "each within its group" in verdict.headline
    assert "Add up the counts" in verdict.advice


def test_few_samples_do_not_hide_a_depth_far_from_that_of_the_others():
    far, near = compute(study(3, 3, depth_ratio=0.12)), compute(study(3, 3, depth_ratio=0.25, seed=3))
    assert far.technical[0].p_value > CHANCE  # at 3 v 3 no permutation is rare enough
    assert judge(far).status is Status.WARN
    assert "Depth goes with the groups" in judge(far).headline
    assert 1 / 4 < near.depth_ratio < 1 / 2.5
    assert judge(near).status is Status.PASS
    assert "not surely more than chance" in judge(near).headline


def test_columns_of_the_table_do_not_make_depth_less_sure():
    columns = {f"c{k}": np.random.default_rng(k).normal(size=21) for k in range(9)}
    alone, among = compute(study(6, 15, depth_ratio=3.0)), compute(study(6, 15, depth_ratio=3.0, columns=columns))
    assert among.technical[0].p_value == pytest.approx(alone.technical[0].p_value, abs=0.002)


def test_depth_that_goes_with_the_groups():
    result = compute(study(6, 15, depth_ratio=4.0))
    assert judge(result).status is Status.WARN
    assert "Depth goes with the groups" in judge(result).headline
    assert numbers(result)["depth_ratio"] == pytest.approx(4.0, rel=0.4)
    both = judge(compute(study(6, 15, depth_ratio=4.0, confounded_covariate=0.9)))
    assert "'batch'" in both.headline
    assert "Also: Depth" in both.advice


def test_a_hidden_batch_shows_in_the_components_and_the_surrogate():
    cohort, truth = simulate(n_genes=500, n_test=10, n_reference=10, seed=1, hidden_batch=1.5, effect_share=0.1)
    late = cohort.samples.index.isin(truth.attrs["hidden_batch"])
    opened = open_study(
        replace(cohort, samples=cohort.samples.assign(lot=np.where(late, "l1", "l2"))), "~ group", CONTRAST
    )
    result = compute(opened)
    lot = next(c for c in result.covariates if c.name == "lot")
    assert lot.explained[0] > 0.8
    assert numbers(result)["calls_with_surrogate"] > opened.significant.sum()  # power that the batch took


def test_exchanging_the_groups_changes_no_association(entangled):
    cohort, _ = simulate(
        n_genes=300, n_test=6, n_reference=15, seed=1, confounded_covariate=0.8, effect_share=0.2, effect_sd=1.2
    )  # fmt: skip
    other = compute(open_study(cohort, "~ group", ("group", "control", "case")))
    assert other.worst.association == pytest.approx(entangled.worst.association)
    assert other.depth_ratio == pytest.approx(1.0 / entangled.depth_ratio)
    assert other.vif == pytest.approx(entangled.vif)


def test_tables_and_figure(entangled):
    covariates, components = tables(entangled)
    assert covariates.columns["covariate"] == ["batch", "depth", "detected genes", "size factor"]
    assert 0.0 <= min(components.columns["r2 batch"]) <= max(components.columns["r2 batch"]) <= 1.0
    (figure,) = draw(entangled)
    assert "batch" in figure.svg
    assert figure.svg == draw(entangled)[0].svg


def test_without_two_groups_there_is_nothing_to_compare():
    cohort, _ = simulate(n_genes=100, n_test=8, n_reference=8, seed=1)
    crossed = replace(cohort, samples=cohort.samples.assign(sex=["f", "m"] * 8))
    with pytest.raises(NotAssessable, match="interaction"):
        compute(open_study(crossed, "~ sex * group", CONTRAST))


def test_the_same_individuals_in_both_studies_of_hapmap(real_data):
    folder = real_data / "data" / "hapmap_ceu_depth"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    result = compute(open_study(cohort, "~ group", ("group", "Cheung", "Montgomery")))
    value = numbers(result)
    assert value["repeated_individuals"] == 29
    assert value["depth_ratio"] == pytest.approx(3.7, abs=0.1)
    assert "29 of them in both groups" in judge(result).headline
