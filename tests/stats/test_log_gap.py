"""The expected gap between mean logs and log means against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.log_gap import TwoGroups, ceiling


@pytest.mark.parametrize(("n1", "n2"), [(4, 4), (3, 25)])
def test_expected_gap_is_the_average_gap(n1, n2):
    """At the true means the estimate of the ratio still has its bias of the log, which the gap contains."""
    rng = np.random.default_rng(6)
    n_genes, n = 6000, n1 + n2
    size = np.broadcast_to(np.exp(rng.normal(0, 0.4, n)), (n_genes, n))
    first = np.arange(n) < n1
    mean = np.where(first, 150.0, 60.0) * size
    dispersion = np.where(first, 0.3, 0.1) * np.ones((n_genes, 1))
    model = TwoGroups(mean, dispersion, size, first, ~first, 2.0)
    ratio = np.full(n_genes, np.log2(150 / 60))
    gap = model.simulated_gap(rng, ratio)
    error = gap.std() / np.sqrt(n_genes)
    assert gap.mean() == pytest.approx(model.expected_gap(ratio)[0], abs=4 * error + 0.006)  # the bias is first order
    assert abs(gap.mean() - (model.expected_difference() - ratio)[0]) > 4 * error or n1 == n2


def test_known_gap_of_unequal_dispersions():
    size = np.ones((1, 2))
    first = np.array([True, False])
    model = TwoGroups(np.full((1, 2), 20.0), np.array([[0.4, 0.1]]), size, first, ~first, 2.0)
    assert model.expected_difference()[0] == pytest.approx(-0.183, abs=5e-4)


def test_gap_of_a_group_without_counts_is_missing():
    first = np.array([True, False])
    model = TwoGroups(np.array([[1e-9, 50.0]]), np.full((1, 2), 0.1), np.ones((1, 2)), first, ~first, 2.0)
    assert np.isnan(model.simulated_gap(np.random.default_rng(1), np.zeros(1)))[0]


def test_ceiling_is_a_quantile_among_genes_alike():
    rng = np.random.default_rng(2)
    level = rng.permutation(np.repeat([1.0, 100.0], 500))
    draws = rng.normal(0, np.where(level == 1, 2.0, 0.1), (40, 1000))
    limit = ceiling(level, draws, 0.95, 2)
    assert limit[level == 1] == pytest.approx(1.96 * 2, rel=0.05)
    assert limit[level == 100] == pytest.approx(0.196, rel=0.05)
