"""Calls by expression: where along base mean they lie and which way they point."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

STRATUM_EDGES = (10.0, 50.0, 500.0)  # base means between the report's expression strata


@dataclass(frozen=True)
class Stratum:
    """One line of the table by expression: genes with low <= base mean < high (None: no upper edge)."""

    low: float
    high: float | None
    n_genes: int
    n_de: int
    up_share: float | None  # of the calls; None without calls
    median_lfc: float | None  # log2, of all genes of the stratum


def by_expression(base_mean: Array, lfc: Array, called: NDArray[np.bool_]) -> tuple[Stratum, ...]:
    """The strata of genes with counts: base_mean, lfc (log2), called are (n_genes,)."""
    return tuple(_stratum(base_mean, lfc, called, low, high) for low, high in pairwise((0.0, *STRATUM_EDGES, np.inf)))


def _stratum(base_mean: Array, lfc: Array, called: NDArray[np.bool_], low: float, high: float) -> Stratum:
    inside = (base_mean >= low) & (base_mean < high) & (base_mean > 0)
    here = inside & called
    return Stratum(
        low=low,
        high=high if np.isfinite(high) else None,
        n_genes=int(inside.sum()),
        n_de=int(here.sum()),
        up_share=float((lfc[here] > 0).mean()) if here.any() else None,
        median_lfc=float(np.nanmedian(lfc[inside])) if inside.any() else None,
    )
