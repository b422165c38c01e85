"""Jaccard indices are those of sets, their variance is split rightly, and z-values predict what draws show."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr

from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.overlap import DrawVariance, jaccard_between, mean_defined, pairwise_jaccard, predicted

LISTS = st.integers(1, 6).flatmap(lambda n: arrays(np.bool_, (n, 9)))


@given(LISTS, LISTS)
def test_jaccard_is_that_of_sets(first, second):
    found = jaccard_between(first, second)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            a, b = set(np.flatnonzero(one)), set(np.flatnonzero(other))
            if a | b:
                assert found[i, j] == pytest.approx(len(a & b) / len(a | b), abs=1e-12)
            else:
                assert np.isnan(found[i, j])


@given(LISTS)
def test_pairs_come_in_order(lists):
    whole = jaccard_between(lists, lists)
    np.testing.assert_array_equal(pairwise_jaccard(lists), [whole[i, j] for i, j in combinations(range(len(lists)), 2)])


def test_mean_of_what_is_defined():
    assert mean_defined(np.array([0.2, np.nan, 0.4])) == pytest.approx(0.3)
    assert np.isnan(mean_defined(np.array([np.nan])))
    assert np.isnan(mean_defined(np.empty(0)))


@pytest.mark.parametrize("n", [4, 7])
def test_the_variance_of_a_mean_over_pairs(n):
    """Of additive data with known parts, the variance of the mean is what DrawVariance says."""
    rng = np.random.default_rng(1)
    own, pair = 0.05, 0.02
    first, second = np.triu_indices(n, 1)
    part = rng.normal(0.0, own, (20_000, n))
    indices = 0.5 + part[:, first] + part[:, second] + rng.normal(0.0, pair, (20_000, first.size))
    found = DrawVariance.of(indices)
    assert found.own == pytest.approx(own**2, rel=0.03)
    assert found.pair == pytest.approx(pair**2, rel=0.03)
    assert found.of_mean(n) == pytest.approx(indices.mean(axis=1).var(), rel=0.04)


def test_three_lists_tell_no_variance():
    found = DrawVariance.of(np.random.default_rng(1).random((5, 3)))
    assert (found.own, found.pair) == (0.0, 0.0)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_z_values_predict_the_overlap_of_draws(share):
    """Draws made as the prediction assumes, called by Benjamini and Hochberg, overlap as predicted."""
    rng = np.random.default_rng(2)
    z = np.where(rng.random(4_000) < 0.1, rng.normal(0.0, 5.0, 4_000), 0.0) + rng.normal(size=4_000)
    drawn = z * np.sqrt(share) + rng.normal(0.0, np.sqrt(1.0 - share), (30, 4_000))
    called = np.array([benjamini_hochberg(2.0 * ndtr(-np.abs(one))) < 0.1 for one in drawn])
    lists = np.concatenate([called & (drawn > 0.0), called & (drawn < 0.0)], axis=1)
    overlap, length = predicted(np.append(z, np.nan), share, 0.1)
    assert overlap == pytest.approx(pairwise_jaccard(lists).mean(), abs=0.02)
    assert length == pytest.approx(lists.sum(axis=1).mean(), rel=0.03)


def test_without_large_z_values_nothing_is_predicted():
    overlap, length = predicted(np.zeros(100), 0.5, 0.1)
    assert length == pytest.approx(0.0, abs=0.1)
    assert np.isnan(overlap) or overlap < 0.01
