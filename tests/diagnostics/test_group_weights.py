"""Weights by group: fold changes stay in a saturated design, error rates go wrong as the scaling predicts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import group_weights
from dediag.diagnostics.group_weights import DOWN, IDENTITY, MEAN_ONE, compute, draw, judge, metrics, plan, tables
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.settings import AuditSettings
from dediag.simulation import simulate
from dediag.study import Study

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=500, seed=1, bootstraps=2, design="~ group", size_factors="ratio", **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    settings = AuditSettings(bootstraps=bootstraps)
    return open_study(cohort, design, CONTRAST, seed=seed, settings=settings, size_factors=size_factors)


@cache
def result_of(n_test, n_reference, bootstraps=2, n_genes=500, **more):
    return compute(study(n_test, n_reference, n_genes=n_genes, bootstraps=bootstraps, **more))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


def arm(result, name):
    return next(arm for arm in result.arms if arm.name == name)


@pytest.mark.parametrize(("n_test", "n_reference"), [(5, 20), (30, 3), (12, 11)])
def test_fold_changes_stay_in_a_saturated_design(n_test, n_reference):
    result = result_of(n_test, n_reference)
    assert result.saturated
    assert len(result.base_mean) > 450
    assert result.largest_change < IDENTITY / 50
    assert numbers(result)["max_lfc_change"] == result.largest_change
    for each in result.arms[1:]:
        held, again = result.changes(each)
        assert np.abs(again).max() > np.abs(held).max()  # estimated again they move, little
        assert np.median(np.abs(again)) < 0.002


def test_a_third_level_keeps_weight_one_and_the_identity():
    cohort, _ = simulate(n_genes=300, n_test=6, n_reference=18, seed=2)
    third = cohort.samples.assign(group=["case"] * 6 + ["other"] * 5 + ["control"] * 13)
    opened = open_study(replace(cohort, samples=third), "~ group", CONTRAST, settings=AuditSettings(bootstraps=2))
    result = compute(opened)
    assert result.saturated
    assert result.sizes == (6, 13)
    assert result.largest_change < IDENTITY
    weights = plan(opened)["none"].weights[1]  # of mean one
    assert weights[6:11] == (1.0,) * 5
    assert sum(weights[:6]) == pytest.approx(sum(weights[11:]))


def test_fold_changes_move_with_a_covariate_and_the_headline_names_the_design():
    result = compute(study(5, 20, design="~ batch + group", confounded_covariate=0.3))
    assert not result.saturated
    assert result.largest_change > 0.01
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert "only because the groups share coefficients in ~ batch + group" in verdict.headline
    assert next(m for m in metrics(result) if m.name == "max_lfc_change").limit is None


@pytest.mark.parametrize(
    ("n_test", "n_reference", "mean_one", "down"),
    [(5, 20, (0.125, 0.15), (0.005, 0.02)), (30, 3, (0.27, 0.34), (0.0, 0.012)), (11, 10, (0.04, 0.07), (0.04, 0.07))],
)
def test_sizes_go_wrong_in_the_direction_that_the_scaling_predicts(n_test, n_reference, mean_one, down):
    """Known at dispersions held: .12 and .26 for mean one at 5 v 20 and 3 v 30."""
    result = result_of(n_test, n_reference, 10, 1000)
    for name, (low, high) in ((MEAN_ONE, mean_one), (DOWN, down)):
        found = arm(result, name)
        assert low < found.simulated.size.value < high
        assert found.simulated.size.low <= found.simulated.size.value <= found.simulated.size.high
        assert found.predicted.size == pytest.approx(found.simulated.size.value, abs=0.03)
        assert np.median(found.fits.se_ratio) == pytest.approx(found.predicted.se, rel=0.08)
    assert result.arms[0].simulated.size.value == pytest.approx(0.055, abs=0.012)


def test_dispersions_estimated_with_the_weights_add_to_both():
    result = result_of(30, 3, 10, 1000)
    one, down = arm(result, MEAN_ONE).predicted, arm(result, DOWN).predicted
    assert one.size > one.size_held + 0.02
    assert down.size < down.size_held - 0.003


def test_weighting_down_costs_power_and_mean_one_makes_false_calls():
    result = result_of(5, 20, 10, 1000)
    down, one, none = arm(result, DOWN).simulated, arm(result, MEAN_ONE).simulated, result.arms[0].simulated
    assert none.ratio.value == 1.0
    assert down.ratio.high < 0.8
    assert one.ratio.low > 1.0
    assert one.false_calls.value > none.false_calls.value + 3.0
    value = numbers(result)
    assert value["power_ratio"] == down.ratio.value
    assert value["size_weighted"] == one.size.value
    assert value["median_se_ratio"] == pytest.approx(0.77, abs=0.02)


def test_weights_divided_by_their_largest_are_the_second_scaling():
    """The reference divides by the largest, so that weights of mean one become it.

    Only its base means, and with them the trend, keep the weights as given; hence the tolerance.
    """
    opened = study(5, 20)
    mean_one = np.broadcast_to(np.repeat([2.5, 0.625], [5, 20]), opened.cohort.counts.shape)
    scaled = fit(opened.cohort, "~ group", CONTRAST, weights=mean_one, search="newton")
    result = result_of(5, 20)
    shown = np.isin(opened.fit.base_mean, result.base_mean)
    np.testing.assert_allclose(scaled.lfc[shown], arm(result, DOWN).fits.again, atol=5e-3)
    plain = fit(opened.cohort, "~ group", CONTRAST, search="newton")
    np.testing.assert_allclose(
        np.median(scaled.lfc_se[shown] / plain.lfc_se[shown]), np.median(arm(result, DOWN).fits.se_ratio), rtol=5e-3
    )


def test_exchanging_the_groups_changes_nothing_but_the_sign():
    cohort, _ = simulate(n_genes=300, n_test=4, n_reference=9, seed=3)
    found = [
        compute(open_study(cohort, "~ group", ("group", *levels), settings=AuditSettings(bootstraps=2)))
        for levels in (("case", "control"), ("control", "case"))
    ]
    for one, other in zip(found[0].arms, found[1].arms, strict=True):
        assert one.weights == other.weights[::-1]
        np.testing.assert_allclose(one.fits.held, -other.fits.held, atol=1e-5)
        np.testing.assert_allclose(one.fits.se_ratio, other.fits.se_ratio, rtol=1e-5)
        assert one.predicted.size == pytest.approx(other.predicted.size, rel=1e-6)


def test_equal_groups_have_nothing_to_weight():
    opened = study(6, 6)
    assert plan(opened) == {}
    result = compute(opened)
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert "equally large (6 v 6)" in verdict.headline
    assert numbers(result)["max_lfc_change"] == 0.0
    assert numbers(result)["median_se_ratio"] == 1.0
    assert numbers(result)["size_weighted"] is None
    assert (tables(result), draw(result)) == ([], [])


def test_beyond_a_hundred_to_one_the_second_scaling_leaves_no_samples():
    result = result_of(3, 310, 1, 200)
    assert [each.name for each in result.arms] == ["no weights", MEAN_ONE]
    assert numbers(result)["power_ratio"] is None
    assert numbers(result)["size_larger_group_down"] is None
    assert arm(result, MEAN_ONE).simulated.size.value > 0.5
    assert "weighted down" not in judge(result).headline


def test_without_calls_there_is_no_power():
    cohort, _ = simulate(n_genes=200, n_test=5, n_reference=9, seed=4, effect_share=0.0)
    opened = open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(bootstraps=2, alpha=1e-6))
    assert not opened.significant.any()
    assert list(plan(opened)) == ["none"]
    result = compute(opened)
    assert numbers(result)["power_ratio"] is None
    assert "the power" not in judge(result).headline
    assert tables(result)[0].columns["ratio"] == [None] * 3


def test_nearly_equal_groups_are_said_to_change_hardly():
    assert "hardly changes the error rate" in judge(result_of(11, 10, 10, 1000)).headline
    assert "makes the error rate wrong" in judge(result_of(5, 20, 10, 1000)).headline


def test_a_saturated_fit_whose_fold_changes_move_is_an_error_of_ours():
    result = result_of(5, 20)
    moved = replace(result.arms[1], fits=replace(result.arms[1].fits, held=result.arms[1].fits.held + 2 * IDENTITY))
    broken = replace(result, arms=(result.arms[0], moved))
    verdict = judge(broken)
    assert verdict.status is Status.ERROR
    assert "a defect of this engine" in verdict.headline
    assert judge(replace(broken, saturated=False)).status is Status.PASS


def test_headline_is_one_sentence_with_the_numbers():
    verdict = judge(result_of(5, 20, 10, 1000))
    assert verdict.headline.startswith("Weighting 5 v 20 equally leaves every fold change where it is (largest change ")
    assert verdict.headline.count(". ") == 0
    assert "times the power" in verdict.headline
    assert verdict.advice == "Do not weight by group size; weights are for unequal precision."
    assert verdict.calls_at_risk == 0


def test_figures_and_table_show_both_scalings():
    result = result_of(5, 20, 10, 1000)
    folds, rates = draw(result)
    assert (folds.name, rates.name) == ("fold_changes", "error_rate")
    assert MEAN_ONE in rates.svg
    assert DOWN in rates.svg
    assert rates.svg == draw(result)[1].svg
    (table,) = tables(result)
    assert table.columns["weights"] == ["no weights", MEAN_ONE, DOWN]
    assert table.columns["test_sample"] == [1.0, 2.5, 1.0]


def test_an_interaction_and_own_weights_are_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))
    weighted = fit(cohort, "~ group", CONTRAST, weights=np.full(cohort.counts.shape, 0.5))
    with pytest.raises(NotAssessable, match="weights of its own"):
        plan(Study(cohort, weighted))


def test_fewer_cohorts_are_simulated_of_more_genes():
    few = plan(study(4, 8, n_genes=200, bootstraps=100))["none"].replicates
    assert few == group_weights.MOST_COHORTS
    many = study(4, 8, n_genes=200, bootstraps=3)
    assert plan(many)["none"].replicates == 3


@pytest.mark.slow
def test_the_identity_holds_in_many_cohorts():
    """Sixty healthy and damaged cohorts from 2 v 4 to 3 v 90: no fold change moves by a fiftieth of the limit."""
    sizes, faults = [(2, 4), (4, 12), (3, 90), (40, 7), (20, 8)], [{}, {"outliers": 0.05}, {"zero_inflation": 0.3}]
    largest = [
        compute(study(*pair, n_genes=300, seed=seed, bootstraps=1, size_factors="poscounts", **fault)).largest_change
        for seed in range(4)
        for pair in sizes
        for fault in faults
    ]
    assert len(largest) == 60
    assert max(largest) < IDENTITY / 50
