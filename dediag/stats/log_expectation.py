"""What the logarithm of a count averages to: E log2(Y + prior) for a negative binomial Y, exactly and quickly.

With G the probability generating function of Y, m = E(Y) + prior and z = e^-t,

    E ln(Y + prior) = ln m + integral over t > 0 of (e^(-m t) - e^(-prior t) G(z)) / t,
    G(z) = (1 + phi mu (1 - z))^(-1/phi)

(Frullani's integral of a logarithm, under the expectation). In u = ln t the integrand is analytic and dies off at both
ends, so that the trapezoid rule converges exponentially: no sum over counts, whatever the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

STEP = 0.35  # of the trapezoid rule in ln t: an error of about exp(-2 pi 1.2 / STEP), 4e-10
TAIL = 25.0  # e^-TAIL is nothing
LEFT = 1e-5  # m t at the lower end, where the integrand is about (m t)^2 (variance / m^2) / 2
BLOCK = 200_000  # values worked on at a time
SMALLEST_DISPERSION = 1e-8  # below it the Poisson limit is reached to about 1e-8


def mean_log2(mean: ArrayLike, dispersion: ArrayLike, prior: ArrayLike) -> Array:
    """E log2(Y + prior), Y negative binomial with variance mean + dispersion mean^2; arguments broadcast.

    mean >= 0, dispersion >= 0 (0: Poisson), prior > 0, all on the count scale; NaN where one of them is. Absolute
    error below 1e-8; a matrix of 12,000 x 100 takes about a second.
    """
    mu, phi, c = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (mean, dispersion, prior)))
    if np.any(c <= 0) or np.any(mu < 0) or np.any(phi < 0):
        raise ValueError("mean and dispersion must not be negative, prior must be positive")
    out = np.full(mu.shape, np.nan)
    known = np.isfinite(mu) & np.isfinite(phi) & np.isfinite(c)
    m, p, q = mu[known], np.maximum(phi[known], SMALLEST_DISPERSION), c[known]
    value = np.empty(len(m))
    for start in range(0, len(m), BLOCK):
        part = slice(start, start + BLOCK)
        value[part] = _quadrature(m[part], p[part], q[part])
    out[known] = value / np.log(2.0)
    return out


def _quadrature(mu: Array, phi: Array, c: Array) -> Array:
    """E ln(Y + c) for one block of values (n,)."""
    centre = mu + c
    low = float(np.log(LEFT / centre.max() / np.sqrt(1 + phi.max())))
    high = float(np.log(TAIL / c.min()))  # e^(-c t) ends the integrand, wherever G does
    total = np.zeros(len(mu))
    negative_size = -1.0 / phi
    scaled = phi * mu
    for t in np.exp(np.arange(low, high + STEP, STEP)):
        log_term = np.log1p(scaled * -np.expm1(-t))
        log_term *= negative_size
        log_term -= c * t
        total += np.exp(-centre * t)
        total -= np.exp(log_term)
    return np.asarray(np.log(centre) + STEP * total)
