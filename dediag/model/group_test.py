"""The Wald test with each group's own dispersions: the fold changes of the fit, another standard error.

The estimates stay those of the fit; their variance is that of the working responses under group dispersions (a
sandwich), with the degrees of freedom of its parts: Satterthwaite (1946).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.coefficients import NATURAL_RIDGE, SMALLEST_MEAN
from dediag.model.contrasts import wald
from dediag.model.filtering import independent_filtering
from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.satterthwaite import prior_df, satterthwaite_df

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.dispersion import GroupDispersion
    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroupTest:
    """Tests of every gene (n_genes,); NaN where the fit has none."""

    lfc: Array  # log2, moved by the shift that was asked for
    lfc_se: Array  # log2
    df: Array  # degrees of freedom of the t-test
    pvalue: Array
    padj: Array


def group_test(
    fit: NBFit,
    test: GroupDispersion,
    reference: GroupDispersion,
    *,
    shift_log2: float = 0.0,
    averaged: bool = False,
    filtering: bool = True,
) -> GroupTest:
    """t-test of the contrast of a fit, dispersions per group (samples of other levels keep the fit's).

    shift_log2 is taken off every fold change first. averaged: both groups take the mean of their dispersions, weighted
    by degrees of freedom: the same test, did the groups not differ. P-values that Cook's distance voided stay void. A
    group's variance has n - 1 (residual) degrees of freedom plus those of its prior, gene-wise outliers have no prior.
    """
    X, mu = fit.design.matrix, np.maximum(fit.mu(), SMALLEST_MEAN)
    shared = np.nan_to_num(fit.dispersion, nan=1.0)
    weight = 1.0 / (1.0 / mu + shared[:, None])
    if fit.weights.shape[1]:
        weight = weight * fit.weights
    information = np.einsum("gj,ja,jb->gab", weight, X, X, optimize=True) + NATURAL_RIDGE * np.eye(X.shape[1])
    known = np.isfinite(information).all(axis=(1, 2))
    influence = np.full(mu.shape, np.nan)  # of a sample's working response on the contrast
    solved = np.linalg.solve(information[known], fit.contrast.vector[None, :, None])[:, :, 0]
    influence[known] = (solved @ X.T) * weight[known]
    parts, df = [], []
    other = np.ones(X.shape[0], np.bool_)
    groups = (test, reference)
    dispersions = [_known(group, fit.base_mean) for group in groups]
    if averaged:
        dispersions = [np.asarray(np.average(dispersions, axis=0, weights=[group.df for group in groups]))] * 2
    for group, own in zip(groups, dispersions, strict=True):
        mask = fit.group_mask(group.level)
        other &= ~mask
        parts.append((influence[:, mask] ** 2 * (1.0 / mu[:, mask] + own[:, None])).sum(axis=1))
        outlying = group.map == group.gene
        df.append(group.df + np.where(outlying, 0.0, prior_df(group.prior_variance)))
    if other.any():
        parts.append((influence[:, other] ** 2 * (1.0 / mu[:, other] + shared[:, None])).sum(axis=1))
        df.append(np.full(len(mu), float(X.shape[0] - X.shape[1]) + prior_df(fit.prior_variance)))
    total_df = satterthwaite_df(parts, df)
    se = np.sqrt(np.sum(parts, axis=0)) / math.log(2.0)
    lfc = fit.lfc - shift_log2
    _, pvalue = wald(lfc, se, fit.lfc_threshold, fit.alternative, total_df)  # type: ignore[arg-type]  # df per gene
    return _adjusted(fit, lfc, se, total_df, pvalue, filtering=filtering)


def _known(group: GroupDispersion, base_mean: Array) -> Array:
    """A group's dispersions (n_genes,); those of its trend where it has no counts."""
    return np.where(np.isfinite(group.map), group.map, group.curve(np.maximum(base_mean, SMALLEST_MEAN)))


def recentred_test(fit: NBFit, shift_log2: float, *, filtering: bool = True) -> GroupTest:
    """The fit's own Wald test with the shift taken off every fold change."""
    lfc = fit.lfc - shift_log2
    _, pvalue = wald(lfc, fit.lfc_se, fit.lfc_threshold, fit.alternative)
    return _adjusted(fit, lfc, fit.lfc_se, np.full(len(lfc), np.inf), pvalue, filtering=filtering)


@dataclass(frozen=True)
class Remedy:
    """Another analysis of the same counts, and what becomes of the calls of the fit."""

    name: str
    n_up: int
    n_down: int
    vanish: int
    to_caution: int  # of those that vanish: would do so too if the groups were equally dispersed, and not shifted
    appear: int

    @property
    def to_difference(self) -> int:
        """Calls that vanish because the groups differ."""
        return self.vanish - self.to_caution


def remedies(
    fit: NBFit, test: GroupDispersion, reference: GroupDispersion, shift_log2: float, called: NDArray[np.bool_]
) -> tuple[Remedy, Remedy, Remedy]:
    """Calls at the fit's alpha with group dispersions, with the shift taken off, and with both; called: (n_genes,).

    The test with group dispersions is the more cautious one even where they are equal: a t-test, on dispersions from
    fewer samples. What it loses with averaged dispersions is lost to that.
    """
    cautious = called & ~(group_test(fit, test, reference, averaged=True).padj < fit.alpha)

    def compare(name: str, other: GroupTest, anyway: NDArray[np.bool_]) -> Remedy:
        now = other.padj < fit.alpha
        n_up, gone = int((now & (other.lfc > 0)).sum()), called & ~now
        return Remedy(
            name, n_up, int(now.sum()) - n_up, int(gone.sum()), int((gone & anyway).sum()), int((now & ~called).sum())
        )

    return (
        compare("group dispersions", group_test(fit, test, reference), cautious),
        compare("recentred size factors", recentred_test(fit, shift_log2), np.zeros_like(called)),
        compare("both", group_test(fit, test, reference, shift_log2=shift_log2), cautious),
    )


def _adjusted(fit: NBFit, lfc: Array, se: Array, df: Array, pvalue: Array, *, filtering: bool) -> GroupTest:
    pvalue = np.where(np.isfinite(fit.pvalue), pvalue, np.nan)
    filtered = independent_filtering(fit.base_mean, pvalue, fit.alpha).padj if filtering else None
    padj = benjamini_hochberg(pvalue) if filtered is None else filtered
    return GroupTest(lfc, se, df, pvalue, padj)
