"""A rate over simulated cohorts, with the cohort as the unit of error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

from dediag.stats.error_model import UNKNOWN, Estimate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def cohort_rate(hits: ArrayLike, of: ArrayLike, level: float = 0.95) -> Estimate:
    """Sum of hits over sum of `of`, (n_cohorts,) each, with its confidence interval; NaN where nothing can be said.

    The standard error is the ratio estimator's (Cochran 1977, section 6.4): genes of a cohort share its size factors
    and its dispersion trend, so cohorts count, not genes. Hits and `of` of the same cohort may go together.
    """
    top, bottom = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    if not bottom.sum() > 0.0:
        return UNKNOWN
    rate, n = float(top.sum() / bottom.sum()), top.size
    if n < 2:
        return Estimate(rate, math.nan, math.nan)
    se = float((top - rate * bottom).std(ddof=1)) / (math.sqrt(n) * float(bottom.mean()))
    half = float(t.isf((1.0 - level) / 2.0, n - 1)) * se
    return Estimate(rate, max(rate - half, 0.0), rate + half)
