"""Randomised quantile residuals of negative binomial counts, and noise that has their correlation.

Dunn and Smyth (1996) "Randomized quantile residuals": a count becomes a uniform number between P(Y < y) and P(Y <= y),
and then a standard normal one; exact whatever the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, gammaincinv, gammaln, ndtr, ndtri, xlog1py

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

EDGE = 1e-12  # uniform numbers stay this far from 0 and 1: seven standard deviations
SMALLEST_DISPERSION = 1e-8


def quantile_residuals(counts: Array, mean: ArrayLike, dispersion: ArrayLike, jitter: ArrayLike) -> Array:
    """Standard normal residuals of counts, same shape; NaN where the mean is not positive.

    counts: whole numbers; mean and dispersion broadcast to them (variance = mean + dispersion mean^2), and so do the
    uniform random numbers `jitter`, in [0, 1).
    """
    shape = 1.0 / np.maximum(np.asarray(dispersion, np.float64), SMALLEST_DISPERSION)
    mu = np.asarray(mean, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        success = shape / (shape + mu)
        at_most = betainc(shape, counts + 1.0, success)  # P(Y <= y)
        log_mass = gammaln(counts + shape) - gammaln(shape) - gammaln(counts + 1.0)
        log_mass += shape * np.log(success) + xlog1py(counts, -success)
    uniform = at_most - np.asarray(jitter) * np.minimum(np.exp(log_mass), at_most)
    return np.asarray(np.where(mu > 0.0, ndtri(np.clip(uniform, EDGE, 1.0 - EDGE)), np.nan))


def zero_probability(mean: ArrayLike, dispersion: ArrayLike) -> Array:
    """P(Y = 0) of negative binomial counts: (1 + dispersion mean)^(-1 / dispersion); broadcasts."""
    phi = np.maximum(np.asarray(dispersion, np.float64), SMALLEST_DISPERSION)
    return np.asarray(np.exp(-np.log1p(phi * np.asarray(mean, np.float64)) / phi))


def gamma_factor(residual: Array, shape: ArrayLike) -> Array:
    """The gamma variable of mean one and variance 1/shape at a standard normal residual's quantile; broadcasts."""
    k = np.asarray(shape, np.float64)
    return np.asarray(gammaincinv(k, ndtr(residual)) / k)
