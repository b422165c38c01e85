"""Which genes have enough reads: edgeR's rule as an independent definition.

Chen, Lun, Smyth (2016) "From reads to genes to pathways: differential expression analysis of RNA-Seq experiments using
Rsubread and the edgeR quasi-likelihood pipeline", and the help page of edgeR's filterByExpr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MIN_COUNT = 10.0  # reads in a sample of median library size
MIN_TOTAL = 15.0  # reads in all samples
LARGE_N = 10.0  # samples of the smallest group beyond which ...
MIN_PROP = 0.7  # ... this share of the further ones counts
TOLERANCE = 1e-14


def filter_by_expr(counts: Array, design: Array) -> Mask:
    """Genes (n_genes,) that edgeR's filterByExpr, as it stands, keeps of counts (n_genes, n_samples).

    At least 10 reads per median library in as many samples as the smallest group has, whichever samples these are. The
    smallest group is one over the largest leverage of the design (n_samples, n_coefficients).
    """
    library = counts.sum(axis=0)
    cutoff = MIN_COUNT / np.median(library) * 1e6
    enough = (counts * (1e6 / library) >= cutoff).sum(axis=1)  # in edgeR's order: ten reads of the median library tie
    needed = smallest_group(design)
    if needed > LARGE_N:
        needed = LARGE_N + (needed - LARGE_N) * MIN_PROP
    return np.asarray((enough >= needed - TOLERANCE) & (counts.sum(axis=1) >= MIN_TOTAL - TOLERANCE))


def smallest_group(design: Array) -> float:
    """One over the largest leverage of a design with intercept: the smallest group's size, where there are groups."""
    with_intercept = np.c_[np.ones(len(design)), design]
    basis, singular, _ = np.linalg.svd(with_intercept, full_matrices=False)
    basis = basis[:, singular > singular[0] * 1e-10]
    return float(1 / (basis**2).sum(axis=1).max())
