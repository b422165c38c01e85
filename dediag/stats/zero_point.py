"""Where the zero of a list of fold changes lies: mode, difference between groups, the shift that balances calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.error_model import UNKNOWN, Estimate
from dediag.stats.two_samples import welch_interval
from dediag.stats.zfpkm import kernel_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.99  # of the interval of a difference between groups
WIDEST = 2.0  # log2: no list is balanced by more
STEPS = 30  # of the bisection


def mode(values: Array) -> float:
    """Where the density of the values (n,) is highest, without the tails, which would widen its kernels.

    NaN below 10 values.
    """
    known = values[np.isfinite(values)]
    if known.size < 10:
        return float("nan")
    low, high = np.quantile(known, [0.25, 0.75])
    if high == low:
        return float(low)
    grid, density = kernel_density(known[np.abs(known - (low + high) / 2.0) <= 2.5 * (high - low)])
    return float(grid[int(np.argmax(density))])


def group_difference(first: Array, second: Array) -> Estimate:
    """Mean of the first samples (n1,) less that of the second (n2,), with Welch's interval; samples are the unit."""
    if min(first.size, second.size) < 2:
        return UNKNOWN
    return Estimate(*welch_interval(first, second, LEVEL))


def nearest(estimate: Estimate) -> float:
    """The end of the interval that is nearer to zero, with its sign; 0 where the interval holds zero or is unknown."""
    if not estimate.known or estimate.low <= 0.0 <= estimate.high:
        return 0.0
    return estimate.low if estimate.low > 0.0 else estimate.high


def balancing_shift(lfc: Array, se: Array, alpha: float) -> float | None:
    """The constant that, added to all fold changes, makes as many calls up as down; None where none below 2 log2 does.

    lfc, se: (n_genes,) log2, of the genes that are tested; calls: adjusted two-sided p below alpha.
    """

    def lean(shift: float) -> int:
        moved = lfc + shift
        called = benjamini_hochberg(2.0 * norm.sf(np.abs(moved) / se)) < alpha
        return int((called & (moved > 0)).sum()) - int((called & (moved < 0)).sum())

    if not lfc.size:
        return None
    start = lean(0.0)
    if start == 0:
        moved = benjamini_hochberg(2.0 * norm.sf(np.abs(lfc) / se)) < alpha
        return 0.0 if moved.any() else None
    side = -1.0 if start > 0 else 1.0
    inner, outer = 0.0, 0.02
    while lean(side * outer) * start > 0:  # the number of calls up less those down rises with the shift
        if outer == WIDEST:
            return None
        inner, outer = outer, min(2.0 * outer, WIDEST)
    for _ in range(STEPS):
        middle = (inner + outer) / 2.0
        if lean(side * middle) * start > 0:
            inner = middle
        else:
            outer = middle
    return side * outer
