"""Degrees of freedom of sums of variances, against the Welch test and the definition of the prior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import polygamma

from dediag.stats.satterthwaite import prior_df, satterthwaite_df


def test_is_that_of_the_welch_test():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 2, 6), rng.normal(0, 1, 11)
    parts = [x.var(ddof=1) / 6, y.var(ddof=1) / 11]
    assert float(satterthwaite_df(parts, [5, 10])) == pytest.approx(stats.ttest_ind(x, y, equal_var=False).df)


def test_one_part_keeps_its_own_and_equal_parts_add_up():
    assert satterthwaite_df([3.0, 0.0], [7, 2]) == pytest.approx(7)
    assert satterthwaite_df([1.0, 1.0], [7, 7]) == pytest.approx(14)


def test_works_on_arrays_and_leaves_nothing_as_nan():
    found = satterthwaite_df([np.array([1.0, 0.0, np.nan]), np.array([1.0, 0.0, 1.0])], [4, np.array([4.0, 4.0, 4.0])])
    assert found[0] == pytest.approx(8)
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize("variance", [0.05, 0.25, 2.0])
def test_prior_df_inverts_trigamma(variance):
    assert float(polygamma(1, prior_df(variance) / 2)) == pytest.approx(variance)
