"""What the mean of many draws from one study is expected to be, from simulated studies with a few draws of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

from dediag.stats.error_model import UNKNOWN, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FEWEST_DF = 3.0  # of a difference of two variances; below it Student's t says less than the difference itself


def ratio_terms(top: Array, bottom: Array) -> Array:
    """Values whose means are ratios of sums to first order: R + (top - R bottom) / mean(bottom), any shape.

    The mean over any of them is near sum(top) / sum(bottom) of these, as long as no bottom is far from the mean.
    """
    ratio = top.sum() / bottom.sum()
    return np.asarray(ratio + (top - ratio * bottom) / bottom.mean())


def expected_mean(values: Array, draws: int, level: float) -> Estimate:
    """Expected mean of `draws` draws from one study, with the interval that holds it with probability `level`.

    values: (n_studies, n_draws) of simulated studies. Draws of one study share its samples: their mean varies by
    between^2 + within^2 / draws, where between^2 is the variance of the studies' means less within^2 / n_draws. One
    draw each leaves both in one, which makes the interval too wide. Student's t has Satterthwaite's degrees of freedom
    of that difference. NaN with fewer than two studies.
    """
    n, k = values.shape
    if n < 2:
        return UNKNOWN
    means = values.mean(axis=1)
    spread = float(means.var(ddof=1))
    within = float(values.var(axis=1, ddof=1).mean()) if k > 1 else 0.0
    taken_off = within * (1.0 / k - 1.0 / draws)
    variance = max(spread - taken_off, within / draws)
    error = spread**2 / (n - 1) + (taken_off**2 / (n * (k - 1)) if k > 1 else 0.0)  # half the variance of `variance`
    df = max(variance**2 / error, FEWEST_DF) if error > 0.0 else math.inf
    reach = float(t.isf((1.0 - level) / 2.0, df)) * math.sqrt(variance + spread / n)
    centre = float(means.mean())
    return Estimate(centre, centre - reach, centre + reach)
