"""Twice the median of dependent p-values is a p-value; the product of the same is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr
from scipy.stats import chi2

from dediag.stats.combination import twice_median


@given(arrays(np.float64, st.tuples(st.integers(1, 7), st.just(4)), elements=st.floats(0.0, 1.0)))
def test_definition(pvalues):
    np.testing.assert_array_equal(twice_median(pvalues), [min(1.0, 2.0 * np.median(one)) for one in pvalues.T])


def test_a_refit_without_p_counts_as_one():
    pvalues = np.array([[0.01, np.nan, np.nan], [0.02, 0.02, np.nan], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(twice_median(pvalues), [0.04, 1.0, np.nan])


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9, 1.0])
def test_holds_its_size_whatever_the_draws_share(common):
    rng = np.random.default_rng(3)
    z = np.sqrt(common) * rng.normal(size=20_000) + np.sqrt(1.0 - common) * rng.normal(size=(25, 20_000))
    pvalues = 2.0 * ndtr(-np.abs(z))
    assert (twice_median(pvalues) < 0.05).mean() <= 0.05
    fisher = chi2.sf(-2.0 * np.log(pvalues).sum(axis=0), 50)
    assert ((fisher < 0.05).mean() > 0.1) == (common > 0.0)  # which is why it is not used
