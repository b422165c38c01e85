"""Independent filtering: drop the genes with a low base mean where that finds more (DESeq2's `results`).

Sources: Bourgon, Gentleman and Huber 2010 (why the base mean may be used); Love, Huber and Anders 2014 (how the
threshold is chosen).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.adjust import benjamini_hochberg_sorted
from dediag.stats.lowess import lowess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

STEPS = 50  # thresholds tried
HIGHEST_SHARE = 0.95  # the highest quantile tried, unless that many genes have no counts at all
SMOOTHING_SPAN = 0.2
FEWEST_REJECTIONS = 10  # with no more than this, nothing is filtered


@dataclass(frozen=True)
class Filtered:
    """Adjusted p-values with the threshold on the base mean that was chosen, and what was tried."""

    padj: Array  # (n_genes,) NaN: not tested or below the threshold
    threshold: float  # base mean
    theta: float  # the share of genes below the threshold
    thetas: Array  # (STEPS,) shares tried
    rejections: NDArray[np.int64]  # (STEPS,) genes with padj below alpha at each
    smoothed: Array  # (STEPS,) the curve through them


def independent_filtering(base_mean: Array, pvalue: Array, alpha: float = 0.1) -> Filtered:
    """Choose the base mean below which genes are dropped, and adjust the p-values of the others.

    base_mean, pvalue: (n_genes,); all-zero genes have base mean 0 or NaN, untested genes p NaN. alpha: the false
    discovery rate whose number of rejections is to be large.
    """
    base_mean = np.nan_to_num(base_mean, nan=0.0)
    thetas = _shares(base_mean)
    cutoffs = _quantiles(np.sort(base_mean), thetas)
    order = np.flatnonzero(~np.isnan(pvalue))
    order = order[np.argsort(pvalue[order])]
    tested_mean, tested_p = base_mean[order], pvalue[order]
    rejections = _rejections(tested_mean, tested_p, cutoffs, alpha)
    smoothed = lowess(thetas, rejections.astype(float), span=SMOOTHING_SPAN)
    step = _first_good(rejections, smoothed)
    padj = np.full(len(pvalue), np.nan)
    kept = tested_mean >= cutoffs[step]
    padj[order[kept]] = benjamini_hochberg_sorted(tested_p[kept])
    return Filtered(padj, float(cutoffs[step]), float(thetas[step]), thetas, rejections, smoothed)


def _shares(base_mean: Array) -> Array:
    """Quantiles to try: from the share of genes without counts up."""
    lowest = float((base_mean == 0).mean())
    highest = HIGHEST_SHARE if lowest < HIGHEST_SHARE else 1.0
    shares = lowest + np.arange(STEPS) * ((highest - lowest) / (STEPS - 1))
    shares[-1] = highest
    return np.asarray(shares, dtype=np.float64)


def _quantiles(ordered: Array, shares: Array) -> Array:
    """Quantiles with R's rounding: a gene that lies exactly on a threshold must fall on the same side of it."""
    position = (len(ordered) - 1) * shares
    low = np.floor(position).astype(np.intp)
    high = np.ceil(position).astype(np.intp)
    part = (1 + position) - (1 + low)  # R counts from one
    between = (1 - part) * ordered[low] + part * ordered[high]
    return np.asarray(np.where(ordered[low] == ordered[high], ordered[low], between))


def _rejections(base_mean: Array, pvalue: Array, cutoffs: Array, alpha: float) -> NDArray[np.int64]:
    """Benjamini-Hochberg rejections among the tests at or above each cutoff; base_mean, pvalue in the order of p."""
    n_tests = len(base_mean) - np.searchsorted(np.sort(base_mean), cutoffs, "left")
    small = pvalue < alpha  # no other can be rejected
    base_mean, pvalue = base_mean[small], pvalue[small]
    rejections = np.zeros(len(cutoffs), dtype=np.int64)
    for step, (cutoff, n) in enumerate(zip(cutoffs, n_tests, strict=True)):
        kept = pvalue[base_mean >= cutoff]
        below = np.flatnonzero(n / np.arange(1, len(kept) + 1) * kept < alpha)
        rejections[step] = below[-1] + 1 if len(below) else 0
    return rejections


def _first_good(rejections: NDArray[np.int64], smoothed: Array) -> int:
    """The first step whose rejections come within the scatter of the smoothed maximum."""
    if rejections.max() <= FEWEST_REJECTIONS:
        return 0
    some = rejections > 0
    scatter = float(np.sqrt(np.mean((rejections[some] - smoothed[some]) ** 2)))
    peak = float(smoothed.max())
    for bar in (peak - scatter, 0.9 * peak, 0.8 * peak):
        if (rejections > bar).any():
            return int(np.argmax(rejections > bar))
    return 0
