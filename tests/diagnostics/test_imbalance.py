"""Unequal group size: no bias where there is none, the predicted one where groups are tiny, the error rate's cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from equivalence import equivalence

from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import imbalance
from dediag.diagnostics.imbalance import DIAGNOSTIC, compute, draw, judge, metrics, plan, tables
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.settings import AuditSettings
from dediag.simulation import Population, simulate
from dediag.stats.error_model import Estimate
from dediag.study import Study

CONTRAST = ("group", "case", "control")
EVEN = Population(asymptote=0.1, extra=0.0, dispersion_sd=0.01, log_mean_sd=1.0)


def study(n_test, n_reference, *, n_genes=500, seed=1, draws=20, draw_size=None, bootstraps=2, **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    return open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(draws, draw_size, bootstraps=bootstraps))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def healthy():
    return compute(study(8, 20))


@pytest.fixture(scope="module")
def dispersed():
    return compute(study(5, 20, n_genes=1000, group_dispersion_ratio=4.0, population=EVEN, effect_share=0.0))


def test_a_study_like_the_threads_shows_no_bias():
    """71 v 29 without a fault: no shift, status pass."""
    result = compute(study(71, 29, n_genes=800, draws=12))
    assert abs(numbers(result)["lfc_bias_median"]) < 0.01
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert verdict.headline.startswith("Unequal group size (71 v 29) does not bias the fold changes")
    assert verdict.calls_at_risk == 0


@pytest.mark.parametrize("n_reference", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_three_samples_against_many_shift_as_predicted(n_reference):
    population = Population(asymptote=0.2, extra=0.0, dispersion_sd=0.01, log_mean_sd=1.0)
    result = compute(study(3, n_reference, n_genes=1500, draws=40, population=population))
    value = numbers(result)
    assert value["lfc_bias_median"] > 0.03
    assert value["lfc_bias_median"] == pytest.approx(value["lfc_bias_predicted"], abs=0.01)
    assert value["size_full"] is None  # two residual degrees of freedom say too little about the group's dispersion
    verdict = judge(result)
    assert verdict.status is Status.PASS
    assert "as far as small samples must" in verdict.headline


def test_unequal_dispersion_makes_imbalance_a_fault_and_says_why(dispersed):
    """Known for DESeq2 at 5 v 20 with dispersions .4 and .1: size .22, at 5 v 5 .06 to .08."""
    value = numbers(dispersed)
    assert value["size_full"] == pytest.approx(0.21, abs=0.03)
    assert 0.05 < value["size_balanced"] < 0.08
    verdict = judge(dispersed)
    assert verdict.status is Status.FAIL
    assert "smaller group (case) is" in verdict.headline
    assert verdict.headline.count(".") - verdict.headline.count(".05") <= 2  # one sentence


def test_the_predicted_sizes_are_those_of_the_refits():
    """The formula against the p-values of genes without effect, full and balanced; means of four cohorts."""
    predicted, observed = [], []
    for seed in range(4):
        opened = study(5, 20, seed=seed, draws=4, group_dispersion_ratio=4.0, population=EVEN, effect_share=0.0)
        result = compute(opened)
        predicted.append((result.sizes.full.value, result.sizes.balanced))
        drawn = opened.ensemble(opened.balanced_draws).pvalue
        observed.append([np.mean(p[np.isfinite(p)] < 0.05) for p in (opened.fit.pvalue, drawn)])
    np.testing.assert_allclose(np.mean(predicted, axis=0), np.mean(observed, axis=0), atol=0.03)


def test_the_larger_group_being_the_more_dispersed_is_not_liberal():
    result = compute(study(20, 5, group_dispersion_ratio=4.0, population=EVEN))
    assert numbers(result)["size_full"] < 0.03
    assert judge(result).status is Status.PASS


def test_calls_at_risk_are_some_of_the_calls():
    result = compute(study(5, 20, n_genes=800, group_dispersion_ratio=4.0))
    assert judge(result).status is Status.FAIL
    assert 0 < judge(result).calls_at_risk <= result.n_up + result.n_down


def test_equal_groups_pass_without_draws():
    opened = study(6, 6)
    assert plan(opened) == {}
    result = compute(opened)
    assert judge(result).status is Status.PASS
    assert draw(result) == []
    assert tables(result) == []
    assert numbers(result)["draws"] == 0
    assert numbers(result)["lfc_bias_median"] is None


def test_every_metric_of_the_contract_is_there(healthy):
    assert set(DIAGNOSTIC.metric_names) <= numbers(healthy).keys()
    value = numbers(healthy)
    assert value["draws"] == 20
    assert value["draw_size"] == 8
    assert value["lfc_bias_ci_low"] < value["lfc_bias_median"] - value["lfc_bias_predicted"] < value["lfc_bias_ci_high"]
    assert value["lfc_slope"] == pytest.approx(1.0, abs=0.02)


def test_both_arms_are_drawn_beside_each_other(healthy):
    assert healthy.arms["control"] is not None
    assert (healthy.arms["control"].n_test, healthy.arms["control"].n_reference) == (6, 14)
    folds, calls = draw(healthy)
    assert "balanced" in folds.svg
    assert "control" in folds.svg
    assert folds.svg == draw(healthy)[0].svg
    assert calls.alt
    arms, draws = tables(healthy)
    assert arms.columns["draws"] == ["balanced", "control"]
    assert len(draws.columns["n_up"]) == 20 + 10


def test_a_draw_size_is_kept():
    value = numbers(compute(study(8, 14, draw_size=5, draws=10)))
    assert value["draw_size"] == 5


def test_covariates_and_other_levels_stay_in_the_refits():
    cohort, _ = simulate(n_genes=300, n_test=6, n_reference=18, seed=2, confounded_covariate=0.2)
    third = cohort.samples.assign(group=["case"] * 6 + ["other"] * 5 + ["control"] * 13)
    opened = open_study(replace(cohort, samples=third), "~ batch + group", CONTRAST, settings=AuditSettings(draws=8))
    result = compute(opened)
    included = opened.ensemble(opened.balanced_draws).included
    assert included[:, 6:11].all()
    assert included.sum(axis=1).tolist() == [17] * 8
    assert abs(numbers(result)["lfc_bias_median"]) < 0.05


def test_an_interaction_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    main = fit(cohort, "~ batch * group", CONTRAST)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(Study(cohort, main))


def with_shift(result, **changes):
    arm = result.arms["balanced"]
    return replace(result, arms={**result.arms, "balanced": replace(arm, shift=replace(arm.shift, **changes))})


def shifted(result, by):
    return with_shift(result, difference=by, observed=result.arms["balanced"].shift.predicted + by)


def with_shares(result, full, balanced, control, gap):
    """The result with these shares of calls that are up, 100 calls everywhere, and this interval of the gap."""

    def arm(name, share):
        calls = np.full(result.arms[name].draws, 100)
        return replace(
            result.arms[name],
            n_up=np.round(calls * share).astype(int),
            n_down=np.round(calls * (1 - share)).astype(int),
        )

    expected = replace(result.expected, up_fraction_gap=gap)
    arms = {"balanced": arm("balanced", balanced)} | ({} if control is None else {"control": arm("control", control)})
    return replace(result, arms=arms, expected=expected, n_up=round(100 * full), n_down=round(100 * (1 - full)))


@pytest.mark.parametrize(
    ("full", "balanced", "control", "said"),
    [
        (0.68, 0.67, 0.69, "Neither balance nor fewer samples move the share of calls that are up (0.68 in full"),
        (
            0.68,
            0.63,
            0.64,
            "Fewer samples rather than balance move the share of calls that are up (0.68 in full, 0.63 in",
        ),
        (0.68, 0.60, 0.67, "Balance rather than fewer samples moves the share of calls that are up"),
        (0.68, 0.60, None, "Balanced draws move the share of calls that are up (0.68 in full, 0.60 in balanced draws)"),
    ],
)
def test_advice_says_whether_balance_or_size_moves_the_direction(healthy, full, balanced, control, said):
    result = with_shares(healthy, full, balanced, control, Estimate(-0.01, -0.02, 0.0))
    assert said in judge(result).advice
    assert judge(result).status is Status.PASS


def test_a_move_by_balance_is_compared_with_that_of_the_design(healthy):
    def advice(low, high):
        return judge(with_shares(healthy, 0.68, 0.60, 0.67, Estimate((low + high) / 2, low, high))).advice

    assert "draws), as this design does by itself." in advice(-0.1, -0.04)
    assert "draws), no more than chance does." in advice(-0.1, 0.02)
    assert "draws), unlike what this design does by itself." in advice(-0.02, 0.02)
    assert advice(np.nan, np.nan).endswith("in control draws).")


def test_few_calls_have_no_direction(healthy):
    few = replace(with_shares(healthy, 0.7, 0.7, 0.7, Estimate(0.0, -0.1, 0.1)), n_up=5, n_down=2)
    assert "calls that are up" not in judge(few).advice


def test_each_arm_stands_beside_its_own_expectation():
    cohort, _ = simulate(n_genes=600, n_test=6, n_reference=18, seed=1, effect_share=0.2, effect_sd=1.2)
    opened = open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(draws=20, bootstraps=12))
    result = compute(opened)
    assert len(plan(opened)["expected"].rows) == 8 * 4
    metric = {m.name: m for m in metrics(result)}
    for name in ("balanced", "control"):
        told = metric[f"expected_up_fraction_{name}"]
        assert told.low < metric[f"up_fraction_{name}"].value < told.high
    told = metric["expected_calls_ratio"]
    assert told.low < metric["calls_ratio"].value < told.high
    assert tables(result)[0].columns["expected_up_fraction"] == [
        metric[f"expected_up_fraction_{name}"].value for name in ("balanced", "control")
    ]
    assert "expected, 99 % interval" in draw(result)[1].svg


def test_few_simulated_cohorts_expect_nothing():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=12, seed=1)
    opened = open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(draws=6, bootstraps=2))
    assert set(plan(opened)) == {"balanced", "control"}
    result = compute(opened)
    assert numbers(result)["expected_up_fraction_balanced"] is None
    assert len(draw(result)) == 2


def test_a_draw_size_for_equal_groups_is_not_used_and_said_so():
    opened = study(6, 6, draw_size=4, n_genes=200)
    assert plan(opened) == {}
    assert "nothing was drawn" in judge(compute(opened)).headline


def test_all_draws_are_made_where_there_are_few():
    value = numbers(compute(study(4, 5, draws=50, n_genes=200)))
    assert value["draws"] == 5


def test_the_interval_is_said_to_be_that_of_the_difference(healthy):
    units = {m.name: m.unit for m in metrics(healthy)}
    assert units["lfc_bias_ci_low"] == units["lfc_bias_ci_high"] == "log2, observed - predicted"
    assert {"difference_low", "difference_high"} <= set(tables(healthy)[0].columns)


def test_judge_fails_on_a_shift_that_the_sizes_do_not_explain(healthy):
    assert judge(shifted(healthy, 0.2)).status is Status.FAIL
    assert judge(shifted(healthy, -0.2)).status is Status.FAIL


def test_judge_says_when_too_few_samples_exclude_a_bias(healthy):
    verdict = judge(shifted(healthy, imbalance.SHIFT_LIMIT))
    assert verdict.status is Status.PASS
    assert "too few samples exclude one" in verdict.headline


def test_judge_warns_between_the_limits(healthy):
    between = (imbalance.SIZE_WARN + imbalance.SIZE_FAIL) / 2

    def status(low, balanced):
        sizes = replace(healthy.sizes, full=Estimate(low + 0.02, low, low + 0.04), balanced=balanced)
        return judge(replace(healthy, sizes=sizes)).status

    assert status(between, 0.05) is Status.WARN
    assert status(between, between) is Status.PASS
    assert status(imbalance.SIZE_WARN - 0.01, 0.03) is Status.PASS
    assert status(imbalance.SIZE_FAIL, 0.05) is Status.FAIL


@pytest.mark.slow
@pytest.mark.parametrize(("n_test", "n_reference"), [(5, 20), (3, 30)])
def test_equivalence_is_concluded_at_the_limit_as_rarely_as_stated(n_test, n_reference):
    """At a true difference of 0.05 log2 in at most 5 % of cohorts, up to Monte Carlo error; without one nearly always.

    In 400 cohorts each (scripts/equivalence.py) 3.3 to 5 % at the limit, at least 99 % without a difference.
    """
    found = equivalence(n_test, n_reference, 100, n_genes=300)
    assert max(found.at_upper, found.at_lower) <= 0.05 + 2.5 * found.monte_carlo_error
    assert found.at_zero > 0.95
    assert abs(found.mean_difference) < 0.01
    assert found.coverage > 0.83


@pytest.mark.slow
def test_false_alarms_are_rare_and_intervals_cover():
    """Forty healthy cohorts of 4 v 12: none alarms, and the interval holds the mean difference as often as it says."""
    found = [compute(study(4, 12, seed=seed, draws=20)) for seed in range(40)]
    assert {judge(result).status for result in found} == {Status.PASS}
    shifts = [result.arms["balanced"].shift for result in found]
    mean = np.mean([s.difference for s in shifts])
    assert np.mean([low <= mean <= high for low, high in (s.interval() for s in shifts)]) > 0.75
    assert np.mean([s.se for s in shifts]) < 0.012


def test_a_group_of_identical_copies_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=9, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[:, 9:] = counts[:, 9:10]  # six copies of one sample: no more than Poisson variance
    with pytest.raises(NotAssessable, match="no dispersion of its own: no gene's dispersion"):
        compute(open_study(cohort.with_counts(counts), "~ group", CONTRAST, settings=AuditSettings(draws=3)))


def test_one_draw_settles_nothing():
    result = compute(study(8, 9, draws=1, n_genes=200))
    verdict = judge(result)
    assert verdict.status is Status.NOT_ASSESSABLE
    assert "not settled by so few draws" in verdict.headline
    assert judge(with_shift(result, se=np.nan)).status is Status.NOT_ASSESSABLE


def test_an_error_rate_that_was_not_assessed_is_said_to_be_so(healthy):
    assert "error rate" not in judge(healthy).advice
    assert "error rate was not assessed" in judge(replace(healthy, sizes=None)).advice


def test_genes_that_no_draw_saw_do_not_spoil_the_slope(healthy):
    mean = healthy.arms["balanced"].mean_lfc.copy()
    mean[0] = np.nan
    assert replace(healthy.arms["balanced"], mean_lfc=mean).slope(healthy.full_lfc) == pytest.approx(
        healthy.slope, abs=0.01
    )
