"""Limits: the power there is what was asked for, the interpolation is close, and what more samples and swaps do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dediag.stats.detection import Comparison, Genes, first_order_limit, power_up
from dediag.stats.detection_limits import LARGEST, limits, solve
from dediag.stats.error_rate import pooled_dispersion

LEVEL = 0.005
SIZES = ((5, 20), (10, 10), (20, 5), (3, 3), (6, 40), (71, 29))


def typical(n, seed, ratio_sd=0.0, depth=1.0, n_test=5, n_reference=20):
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(5.0, 1.8, n)) + 0.1
    phi = (0.08 + 2.0 / mean) * np.exp(rng.normal(0.0, 0.5, n))
    ratio = np.exp2(rng.normal(0.0, ratio_sd, n))
    reference = phi / pooled_dispersion(ratio, 1.0, n_test, n_reference)
    return Genes(mean * depth**0.5, mean / depth**0.5, ratio * reference, reference, phi)


@pytest.mark.parametrize(("n_test", "n_reference"), SIZES)
@pytest.mark.parametrize(("ratio_sd", "depth"), [(0.0, 1.0), (1.0, 3.0)])
def test_power_at_the_interpolated_limit_is_what_was_asked_for(n_test, n_reference, ratio_sd, depth):
    genes = typical(2_000, 1, ratio_sd, depth, n_test, n_reference)
    comparison = Comparison(n_test, n_reference, LEVEL, 0.8)
    up, down = limits(genes, comparison)
    for g, c, limit in ((genes, comparison, up), (genes.exchanged(), comparison.exchanged(), down)):
        found = np.isfinite(limit)
        assert found.mean() > 0.98
        error = np.abs(power_up(g.take(found), c, limit[found], 64) - 0.8)
        assert np.quantile(error, 0.99) < 0.02
        assert error.max() < 0.1  # single genes at the edge of the grid


def test_first_order_is_the_limit_of_many_reads_and_small_changes():
    genes = Genes(*(np.array([x]) for x in (1e5, 1e5, 0.05, 0.05, 0.05)))
    comparison = Comparison(60, 60, LEVEL, 0.8)
    exact, simple = limits(genes, comparison)[0][0], first_order_limit(genes, comparison, 3.0)[0]
    assert exact == pytest.approx(simple, rel=0.02)


def test_first_order_is_off_at_few_reads():
    """The reason for all this: at its limit for 5 v 20 and mean 2 the power down is far from .8."""
    genes = Genes(*(np.array([x]) for x in (2.0, 2.0, 0.5, 0.5, 0.5)))
    comparison = Comparison(5, 20, LEVEL, 0.8)
    down = first_order_limit(genes.exchanged(), comparison.exchanged(), LARGEST)
    assert abs(power_up(genes.exchanged(), comparison.exchanged(), down)[0] - 0.8) > 0.1


def test_exchanging_the_groups_exchanges_up_and_down():
    genes = typical(300, 2, 1.0, 2.0)
    comparison = Comparison(5, 20, LEVEL, 0.8)
    up, down = limits(genes, comparison)
    again = limits(genes.exchanged(), comparison.exchanged())
    assert np.array_equal(again[0], down)
    assert np.array_equal(again[1], up)


@given(st.integers(2, 30), st.integers(0, 10_000))
@settings(max_examples=15)
def test_equal_groups_have_one_limit(n, seed):
    up, down = limits(typical(50, seed), Comparison(n, n, LEVEL, 0.8))
    assert np.array_equal(up, down)


@given(
    st.floats(1.0, 2_000), st.floats(0.01, 1.0), st.floats(0.5, 2.0), st.integers(3, 20), st.integers(3, 20),
    st.sampled_from([0.05, 0.003]),
)  # fmt: skip
@settings(max_examples=60)
def test_more_samples_more_reads_and_less_power_asked_never_raise_the_limit(mean, phi, depth, n, m, level):
    """A sample more in the larger group alone may raise one direction's limit, by 3 % at a mean of 1: skewness."""
    genes = Genes(*(np.array([x]) for x in (mean * depth, mean / depth, phi, phi, phi)))
    now = solve(genes, Comparison(n, m, level, 0.8))[0]
    close = 1.0 + 0.004  # what the tolerance of the search, .004 of the power, makes of a limit
    assert solve(genes, Comparison(n + 1, m + 1, level, 0.8))[0] <= now * close
    assert solve(genes, Comparison(n, m, level, 0.7))[0] <= now
    assert solve(genes, Comparison(n, m, level / 2, 0.8))[0] >= now / close


def test_a_gene_without_reads_to_speak_of_has_none():
    genes = Genes(np.array([0.01, 100.0]), np.array([0.01, 100.0]), *(np.full(2, 0.1),) * 3)
    up, down = limits(genes, Comparison(3, 3, LEVEL, 0.8))
    assert np.isinf([up[0], down[0]]).all()
    assert np.isfinite([up[1], down[1]]).all()


def test_no_genes_no_limits():
    none = Genes(*(np.empty(0),) * 5)
    assert [x.size for x in limits(none, Comparison(3, 3, LEVEL, 0.8))] == [0, 0]
