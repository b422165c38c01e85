"""The prediction interval of a share covers as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.shares import prediction_interval


@pytest.mark.parametrize(("share", "n"), [(0.5, 30), (0.3, 200), (0.9, 100)])
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_covers_one_more_binomial_study(share, n, level):
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(1000):
        calls = np.full(30, float(n))
        low, high = prediction_interval(rng.binomial(n, share, 30) / n, calls, n, level)
        inside.append(low <= rng.binomial(n, share) / n <= high)
    assert level - 0.025 <= np.mean(inside) <= min(1.0, level + 0.06)


def test_follows_the_spread_between_studies_where_calls_are_not_independent():
    rng = np.random.default_rng(2)
    shares, calls = rng.beta(4, 4, 100), np.full(100, 500.0)
    low, high = prediction_interval(shares, calls, 500, 0.95)
    assert high - low > 0.5
    assert 0.0 <= low < shares.mean() < high <= 1.0


def test_one_minus_the_share_gives_one_minus_the_interval():
    shares, calls = np.array([0.2, 0.3, 0.5, 0.1]), np.array([20.0, 30.0, 25.0, 22.0])
    low, high = prediction_interval(shares, calls, 21, 0.95)
    other = prediction_interval(1 - shares, calls, 21, 0.95)
    assert (1 - high, 1 - low) == pytest.approx(other)
