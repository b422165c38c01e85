"""One p-value from several that depend on each other in an unknown way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def twice_median(pvalues: NDArray[np.floating]) -> Array:
    """Twice the median over refits, at most 1: (n_refits, n_genes) -> (n_genes,); NaN for a gene without any p-value.

    Valid whatever the dependence, if each p-value is valid: P(p <= t) <= t (Rueger 1978; Rueschendorf 1982; Vovk and
    Wang 2020, section 3). A refit without a p-value for the gene counts as p = 1. Products of p-values, as Fisher's
    method takes them, need independence.
    """
    seen = np.isfinite(pvalues)
    middle = np.median(np.where(seen, pvalues, 1.0).astype(np.float64), axis=0)
    return np.where(seen.any(axis=0), np.minimum(2.0 * middle, 1.0), np.nan)
