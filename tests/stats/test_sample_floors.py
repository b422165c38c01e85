"""Medians over samples, and the two groups' floors."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats import sample_floors

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


def test_floors_of_samples_scale_with_depth():
    counts = RNG.poisson(np.exp(RNG.normal(4, 1.5, 800))[:, None] * np.array([1.0, 4.0])).astype(float)
    floors = sample_floors.sample_floors(counts, 3.0)
    assert floors.measurement[0] / floors.measurement[1] == pytest.approx(4, rel=0.1)
    assert np.isnan(floors.biological).all()  # one class of genes


def test_sample_without_different_counts_has_no_classes():
    assert sample_floors.classes(np.zeros(50), 3.0) is None
    assert sample_floors.classes(np.ones(50), 3.0) is None
