"""Effects behind estimates: their distribution is found, posteriors follow Bayes, draws are distributed as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from dediag.stats.effect_distribution import EffectDistribution


def known(kind, n=6_000, seed=1):
    rng = np.random.default_rng(seed)
    effect = np.where(rng.random(n) < 0.2, rng.normal(0.0, 1.0, n) if kind == "normal" else 1.5, 0.0)
    se = np.exp(rng.normal(np.log(0.3), 0.4, n))
    return effect, effect + rng.normal(0.0, se), se


@pytest.mark.parametrize("kind", ["normal", "one-sided"])
def test_draws_are_distributed_as_the_true_effects(kind):
    effect, estimate, se = known(kind)
    found = EffectDistribution.of(estimate, se)
    drawn = found.draw(found.posterior(estimate, se), np.random.default_rng(2))
    assert found.weight.sum() == pytest.approx(1.0)
    for reach in (0.5, 1.0, 2.0):
        assert (np.abs(drawn) > reach).mean() == pytest.approx((np.abs(effect) > reach).mean(), abs=0.012)
    assert drawn.mean() == pytest.approx(effect.mean(), abs=0.012)
    assert np.mean(drawn**2) == pytest.approx(np.mean(effect**2), rel=0.06)
    assert np.mean(drawn * effect) == pytest.approx(np.mean((found.posterior(estimate, se) @ found.grid) ** 2), rel=0.1)


def test_posterior_means_are_unbiased_given_the_estimate():
    """Among the largest estimates the posterior mean is right on average, and the estimate is not."""
    effect, estimate, se = known("normal")
    found = EffectDistribution.of(estimate, se)
    mean = found.posterior(estimate, se) @ found.grid
    chosen = estimate / se > 3.0
    assert mean[chosen].mean() == pytest.approx(effect[chosen].mean(), rel=0.04)
    assert estimate[chosen].mean() > 1.05 * effect[chosen].mean()


@given(
    arrays(np.float64, 8, elements=st.floats(-5.0, 5.0)), arrays(np.float64, 8, elements=st.floats(0.05, 2.0))
)  # fmt: skip
def test_posterior_is_bayes(estimate, se):
    found = EffectDistribution.of(estimate, se)
    density = norm.pdf(estimate[:, None], found.grid, se[:, None]) * found.weight
    seen = density.sum(axis=1) > 1e-200  # elsewhere the definition underflows
    expected = density[seen] / density[seen].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.posterior(estimate, se)[seen], expected, atol=1e-9)


@given(arrays(np.float64, 8, elements=st.floats(-5.0, 5.0)), arrays(np.float64, 8, elements=st.floats(0.05, 2.0)))
def test_exchanging_the_groups_mirrors_it(estimate, se):
    found, mirrored = EffectDistribution.of(estimate, se), EffectDistribution.of(-estimate, se)
    np.testing.assert_allclose(mirrored.weight, found.weight[::-1], atol=1e-9)


def test_a_gene_without_an_estimate_has_the_prior():
    _, estimate, se = known("normal", 500)
    found = EffectDistribution.of(estimate, se)
    np.testing.assert_allclose(found.posterior(np.array([np.nan]), np.array([0.3]))[0], found.weight)


def test_no_estimates_no_effects():
    found = EffectDistribution.of(np.empty(0), np.empty(0))
    posterior = found.posterior(np.full(3, np.nan), np.full(3, np.nan))
    np.testing.assert_array_equal(found.draw(posterior, np.random.default_rng(1)), np.zeros(3))
