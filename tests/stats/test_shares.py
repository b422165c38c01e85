"""The distribution of a share: calibrated, and its interval and p-value never disagree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats.shares import ShareNull


def calls_up(rng, calls, share, alike):
    """Beta-binomial numbers of calls that are up: `alike` is the correlation between the calls of a study."""
    chance = share
    if alike:
        both = (1 - alike) / alike
        chance = rng.beta(share * both, (1 - share) * both, np.shape(calls))
    return rng.binomial(calls, chance)


@pytest.mark.parametrize("alike", [0.0, 0.02, 0.1])
@pytest.mark.parametrize(
    ("n", "simulated", "studies"), [(30, 30, 100), (300, 300, 20), (80, 300, 100), (300, 80, 20), (300, 20, 100)]
)
def test_size_is_at_most_the_nominal_one(n, simulated, studies, alike):
    """Also where the simulated studies have many more or many fewer calls; 1,000 studies give an error of .003."""
    rng = np.random.default_rng(1)
    p, width = [], []
    for _ in range(1000):
        calls = np.maximum(rng.poisson(simulated, studies), 1)
        null = ShareNull.of(calls_up(rng, calls, 0.6, alike).astype(float), calls.astype(float), n)
        p.append(null.p_value(int(calls_up(rng, np.array(n), 0.6, alike))))
        width.append(np.ptp(null.interval(0.99)))
    assert np.mean(np.array(p) < 0.01) <= 0.01 + 0.008
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 0.018
    if simulated >= n:  # otherwise the distribution is wider than need be
        assert np.mean(np.array(p) < 0.2) > 0.08
        assert np.mean(width) < 1.5 * 2 * 2.576 * np.sqrt(0.24 * (1 / n + alike)) + 1 / n


studies_of = st.lists(st.tuples(st.integers(1, 200), st.floats(0, 1)), min_size=2, max_size=30)


@given(studies=studies_of, n=st.integers(1, 300), share=st.floats(0, 1), level=st.sampled_from([0.5, 0.95, 0.99]))
def test_interval_and_p_value_agree(studies, n, share, level):
    calls = np.array([c for c, _ in studies], float)
    some = np.array([round(c * s) for c, s in studies], float)
    null, observed = ShareNull.of(some, calls, n), round(share * n)
    low, high = null.interval(level)
    p = null.p_value(observed)
    assert 0.0 <= low <= high <= 1.0
    if abs(p - (1 - level)) > 1e-9:  # at the very end rounding decides
        assert (low <= observed / n <= high) == (p >= 1 - level)


@given(studies=studies_of, n=st.integers(1, 300), share=st.floats(0, 1))
def test_one_minus_the_share_gives_one_minus_the_interval_and_the_same_p(studies, n, share):
    calls = np.array([c for c, _ in studies], float)
    some = np.array([round(c * s) for c, s in studies], float)
    one, other = ShareNull.of(some, calls, n), ShareNull.of(calls - some, calls, n)
    low, high = one.interval(0.95)
    assert other.interval(0.95) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    observed = round(share * n)
    assert other.p_value(n - observed) == pytest.approx(one.p_value(observed), rel=1e-6, abs=1e-12)


def test_follows_the_spread_between_studies_where_calls_are_not_independent():
    rng = np.random.default_rng(2)
    shares, calls = rng.beta(4, 4, 100), np.full(100, 500.0)
    null = ShareNull.of(shares * calls, calls, 500)
    low, high = null.interval(0.95)
    assert high - low > 0.5
    assert low < shares.mean() < high
    assert null.p_value(425) > 0.01  # a binomial test would say 1e-60
