"""Mixture and zFPKM on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.mixture import TwoNormals, log_histogram, two_normals
from dediag.stats.zfpkm import half_normal, kernel_density


def sample(rng, silent=0.4, n=12_000, depth=1.0):
    """Counts of silent (about 4) and expressed (about 500) genes."""
    quiet = rng.random(n) < silent
    log2_mean = np.where(quiet, rng.normal(2, 0.8, n), rng.normal(9, 1.8, n))
    return rng.poisson(depth * 2.0**log2_mean).astype(float)


def test_recovers_two_classes():
    fit = two_normals(log_histogram(sample(np.random.default_rng(1))))
    assert fit.clear
    assert fit.weight[0] == pytest.approx(0.4, abs=0.03)
    assert fit.mean == pytest.approx([2, 9], abs=0.25)
    assert fit.sd[1] == pytest.approx(1.8, abs=0.15)
    spread = np.hypot(0.8, 1 / (np.log(2) * np.sqrt(2.0**2)))  # of the log means, and of Poisson counts about them
    assert fit.silent_edge == pytest.approx(2 + 1.645 * spread, abs=0.15)


@pytest.mark.parametrize("sd", [1.0, 2.0, 2.8])
def test_one_class_is_not_split(sd):
    rng = np.random.default_rng(5)
    clear = [
        two_normals(log_histogram(rng.poisson(2 ** rng.normal(6, sd, 3000)).astype(float))).clear for _ in range(20)
    ]
    assert not any(clear)


def test_histogram_keeps_every_gene_and_smooths_the_comb():
    histogram = log_histogram(np.array([0.0, 1, 1, 2, 7]))
    assert histogram.n == 4
    assert histogram.share.sum() == pytest.approx(1)
    width = np.log2(1.5) - np.log2(0.5)
    assert histogram.share[0] == pytest.approx(0.5 * 0.1 / width)
    with pytest.raises(ValueError, match="no counts"):
        log_histogram(np.zeros(3))


def test_density_and_separation():
    fit = TwoNormals(np.array([0.5, 0.5]), np.array([0.0, 4.0]), np.array([1.0, 1.0]), 100)
    low, high = fit.density(np.array([2.0]))
    assert low[0] == pytest.approx(high[0])
    assert low[0] == pytest.approx(0.5 * np.exp(-2) / np.sqrt(2 * np.pi))
    assert fit.separation == pytest.approx(4)
    assert fit.valley < 0.3
    assert fit.clear


def test_zfpkm_of_half_a_normal():
    rng = np.random.default_rng(2)
    values = np.r_[rng.normal(5, 2, 20_000), rng.normal(-6, 1, 6_000)]
    fit = half_normal(values)
    assert fit.centre == pytest.approx(5, abs=0.4)
    assert fit.sd == pytest.approx(2, abs=0.3)
    assert fit.floor == pytest.approx(fit.centre - 3 * fit.sd)
    assert fit.z(np.array([fit.centre]))[0] == 0
    assert half_normal(np.r_[values, -np.inf]) == fit


def test_zfpkm_needs_values():
    with pytest.raises(ValueError, match="too few"):
        half_normal(np.full(50, 3.0))


def test_kernel_density_is_a_density():
    grid, density = kernel_density(np.random.default_rng(3).normal(size=5000))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    assert density.max() == pytest.approx(0.399, abs=0.03)


def filled_one_by_one(counts, scale, edges):
    """Genes below each edge, each gene's interval by itself."""
    seen = counts > 0
    low, high = (np.log2(scale[seen] * (counts[seen] + half)) for half in (-0.5, 0.5))
    return np.array([np.clip((edge - low) / (high - low), 0, 1).sum() for edge in edges])


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_histogram_is_that_of_each_gene_by_itself(spread):
    rng = np.random.default_rng(3)
    counts = rng.poisson(2 ** rng.normal(5, 4, 800)).astype(float)
    scale = 2 ** rng.normal(1, spread, 800)
    histogram = log_histogram(counts, scale)
    edges = np.r_[histogram.centre - 0.05, histogram.centre[-1] + 0.05]
    expected = np.diff(filled_one_by_one(counts, scale, edges))
    np.testing.assert_allclose(histogram.share, expected / expected.sum(), atol=1e-5)
    assert histogram.n == (counts > 0).sum()


def test_a_common_scale_moves_the_histogram():
    counts = np.random.default_rng(4).poisson(20, 500).astype(float)
    one, other = log_histogram(counts), log_histogram(counts, 8.0)
    np.testing.assert_allclose(other.centre, one.centre + 3)
    np.testing.assert_allclose(other.share, one.share, atol=1e-9)
