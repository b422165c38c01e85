"""Overlap of lists of calls: Jaccard indices of all pairs, their variance, and what z-values alone predict of them.

A list is a row of booleans; items may be genes, or genes with a direction. Two empty lists have no Jaccard index (0/0)
and are left out of means; an empty list and one with items have 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

FEWEST_FOR_VARIANCE = 4  # lists, below which effects of lists and of pairs cannot be told apart
CUT_OFFS = (0.5, 8.0)  # |z| between which the cut-off is looked for; lists that begin beyond it are empty


def jaccard_between(first: Mask, second: Mask) -> Array:
    """Jaccard index of every list of the one with every list of the other: (n_first, n_second); NaN for two empty ones.

    first, second: (n_lists, n_items).
    """
    a, b = first.astype(np.float32), second.astype(np.float32)  # counts up to 2^24 are exact
    both = (a @ b.T).astype(np.float64)
    either = first.sum(axis=1)[:, None] + second.sum(axis=1)[None, :] - both
    return np.asarray(np.divide(both, either, out=np.full(both.shape, np.nan), where=either > 0.0))


def pairwise_jaccard(lists: Mask) -> Array:
    """Jaccard index of every pair of lists (n_lists, n_items), in the order of np.triu_indices: (n_pairs,)."""
    return np.asarray(jaccard_between(lists, lists)[np.triu_indices(len(lists), 1)])


def mean_defined(values: Array) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True)
class DrawVariance:
    """Variance of a Jaccard index within a study: of each list's own part, and of each pair's."""

    own: float  # of a_i in J_ij = m + a_i + a_j + e_ij
    pair: float  # of e_ij

    @classmethod
    def of(cls, indices: Array) -> DrawVariance:
        """From the pairwise indices of several studies with equally many lists: (n_studies, n_pairs), NaN left out.

        Moments of the additive model (a half diallel; Griffing 1956). Below four lists nothing can be told: zeros.
        """
        known = indices[np.isfinite(indices).all(axis=1)]
        n = round((1.0 + np.sqrt(1.0 + 8.0 * indices.shape[1])) / 2.0)
        if n < FEWEST_FOR_VARIANCE or not len(known):
            return cls(0.0, 0.0)
        first, second = np.triu_indices(n, 1)
        centred = known - known.mean(axis=1, keepdims=True)
        member = np.zeros((indices.shape[1], n))
        member[np.arange(first.size), first] = member[np.arange(first.size), second] = 1.0
        part = centred @ member / (n - 2)  # (n_studies, n) estimates of a_i, which sum to zero
        rest = centred - part[:, first] - part[:, second]
        pair = float((rest**2).sum(axis=1).mean() / (first.size - n))
        own = float((part**2).sum(axis=1).mean() / (n - 1)) - pair / (n - 2)
        return cls(max(own, 0.0), pair)

    def of_mean(self, n: int) -> float:
        """Variance of the mean over all pairs of n lists of one study; 0 below two, which have no pair."""
        if n < 2:
            return 0.0
        return 4.0 * self.own / n + 2.0 * self.pair / (n * (n - 1))


def predicted(z: Array, information: float, alpha: float) -> tuple[float, float]:
    """Jaccard index of two draws of samples and length of their lists, as far as the z-values of all samples say.

    z: (n_genes,), NaN left out; information: of a draw over that of all samples, below 1; alpha: false discovery rate.
    Given all samples, the z of a draw is N(z sqrt(r), 1 - r) at r = information, independently in each draw (a part of
    the samples varies about the whole as their difference in information says). Lists are cut where the expected
    false discoveries among them are alpha. Genes with a direction are the items. No call: NaN, 0.
    """
    known = z[np.isfinite(z)]
    spread = np.sqrt(1.0 - information)

    def chances(cut_off: float) -> tuple[Array, Array]:
        centre = known * np.sqrt(information)
        return ndtr((centre - cut_off) / spread), ndtr((-centre - cut_off) / spread)

    low, high = CUT_OFFS
    for _ in range(40):
        middle = (low + high) / 2.0
        called = sum(part.sum() for part in chances(middle))
        low, high = (middle, high) if 2.0 * ndtr(-middle) * known.size > alpha * called else (low, middle)
    up, down = chances(high)
    length, both = float((up + down).sum()), float((up**2 + down**2).sum())
    return (both / (2.0 * length - both) if length > 0.0 else float("nan")), length
