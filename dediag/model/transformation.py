"""Variance-stabilising transformation: counts on a log2-like scale on which the variance no longer depends on the mean.

The transformation is the integral of 1 / sqrt(v(q)) over normalised counts q, with v the variance that the dispersion
trend gives (Tibshirani 1988; Anders and Huber 2010, section "Variance stabilising transformation"), scaled so that it
approaches log2(q) for large counts. For a parametric trend and for one mean dispersion the integral has a closed form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]

GRID_POINTS = 4000  # of the numerical integral
ANCHORS = (0.95, 0.999)  # quantiles of the gene means at which a numerical transformation equals log2


class Trend(Protocol):
    """Dispersion over base mean: kind "parametric" (coefficients asymptote, extra-Poisson), "local" or "mean"."""

    @property
    def kind(self) -> str: ...  # noqa: D102 - a protocol: Trend documents it
    @property
    def coefficients(self) -> tuple[float, float] | None: ...  # noqa: D102 - a protocol: Trend documents it
    def __call__(self, base_mean: Array) -> Array: ...  # noqa: D102 - a protocol: Trend documents it


def variance_stabilized(fit: NBFit) -> Array:
    """The counts of a fitted cohort (n_genes, n_samples), transformed with the trend of the fit (not blind)."""
    size = fit.normalisation
    return stabilize(fit.cohort.counts / size, fit.trend, float(np.mean(1 / size)))


def stabilize(normalized: Array, trend: Trend, mean_inverse_size: float = 1.0) -> Array:
    """Transform normalised counts (n_genes, n_samples), log2 scale.

    mean_inverse_size: mean of 1 / size factor, the scale of the Poisson part of the variance; for a local trend.
    """
    if trend.coefficients is not None:
        return _parametric(normalized, *trend.coefficients)
    if trend.kind == "mean":
        return _constant(normalized, float(trend(np.ones(1))[0]))
    return _numerical(normalized, trend, mean_inverse_size)


def _parametric(q: Array, asymptote: float, extra: float) -> Array:
    """For v = (1 + extra) q + asymptote q^2."""
    poisson = 1 + extra
    root = np.sqrt(asymptote * q * (poisson + asymptote * q))
    return np.asarray(np.log2((poisson + 2 * asymptote * q + 2 * root) / (4 * asymptote)))


def _constant(q: Array, dispersion: float) -> Array:
    """For v = q + dispersion q^2."""
    return np.asarray((2 * np.arcsinh(np.sqrt(dispersion * q)) - np.log(4 * dispersion)) / np.log(2))


def _numerical(q: Array, trend: Trend, mean_inverse_size: float) -> Array:
    """For v = q mean_inverse_size + trend(q) q^2, by the trapezoidal rule.

    Integrated over u = sqrt(q), where the integrand is smooth down to zero counts, on steps that are even in asinh(u).
    """
    u = np.sinh(np.linspace(0, np.arcsinh(np.sqrt(max(1.0, float(q.max())))), GRID_POINTS))
    dispersion = np.concatenate([[0.0], trend(u[1:] ** 2)])  # its share of the variance vanishes at zero
    slope = 2 / np.sqrt(mean_inverse_size + dispersion * u**2)  # of the transformation over u
    value = np.concatenate([[0.0], np.cumsum(np.diff(u) * (slope[1:] + slope[:-1]) / 2)])
    low, high = np.quantile(q.mean(axis=1), ANCHORS)
    at_low, at_high = np.interp(np.sqrt([low, high]), u, value)
    steepness = (np.log2(high) - np.log2(low)) / (at_high - at_low)
    return np.asarray(steepness * (np.interp(np.sqrt(q), u, value) - at_low) + np.log2(low))
