"""Counts without their largest values: each gene's normalised counts are cut at a quantile.

Yang, Zhang, Chen (2024) "Winsorization greatly reduces false positives by popular differential expression methods when
analyzing human population samples": single extreme counts make false calls, which winsorising at the 95th
percentile takes away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def winsorised(counts: Array, normalisation: Array, samples: NDArray[np.bool_], quantile: float) -> Array:
    """Whole counts (n_genes, n_samples) none of which exceeds the gene's quantile of normalised counts.

    normalisation: (1 or n_genes, n_samples). samples: (n_samples,) those that the quantile is taken over; others stay.
    """
    normalised = counts / normalisation
    cap = np.quantile(normalised[:, samples], quantile, axis=1)[:, None]
    return np.where(samples & (normalised > cap), np.rint(cap * normalisation), counts)
