"""Associations with two groups against their definitions, p-values under permutation, and what designs can tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, pearsonr

from dediag.stats import association

TEST = np.arange(14) < 5


@given(st.lists(st.integers(0, 3), min_size=14, max_size=14))
def test_cramers_v_is_that_of_the_table(levels):
    codes = np.unique(levels, return_inverse=True)[1]
    table = np.array(
        [np.bincount(codes[TEST], minlength=codes.max() + 1), np.bincount(codes[~TEST], minlength=codes.max() + 1)]
    )
    expected = 0.0 if codes.max() == 0 else np.sqrt(chi2_contingency(table, correction=False).statistic / 14)
    assert association.cramers_v(codes, TEST[None])[0] == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(-100.0, 100.0), min_size=14, max_size=14))
def test_correlation_is_pearsons(values):
    x = np.array(values)
    found = association.correlation(x, TEST[None])[0]
    assert found == pytest.approx(abs(pearsonr(x, TEST).statistic) if np.ptp(x) > 1e-6 else found, abs=1e-6)
    assert 0.0 <= found <= 1.0 + 1e-12


def test_permutations_keep_the_sizes_and_begin_with_what_was_observed():
    found = association.labels(TEST, 500, np.random.default_rng(1))
    np.testing.assert_array_equal(found[0], TEST)
    assert (found.sum(axis=1) == 5).all()
    assert np.unique(found, axis=0).shape[0] > 400


def test_p_values_of_unrelated_covariates_are_uniform():
    """Rejections at 1, 5 and 20 %: not more than stated, and nearly as many for measurements, which have no ties."""
    rng = np.random.default_rng(2)
    groups = association.labels(TEST, 999, rng)
    p = np.array([association.p_value(association.correlation(rng.normal(size=14), groups)) for _ in range(1_000)])
    levels = rng.integers(0, 3, (1_000, 14))
    q = np.array(
        [association.p_value(association.cramers_v(np.unique(x, return_inverse=True)[1], groups)) for x in levels]
    )
    for rate in (0.01, 0.05, 0.2):
        error = 3.0 * np.sqrt(rate * (1 - rate) / 1_000) + 0.004
        assert (p <= rate).mean() == pytest.approx(rate, abs=error)
        assert (q <= rate).mean() <= rate + error


def test_variance_inflation():
    group = TEST.astype(float)
    alone = np.c_[np.ones(14), group]
    contrast = np.array([0.0, 1.0])
    assert association.variance_inflation(alone, contrast, (5, 9)) == pytest.approx(1.0)
    batch = np.r_[1.0, 1.0, 1.0, 1.0, 0.0, 1.0, np.zeros(8)]
    wider, vector = np.c_[alone, batch], np.array([0.0, 1.0, 0.0])
    r2 = np.corrcoef(group, batch)[0, 1] ** 2
    assert association.variance_inflation(wider, vector, (5, 9)) == pytest.approx(1.0 / (1.0 - r2))
    assert association.variance_inflation(np.c_[alone, 2.0 * group], vector, (5, 9)) == np.inf
    spare = np.c_[alone, batch, 1.0 - batch]  # not of full rank, but the contrast can be estimated
    assert association.variance_inflation(spare, np.r_[vector, 0.0], (5, 9)) == pytest.approx(1.0 / (1.0 - r2))


def test_components_and_what_explains_them():
    rng = np.random.default_rng(3)
    factor = rng.normal(size=14)
    values = np.outer(rng.normal(size=200), factor) * 3.0 + rng.normal(size=(200, 14))
    scores, shares = association.principal_components(values, 3)
    centred = values - values.mean(axis=1, keepdims=True)
    _, size, right = np.linalg.svd(centred)
    np.testing.assert_allclose(np.abs(scores), np.abs(right[:3].T * size[:3]), atol=1e-9)
    assert (scores[np.abs(scores).argmax(axis=0), range(3)] > 0.0).all()
    np.testing.assert_allclose(shares, (size**2 / (size**2).sum())[:3])
    explained = association.variance_explained(scores, factor[:, None])
    assert explained[0] == pytest.approx(np.corrcoef(scores[:, 0], factor)[0, 1] ** 2)
    assert explained[0] > 0.95 > explained[1]
    design = np.c_[np.ones(14), factor]
    np.testing.assert_allclose(design.T @ association.residuals(values.T, design), 0.0, atol=1e-9)
