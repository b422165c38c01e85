"""What draws are expected to call: the plan takes the study's draws, the intervals hold what studies show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.resample.expected_draws import PER_COHORT, Expected, ExpectedArms, expected, plan
from dediag.resample.plans import Subsets
from dediag.settings import AuditSettings
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
MADE = {"balanced": 30, "control": 30}


def study(n_test, n_reference, seed, n_genes=600, draws=30):
    cohort, _ = simulate(
        n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, effect_share=0.15, effect_sd=1.2
    )  # fmt: skip
    return open_study(cohort, "~ group", CONTRAST, seed=seed, settings=AuditSettings(draws=draws))


@pytest.fixture(scope="module")
def found():
    opened = study(6, 18, 1)
    return opened.ensemble(plan(opened.draw_arms, 8, 1, by_group=True))


def test_arms_alternate_within_a_cohort_and_take_the_studys_own_draws():
    arms = {"balanced": Subsets(((0, 1), (0, 2), (1, 2))), "control": Subsets(((0, 1, 2), (1, 2, 3)))}
    wanted = plan(arms, 6, 3, by_group=False)
    assert wanted.per_cohort == 2 * PER_COHORT
    assert len(wanted.rows) == 6 * wanted.per_cohort
    assert wanted.rows[:4] == ((0, 1), (0, 2), (0, 1, 2), (1, 2, 3))
    assert wanted.rows[4:6] == ((1, 2), (0, 1))  # the next ones, from the beginning again where there are too few
    assert (wanted.effects, wanted.residuals, wanted.dispersion) == ("fitted", "permuted", "shared")


def test_too_few_cohorts_expect_nothing():
    arms = {"balanced": Subsets(((0, 1),))}
    assert plan(arms, 4, 1, by_group=True) is None
    assert plan({}, 20, 1, by_group=True) is None
    nothing = ExpectedArms()
    assert np.isnan(nothing.of("balanced").calls.value)
    assert nothing.of("control").summary()["expected_calls"] is None


def test_expectations_are_means_over_the_simulated_draws(found):
    told = expected(found, MADE, 0.9)
    up = found.n_up.reshape(8, 2, 2)
    calls = up + found.n_down.reshape(8, 2, 2)
    for k, name in enumerate(MADE):
        arm = told.of(name)
        assert arm.calls.value == pytest.approx(calls[:, k].mean())
        assert arm.up_fraction.value == pytest.approx(up[:, k].sum() / calls[:, k].sum())
        assert arm.up_fraction.low < arm.up_fraction.value < arm.up_fraction.high
    gap = told.of("balanced").up_fraction.value - told.of("control").up_fraction.value
    assert told.up_fraction_gap.value == pytest.approx(gap)
    assert told.calls_ratio.value == pytest.approx(calls[:, 0].sum() / calls[:, 1].sum())


def test_cohorts_with_a_refit_that_failed_are_left_out(found):
    tested = np.array(found.n_tested)
    tested[5] = 0  # the second draw of the second cohort
    told = expected(replace(found, n_tested=tested), MADE, 0.9)
    calls = np.delete((found.n_up + found.n_down).reshape(8, 2, 2), 1, axis=0)
    assert told.of("balanced").calls.value == pytest.approx(calls[:, 0].mean())


def test_few_calls_have_no_share(found):
    none = np.zeros_like(found.called_up)
    told = expected(replace(found, called_up=none, called_down=none), MADE, 0.9)
    assert np.isnan(told.of("control").up_fraction.value)
    assert np.isnan(told.up_fraction_gap.value)
    assert told.of("control").calls.value == 0.0
    assert isinstance(told.of("control"), Expected)


@pytest.mark.slow
@pytest.mark.parametrize(("n_test", "n_reference"), [(6, 18), (20, 8)])
def test_the_intervals_of_shares_cover_healthy_studies(n_test, n_reference):
    """Forty healthy cohorts: the 90 % intervals hold the arms' shares and their gap, and are narrow enough to tell."""
    inside, width = {"balanced": [], "control": [], "gap": []}, []
    for seed in range(40):
        opened = study(n_test, n_reference, seed)
        told = expected(opened.ensemble(plan(opened.draw_arms, 20, seed, by_group=True)), MADE, 0.9)
        shares = {}
        for name, draws in opened.draw_arms.items():
            real = opened.ensemble(draws)
            shares[name] = real.n_up.sum() / (real.n_up + real.n_down).sum()
            share = told.of(name).up_fraction
            inside[name].append(share.low <= shares[name] <= share.high)
            width.append(share.high - share.low)
        gap = told.up_fraction_gap
        inside["gap"].append(gap.low <= shares["balanced"] - shares["control"] <= gap.high)
    assert min(np.mean(each) for each in inside.values()) > 0.77  # 90 % less 2.7 standard errors
    assert np.median(width) < 0.12
