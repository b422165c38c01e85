"""The Wald test with each group's own dispersions: the fold changes of the fit, another standard error.

The estimates stay those of the fit; their variance is that of the working responses under group dispersions (a
sandwich), with the degrees of freedom of its parts: Satterthwaite (1946). Beside it recentred size factors, the other
half of what unequal dispersions ask for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError, frozen
from dediag.model.coefficients import NATURAL_RIDGE, SMALLEST_MEAN
from dediag.model.contrasts import wald
from dediag.model.dispersion import group_dispersions
from dediag.model.filtering import independent_filtering
from dediag.model.group_means import group_means
from dediag.model.voom_calls import voom_tests
from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.satterthwaite import prior_df, satterthwaite_df

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.model.dispersion import GroupDispersion
    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]

EXPRESSED = 10.0  # mean count in both groups of the genes that fold changes are recentred by
FEWEST_GENES = 30


@dataclass(frozen=True)
class GroupTest:
    """Tests of every gene (n_genes,); NaN where the fit has none."""

    lfc_se: Array  # log2
    df: Array  # degrees of freedom of the t-test
    stat: Array
    pvalue: Array
    padj: Array
    dispersion_test: Array  # (n_genes,) of the test group
    dispersion_reference: Array
    filter_threshold: float  # base mean
    filter_theta: float


def group_test(
    fit: NBFit,
    test: GroupDispersion,
    reference: GroupDispersion,
    *,
    averaged: bool = False,
    filtering: bool = True,
) -> GroupTest:
    """t-test of the contrast of a fit, dispersions per group (samples of other levels keep the fit's).

    averaged: both groups take the mean of their dispersions, weighted
    by degrees of freedom: the same test, did the groups not differ. P-values that Cook's distance voided stay void. A
    group's variance has n - 1 (residual) degrees of freedom plus those of its prior, gene-wise outliers have no prior.
    """
    X, mu = fit.design.matrix, np.maximum(fit.mu(), SMALLEST_MEAN)
    shared = np.nan_to_num(fit.dispersion, nan=1.0)
    weight, precision = 1.0 / (1.0 / mu + shared[:, None]), np.ones((1, X.shape[0]))
    if fit.weights.shape[1]:
        precision = fit.weights
        weight = weight * precision
    information = np.einsum("gj,ja,jb->gab", weight, X, X, optimize=True) + NATURAL_RIDGE * np.eye(X.shape[1])
    known = np.isfinite(information).all(axis=(1, 2))
    influence = np.full(mu.shape, np.nan)  # of a sample's working response on the contrast
    solved = np.linalg.solve(information[known], fit.contrast.vector[None, :, None])[:, :, 0]
    influence[known] = (solved @ X.T) * weight[known]
    # squared over the precision: a weight divides the variance, as in the fit's own standard errors
    square = np.divide(influence**2, precision, out=np.zeros_like(influence), where=(precision > 0.0) & known[:, None])
    square[~known] = np.nan
    parts, df = [], []
    other = np.ones(X.shape[0], np.bool_)
    groups = (test, reference)
    dispersions = [_known(group, fit.base_mean) for group in groups]
    if averaged:
        dispersions = [np.asarray(np.average(dispersions, axis=0, weights=[group.df for group in groups]))] * 2
    for group, own in zip(groups, dispersions, strict=True):
        mask = fit.group_mask(group.level)
        other &= ~mask
        parts.append((square[:, mask] * (1.0 / mu[:, mask] + own[:, None])).sum(axis=1))
        # the prior is on the dispersion alone: what it is worth grows where most of a variance is Poisson's, and known
        known_part = 1.0 + np.mean(1.0 / mu[:, mask], axis=1) / own
        df.append(group.df + np.where(group.outlier, 0.0, prior_df(group.prior_variance) * known_part**2))
    if other.any():
        parts.append((square[:, other] * (1.0 / mu[:, other] + shared[:, None])).sum(axis=1))
        df.append(np.full(len(mu), float(X.shape[0] - X.shape[1]) + prior_df(fit.prior_variance)))
    total_df = satterthwaite_df(parts, df)
    se = np.sqrt(np.sum(parts, axis=0)) / math.log(2.0)
    stat, pvalue = wald(fit.lfc, se, fit.lfc_threshold, fit.alternative, total_df)
    pvalue = np.where(np.isfinite(fit.pvalue), pvalue, np.nan)
    genes = fit.cohort.of_genes(pvalue)
    padj, threshold, theta = benjamini_hochberg(genes), 0.0, 0.0
    if filtering:
        filtered = independent_filtering(fit.base_mean, genes, fit.alpha)
        padj, threshold, theta = filtered.padj, filtered.threshold, filtered.theta
    used = [np.where(np.isfinite(fit.dispersion), values, np.nan) for values in dispersions]
    return GroupTest(se, total_df, stat, pvalue, padj, used[0], used[1], threshold, theta)


def _known(group: GroupDispersion, base_mean: Array) -> Array:
    """A group's dispersions (n_genes,); those of its trend where it has no counts."""
    return np.where(np.isfinite(group.map), group.map, group.curve(np.maximum(base_mean, SMALLEST_MEAN)))


def with_group_dispersions(fit: NBFit, *, filtering: bool = True) -> NBFit:
    """The fit with this test in place of its own; its coefficients and their standard errors stay.

    Raises InputError where a group has no dispersions of its own, or the contrast no two groups.
    """
    levels = (fit.contrast.test, fit.contrast.reference)
    if None in levels:
        raise InputError(f"group dispersions: the contrast '{fit.contrast.label}' compares no two groups; name them")
    try:
        groups = [group_dispersions(fit, str(level)) for level in levels]
    except (ValueError, ArithmeticError) as reason:
        raise InputError(f"group dispersions: {reason}\nleave the option out, or add replicates") from reason
    found = group_test(fit, *groups, filtering=filtering)
    notice = "tests have each group's own dispersion: t-tests with Satterthwaite's degrees of freedom"
    return replace(
        fit, lfc_se=frozen(found.lfc_se), stat=frozen(found.stat), pvalue=frozen(found.pvalue),
        padj=frozen(found.padj), filter_threshold=found.filter_threshold, filter_theta=found.filter_theta,
        by_group=found, notices=(*fit.notices, notice),
    )  # fmt: skip


@dataclass(frozen=True)
class Recentring:
    """How to move the size factors so that the median fold change of well-expressed genes is zero."""

    shift_log2: float  # that is taken off every fold change
    n_genes: int  # behind the median
    factors: Array  # (n_samples,) for the size factors

    @property
    def notice(self) -> str:
        """What was done, in a sentence."""
        genes = f"{self.n_genes:,} genes of mean {EXPRESSED:g} and more in both groups"
        return f"size factors recentred: {self.shift_log2:+.3f} log2, the median of {genes}, taken off all fold changes"


def recentring(fit: NBFit) -> Recentring:
    """The median fold change of (control) genes with a mean count of 10 and more in both groups, as factors of both.

    Its assumption is that of the size factors, that most genes do not change, but on the scale of means: size factors
    on the log scale are too small for the more dispersed group, which moves the fold changes of all genes. Raises
    InputError where there are no two groups, or fewer than 30 such genes.
    """
    try:
        means = group_means(fit)
    except ValueError as reason:
        raise InputError(f"recentring: {reason}; name the groups") from reason
    use = (np.minimum(*means) >= EXPRESSED) & np.isfinite(fit.lfc)
    genes = "genes"
    if fit.cohort.normalisation_genes is not None:
        use &= fit.cohort.normalisation_genes
    if fit.cohort.control_genes is not None:
        genes = "control genes"
    if use.sum() < FEWEST_GENES:
        raise InputError(
            f"recentring: {int(use.sum())} {genes} have a mean count of {EXPRESSED:g} in both groups; "
            f"{FEWEST_GENES} are needed\nleave the option out"
        )
    shift = float(np.median(fit.lfc[use]))
    test, reference = fit.group_mask(str(fit.contrast.test)), fit.group_mask(str(fit.contrast.reference))
    return Recentring(shift, int(use.sum()), frozen(np.exp2(shift / 2.0 * (test.astype(float) - reference))))


@dataclass(frozen=True)
class Remedy:
    """Another analysis of the same counts, and what becomes of the calls of the fit."""

    name: str
    n_up: int
    n_down: int
    vanish: int
    to_caution: int  # of those that vanish: would do so too if the groups were equally dispersed, and not shifted
    to_difference: int  # of the others: vanish with the groups' dispersions and the shift that these explain alone
    appear: int
    padj: Array  # (n_genes,)


def remedy_columns(remedies: Sequence[Remedy]) -> dict[str, list[object]]:
    """The remedies as a table, without their p-values."""
    names = {
        "analysis": "name", "n_up": "n_up", "n_down": "n_down", "calls_that_vanish": "vanish",
        "to_caution": "to_caution", "to_difference": "to_difference", "calls_that_appear": "appear",
    }  # fmt: skip
    return {column: [getattr(remedy, name) for remedy in remedies] for column, name in names.items()}


def remedies(
    fit: NBFit, recentred: NBFit, test: GroupDispersion, reference: GroupDispersion, shift_log2: float,
    called: NDArray[np.bool_],
) -> tuple[Remedy, ...]:  # fmt: skip
    """Calls at the fit's alpha with group dispersions, with recentred size factors, with both, and with voom by group.

    called: (n_genes,). shift_log2: of all fold changes, as far as the dispersions explain it; recentring takes off the
    whole median, and what vanishes beyond is not laid to the dispersions. The test with group dispersions is the more
    cautious one even where they are equal: a t-test, on dispersions from fewer samples. What it loses with averaged
    dispersions is lost to that; of voom by group, what voom with one trend loses.
    """

    def gone(padj: Array) -> NDArray[np.bool_]:
        return called & ~(padj < fit.alpha)

    moved = replace(fit, lfc=fit.lfc - shift_log2)
    _, pvalue = wald(moved.lfc, fit.lfc_se, fit.lfc_threshold, fit.alternative)
    pvalue = np.where(np.isfinite(fit.pvalue), pvalue, np.nan)
    shifted = gone(independent_filtering(fit.base_mean, fit.cohort.of_genes(pvalue), fit.alpha).padj)
    cautious = gone(group_test(fit, test, reference, averaged=True).padj)
    groups, both = group_test(fit, test, reference).padj, with_group_dispersions(recentred)
    (_, common), (effect, by_group) = (voom_tests(fit, by_group=choice) for choice in (False, True))
    nobody = np.zeros_like(called)

    def compare(name: str, padj: Array, lfc: Array, anyway: NDArray[np.bool_], explained: NDArray[np.bool_]) -> Remedy:
        now, lost = padj < fit.alpha, gone(padj)
        n_up = int((now & (lfc > 0)).sum())
        return Remedy(
            name, n_up, int(now.sum()) - n_up, int(lost.sum()), int((lost & anyway).sum()),
            int((lost & ~anyway & explained).sum()), int((now & ~called).sum()), padj,
        )  # fmt: skip

    return (
        compare("group dispersions", groups, fit.lfc, cautious, gone(groups)),
        compare("recentred size factors", recentred.padj, recentred.lfc, nobody, shifted),
        compare("both", both.padj, both.lfc, cautious, gone(group_test(moved, test, reference).padj)),
        compare("voom by group (second opinion)", by_group, effect, gone(common), gone(by_group)),
    )
