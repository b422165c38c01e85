"""The profile likelihood of a fold change against its definition: the maximum over the midpoint, by search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import nbinom

from dediag.stats.two_means import TwoMeans

GRID = np.linspace(-3.0, 3.0, 13)


def one(y1, y2, s1=5.0, s2=20.0, d1=0.04, d2=0.01):
    return TwoMeans(*(np.array([float(value)]) for value in (y1, y2, s1, s2, d1, d2)))


@pytest.mark.parametrize(("y1", "y2"), [(12, 40), (0, 40), (12, 0), (3000, 9000), (1, 1)])
def test_is_the_largest_likelihood_over_the_midpoint(y1, y2):
    def best(lfc):
        t = 2.0 ** (lfc / 2.0)

        def loss(log_m):
            m = np.exp(log_m)
            parts = ((y1, 5.0 * m * t, 0.04), (y2, 20.0 * m / t, 0.01))
            return -sum(nbinom.logpmf(y, 1 / d, 1 / (1 + d * mean)) for y, mean, d in parts)

        return -minimize_scalar(loss, bounds=(-15.0, 12.0), method="bounded", options={"xatol": 1e-9}).fun

    expected = np.array([best(lfc) for lfc in GRID])
    np.testing.assert_allclose(np.log(one(y1, y2).likelihood(GRID)[0]), expected - expected.max(), atol=1e-5)


@given(st.integers(0, 500), st.integers(1, 500), st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_exchanging_the_groups_turns_the_fold_change_round(y1, y2, d1, d2):
    there, back = one(y1, y2, 5.0, 20.0, d1, d2), one(y2, y1, 20.0, 5.0, d2, d1)
    np.testing.assert_allclose(there.likelihood(GRID), back.likelihood(-GRID), rtol=1e-6, atol=1e-12)


def test_peaks_at_the_ratio_of_means_and_is_taken_by_gene():
    both = TwoMeans(*(np.array(v, float) for v in ([40, 10], [40, 40], [5, 5], [20, 20], [0.04] * 2, [0.01] * 2)))
    fine = np.linspace(-4, 4, 801)
    np.testing.assert_allclose(fine[both.likelihood(fine).argmax(axis=1)], [2.0, 0.0], atol=0.011)
    assert both.take(np.array([False, True])).likelihood(fine).argmax() == 400
