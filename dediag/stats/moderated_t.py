"""Linear models of log counts with precision weights (voom) and moderated t-tests (limma's empirical Bayes).

Law, Chen, Shi, Smyth (2014) "voom: precision weights unlock linear model analysis tools for RNA-seq read counts";
Smyth (2004) "Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments"; You et al. (2023) "Modeling group heteroscedasticity in single-cell RNA-seq pseudo-bulk data".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.lowess import lowess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SPAN = 0.5  # of voom's lowess
NEWTON_STEPS = 50


@dataclass(frozen=True)
class LinearFit:
    """Weighted least squares of every gene on one design."""

    coefficients: Array  # (n_genes, n_coefficients)
    inverse: Array  # (n_genes or 1, n_coefficients, n_coefficients) inverse of X'WX
    sigma2: Array  # (n_genes,) residual variance
    df: int  # residual degrees of freedom


@dataclass(frozen=True)
class MeanVariance:
    """voom's trend: square root of the residual standard deviation over the mean log2 count."""

    mean: Array  # (n_genes with counts,) mean log2 count, rising
    root_sd: Array  # (n_genes with counts,)
    trend: Array  # (n_genes with counts,) lowess


@dataclass(frozen=True)
class Voom:
    """log2 counts per million with the precision weight of each observation."""

    log_cpm: Array  # (n_genes, n_samples)
    weights: Array  # (n_genes, n_samples)
    trend: MeanVariance


@dataclass(frozen=True)
class Moderated:
    """Moderated t-tests of one contrast."""

    effect: Array  # (n_genes,) log2
    t: Array  # (n_genes,)
    pvalue: Array  # (n_genes,) two-sided
    prior_df: float  # infinite: all genes share one variance
    prior_variance: float


def log_cpm(counts: Array, library_size: Array) -> Array:
    """voom's log2 counts per million: half a count more, one more in the library; (n_genes, n_samples)."""
    return np.asarray(np.log2((counts + 0.5) / (library_size + 1.0) * 1e6))


def voom(counts: Array, design: Array, library_size: Array) -> Voom:
    """Log counts and weights from the trend of their variance.

    counts (n_genes, n_samples), design (n_samples, n_coefficients), library_size (n_samples,) after normalisation.
    """
    values = log_cpm(counts, library_size)
    fit = linear_fit(values, design)
    trend = mean_variance(counts, values, fit, library_size)
    fitted = fit.coefficients @ design.T + np.log2((library_size + 1.0) * 1e-6)  # log2 of the fitted counts
    weights = np.interp(fitted, trend.mean, trend.trend) ** -4
    return Voom(values, weights, trend)


def voom_by_group(counts: Array, design: Array, library_size: Array, groups: list[NDArray[np.bool_]]) -> Voom:
    """The same with a trend for the samples of each group by themselves: You et al. (2023), voomByGroup.

    groups: masks of samples (n_samples,) that do not overlap; other samples keep the common trend. Raises ValueError
    for a group without residual degrees of freedom of its own.
    """
    made = voom(counts, design, library_size)
    fit = linear_fit(made.log_cpm, design)
    fitted = fit.coefficients @ design.T + np.log2((library_size + 1.0) * 1e-6)
    weights = made.weights.copy()
    for group in groups:
        own = group_columns(design[group])
        if own.shape[0] <= own.shape[1]:
            raise ValueError("a group has no residual degrees of freedom of its own")
        trend = unweighted_trend(counts[:, group], own, library_size[group])
        weights[:, group] = np.interp(fitted[:, group], trend.mean, trend.trend) ** -4
    return Voom(made.log_cpm, weights, made.trend)


def group_columns(design: Array) -> Array:
    """An orthonormal basis of what columns of a design span among some samples: (n_samples, rank)."""
    U, size, _ = np.linalg.svd(design, full_matrices=False)
    return np.asarray(U[:, size > size[0] * 1e-10])


def mean_variance(
    counts: Array, values: Array, fit: LinearFit, library_size: Array, span: float = SPAN
) -> MeanVariance:
    """The trend of sqrt(residual SD) of log2 CPM `values` over the mean log2 count, genes without counts left out."""
    seen = counts.any(axis=1)
    mean = values[seen].mean(axis=1) + np.log2(library_size + 1.0).mean() - np.log2(1e6)
    root_sd = fit.sigma2[seen] ** 0.25
    order = np.argsort(mean, kind="stable")
    mean, root_sd = mean[order], root_sd[order]
    return MeanVariance(mean, root_sd, lowess(mean, root_sd, span))


def unweighted_trend(counts: Array, design: Array, library_size: Array, span: float = SPAN) -> MeanVariance:
    """voom's trend of counts (n_genes, n_samples) on their own."""
    values = log_cpm(counts, library_size)
    return mean_variance(counts, values, linear_fit(values, design), library_size, span)


def linear_fit(values: Array, design: Array, weights: Array | None = None) -> LinearFit:
    """Least squares of values (n_genes, n_samples) on design (n_samples, n_coefficients), with weights like values."""
    df = design.shape[0] - design.shape[1]
    if weights is None:
        inverse: Array = np.asarray(np.linalg.inv(design.T @ design), dtype=np.float64)
        coefficients = values @ design @ inverse
        residual = values - coefficients @ design.T
        return LinearFit(coefficients, inverse[None], (residual**2).sum(axis=1) / max(df, 1), df)
    n, p = values.shape[0], design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), p * p)
    inverse = np.asarray(np.linalg.inv((weights @ products).reshape(n, p, p)), dtype=np.float64)
    coefficients = np.einsum("gij,gj->gi", inverse, (weights * values) @ design)
    residual = values - coefficients @ design.T
    return LinearFit(coefficients, inverse, (weights * residual**2).sum(axis=1) / max(df, 1), df)


def moderated_t(fit: LinearFit, contrast: Array) -> Moderated:
    """Moderated t-tests of a contrast (n_coefficients,): variances shrunken toward their common prior.

    Degrees of freedom are the residual plus the prior's, at most those of all genes together. Smyth 2004, section 3.
    """
    from scipy.stats import t as t_distribution

    effect = fit.coefficients @ contrast
    unscaled = np.einsum("i,gij,j->g", contrast, fit.inverse, contrast)
    prior_df, prior_variance = scaled_f_prior(fit.sigma2, fit.df)
    if np.isinf(prior_df):
        posterior = np.full(len(effect), prior_variance)
    else:
        posterior = (prior_df * prior_variance + fit.df * fit.sigma2) / (prior_df + fit.df)
    t = effect / np.sqrt(posterior * unscaled)
    total_df = min(fit.df + prior_df, float(fit.df * len(effect)))
    return Moderated(effect, t, 2 * t_distribution.sf(np.abs(t), total_df), prior_df, prior_variance)


def scaled_f_prior(variance: Array, df: int) -> tuple[float, float]:
    """Prior degrees of freedom and variance of which these variances (n,) with df each are a scaled F sample.

    By moments of log variance (Smyth 2004, section 6.2); no more spread than sampling gives means infinite degrees of
    freedom and the mean variance.
    """
    from scipy.special import digamma, polygamma

    smallest = 1e-5 * max(float(np.median(variance)), 1e-300)
    value = np.maximum(variance, smallest)
    z = np.log(value) - digamma(df / 2) + np.log(df / 2)
    spread = float(z.var(ddof=1)) - float(polygamma(1, df / 2))
    if spread <= 0:
        return np.inf, float(value.mean())
    half = trigamma_inverse(spread)
    return 2 * half, float(np.exp(z.mean() + digamma(half) - np.log(half)))


def trigamma_inverse(value: float) -> float:
    """The x > 0 with trigamma(x) = value, by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    if value > 1e7:
        return float(1 / np.sqrt(value))
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(NEWTON_STEPS):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
