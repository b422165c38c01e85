"""Tallies add up to the statistics of the counts themselves, in every set of bins and samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dediag.stats.quantile_residuals import zero_probability
from dediag.stats.residual_shape import CELLS, NOISE, Calibrated, Tally, distance

N_BINS = 4


def drawn(seed, n_genes=60, n_samples=9):
    rng = np.random.default_rng(seed)
    residual = rng.normal(0.3, 1.4, (n_genes, n_samples))
    zero, probability = rng.random((n_genes, n_samples)) < 0.2, rng.random((n_genes, n_samples))
    bins = rng.integers(-1, N_BINS - 1, n_genes)  # -1: left out; the last bin stays empty
    groups = np.arange(n_samples) % 3
    tally = Tally.of(residual, zero, probability, bins=bins, n_bins=N_BINS, groups=groups, limit=2.5)
    return tally, residual, zero, probability, bins


@given(st.integers(0, 10_000), st.sets(st.integers(0, 2), min_size=1), st.sets(st.integers(0, 8), min_size=1))
def test_every_set_has_the_statistics_of_its_counts(seed, some_bins, some_samples):
    tally, residual, zero, probability, bins = drawn(seed)
    chosen, samples = np.array(sorted(some_bins)), np.array(sorted(some_samples))
    place = np.ix_(np.isin(bins, chosen), samples)
    shape = tally.shape(chosen, samples)
    if not residual[place].size:
        assert shape.n == 0
        return
    assert shape.n == residual[place].size
    direct = (residual[place].mean(), residual[place].std(), (np.abs(residual[place]) > 2.5).mean())
    assert shape[1:4] == pytest.approx(direct)
    assert shape[4:] == pytest.approx((zero[place].mean(), probability[place].mean()))
    assert shape.rms == pytest.approx(np.sqrt((residual[place] ** 2).mean()))
    assert shape.excess_zeros == pytest.approx(zero[place].mean() - probability[place].mean())


def test_cumulative_shares_are_those_of_the_probabilities():
    tally, residual, *_, bins = drawn(1)
    probability = stats.norm.cdf(residual[bins >= 0])
    for k in (1, 20, 77, CELLS):
        assert tally.cumulative()[k - 1] == pytest.approx((probability < k / CELLS).mean())
    assert tally.cumulative(np.array([0]))[-1] == pytest.approx(1.0)


def test_a_gene_without_a_residual_is_left_out_and_outliers_are_named():
    residual = np.array([[0.0, 5.0], [np.nan, 0.1], [0.2, -0.3]])
    no = np.zeros((3, 2), np.bool_)
    groups = np.array([0, 1])
    tally = Tally.of(residual, no, no * 1.0, bins=np.zeros(3, np.intp), n_bins=1, groups=groups, limit=4.0)
    assert tally.outlying.tolist() == [True, False, False]
    assert tally.shape().n == 4
    assert tally.shape().outliers == 0.25


def test_an_empty_set_has_no_shape_and_few_expected_zeros_no_ratio():
    tally, *_ = drawn(2)
    assert np.isnan(tally.shape(np.array([N_BINS - 1]))[1:]).all()
    assert np.isnan(tally.shape(np.array([N_BINS - 1])).zero_ratio)
    shape = tally.shape()
    assert shape.zero_ratio == pytest.approx(shape.zeros / shape.zero_probability)
    assert np.isnan(shape._replace(n=9.0 / shape.zero_probability).zero_ratio)


def test_what_is_beyond_chance():
    simulated = [1.0, 2.0, 3.0, np.nan]
    value = Calibrated.of(5.5, simulated)
    assert value.expected == 2.0
    assert value.sd == 1.0
    assert value.excess == 3.5
    assert value.sure == 3.5 - NOISE
    assert Calibrated.of(-5.0, simulated).sure == NOISE - 7.0
    assert Calibrated.of(3.5, simulated).sure == 0.0
    assert value.relative == value.sure / 2.0
    assert (value.low, value.high) == (2.0 - NOISE, 2.0 + NOISE)
    assert np.isnan(Calibrated.of(1.0, [np.nan, 2.0]).expected)


def test_distance_is_from_the_mean_of_the_others():
    rng = np.random.default_rng(3)
    cumulative = np.sort(rng.random((4, CELLS)), axis=1)
    value = distance(cumulative[0], cumulative[1:])
    assert value.observed == pytest.approx(np.abs(cumulative[0] - cumulative[1:].mean(axis=0)).max())
    each = [np.abs(cumulative[k] - cumulative[[i for i in (1, 2, 3) if i != k]].mean(axis=0)).max() for k in (1, 2, 3)]
    assert value.expected == pytest.approx(np.mean(each))


@pytest.mark.parametrize(("mean", "dispersion"), [(0.5, 0.3), (20.0, 2.0), (300.0, 0.4), (3.0, 1e-8), (0.0, 0.5)])
def test_probability_of_a_zero(mean, dispersion):
    assert zero_probability(mean, dispersion) == pytest.approx(
        stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).pmf(0), rel=1e-6
    )
