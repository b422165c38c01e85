"""The mean at which a count is rarely zero."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dediag.stats.seen_counts import seen_mean, seen_mean_under_trend


@pytest.mark.parametrize("phi", [1e-4, 0.05, 0.4, 2.0])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_zero_probability(phi, share):
    mean = float(seen_mean(phi, share))
    size = 1 / phi
    assert stats.nbinom(size, size / (size + mean)).sf(0) == pytest.approx(share, rel=1e-9)


def test_poisson_limit():
    assert seen_mean(0.0) == pytest.approx(-np.log(0.05))


def test_trend():
    def trend(mean):
        return 0.05 + 1.5 / mean

    mean = seen_mean_under_trend(trend)
    assert mean == pytest.approx(float(seen_mean(trend(mean))), rel=1e-6)
    assert seen_mean_under_trend(lambda mean: np.full(len(mean), 0.2)) == pytest.approx(float(seen_mean(0.2)), rel=1e-9)


def test_no_such_mean():
    assert np.isnan(seen_mean_under_trend(lambda mean: np.full(len(mean), 1e4)))
