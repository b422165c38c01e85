"""Shrunken fold changes against DESeq2 (normal prior) and by properties; priors and s-values by their definitions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.model.fit import fit
from dediag.model.shrinkage import cauchy_scale, contrast_coordinate, normal_variance, s_values, shrink

if TYPE_CHECKING:
    from dediag.model.nbfit import NBFit

NORMAL = {"small_5v5": "~ group", "factors_8v8": "~ batch + rin + group", "separated_6v6": "~ group"}


@cache
def fitted(cohorts, name: str, test: str = "case", **options: object) -> NBFit:
    other = "control" if test == "case" else "case"
    return fit(cohorts(name).cohort, NORMAL[name], ("group", test, other), **options)


def above_floor(found: NBFit) -> np.ndarray:
    """Genes whose estimates the reference's floor of 0.5 under fitted means does not touch."""
    return np.nan_to_num(found.mu().min(axis=1)) >= 0.5


@pytest.mark.parametrize("name", NORMAL)
def test_normal_prior_equals_deseq2(cohorts, shrinkage_folder, name):
    found = fitted(cohorts, name)
    shrunken = shrink(found, "normal")
    expected = pd.read_csv(shrinkage_folder / f"{name}.tsv.gz", sep="\t", index_col=0).reindex(found.cohort.genes)
    np.testing.assert_array_equal(np.isnan(shrunken.lfc), expected["log2FoldChange"].isna())
    lfc = np.abs(shrunken.lfc - expected["log2FoldChange"].to_numpy())
    se = np.abs(shrunken.lfc_se / expected["lfcSE"].to_numpy() - 1)
    assert np.nanmedian(lfc) < 1e-6
    assert np.nanmedian(se) < 1e-6
    good = above_floor(found)
    assert np.nanmax(lfc[good]) < 1e-3
    assert np.nanmax(se[good]) < 1e-3
    variances = pd.read_csv(shrinkage_folder / "prior_variance.tsv", sep="\t").query("cohort == @name")
    variance = variances.loc[variances.coefficient == "groupcase", "prior_variance"].item()
    assert shrunken.prior_scale**2 == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize("kind", ["apeglm", "normal"])
@pytest.mark.parametrize("name", ["small_5v5", "factors_8v8"])
def test_shrinks_toward_zero(cohorts, name, kind):
    found = fitted(cohorts, name)
    shrunken = shrink(found, kind)
    good = above_floor(found)
    assert np.isfinite(shrunken.lfc[good]).all()
    smaller = np.abs(shrunken.lfc[good]) <= np.abs(found.lfc[good]) + 1e-3
    # With normal priors on the covariates too, what they give up can fall to the contrast.
    assert smaller.all() if kind == "apeglm" or name == "small_5v5" else smaller.mean() > 0.9
    assert np.median(np.abs(shrunken.lfc[good])) < 0.9 * np.median(np.abs(found.lfc[good]))
    clear = good & (np.abs(found.lfc) > 0.1)
    agree = np.sign(shrunken.lfc[clear]) == np.sign(found.lfc[clear])
    assert agree.all() if kind == "apeglm" else agree.mean() > 0.98  # all coefficients shrink under the normal prior
    empty = ~np.isfinite(found.dispersion)
    assert empty.any() == (found.cohort.counts.max(axis=1) == 0).any()
    for values in (shrunken.lfc, shrunken.lfc_se, shrunken.svalue, shrunken.false_sign_rate):
        np.testing.assert_array_equal(np.isnan(values), empty)
    known = ~empty
    assert np.all((shrunken.svalue[known] >= 0) & (shrunken.svalue[known] <= 0.5))
    order = np.argsort(shrunken.false_sign_rate[known])
    assert np.all(np.diff(shrunken.svalue[known][order]) >= 0)


def test_heavy_tails_keep_large_effects(cohorts):
    """A clear effect stays nearly as it is under the Cauchy prior, and less so under the normal one."""
    found = fitted(cohorts, "small_5v5")
    clear = above_floor(found) & (np.abs(found.lfc) > 1.5) & (np.abs(found.lfc / found.lfc_se) > 6)
    assert clear.sum() > 5
    apeglm, normal = (shrink(found, kind).lfc[clear] / found.lfc[clear] for kind in ("apeglm", "normal"))
    assert np.median(apeglm) > 0.93
    assert np.median(normal) < np.median(apeglm)


@pytest.mark.parametrize("kind", ["apeglm", "normal"])
def test_swapping_the_contrast_flips_the_sign(cohorts, kind):
    found, swapped = fitted(cohorts, "small_5v5"), fitted(cohorts, "small_5v5", "control")
    one, other = shrink(found, kind), shrink(swapped, kind)
    good = above_floor(found)
    np.testing.assert_allclose(other.lfc[good], -one.lfc[good], atol=5e-3)
    np.testing.assert_allclose(other.svalue[good], one.svalue[good], atol=5e-3)
    assert other.prior_scale == pytest.approx(one.prior_scale, rel=1e-4)


def test_signs_are_as_certain_as_they_claim(cohorts, truth):
    """Among the genes with the smallest s-values, the share of wrong signs is about what the s-value says."""
    found = fitted(cohorts, "small_5v5")
    shrunken = shrink(found)
    true = truth("small_5v5")["lfc_case"].to_numpy()
    called = (shrunken.svalue < 0.05) & (true != 0)
    assert called.sum() > 50
    assert (np.sign(shrunken.lfc[called]) != np.sign(true[called])).mean() < 0.05


def test_unknown_kind(cohorts):
    with pytest.raises(ValueError, match="apeglm or normal"):
        shrink(fitted(cohorts, "small_5v5"), "ashr")


def test_scale_with_equal_errors_is_the_excess_variance():
    rng = np.random.default_rng(0)
    lfc = rng.normal(0, 0.5, 4000)
    lfc[::50] = np.nan
    expected = np.sqrt(np.nanmean(lfc**2) - 0.2**2)
    assert cauchy_scale(lfc, np.full(4000, 0.2)) == pytest.approx(expected, rel=1e-9)


def test_scale_solves_its_equation():
    rng = np.random.default_rng(1)
    se = rng.uniform(0.05, 1, 5000)
    lfc = rng.normal(0, np.sqrt(0.3**2 + se**2))
    variance = cauchy_scale(lfc, se) ** 2
    weight = 1 / (variance + se**2) ** 2
    assert np.sum((lfc**2 - se**2 - variance) * weight) == pytest.approx(0, abs=1e-6)
    assert np.sqrt(variance) == pytest.approx(0.3, rel=0.1)


def test_scale_without_effects_or_genes():
    assert cauchy_scale(np.full(10, 0.01), np.ones(10)) == pytest.approx(1e-3)
    assert cauchy_scale(np.full(10, np.nan), np.ones(10)) == pytest.approx(1e-3)
    assert cauchy_scale(np.full(10, 1000.0), np.ones(10)) == pytest.approx(20.0)


def test_normal_variance():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.7, 40000)
    assert normal_variance(values, np.ones(40000)) == pytest.approx(0.49, rel=0.03)
    with_infinite = np.r_[values, np.full(9000, 25.0), np.full(100, np.nan)]
    np.testing.assert_allclose(normal_variance(with_infinite, np.ones(49100)), normal_variance(values, np.ones(40000)))
    silent = np.r_[values, rng.normal(0, 5, 40000)]
    weight = np.r_[np.ones(40000), np.full(40000, 1e-9)]
    assert normal_variance(silent, weight) == pytest.approx(0.49, rel=0.05)
    assert normal_variance(np.full(3, np.inf), np.ones(3)) == 1e6


@given(st.lists(st.one_of(st.floats(0, 0.5), st.just(0.25), st.just(float("nan"))), max_size=30))
def test_s_values_are_mean_rates(values):
    rate = np.array(values)
    found = s_values(rate)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rate))
    for r, s in zip(rate, found, strict=True):
        if not np.isnan(r):
            np.testing.assert_allclose(s, rate[rate <= r].mean(), rtol=1e-12, atol=1e-300)


@given(st.integers(0, 1000))
def test_contrast_coordinate_changes_nothing_but_names(seed):
    rng = np.random.default_rng(seed)
    cells, b, contrast = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), np.array([[0, 1, -1.0], [0, 0, 1]])[seed % 2]
    moved, values, place = contrast_coordinate(cells, b, contrast)
    np.testing.assert_allclose(values @ moved.T, b @ cells.T, atol=1e-12)
    np.testing.assert_allclose(values[:, place], b @ contrast, atol=1e-12)
