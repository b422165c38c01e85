"""What weights do to a test, against weighted least squares on simulated data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats.weighted_error import dispersion_factor, equal_weights, se_factor, size

SAMPLES = st.integers(2, 200)


@given(SAMPLES, SAMPLES)
def test_both_groups_count_alike(n_test, n_reference):
    for mean_one in (True, False):
        test, reference = equal_weights(n_test, n_reference, mean_one=mean_one)
        assert n_test * test == pytest.approx(n_reference * reference)
        if mean_one:
            assert (n_test * test + n_reference * reference) / (n_test + n_reference) == pytest.approx(1.0)
        else:
            assert max(test, reference) == 1.0


@pytest.mark.parametrize(
    ("n", "mean_one", "factor", "rate"),
    [
        ((5, 20), True, 0.80, 0.12),
        ((3, 30), True, 0.58, 0.26),
        ((5, 20), False, 1.26, 0.013),
        ((10, 10), True, 1.0, 0.05),
    ],
)
def test_known_factors(n, mean_one, factor, rate):
    found = se_factor((100.0, 100.0), 0.2, n, equal_weights(*n, mean_one=mean_one))
    assert float(found) == pytest.approx(factor, abs=0.006)
    assert float(size(found)) == pytest.approx(rate, abs=0.005)


@given(SAMPLES, SAMPLES, st.floats(1.0, 1e4), st.floats(0.0, 2.0))
def test_mean_one_shrinks_and_weighting_down_inflates(n_test, n_reference, mean, phi):
    pair = (n_test, n_reference)
    at = {m: float(se_factor((mean, mean), phi, pair, equal_weights(*pair, mean_one=m))) for m in (True, False)}
    assert at[True] <= 1.0 + 1e-9 <= at[False] + 2e-9


def groups(n_test, n_reference):
    return np.column_stack([np.ones(n_test + n_reference), np.arange(n_test + n_reference) < n_test])


@pytest.mark.parametrize("mean_one", [True, False])
def test_dispersion_factor_of_two_groups(mean_one):
    n1, n2 = 5, 20
    w1, w2 = equal_weights(n1, n2, mean_one=mean_one)
    weights = np.repeat([w1, w2], [n1, n2])
    expected = (w1 * (n1 - 1) + w2 * (n2 - 1)) / (n1 * w1 + n2 * w2 - 2)
    assert dispersion_factor(weights, groups(n1, n2)) == pytest.approx(expected)


def test_dispersion_factor_is_what_weighted_least_squares_finds():
    rng = np.random.default_rng(1)
    X = np.column_stack([groups(4, 12), rng.normal(size=16)])
    weights = np.repeat(equal_weights(4, 12, mean_one=True), [4, 12])
    root = np.sqrt(weights)[:, None]
    y = rng.normal(size=(16, 20_000))
    residual = y - X @ np.linalg.lstsq(root * X, root * y, rcond=None)[0]
    found = (weights @ residual**2) / (weights.sum() - 3)
    assert dispersion_factor(weights, X) == pytest.approx(found.mean(), rel=0.01)


def test_weights_of_one_change_nothing_and_too_small_ones_leave_no_degree_of_freedom():
    X = groups(3, 5)
    assert dispersion_factor(np.ones(8), X) == pytest.approx(1.0)
    assert np.isnan(dispersion_factor(np.full(8, 0.2), X))
