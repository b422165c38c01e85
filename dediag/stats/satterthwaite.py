"""Degrees of freedom of a variance that is a sum of separately estimated parts, and the t-test that uses them.

Satterthwaite (1946) "An approximate distribution of estimates of variance components"; the degrees of freedom that a
prior adds to a shrunken variance: Smyth (2004), section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.moderated_t import trigamma_inverse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def satterthwaite_df(parts: Sequence[ArrayLike], df: Sequence[ArrayLike]) -> Array:
    """Degrees of freedom of a sum of variances, (sum V)^2 / sum(V^2 / df).

    parts, df: the variances V and their degrees of freedom; all broadcast. NaN where the sum is 0 or not finite.
    """
    values = [np.asarray(part, np.float64) for part in parts]
    total = np.asarray(sum(values))
    spread = np.asarray(sum(value**2 / np.asarray(d, np.float64) for value, d in zip(values, df, strict=True)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0.0, total**2 / spread, np.nan))


def prior_df(log_variance: float) -> float:
    """Degrees of freedom d0 that a prior of this variance on a log dispersion is worth: trigamma(d0 / 2) = variance."""
    return 2.0 * trigamma_inverse(log_variance)
