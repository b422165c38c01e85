"""Shrinkage of log2 fold changes toward zero, and s-values for their signs.

`apeglm`: a Cauchy prior on the contrast whose scale is estimated from the fold changes, vague normal priors on the rest
(Zhu, Ibrahim and Love 2019). `normal`: normal priors on all coefficients but the intercept, their variances matched to
the upper quantile of the estimates (Love, Huber and Anders 2014, section "Shrinkage estimation of LFCs"), on the
standard design. The s-value of a gene is the expected share of wrong signs among the genes at least as certain
(Stephens 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from dediag.model.posterior import Posterior, modes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]

LN_2 = float(np.log(2))
OTHER_SD = 15.0  # natural log: the prior on what is not shrunken (Zhu, Ibrahim and Love 2019)
LARGEST_SCALE = 1.0  # natural log
SCALE_VARIANCES = (1e-3**2, 20.0**2)  # between these the prior variance is looked for
WIDE_VARIANCE = 1e6  # log2: the normal prior on the intercept
UPPER_QUANTILE = 0.05  # of |coefficient|, matched to the normal prior's
LARGEST_COEFFICIENT = 10.0  # log2: beyond it a coefficient is infinite rather than large
LARGEST_START = 30.0  # natural log
SMALLEST_MEAN = 0.5


@dataclass(frozen=True)
class Shrunken:
    """Shrunken fold changes of all genes of a cohort; NaN where nothing was fitted."""

    lfc: Array  # (n_genes,) log2, posterior mode
    lfc_se: Array  # (n_genes,) log2; apeglm: posterior standard deviation; normal: standard error as DESeq2 gives it
    false_sign_rate: Array  # (n_genes,) posterior probability that the true sign is the other
    svalue: Array  # (n_genes,)
    kind: str
    prior_scale: float  # log2: scale of the Cauchy prior, or standard deviation of the normal prior, on the contrast


def shrink(fit: NBFit, kind: Literal["apeglm", "normal"] = "apeglm") -> Shrunken:
    """Shrink the fold changes of a fit's contrast, with the counts, size factors, weights and dispersions of the fit.

    Raises ValueError for an unknown kind.
    """
    if kind == "apeglm":
        return _heavy_tailed(fit)
    if kind == "normal":
        return _normal(fit)
    raise ValueError(f"unknown kind of shrinkage {kind!r}: apeglm or normal")


def cauchy_scale(lfc: Array, se: Array) -> float:
    """Scale of the Cauchy prior from estimates and standard errors (n_genes,), NaN left out; same units.

    The root of a moment equation for the variance of the true effects (Efron and Morris 1975; Zhu, Ibrahim and Love
    2019, section 2.3).
    """
    known = np.isfinite(lfc) & np.isfinite(se)
    square, noise = lfc[known] ** 2, se[known] ** 2

    def excess(variance: float) -> float:
        weight = 1 / (variance + noise) ** 2
        return float(((square - noise) * weight).sum() / weight.sum() - variance)

    low, high = SCALE_VARIANCES
    if not len(square) or excess(low) < 0:
        return float(np.sqrt(low))
    return float(np.sqrt(high if excess(high) > 0 else brentq(excess, low, high, xtol=1e-14, rtol=1e-12)))


def normal_variance(coefficients: Array, weight: Array) -> float:
    """Variance of a zero-centred normal prior whose upper quantile is that of |coefficients| (n_genes,), log2.

    weight: (n_genes,) inverse of the expected variance of a log count at the gene's base mean and dispersion trend.
    """
    finite = np.isfinite(coefficients) & (np.abs(coefficients) < LARGEST_COEFFICIENT)
    if not finite.any():
        return WIDE_VARIANCE
    size, weight = np.abs(coefficients[finite]), weight[finite]
    top = _weighted_quantile(size, weight * len(weight) / weight.sum(), 1 - UPPER_QUANTILE)
    return float((top / ndtri(1 - UPPER_QUANTILE / 2)) ** 2)


def s_values(false_sign_rate: Array) -> Array:
    """Mean false sign rate over the genes with a rate at most as large (n_genes,); NaN stays NaN."""
    svalue = np.full(len(false_sign_rate), np.nan)
    known = np.flatnonzero(~np.isnan(false_sign_rate))
    ordered = np.sort(false_sign_rate[known])
    mean = np.maximum.accumulate(np.cumsum(ordered) / np.arange(1, len(ordered) + 1))
    last = np.searchsorted(ordered, false_sign_rate[known], "right") - 1  # ties share a value
    svalue[known] = mean[last]
    return svalue


def _heavy_tailed(fit: NBFit) -> Shrunken:
    rows = fit.data_and_space()[0].rows
    scale = min(cauchy_scale(fit.lfc[rows] * LN_2, fit.lfc_se[rows] * LN_2), LARGEST_SCALE)
    cells, start, shrunken = contrast_coordinate(fit.design.cells, fit.coefficients * LN_2, fit.contrast.vector)
    precision = np.full(cells.shape[1], OTHER_SD**-2)
    precision[shrunken] = 0.0
    unit = np.eye(cells.shape[1])[shrunken]
    found, variance = _modes(fit, cells, start, unit, precision=precision, shrunken=shrunken, scale=scale)
    sd = np.sqrt(variance)
    return _shrunken(fit, found[:, shrunken], sd, sd, kind="apeglm", prior_scale=scale / LN_2)


def _normal(fit: NBFit) -> Shrunken:
    with np.errstate(divide="ignore"):
        weight = 1 / (1 / fit.base_mean + fit.dispersion_trend)
    variances = np.array(
        [
            WIDE_VARIANCE if name == "Intercept" else normal_variance(column, weight)
            for name, column in zip(fit.design.names, fit.coefficients.T, strict=True)
        ]
    )  # log2
    precision = 1 / (variances * LN_2**2)
    contrast = fit.contrast.vector
    found, variance = _modes(fit, fit.design.cells, fit.coefficients * LN_2, contrast, precision=precision)
    se = _sandwich(fit, found, precision, contrast)
    prior_sd = float(np.sqrt(contrast**2 @ variances))
    return _shrunken(fit, found @ contrast, se, np.sqrt(variance), kind="normal", prior_scale=prior_sd)


def contrast_coordinate(cells: Array, coefficients: Array, contrast: Array) -> tuple[Array, Array, int]:
    """Cells and coefficients in coordinates one of which is the contrast, and the position of that one.

    cells: (n_cells, n_coefficients); coefficients: (n_genes, n_coefficients). The other coordinates are coefficients as
    they were: for a contrast of one coefficient nothing changes.
    """
    place = int(np.argmax(np.abs(contrast)))
    others = contrast.copy()
    others[place] = 0.0
    moved = cells - np.outer(cells[:, place] / contrast[place], others)
    moved[:, place] = cells[:, place] / contrast[place]
    values = coefficients.copy()
    values[:, place] = coefficients @ contrast
    return moved, values, place


def _modes(fit: NBFit, cells: Array, start: Array, contrast: Array, **prior: Any) -> tuple[Array, Array]:
    """Posterior modes (n_fitted, n_coefficients) and variance of the contrast (n_fitted,), natural log."""
    data, _ = fit.data_and_space()
    start = np.clip(np.nan_to_num(start[data.rows]), -LARGEST_START, LARGEST_START)
    posterior = Posterior(
        counts=data.counts[data.rows],
        size=data.size if len(data.size) == 1 else data.rows_of(data.size),
        weight=data.rows_of(data.weights) if data.weighted else None,
        dispersion=fit.dispersion[data.rows],
        cells=cells,
        cell=fit.design.cell,
        **prior,
    )
    return modes(posterior, start, contrast)


def _sandwich(fit: NBFit, found: Array, precision: Array, contrast: Array) -> Array:
    """Standard error of the contrast (n_fitted,): (I + P)^-1 I (I + P)^-1 with I the expected information."""
    data, _ = fit.data_and_space()
    cells, cell = fit.design.cells, fit.design.cell
    total = np.zeros((len(found), len(cells)))  # working weights of each cell
    size, weights = data.rows_of(data.size), data.rows_of(data.weights) if data.weighted else None
    log_mean = found @ cells.T
    for j, c in enumerate(cell):
        mu = np.maximum(size[:, j] * np.exp(log_mean[:, c]), SMALLEST_MEAN)
        working = 1 / (1 / mu + fit.dispersion[data.rows])
        total[:, c] += working if weights is None else working * weights[:, j]
    information = np.einsum("gc,ca,cb->gab", total, cells, cells, optimize=True)
    side = np.linalg.solve(
        information + np.diag(precision), np.broadcast_to(contrast[:, None], (len(found), len(contrast), 1))
    )
    return np.asarray(np.sqrt((side.transpose(0, 2, 1) @ information @ side)[:, 0, 0]))


def _shrunken(fit: NBFit, mode: Array, se: Array, sd: Array, *, kind: str, prior_scale: float) -> Shrunken:
    """Spread what was fitted over all genes; natural log to log2."""
    rows = fit.data_and_space()[0].rows

    def whole(values: Array) -> Array:
        out = np.full(len(fit.lfc), np.nan)
        out[rows] = values
        out.flags.writeable = False
        return out

    rate = whole(ndtr(-np.abs(mode) / sd))
    return Shrunken(whole(mode / LN_2), whole(se / LN_2), rate, s_values(rate), kind, prior_scale)


def _weighted_quantile(values: Array, weight: Array, share: float) -> float:
    """Quantile of values (n,) that stand for `weight` observations each, as Hmisc's wtd.quantile interpolates."""
    order = np.argsort(values)
    values, reached = values[order], np.cumsum(weight[order])
    position = 1 + (reached[-1] - 1) * share
    low = max(np.floor(position), 1.0)
    at = np.searchsorted(reached, [low, min(low + 1, reached[-1])], "left")
    first, second = values[np.minimum(at, len(values) - 1)]
    part = position % 1
    return float((1 - part) * first + part * second)
