"""The limit of detection of ratios: the mean count above which spike-ins of one known ratio are found (Munro 2014)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SPAN = 0.7  # share of the spike-ins in each local fit: the default of locfit, which erccdashboard uses
FEWEST = 6  # spike-ins of a ratio, as in erccdashboard
CONFIDENCE = 0.9  # one-sided
POINTS = 400  # of the curve


@dataclass(frozen=True)
class RatioLimit:
    """The curve of log10 p against log10 mean of the spike-ins of one ratio, and where it comes below the cut-off."""

    log10_mean: Array  # (POINTS,)
    fitted: Array  # (POINTS,) log10 p
    upper: Array  # (POINTS,) one-sided prediction bound
    mean: float | None  # where the bound crosses; None: nowhere, or already below at the lowest mean
    always: bool  # whether the bound lies below the cut-off at every mean


def ratio_limit(mean: Array, log10_p: Array, cutoff: float) -> RatioLimit | None:
    """The limit of the spike-ins (n,) of one ratio; None where they are too few for a curve.

    The bound is one for a new spike-in, so that with 90 % probability one above the limit has p below the cut-off. The
    limit is the first mean at which the bound crosses, as in erccdashboard.
    """
    if len(mean) < FEWEST or np.ptp(mean) == 0.0:
        return None
    x = np.log10(mean)
    at = np.linspace(x.min(), x.max(), POINTS)
    operator = _local_quadratic(x, at)
    hat = _local_quadratic(x, x)
    rest = len(x) - 2.0 * np.trace(hat) + float((hat**2).sum())  # residual degrees of freedom
    if rest < 1.0:
        return None
    variance = float(((log10_p - hat @ log10_p) ** 2).sum()) / rest
    fitted = operator @ log10_p
    upper = fitted + norm.ppf(CONFIDENCE) * np.sqrt(variance * (1.0 + (operator**2).sum(axis=1)))
    below = upper < math.log10(cutoff)
    crossed = not below[0] and bool(below.any())
    limit = float(10.0 ** at[int(below.argmax())]) if crossed else None
    return RatioLimit(at, fitted, upper, limit, bool(below.all()))


def _local_quadratic(x: Array, at: Array) -> Array:
    """Weights (n_at, n) of the points in local parabolas at `at`, tricube over the nearest SPAN of them."""
    size = max(4, min(len(x), math.floor(SPAN * len(x))))
    away = np.abs(at[:, None] - x)
    reach = np.maximum(np.sort(away, axis=1)[:, size - 1 : size], 1e-9)
    weight = np.clip(1.0 - (away / reach) ** 3, 0.0, 1.0) ** 3
    operator = np.empty_like(away)
    for row, (centre, w) in enumerate(zip(at, weight, strict=True)):
        basis = np.vander(x - centre, 3, increasing=True) * np.sqrt(w)[:, None]
        operator[row] = np.linalg.pinv(basis)[0] * np.sqrt(w)
    return operator
