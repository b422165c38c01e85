"""Bins of expression: every gene in one, numbers those of its genes alone."""

import numpy as np
import pytest

from dediag.stats.error_by_expression import Bins, columns, median
from dediag.stats.error_model import ErrorModel, Estimate
from dediag.stats.error_rate import variance_ratio

EDGES = (1.0, 10.0, 100.0, np.inf)
MEAN = np.array([0.5, 1.0, 9.9, 10.0, 50.0, 20.0])
MODEL = ErrorModel(MEAN, MEAN, np.full(6, 0.2), 5, 20, np.array([-4.0, 4.0]), np.zeros(2))
RATIO = Estimate(2.0, 1.5, 2.5)
UNKNOWN = Estimate(np.nan, np.nan, np.nan)


def test_edges_belong_to_the_bin_above_and_what_is_below_the_first_to_none() -> None:
    inside = Bins.of(MEAN, EDGES).inside
    assert inside.sum(axis=1).tolist() == [2, 3, 0]
    assert inside.sum(axis=0).tolist() == [0, 1, 1, 1, 1, 1]


def test_numbers_are_those_of_the_bin_alone() -> None:
    tested = np.array([True, True, False, True, True, True])
    phi = np.array([9.0, 1.0, 3.0, 0.1, 0.3, np.nan])
    low, middle, high = Bins.of(MEAN, EDGES).described(MODEL, tested, (phi, 2 * phi), (RATIO, RATIO, UNKNOWN), 0.0)
    assert (low.n_genes, middle.n_genes, high.n_genes) == (1, 3, 0)
    assert (low.dispersion_test, low.dispersion_reference) == (2.0, 4.0)
    assert middle.dispersion_test == pytest.approx(0.2)
    own = MODEL.take(np.array([False, False, False, True, True, True]))
    assert middle.size == own.mean_size(RATIO, 0.0)
    assert not high.size.known
    given = (own.mean_test, own.mean_reference, phi[3:], 2 * phi[3:], own.n_test, own.n_reference)
    assert middle.variance_ratio == pytest.approx(median(variance_ratio(*given)))
    assert middle.shift_over_se == 0.0
    assert np.isnan(high.variance_ratio)
    moved = Bins.of(MEAN, EDGES).described(MODEL, tested, (phi, 2 * phi), (RATIO, RATIO, UNKNOWN), 0.1)[1]
    pooled = (4 * phi[3:] + 19 * 2 * phi[3:]) / 23
    reported = np.sqrt((1 / MEAN[3:] + pooled) * (1 / 5 + 1 / 20))
    assert moved.shift_over_se == pytest.approx(median(0.1 * np.log(2) / reported))
    table = columns((low, middle, high))
    assert table["n_genes"] == [1, 3, 0]
    assert table["log2_ratio"] == [2.0, 2.0, None]
    assert table["predicted_size"][2] is None


def test_sizes_at_other_ratios() -> None:
    found = Bins.of(MEAN, EDGES).sizes_at(MODEL, np.ones(6, np.bool_), np.array([-2.0, 0.0, 2.0]))
    assert found.shape == (3, 3)
    assert (np.diff(found[:, :2], axis=0) > 0).all()  # the smaller group the more dispersed: the more liberal
    assert found[1, :2] == pytest.approx([0.05, 0.05], abs=0.002)
    assert np.isnan(found[:, 2]).all()


def test_median_of_what_is_known() -> None:
    assert median(np.array([1.0, np.nan, 3.0, np.inf])) == 2.0
    assert np.isnan(median(np.array([np.nan])))
