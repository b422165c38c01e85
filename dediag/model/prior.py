"""The prior of the dispersions around their trend (step 4 of the method)."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import polygamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

USABLE = 1e-6  # smallest gene-wise dispersion that enters the estimate
SMALLEST_VARIANCE = 0.25
FEW_DF = 3  # up to here the residuals are too skewed for their MAD
MAD_FACTOR = 1.4826
FINE = np.linspace(0.0, 8.0, 1000)  # prior variances to choose from


def log_residual_variance(dispersion: NDArray[np.float64], trend: NDArray[np.float64]) -> float:
    """Squared MAD of the log residuals about the trend (n_rows,): sampling and prior variance together."""
    residual = _residuals(dispersion, trend)
    return float((MAD_FACTOR * np.median(np.abs(residual - np.median(residual)))) ** 2)


def _residuals(dispersion: NDArray[np.float64], trend: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = dispersion >= USABLE
    return np.log(dispersion[keep]) - np.log(trend[keep])


def prior_variance(dispersion: NDArray[np.float64], trend: NDArray[np.float64], df: int) -> float:
    """Variance of the true log dispersions about the trend, at least 0.25; df residual degrees of freedom.

    The sampling variance of a log dispersion is that of a log chi-squared, trigamma(df/2); with 3 or fewer degrees of
    freedom the whole distribution is matched instead. Love, Huber, Anders (2014), equations 9 and 10.
    """
    if df <= FEW_DF:
        return max(_matched(_residuals(dispersion, trend), df), SMALLEST_VARIANCE)
    sampling = float(polygamma(1, df / 2.0))
    return max(log_residual_variance(dispersion, trend) - sampling, SMALLEST_VARIANCE)


@cache
def _histograms() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Residual df (600,), prior variance (600,) and densities in 40 bins from -10 to 10 (600, 40)."""
    with files("dediag.model").joinpath("prior_histograms.tsv.gz").open("rb") as packed, gzip.open(packed) as stream:
        table = np.loadtxt(stream, skiprows=1)
    return table[:, 0], table[:, 1], table[:, 2:]


def _matched(residual: NDArray[np.float64], df: int) -> float:
    """The prior variance whose simulated residuals are closest (Kullback-Leibler) to the observed ones, smoothed."""
    df_column, _, density = _histograms()
    densities = density[df_column == df]
    inside = residual[(residual > -10.0) & (residual < 10.0)]
    # bins are closed on the right, as in the tables
    counts = np.bincount(np.clip(np.ceil((inside + 10.0) / 0.5).astype(int) - 1, 0, 39), minlength=40)
    observed = counts / (counts.sum() * 0.5)
    divergence = np.empty(len(densities))
    for i, drawn in enumerate(densities):
        cells = np.concatenate([observed, drawn])
        small = cells[cells > 0.0].min()
        divergence[i] = np.sum(observed * (np.log(observed + small) - np.log(drawn + small)))
    return float(FINE[np.argmin(_smoother(df) @ divergence)])


@cache
def _smoother(df: int) -> NDArray[np.float64]:
    """The matrix that smooths the divergences at the tables' prior variances, and reads them off at FINE."""
    df_column, variance, _ = _histograms()
    return loess_matrix(variance[df_column == df], FINE, span=0.2)


def loess_matrix(x: NDArray[np.float64], at: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """Local quadratic regression, tricube weights over the nearest `span` of the points. Cleveland, Devlin (1988).

    What it gives at `at` is this matrix (n_at, n_points) times the values at x (n_points,).
    """
    neighbours = int(np.floor(x.size * span + 1e-5))
    matrix = np.zeros((at.size, x.size))
    for i, centre in enumerate(at):
        distance = np.abs(x - centre)
        width = np.partition(distance, neighbours - 1)[neighbours - 1]
        weight = np.maximum(1.0 - (distance / width) ** 3, 0.0) ** 3
        near = weight > 0.0
        u = x[near] - centre
        root = np.sqrt(weight[near])
        X = np.column_stack([np.ones_like(u), u, u * u])
        matrix[i, near] = np.linalg.pinv(X * root[:, None])[0] * root
    return matrix
