"""Quantile residuals are standard normal under the model, and the gamma noise made of them has the model's variance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dediag.stats.quantile_residuals import EDGE, gamma_factor, quantile_residuals

MODELS = ((0.5, 0.3), (3.0, 0.2), (20.0, 0.05), (300.0, 0.4), (1e5, 0.01), (1e5, 1e-8), (5.0, 3.0))


@pytest.mark.parametrize(("mean", "dispersion"), MODELS)
def test_standard_normal_under_the_model(mean, dispersion):
    rng = np.random.default_rng(1)
    counts = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).rvs(20_000, random_state=rng).astype(float)
    residual = quantile_residuals(counts, mean, dispersion, rng.random(counts.shape))
    assert stats.kstest(residual, "norm").pvalue > 1e-3


def test_lies_between_the_neighbouring_probabilities():
    counts = np.arange(8.0)
    residual = quantile_residuals(counts, 2.5, 0.4, np.random.default_rng(2).random(counts.shape))
    model = stats.nbinom(1 / 0.4, 1 / (1 + 0.4 * 2.5))
    assert np.all(stats.norm.cdf(residual) <= model.cdf(counts) + 1e-12)
    assert np.all(stats.norm.cdf(residual) >= model.cdf(counts - 1) - 1e-12)


def test_extreme_counts_stay_finite_and_no_mean_is_nan():
    residual = quantile_residuals(np.array([1e6, 0.0, 3.0]), np.array([1.0, 1e6, 0.0]), 0.01, 0.5)
    assert residual[:2] == pytest.approx([stats.norm.isf(EDGE), stats.norm.ppf(EDGE)])
    assert np.isnan(residual[2])


@pytest.mark.parametrize("shape", [0.5, 5.0, 1e4])
def test_gamma_factor_has_mean_one_and_variance_of_its_shape(shape):
    factor = gamma_factor(stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000), shape)
    assert factor.mean() == pytest.approx(1, rel=1e-3)
    assert factor.var() * shape == pytest.approx(1, rel=1e-2)
