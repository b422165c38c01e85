"""Two normal components in the logarithms of counts: which genes are silent, which are expressed.

Hebenstreit, Fang, Gu, Charoensawan, van Oudenaarden, Teichmann (2011) "RNA sequencing reveals two major classes of gene
expression levels in metazoan cells". The counts are spread over the interval that each stands for, so that the comb of
log 1, log 2, log 3 is not taken for components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BINS_PER_UNIT = 10  # of log2
NARROWEST = 1e-4  # log2: no interval is narrower, so that sums of slopes keep their digits
FIRST_STEPS = 40  # from each start; the best goes on
STEPS = 500
TOLERANCE = 1e-7  # change of the mean log-likelihood
SMALLEST_SD = 0.3  # log2: narrower than the steps between small counts
SEPARATION = 2.0  # Ashman's D: two normal components are clearly apart above it (Ashman, Bird, Zepf 1994)
VALLEY = 0.9  # of the lower peak: the density between two classes falls at least below this
SILENT_EDGE = 1.645  # standard deviations: the 95 % quantile of the lower class
SMALLEST_SHARE = 0.05  # of the genes seen, for either component


@dataclass(frozen=True)
class Histogram:
    """Shares of the genes with a count, by log2 of the count."""

    centre: Array  # (n_bins,) log2
    share: Array  # (n_bins,), sums to one
    n: int  # genes with a count


@dataclass(frozen=True)
class TwoNormals:
    """Mixture of two normal distributions, the lower first."""

    weight: Array  # (2,)
    mean: Array  # (2,)
    sd: Array  # (2,)
    n: int

    @property
    def separation(self) -> float:
        """Ashman's D: distance of the means over the root mean square SD."""
        return float((self.mean[1] - self.mean[0]) / np.sqrt((self.sd**2).mean()))

    @property
    def valley(self) -> float:
        """Lowest density between the means over the lower of the densities at them; 1: the density never falls."""
        density = self.density(np.linspace(self.mean[0], self.mean[1], 200)).sum(axis=0)
        return float(density.min() / min(density[0], density[-1]))

    @property
    def clear(self) -> bool:
        """Whether there are two classes of genes: apart, with a valley, and neither tiny."""
        return self.separation > SEPARATION and bool(self.weight.min() > SMALLEST_SHARE) and self.valley < VALLEY

    @property
    def silent_edge(self) -> float:
        """What only one in twenty of the lower class exceeds."""
        return float(self.mean[0] + SILENT_EDGE * self.sd[0])

    def density(self, x: Array) -> Array:
        """Density of each component at x: (2, n)."""
        z = (x - self.mean[:, None]) / self.sd[:, None]
        return np.asarray(self.weight[:, None] * np.exp(-(z**2) / 2) / (self.sd[:, None] * np.sqrt(2 * np.pi)))


def log_histogram(counts: Array, scale: float | Array = 1.0) -> Histogram:
    """Histogram of log2(scale x count) without zeros; a count k is spread over log2(k - 1/2) to log2(k + 1/2).

    counts (n_genes,); scale: the expression that one read stands for, of all genes or of each (n_genes,).
    """
    seen = counts > 0
    if not seen.any():
        raise ValueError("no counts")
    value = counts[seen]
    shift = np.log2(np.broadcast_to(scale, counts.shape)[seen])
    low, high = np.log2(value - 0.5), np.log2(value + 0.5)
    middle, half = (low + high) / 2 + shift, np.maximum((high - low) / 2, NARROWEST / 2)
    first = float(shift.min()) - 1  # log2 of half a read
    n_bins = int(np.ceil((float((high + shift).max()) + 1 - (first + 1)) * BINS_PER_UNIT))
    edges = first + np.arange(n_bins + 1) / BINS_PER_UNIT
    # genes below each edge: each rises as a line from one end of its interval to the other
    filled = _risen(edges, middle - half, half) - _risen(edges, middle + half, half)
    share = np.maximum(np.diff(filled), 0)
    return Histogram((edges[1:] + edges[:-1]) / 2, share / share.sum(), len(value))


def _risen(edges: Array, start: Array, half: Array) -> Array:
    """Sum over genes of (edge - start) / width for the starts (n,) below each edge."""
    order = np.argsort(start)
    slope = 1 / (2 * half[order])
    origin = edges[0]
    slopes = np.r_[0, np.cumsum(slope)]
    starts = np.r_[0, np.cumsum((start[order] - origin) * slope)]
    n = np.searchsorted(start[order], edges)
    return np.asarray(slopes[n] * (edges - origin) - starts[n])


def two_normals(histogram: Histogram) -> TwoNormals:
    """The most likely mixture of two normal distributions, by expectation-maximisation from four starts."""
    x, share = histogram.centre, histogram.share
    cumulative = np.cumsum(share)
    tried = []
    for cut in (0.15, 0.3, 0.5, 0.7):
        lower = np.arange(len(x)) <= int(np.searchsorted(cumulative, cut))
        part = np.array([np.where(lower, share, 0), np.where(lower, 0, share)])  # (2, n_bins)
        if part.sum(axis=1).min() > 0:
            tried.append(_climb(x, share, _maximised(x, part, histogram.n), FIRST_STEPS))
    if not tried:
        raise ValueError("all counts are alike")
    fitted, _ = _climb(x, share, max(tried, key=lambda found: found[1])[0], STEPS)
    order = np.argsort(fitted.mean)
    return TwoNormals(fitted.weight[order], fitted.mean[order], fitted.sd[order], histogram.n)


def _climb(x: Array, share: Array, start: TwoNormals, steps: int) -> tuple[TwoNormals, float]:
    current, before = start, -np.inf
    for _ in range(steps):
        density = np.maximum(current.density(x), 1e-300)
        total = density.sum(axis=0)
        likelihood = float(share @ np.log(total))
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
        current = _maximised(x, share * density / total, start.n)
    return current, before


def _maximised(x: Array, part: Array, n: int) -> TwoNormals:
    """The normals of these shares: part (2, n_bins)."""
    weight = part.sum(axis=1)
    mean = part @ x / weight
    sd = np.sqrt(np.maximum((part * (x - mean[:, None]) ** 2).sum(axis=1) / weight, SMALLEST_SD**2))
    return TwoNormals(weight, mean, sd, n)
