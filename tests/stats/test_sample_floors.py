"""Medians over samples, the turning point of a trend, and the two groups' floors."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats import sample_floors
from dediag.stats.moderated_t import MeanVariance

RNG = np.random.default_rng(1)


def test_median_needs_half_of_the_samples():
    values = np.array([1.0, 2, 3, np.nan, np.nan, np.nan, np.nan])
    assert sample_floors.median(values, RNG).value is None
    found = sample_floors.median(values[:5], RNG)
    assert found.value == 2
    assert 1 <= found.low <= found.value <= found.high <= 3


def test_two_samples_have_no_interval():
    found = sample_floors.median(np.array([1.0, 3.0]), RNG)
    assert (found.value, found.low, found.high) == (2, None, None)


def trend(values):
    mean = np.linspace(0, 10, len(values))
    return MeanVariance(mean, np.asarray(values, float), np.asarray(values, float))


def test_turning_point_is_a_peak_with_a_fall_on_its_left():
    assert sample_floors.turning_point(trend([0.5, 0.8, 1.0, 0.7, 0.4])) == pytest.approx(5.0)
    assert sample_floors.turning_point(trend([1.0, 0.9, 0.8, 0.6, 0.4])) is None
    assert sample_floors.turning_point(trend([0.99, 1.0, 0.8, 0.6, 0.4])) is None  # a fall of one hundredth is no turn


def test_floors_of_samples_scale_with_depth():
    counts = RNG.poisson(np.exp(RNG.normal(4, 1.5, 800))[:, None] * np.array([1.0, 4.0])).astype(float)
    floors = sample_floors.sample_floors(counts, 3.0)
    assert floors.measurement[0] / floors.measurement[1] == pytest.approx(4, rel=0.1)
    assert np.isnan(floors.biological).all()  # one class of genes


def test_sample_without_different_counts_has_no_classes():
    assert sample_floors.classes(np.zeros(50), 3.0) is None
    assert sample_floors.classes(np.ones(50), 3.0) is None
