"""Genes in blocks: a kernel's results do not depend on which genes it is called with, so large data takes turns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from dediag.cohort import blocks, frozen, gene_blocks, let_go

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dediag.model.coefficients import Data

Arrays = TypeVar("Arrays", bound=tuple[Any, ...])


def in_blocks(data: Data, step: Callable[[Data, slice], Arrays]) -> Arrays:
    """The arrays that step(genes, their slice of all fitted genes) gives for one block after the other, joined.

    Ordinary data is one block. Between blocks, pages of counts that lie in a file are let go.
    """
    parts: list[Arrays] = []
    turns = blocks(data.rows.size, data.n_samples)
    for block in turns:
        part = data if len(turns) == 1 else replace(data, rows=frozen(data.rows[block], np.int64))
        parts.append(step(part, block))
        let_go(data.counts)
    if len(parts) == 1:
        return parts[0]
    return cast("Arrays", tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def seen(counts: NDArray[np.float64], samples: NDArray[np.bool_] | bool = True) -> NDArray[np.bool_]:
    """Which genes have a count in any of these samples (n_samples,): (n_genes,)."""
    found = np.empty(counts.shape[0], np.bool_)
    for block in gene_blocks(counts):
        found[block] = counts[block].max(axis=1, where=samples, initial=0.0) > 0.0
    return found
