"""Genes in blocks: a kernel's results do not depend on which genes it is called with, so large data takes turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from dediag.cohort import blocks, frozen, gene_blocks, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dediag.model.coefficients import Data

    Array = NDArray[np.float64]

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


def seen(counts: Array, samples: NDArray[np.bool_] | bool = True) -> NDArray[np.bool_]:
    """Which genes have a count in any of these samples (n_samples,): (n_genes,)."""
    found = np.empty(counts.shape[0], np.bool_)
    for block in gene_blocks(counts):
        found[block] = counts[block].max(axis=1, where=samples, initial=0.0) > 0.0
    return found


@dataclass(frozen=True)
class Part:
    """Some genes of a matrix; it is gone through in blocks, whether by genes or by samples."""

    counts: Array  # (n_genes of the cohort, n_samples)
    genes: NDArray[np.intp]  # (n_genes,) positions

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[1])

    @property
    def in_one_block(self) -> bool:
        """Whether its counts are one block."""
        return len(blocks(self.genes.size, self.n_samples)) == 1

    @property
    def mean_count(self) -> float:
        """Mean of all its counts (their sum is exact)."""
        return sum(float(part.sum()) for part in self.by_genes()) / (self.genes.size * self.n_samples)

    def by_genes(self) -> Iterator[Array]:
        """Counts of some genes after the other: (n_samples, genes at hand), a sample's values side by side."""
        for block in blocks(self.genes.size, self.n_samples):
            yield np.ascontiguousarray(self.counts[self.genes[block]].T)
            let_go(self.counts)

    def samples(self) -> Iterator[Array]:
        """Counts of one sample after the other: (n_genes,), the caller's to change."""
        for stripe in blocks(self.n_samples, self.genes.size):
            values = np.empty((stripe.stop - stripe.start, self.genes.size))
            for block in blocks(self.genes.size, self.n_samples):
                values[:, block] = self.counts[self.genes[block], stripe].T
                let_go(self.counts)
            yield from values

    def sample(self, number: int) -> Array:
        """Counts of one sample: (n_genes,)."""
        values = np.empty(self.genes.size)
        for block in blocks(self.genes.size, self.n_samples):
            values[block] = self.counts[self.genes[block], number]
            let_go(self.counts)
        return values
