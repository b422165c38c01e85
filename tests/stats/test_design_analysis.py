"""Exaggeration and wrong signs of calls, against cohorts of estimates whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.design_analysis import WinnersCurse
from dediag.stats.effect_distribution import EffectDistribution


def test_definition():
    grid = np.array([-1.0, 0.0, 1.0])
    posterior = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    found = WinnersCurse.of(np.array([2.0, -1.0]), grid, posterior)
    np.testing.assert_allclose(found.effect, [0.6, -0.5])
    np.testing.assert_allclose(found.wrong_sign, [0.1 + 0.1, 0.25])
    assert found.exaggeration == pytest.approx((1.0 + 1.0) / 1.1)  # an estimate of 2 is beyond the grid
    assert found.wrong_sign_rate == pytest.approx(0.225)


def test_an_estimate_beyond_the_grid_counts_as_its_end():
    grid = np.array([-1.0, 0.0, 1.0])
    found = WinnersCurse.of(np.array([30.0, 0.5]), grid, np.array([[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]))
    assert found.exaggeration == pytest.approx((1.0 + 0.5) / (1.0 + 0.5))


def test_without_calls_there_is_none():
    found = WinnersCurse.of(np.empty(0), np.zeros(1), np.empty((0, 1)))
    assert found.exaggeration is None
    assert found.wrong_sign_rate is None


@pytest.mark.parametrize("spread", [0.4, 1.0])
def test_both_rates_are_those_of_the_truth(spread):
    rng = np.random.default_rng(4)
    n = 20_000
    effect = np.where(rng.random(n) < 0.3, rng.normal(0.0, spread, n), 0.0)
    se = np.exp(rng.normal(np.log(0.3), 0.3, n))
    estimate = effect + rng.normal(0.0, se)
    called = np.abs(estimate) > 2.0 * se
    effects = EffectDistribution.of(estimate, se)
    found = WinnersCurse.of(estimate[called], effects.grid, effects.posterior(estimate, se)[called])
    sign = np.sign(estimate[called])
    assert found.exaggeration == pytest.approx(
        np.abs(estimate[called]).sum() / (sign * effect[called]).sum(), rel=0.05
    )  # fmt: skip
    wrong = np.where(effect[called] == 0.0, 0.5, np.sign(effect[called]) != sign)
    assert found.wrong_sign_rate == pytest.approx(wrong.mean(), abs=0.02)
