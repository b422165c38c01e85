"""How far samples lie from one another, and from the rest of their group in units of counting noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]


def distances(values: Array) -> Array:
    """Root mean square difference over genes between samples of values (n_genes, n_samples): (n_samples, n_samples)."""
    centred = values - values.mean(axis=1, keepdims=True)
    product = centred.T @ centred / len(values)
    size = np.diag(product)
    square = np.maximum(size[:, None] + size[None] - 2.0 * product, 0.0)
    np.fill_diagonal(square, 0.0)
    return np.asarray(np.sqrt(square))


def correlations(values: Array) -> Array:
    """Pearson correlation over genes between samples of values (n_genes, n_samples): (n_samples, n_samples)."""
    centred = values - values.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(size > 0.0, size, 1.0)
    return np.asarray(scaled.T @ scaled)


def to_groups(between: Array, group: Index) -> tuple[Array, Array]:
    """Median of each sample's values to the others of its own group, and to the other group: (n_samples,) each.

    between (n_samples, n_samples); group (n_samples,) 0 or 1, negative: neither. NaN where there are no others.
    """
    own, other = np.full(group.size, np.nan), np.full(group.size, np.nan)
    for j in np.flatnonzero(group >= 0):
        fellows = (group == group[j]) & (np.arange(group.size) != j)
        for into, members in ((own, fellows), (other, group == 1 - group[j])):
            if members.any():
                into[j] = np.median(between[j, members])
    return own, other


def sere(counts: Array, size_factors: Array, group: Index) -> Array:
    """Simple error ratio estimate of each sample against the sum of the rest of its group: (n_samples,).

    counts (n_genes, n_samples), size_factors (n_samples,), group (n_samples,), negative: none. Schulze et al. (2012),
    BMC Genomics 13:524, eq. 2, expected counts by size factors instead of totals: 1 is counting noise alone, larger is
    more variation, 0 is a copy. NaN for a sample without others.
    """
    found = np.full(group.size, np.nan)
    for k in np.unique(group[group >= 0]):
        members = np.flatnonzero(group == k)
        total, depth = counts[:, members].sum(axis=1), size_factors[members].sum()
        seen = total > 0.0
        if members.size < 2 or not seen.any():
            continue
        share = size_factors[members] / depth
        off = counts[np.ix_(seen, members)] - total[seen, None] * share
        square = off**2 / (total[seen, None] * share * (1.0 - share))  # both samples of the pair together
        found[members] = np.sqrt(square.mean(axis=0))
    return found
