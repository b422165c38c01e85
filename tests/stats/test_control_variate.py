"""What a study should show: the mean of the simulated ones, moved to where this study's prediction lies."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.control_variate import FEWEST, UNSURE, expect


def test_definition():
    differences = [0.1, 0.2, 0.1, 0.3, 0.0, 0.2]
    predicted = np.array([0.4, 0.4, 0.6, 0.4, 0.2, 0.3])
    found = expect(np.append(predicted + differences, np.nan), np.append(predicted, 0.4), 0.3)
    assert found is not None
    assert found.value == pytest.approx(0.3 + np.mean(differences))
    assert found.df == pytest.approx(5)
    unsure = UNSURE * (0.3 - predicted.mean())
    assert found.sd == pytest.approx(np.sqrt(np.var(differences, ddof=1) * (1 + 1 / 6) + unsure**2))
    for level in (0.9, 0.99):
        for end in found.interval(level):
            assert found.p_value(end) == pytest.approx(1.0 - level)


def test_too_little_is_no_expectation():
    few = np.append(np.linspace(0.5, 0.6, FEWEST - 1), np.nan)
    assert expect(few, np.zeros(FEWEST), 0.5) is None
    assert expect(np.linspace(0.5, 0.7, 9), np.zeros(9), float("nan")) is None
    assert expect(np.full(9, 0.5), np.full(9, 0.5), 0.5) is None  # no spread, no interval


@pytest.mark.parametrize("n", [6, 10, 20])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
def test_the_interval_holds_new_studies(n, share):
    """Studies differ, predictions know part of it; `share` of the spread of simulated values is noise of few draws.

    Misses of 90 % and 99 % intervals: without noise no more than stated, with noise up to a third more. Predictions of
    twice the spread that they leave, as here, cost width (UNSURE), but no more than half of the misses.
    """
    rng = np.random.default_rng(1)
    studies, noise = 4_000, 0.05**2 * share / (1.0 - share)
    missed = {0.9: 0, 0.99: 0}
    for _ in range(studies):
        known, unknown = rng.normal(0.5, 0.1, n + 1), rng.normal(0.0, 0.05, n + 1)
        value = known + unknown
        seen = value[1:] + rng.normal(0.0, np.sqrt(noise), n)
        found = expect(seen, known[1:], known[0], noise=noise, own_noise=0.05 * noise)
        assert found is not None
        observed = value[0] + rng.normal(0.0, np.sqrt(0.05 * noise))
        for level in missed:
            low, high = found.interval(level)
            missed[level] += not low <= observed <= high
    for level, count in missed.items():
        rate, error = count / studies, np.sqrt((1.0 - level) * level / studies)
        assert rate <= (1.0 - level) * (4 / 3 if share else 1.0) + 3.0 * error
        assert share or rate >= 0.5 * (1.0 - level) - 3.0 * error
