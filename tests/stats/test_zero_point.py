"""Mode, difference of groups and balancing shift, each by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind

from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.error_model import Estimate
from dediag.stats.zero_point import LEVEL, balancing_shift, group_difference, mode, nearest


def test_the_mode_is_where_most_values_lie_whatever_the_tails():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.1, 0.1, 4000), rng.normal(2.0, 0.5, 1500)])
    assert mode(values) == pytest.approx(0.1, abs=0.03)
    assert mode(-values) == pytest.approx(-mode(values), abs=0.01)
    assert np.isnan(mode(values[:5]))
    assert mode(np.zeros(50)) == 0.0


def test_the_difference_of_groups_has_welchs_interval():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.3, 1, 5), rng.normal(0, 2, 12)
    found = group_difference(a, b)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    np.testing.assert_allclose((found.low, found.high), (expected.low, expected.high), rtol=1e-9)
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert not group_difference(a[:1], b).known
    assert group_difference(np.ones(3), np.zeros(4)) == (1.0, 1.0, 1.0)


def test_nearest_end():
    assert nearest(Estimate(0.2, 0.1, 0.3)) == 0.1
    assert nearest(Estimate(-0.2, -0.3, -0.1)) == -0.1
    assert nearest(Estimate(0.2, -0.1, 0.3)) == 0.0


def lean(lfc, se, alpha):
    called = benjamini_hochberg(2 * norm.sf(np.abs(lfc) / se)) < alpha
    return (called & (lfc > 0)).sum() - (called & (lfc < 0)).sum()


@given(st.floats(-0.4, 0.4), st.integers(0, 50))
def test_balances_a_list_that_was_moved(moved, seed):
    rng = np.random.default_rng(seed)
    lfc, se = np.r_[rng.normal(0, 0.2, 300), rng.normal(0, 1.5, 100)] + moved, np.full(400, 0.2)
    shift = balancing_shift(lfc, se, 0.1)
    assert shift is not None
    side = np.sign(lean(lfc, se, 0.1))
    assert side == 0 or np.sign(shift) == -side
    # the lean jumps by the calls that come and go together: it changes sign within a thousandth of the shift
    before, after = (lean(lfc + shift * factor, se, 0.1) for factor in (0.999, 1.001))
    assert side == 0 or min(before, after) <= 0 <= max(before, after)
    other = balancing_shift(-lfc, se, 0.1)
    assert other == pytest.approx(-shift, abs=1e-6)


@pytest.mark.parametrize("moved", [1.2, 1.5, 1.9])
def test_finds_large_shifts_too(moved):
    rng = np.random.default_rng(3)
    lfc, se = np.r_[rng.normal(0, 0.2, 900), rng.normal(0, 1.5, 300)], np.full(1200, 0.2)
    assert balancing_shift(lfc + moved, se, 0.1) == pytest.approx(balancing_shift(lfc, se, 0.1) - moved, abs=0.05)


def test_no_calls_and_no_balance():
    assert balancing_shift(np.zeros(0), np.zeros(0), 0.1) is None
    assert balancing_shift(np.array([0.1, -0.1]), np.ones(2), 0.1) is None  # nothing is called
    assert balancing_shift(np.full(20, 9.0), np.ones(20), 0.1) is None  # it would take more than 2 log2
