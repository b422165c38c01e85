"""What a histogram of p-values looks like, in words and numbers, and the share of genes without effect behind it.

Classes after Breheny, Stromberg, Lambert (2018) "p-value histograms: inference and diagnostics" and Päll et al. (2023)
"Field-wide assessment of differential expression profiling by high-throughput sequencing reveals widespread bias",
whose limits are binomial; here a deviation must also be large, since genes that go together make any histogram uneven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

ShapeName = Literal["uniform", "anti_conservative", "conservative", "u_shaped", "spike_at_one", "other"]

BINS = 20
LEFT, LOW, MIDDLE, RIGHT = slice(0, 2), slice(2, 6), slice(6, 14), slice(16, 20)  # p to .1; to .3; .3 to .7; from .8
EDGES = np.linspace(0.0, 1.0, BINS + 1)
SURE = 3.0  # standard errors of a binomial count: of 4,000 uniform histograms at most 14 look otherwise
LARGE = 0.2  # share by which a part of the histogram rises above, or falls below, its middle
SPIKE = 0.5  # by which the last bin does
LAMBDAS = np.arange(0.05, 0.96, 0.05)


@dataclass(frozen=True)
class Shape:
    """The histogram of p-values and how its parts stand to its middle (p from .3 to .7)."""

    counts: NDArray[np.int64]  # (BINS,)
    left_excess: float  # mean of p to .1 over that of the middle, less 1
    right_excess: float  # the same of p from .8 (without the last bin where that is a spike)
    right_errors: float  # that in binomial standard errors
    name: ShapeName

    @property
    def level(self) -> float:
        """Genes per bin in the middle."""
        return float(self.counts[MIDDLE].mean())


def shape(p: ArrayLike) -> Shape:
    """The shape of the finite p-values (n_genes,)."""
    values = np.asarray(p, np.float64)
    counts = np.histogram(values[np.isfinite(values)], EDGES)[0]
    spike = _excess(counts[-1:], counts[15:19])
    spiked = spike[0] >= SPIKE and spike[1] >= SURE
    right = _excess(counts[16:19] if spiked else counts[RIGHT], counts[MIDDLE])
    left, low = _excess(counts[LEFT], counts[MIDDLE]), _excess(counts[LOW], counts[MIDDLE])
    rises = right[0] >= LARGE and right[1] >= SURE
    many, few = left[1] >= SURE, _falls(left)
    name: ShapeName = "uniform"
    if _falls(low) and _falls(right):
        name = "other"  # a hump in the middle
    elif rises and many:
        name = "u_shaped"
    elif rises or few:
        name = "conservative"
    elif spiked:
        name = "spike_at_one"
    elif many:
        name = "anti_conservative"
    return Shape(counts, left[0], right[0], right[1], name)


def _falls(excess: tuple[float, float]) -> bool:
    return excess[0] <= -LARGE and excess[1] <= -SURE


def _excess(part: NDArray[np.int64], rest: NDArray[np.int64]) -> tuple[float, float]:
    """How far the mean of some bins lies above that of others: as a share of it, and in standard errors."""
    n, m = int(part.sum()), int(rest.sum())
    share = part.size / (part.size + rest.size)
    above = (n / part.size) / (m / rest.size) - 1.0 if m else math.inf if n else 0.0
    spread = math.sqrt((n + m) * share * (1.0 - share))
    return above, (n - (n + m) * share) / spread if spread else 0.0


def storey_pi0(p: ArrayLike) -> float:
    """Share of true null hypotheses among p-values (n_genes,), at most 1; NaN without any.

    Storey, Taylor, Siegmund (2004), section 7, with the bootstrap's expectation in closed form: among lambdas from .05
    to .95 the one whose estimate has the smallest mean squared error about the lowest decile of all estimates.
    """
    values = np.asarray(p, np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return math.nan
    above = (values[:, None] >= LAMBDAS).sum(axis=0)
    estimates = above / (values.size * (1.0 - LAMBDAS))
    floor = np.quantile(estimates, 0.1)
    variance = above / (values.size**2 * (1.0 - LAMBDAS) ** 2) * (1.0 - above / values.size)
    return min(1.0, float(estimates[np.argmin(variance + (estimates - floor) ** 2)]))
