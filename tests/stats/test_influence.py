"""Influence against what refitting with a changed weight does."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.influence import contrast_influence


def fitted(counts, X, phi, weights, steps=60):
    """Weighted NB GLM of one gene by reweighted least squares: the definition."""
    beta = np.array([np.log(counts.mean()), *np.zeros(X.shape[1] - 1)])
    for _ in range(steps):
        mu = np.exp(X @ beta)
        w = weights * mu / (1 + phi * mu)
        beta = np.linalg.solve((X.T * w) @ X, (X.T * w) @ (X @ beta + (counts - mu) / mu))
    return beta


@pytest.mark.parametrize("covariate", [False, True])
def test_it_is_the_derivative_by_a_samples_weight(covariate):
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(9), np.arange(9) < 4, rng.normal(size=9)])[:, : 3 if covariate else 2].astype(float)
    contrast = np.eye(X.shape[1])[1]
    phi = np.array([0.3, 0.05])
    counts = rng.negative_binomial(1 / phi[:, None], 1 / (1 + phi[:, None] * 80), (2, 9)).astype(float)
    mu = np.array([np.exp(X @ fitted(counts[g], X, phi[g], np.ones(9))) for g in range(2)])
    found = contrast_influence(counts, mu, phi, X, contrast)
    for g in range(2):
        for i in range(9):
            step = 1e-5 * np.eye(9)[i]
            up, down = (fitted(counts[g], X, phi[g], 1 + sign * step)[1] for sign in (1, -1))
            assert found[g, i] == pytest.approx((up - down) / 2e-5 / np.log(2), abs=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-8)


def test_the_other_groups_samples_do_not_move_a_group_in_a_saturated_design():
    counts = np.array([[3.0, 9.0, 6.0, 20.0, 40.0]])
    mu = np.array([[6.0, 6.0, 6.0, 30.0, 30.0]])
    X = np.column_stack([np.ones(5), [0, 0, 0, 1, 1]])
    baseline = contrast_influence(counts, mu, np.array([0.1]), X, np.array([1.0, 0.0]))
    np.testing.assert_allclose(baseline[0, 3:], 0.0, atol=1e-12)
    np.testing.assert_allclose(baseline[0, :3], (counts[0, :3] / 6 - 1) / 3 / np.log(2), atol=1e-12)
