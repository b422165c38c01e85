"""What a study should show: the mean of the simulated ones, moved to where this study's prediction lies."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.control_variate import FEWEST_DF, expect


def test_definition():
    found = expect(np.array([0.5, 0.6, 0.7, np.nan]), np.array([0.4, 0.4, 0.6, 0.4]), 0.3)
    assert found is not None
    assert found.value == pytest.approx(0.3 + 0.4 / 3)
    assert found.df == FEWEST_DF
    variance = np.var([0.1, 0.2, 0.1], ddof=1)
    assert found.sd == pytest.approx(np.sqrt(variance * (1 + 1 / 3)))
    for level in (0.9, 0.99):
        for end in found.interval(level):
            assert found.p_value(end) == pytest.approx(1.0 - level)


def test_too_little_is_no_expectation():
    two = np.array([0.5, 0.6, np.nan])
    assert expect(two, two, 0.5) is None
    assert expect(np.array([0.5, 0.6, 0.7]), np.zeros(3), float("nan")) is None
    assert expect(np.full(5, 0.5), np.full(5, 0.5), 0.5) is None  # no spread, no interval


@pytest.mark.parametrize(("noise", "own_noise"), [(0.0, 0.0), (0.03**2, 0.01**2), (0.07**2, 0.02**2)])
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_the_interval_holds_new_studies(noise, own_noise, level):
    """Studies differ, their predictions know part of it, and simulated ones are measured with more noise."""
    rng = np.random.default_rng(1)
    n, studies = 12, 4_000
    inside = 0
    for _ in range(studies):
        known, unknown = rng.normal(0.5, 0.1, n + 1), rng.normal(0.0, 0.05, n + 1)
        value = known + unknown
        seen = value[1:] + rng.normal(0.0, np.sqrt(noise), n)
        found = expect(seen, known[1:], known[0], noise=noise, own_noise=own_noise)
        assert found is not None
        low, high = found.interval(level)
        inside += low <= value[0] + rng.normal(0.0, np.sqrt(own_noise)) <= high
    assert inside / studies == pytest.approx(level, abs=0.02)
