"""How many of the calls have no effect, given p-values of genes without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LARGE = 0.5  # p-values above which few genes with an effect lie


def false_discovery_proportion(p: ArrayLike, null: ArrayLike, called: NDArray[np.bool_]) -> float | None:
    """Expected share of called genes without effect, at most 1; None without calls or without null p-values.

    p, called: (n_genes,); null: (n_replicates, n_genes) p-values of the same genes where none has an effect. The null
    p-values need not be uniform: Storey, Tibshirani (2003), section "estimating FDRs", with the null's own distribution
    in place of the uniform one.
    """
    own, without = np.asarray(p, np.float64), np.asarray(null, np.float64)
    if not called.any() or not without.size or not np.isfinite(without).any():
        return None
    replicates = len(without)
    large = np.count_nonzero(without > LARGE) / replicates
    share = min(1.0, np.count_nonzero(own > LARGE) / large) if large else 1.0
    false = np.count_nonzero(without <= np.nanmax(own[called])) / replicates
    return float(min(1.0, share * false / np.count_nonzero(called)))
