"""The exact expectation of log2(Y + prior) against brute-force sums over the distribution."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from dediag.stats.log_expectation import mean_log2


def summed(mean, dispersion, prior):
    """The definition: the sum over all counts that have any probability."""
    size = 1 / dispersion
    distribution = stats.nbinom(size, size / (size + mean))
    counts = np.arange(int(distribution.isf(1e-16)) + 10)
    return float((distribution.pmf(counts) * np.log2(counts + prior)).sum())


@pytest.mark.parametrize("mean", [1e-3, 0.1, 1.0, 5.0, 50.0, 1000.0])
@pytest.mark.parametrize("dispersion", [1e-3, 0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("prior", [0.05, 0.5, 2.0, 40.0])
def test_equals_the_sum_over_counts(mean, dispersion, prior):
    assert mean_log2(mean, dispersion, prior) == pytest.approx(summed(mean, dispersion, prior), abs=2e-9)


def test_poisson_is_the_limit():
    counts = np.arange(400)
    for mean in (0.3, 7.0, 150.0):
        expected = (stats.poisson(mean).pmf(counts) * np.log2(counts + 0.5)).sum()
        assert mean_log2(mean, 0.0, 0.5) == pytest.approx(expected, abs=2e-7)


def test_known_gaps_of_unequal_dispersions():
    gaps = [float(mean_log2(m, 0.4, 2.0) - mean_log2(m, 0.1, 2.0)) for m in (5, 20, 200)]
    assert np.round(gaps, 3) == pytest.approx([-0.097, -0.183, -0.228])


def test_a_constant_count_and_missing_values():
    assert mean_log2(0.0, 0.3, 2.0) == pytest.approx(1.0, abs=1e-9)
    value = mean_log2([1.0, np.nan], [[0.1], [np.nan]], 1.0)
    assert value.shape == (2, 2)
    assert np.isfinite(value).tolist() == [[True, False], [False, False]]


def test_mixed_scales_in_one_call():
    mean = np.array([[1e-2, 3.0, 2e5]])
    dispersion = np.array([[0.02], [3.0]])
    together = mean_log2(mean, dispersion, 0.5)
    apart = [[float(mean_log2(m, d, 0.5)) for m in mean[0]] for d in dispersion[:, 0]]
    np.testing.assert_allclose(together, apart, atol=1e-9)


def test_refuses_what_has_no_logarithm():
    with pytest.raises(ValueError, match="positive"):
        mean_log2(1.0, 0.1, 0.0)


def test_is_quick():
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(4, 2, 2000))[:, None] * np.exp(rng.normal(0, 0.4, 100))
    start = time.process_time()
    mean_log2(mean, 0.1 + 1 / mean, 2.0)
    assert time.process_time() - start < 2.0  # 0.1 s alone; the machine may be shared
