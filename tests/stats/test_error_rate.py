"""Error rates under unequal dispersions, against the exact limits and against simulation of normal tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import norm

from dediag.stats.error_rate import (
    log_variance,
    mean_log_bias,
    mean_log_variance,
    pooled_dispersion,
    predicted_size,
    variance_ratio,
)


def test_equal_dispersions_give_the_nominal_size():
    assert predicted_size(50.0, 50.0, 0.2, 0.2, 5, 20) == pytest.approx(0.05)
    assert predicted_size(50.0, 50.0, 0.2, 0.2, 5, 20, level=0.01) == pytest.approx(0.01)


def test_liberal_when_the_smaller_group_is_the_more_dispersed():
    """Known sizes without size factors: .186 at 5 v 20 with dispersions .4 and .1, .012 the other way round."""
    mean = 1e3
    assert predicted_size(mean, mean, 0.4, 0.1, 5, 20) == pytest.approx(0.186, abs=0.005)
    assert predicted_size(mean, mean, 0.1, 0.4, 5, 20) == pytest.approx(0.005, abs=0.008)
    assert predicted_size(mean, mean, 0.4, 0.1, 12, 12) == pytest.approx(0.05, abs=1e-9)


def test_exchanging_the_groups_exchanges_nothing_else():
    one = predicted_size(5.0, 8.0, 0.4, 0.1, 5, 20, shift_log2=0.1)
    assert one == pytest.approx(float(predicted_size(8.0, 5.0, 0.1, 0.4, 20, 5, shift_log2=-0.1)))


def test_a_shift_matters_more_with_more_samples():
    sizes = [float(predicted_size(100.0, 100.0, 0.2, 0.2, n, n, shift_log2=0.12)) for n in (3, 12, 50, 200)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.06
    assert sizes[-1] > 0.4


def test_formula_is_the_size_of_a_normal_test_with_the_wrong_variance():
    rng = np.random.default_rng(2)
    mean, phi_test, phi_reference, n_test, n_reference, shift = 20.0, 0.5, 0.1, 4, 12, 0.2
    v = log_variance(mean, phi_test) / n_test + log_variance(mean, phi_reference) / n_reference
    pooled = pooled_dispersion(phi_test, phi_reference, n_test, n_reference)
    reported = log_variance(mean, pooled) * (1 / n_test + 1 / n_reference)
    z = (rng.normal(shift * math.log(2), math.sqrt(v), 200_000)) / math.sqrt(reported)
    expected = np.mean(np.abs(z) > norm.isf(0.025))
    size = predicted_size(mean, mean, phi_test, phi_reference, n_test, n_reference, shift_log2=shift)
    assert size == pytest.approx(expected, abs=0.004)
    ratio = variance_ratio(mean, mean, phi_test, phi_reference, n_test, n_reference)
    assert ratio == pytest.approx(v / reported)


@pytest.mark.parametrize(("phi", "n"), [(0.1, 3), (0.3, 3), (0.3, 10)])
def test_bias_of_the_log_of_a_mean_is_near_the_exact_one_of_gamma_variables(phi, n):
    exact = (digamma(n / phi) - math.log(n / phi)) / math.log(2)
    assert mean_log_bias(np.inf, phi, n) == pytest.approx(exact, rel=phi / n)
    assert mean_log_bias(np.inf, phi, n) < 0


def test_equal_depths_give_the_plain_variance_and_shallow_samples_a_larger_one():
    mean, phi = np.array([5.0, 500.0]), np.array([0.2, 0.2])
    np.testing.assert_allclose(mean_log_variance(mean, phi, np.ones((1, 6))), log_variance(mean, phi))
    uneven = mean_log_variance(mean, phi, np.array([[0.1, 1.9]]))
    assert uneven[0] > 1.2 * log_variance(5.0, 0.2)
    assert uneven[1] == pytest.approx(float(log_variance(500.0, 0.2)), rel=0.05)


def test_arrays_in_arrays_out():
    sizes = predicted_size(np.full(3, 10.0), np.full(3, 10.0), np.array([0.1, 0.2, 0.4]), 0.1, 5, 20)
    assert sizes.shape == (3,)
    assert np.all(np.diff(sizes) > 0)
