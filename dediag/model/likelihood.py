"""The definitions: likelihood, Cox-Reid adjustment and Cook's distance of one gene, in plain numpy.

What the kernels compute, written as in the papers; the tests compare the two. Love, Huber, Anders (2014);
Cox and Reid (1987); Cook (1977).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def log_likelihood(y: Array, mu: Array, alpha: float, weight: Array | None = None) -> float:
    """NB log-likelihood of one gene: counts y and means mu (n_samples,), variance mu + alpha mu^2."""
    r = 1.0 / alpha
    terms = gammaln(y + r) - gammaln(r) - gammaln(y + 1.0) - (y + r) * np.log1p(alpha * mu)
    terms = terms + np.where(y > 0, y * np.log(np.where(y > 0, alpha * mu, 1.0)), 0.0)
    return float(np.sum(terms if weight is None else weight * terms))


def information(X: Array, mu: Array, alpha: float, weight: Array | None = None) -> Array:
    """Expected information of the coefficients, X' W X with W = diag(weight / (1/mu + alpha))."""
    w = 1.0 / (1.0 / mu + alpha)
    return (X.T * (w if weight is None else weight * w)) @ X


def adjusted_profile(
    log_alpha: float,
    y: Array,
    mu: Array,
    X: Array,
    weight: Array | None = None,
    prior: tuple[float, float] | None = None,
    used_weight: float = 0.01,
) -> float:
    """Cox-Reid adjusted profile log-likelihood of log alpha, with a normal prior (mean, variance) if given.

    Samples of weight up to `used_weight` do not enter the determinant, nor do columns that are then zero.
    """
    alpha = float(np.exp(log_alpha))
    used = np.ones(y.size, np.bool_) if weight is None else weight > used_weight
    rows = X[used]
    rows = rows[:, np.abs(rows).sum(axis=0) > 0]
    value = log_likelihood(y, mu, alpha, weight) - 0.5 * float(np.linalg.slogdet(information(rows, mu[used], alpha))[1])
    if prior is not None:
        value -= 0.5 * (log_alpha - prior[0]) ** 2 / prior[1]
    return value


def covariance(X: Array, mu: Array, alpha: float, ridge: float, weight: Array | None = None) -> Array:
    """Covariance of ridge estimates, (I + R)^-1 I (I + R)^-1: (n_coefficients, n_coefficients)."""
    inner = information(X, mu, alpha, weight)
    bread = np.linalg.inv(inner + ridge * np.eye(X.shape[1]))
    return np.asarray(bread @ inner @ bread)


def cooks_distance(
    y: Array, mu: Array, X: Array, alpha: float, robust_alpha: float, ridge: float, floor: float
) -> Array:
    """Cook's distance of each sample: Pearson residuals at a robust dispersion, leverage at the fitted one."""
    floored = np.maximum(mu, floor)
    w = 1.0 / (1.0 / floored + alpha)
    hat = w * np.einsum("ja,ab,jb->j", X, np.linalg.inv(information(X, floored, alpha) + ridge * np.eye(X.shape[1])), X)
    return np.asarray((y - mu) ** 2 / (mu + robust_alpha * mu**2) / X.shape[1] * hat / (1.0 - hat) ** 2)


def robust_dispersion(q: Array, cell: NDArray[np.intp]) -> float:
    """Moment dispersion from trimmed variances of normalised counts q, the largest over cells of three or more."""

    def trimmed(values: Array, share: float) -> float:
        cut = int(np.floor(values.size * share))
        return float(np.sort(values)[cut : values.size - cut].mean())

    def variance(values: Array) -> float:
        n = values.size
        share, scale = (1 / 3, 2.04) if n <= 3 else (1 / 4, 1.86) if n <= 23 else (1 / 8, 1.51)
        return scale * trimmed((values - trimmed(values, share)) ** 2, share)

    cells = [q[cell == c] for c in np.unique(cell)]
    large = [variance(values) for values in cells if values.size >= 3]
    v = max(large) if large else 1.51 * trimmed((q - trimmed(q, 1 / 8)) ** 2, 1 / 8)
    return max((v - float(q.mean())) / float(q.mean()) ** 2, 0.04)
