"""Distances, correlations and SERE by their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.sample_distances import correlations, distances, sere, to_groups

RNG = np.random.default_rng(4)
VALUES = RNG.normal(5, 2, (60, 7))
GROUP = np.array([0, 0, 0, 1, 1, 1, -1])


def test_distances_and_correlations():
    square = ((VALUES[:, :, None] - VALUES[:, None]) ** 2).mean(axis=0)
    np.testing.assert_allclose(distances(VALUES), np.sqrt(square), atol=1e-7)
    np.testing.assert_allclose(correlations(VALUES), np.corrcoef(VALUES.T))


def test_medians_to_groups_leave_the_sample_out():
    between = distances(VALUES)
    own, other = to_groups(between, GROUP)
    assert own[0] == pytest.approx(np.median(between[0, 1:3]))
    assert other[0] == pytest.approx(np.median(between[0, 3:6]))
    assert np.isnan([own[6], other[6]]).all()


def test_sere_is_one_for_counting_noise_and_zero_for_a_copy():
    mean, size = RNG.gamma(2, 50, (4000, 1)), np.array([0.5, 1.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    found = sere(RNG.poisson(mean * size).astype(float), size, GROUP)
    np.testing.assert_allclose(found[:6], 1.0, atol=0.03)
    assert np.isnan(found[6])
    np.testing.assert_allclose(sere(np.tile(mean, 4), np.ones(4), np.array([0, 0, 1, 1])), 0.0, atol=1e-12)
    noisy = RNG.negative_binomial(5, 5 / (5 + mean * size)).astype(float)
    assert (sere(noisy, size, GROUP)[:6] > 2).all()


def test_sere_of_two_samples_is_the_published_one():
    """Schulze et al. (2012): chi-squared terms of both over degrees of freedom, genes without counts out."""
    counts = np.array([[10.0, 14.0], [3.0, 0.0], [0.0, 0.0], [100.0, 80.0]])
    size = counts.sum(axis=0)
    expected = counts.sum(axis=1, keepdims=True) * size / size.sum()
    seen = counts.any(axis=1)
    published = np.sqrt(((counts - expected)[seen] ** 2 / expected[seen]).sum() / seen.sum())
    np.testing.assert_allclose(sere(counts, size, np.zeros(2, np.intp)), published)
