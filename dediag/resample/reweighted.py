"""Fits of the same counts with other observation weights, and what simulated cohorts say about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen
from dediag.model.coefficients import RIDGE
from dediag.model.exact import floor_genes, optimum
from dediag.model.fit import fit as fit_cohort
from dediag.model.group_means import group_means
from dediag.stats.cohort_rate import cohort_rate
from dediag.stats.weighted_error import dispersion_factor, se_factor, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.ensemble import Ensemble
    from dediag.stats.error_model import Estimate

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Reweighted:
    """What one set of weights gives; arrays over the compared genes."""

    held: Array  # (n_genes,) log2 fold change at the main fit's dispersions, see `held_fold_changes`
    again: Array  # (n_genes,) log2 fold change of the full fit with these weights
    se_ratio: Array  # (n_genes,) its standard error over that of the first set of weights


def compare(
    fit: NBFit, weights: Mapping[str, Array | None], size_factors: str | ArrayLike
) -> tuple[Mask, dict[str, Reweighted]]:
    """The genes that can be compared (n_genes,), and their fold changes with each set of weights.

    weights: by name, of the samples (n_samples,) as given, None for none. Compared are genes that are seen in both
    groups, have fitted means above the floor and no replaced counts with any of the weights. size_factors: the method
    of the main fit, or its given factors. Raises InputError where the weights leave nothing to fit.
    """
    fits = {
        name: fit_cohort(
            fit.cohort, fit.design, fit.contrast, size_factors=size_factors, search="newton", alpha=fit.alpha,
            weights=None if own is None else np.broadcast_to(own, fit.cohort.counts.shape), scale_weights=False,
        )
        for name, own in weights.items()
    }  # fmt: skip
    held = {name: held_fold_changes(fit, own) for name, own in weights.items()}
    genes = np.ones(fit.cohort.n_genes, np.bool_)
    for name, found in fits.items():
        genes &= np.isfinite(held[name]) & np.isfinite(found.lfc_se) & ~found.replaced
    plain = next(iter(fits.values()))
    return genes, {
        name: Reweighted(held[name][genes], found.lfc[genes], found.lfc_se[genes] / plain.lfc_se[genes])
        for name, found in fits.items()
    }


def held_fold_changes(fit: NBFit, weights: Array | None) -> Array:
    """Maximum likelihood fold changes (log2) at the fit's dispersions: (n_genes,).

    NaN for genes not seen in both groups or with a fitted mean at the floor, where there is no maximum. The ridge on
    coefficients, which has no weights, is taken off to first order: it would let weights move the fold change of a
    gene of large dispersion by up to 1e-4. weights: of the samples (n_samples,), as given, in place of the fit's;
    None: the fit's.
    """
    if weights is not None:
        fit = replace(fit, weights=frozen(np.broadcast_to(weights, fit.cohort.counts.shape)))
    best, contrast = optimum(fit), fit.contrast.vector
    lfc = best.of(contrast) + RIDGE * np.einsum("p,gpq,gq->g", contrast, best.covariance, best.coefficients)
    groups = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    seen = np.logical_and.reduce([(fit.fitted_counts[:, group] > 0).any(axis=1) for group in groups])
    floor = floor_genes(replace(fit, coefficients=best.coefficients)) | floor_genes(fit)
    return np.where(seen & ~floor, lfc, np.nan)


@dataclass(frozen=True)
class Predicted:
    """What the formulas say of genes without effect and equal dispersions: medians of standard errors, mean sizes."""

    se_held: float  # standard error over the true one, dispersions held
    size_held: float
    se: float  # at the dispersions that the weights lead to
    size: float

    @classmethod
    def of(cls, fit: NBFit, weights: Array) -> Predicted:
        """For weights of the samples (n_samples,), one value in each of the two groups; covariates are left out."""
        groups = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
        n = (int(groups[0].sum()), int(groups[1].sum()))
        pair = (float(weights[groups[0]][0]), float(weights[groups[1]][0]))
        tested = np.isfinite(fit.pvalue) & np.isfinite(fit.dispersion) & (fit.base_mean > 0)
        means = [mean[tested] for mean in group_means(fit)]
        common = (n[0] * means[0] + n[1] * means[1]) / sum(n)
        # the variance of a log count averages 1/mean over samples, hence harmonic means of the size factors
        counts = [common / np.mean(1.0 / fit.size_factors[group]) for group in groups]
        found: list[float] = []
        for estimated in (1.0, dispersion_factor(weights, fit.design.matrix)):
            factor = se_factor((counts[0], counts[1]), fit.dispersion[tested], n, pair, estimated)
            found += [float(np.median(factor)), float(size(factor).mean())]
        return cls(*found)


@dataclass(frozen=True)
class Simulated:
    """Simulated cohorts fitted with one set of weights, or none."""

    size: Estimate  # share of genes without effect with p < .05
    false_calls: Estimate  # calls in a cohort without any effect
    again: Estimate | None  # share of the study's calls that are called again; None: not simulated
    ratio: Estimate | None  # the same over that without weights

    @classmethod
    def of(cls, null: Ensemble, fitted: Sequence[Ensemble], up: Mask, down: Mask) -> Simulated:
        """From cohorts without effect, and from the same cohorts with effects, fitted with and without the weights.

        fitted: the two ensembles, or none; up, down: (n_genes,) the study's calls, which come back if they are called
        in the same direction.
        """
        made = null.n_tested > 0
        calls = (null.n_up + null.n_down)[made]
        size = cohort_rate(null.n_small[made], null.n_tested[made])
        false_calls = cohort_rate(calls, np.ones(len(calls)))
        if not fitted:
            return cls(size, false_calls, None, None)
        both = np.logical_and.reduce([each.n_tested > 0 for each in fitted])
        own, plain = (((e.up & up).sum(axis=1) + (e.down & down).sum(axis=1))[both] for e in fitted)
        again = cohort_rate(own, np.full(len(own), int((up | down).sum())))
        return cls(size, false_calls, again, cohort_rate(own, plain))
