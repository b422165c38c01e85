"""Run a plan and gather its refits: summaries of all of them, and what the plan keeps of each gene while it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen
from dediag.progress import Progress, silent
from dediag.resample.plans import Plan, n_refits
from dediag.resample.refit import Block, refit_block

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit

BLOCK = 20  # refits made at a time, whatever the number of workers
KEPT_BYTES = 1_000_000_000  # per plan, of the arrays over refits and genes


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The refits of a plan; NaN where a gene has no value, and throughout a refit that failed.

    lfc, pvalue and padj hold the first `n_kept` refits, all of them unless that would take more than KEPT_BYTES; they
    are empty (0, n_genes) where the plan does not keep them.
    """

    plan: Plan
    n_genes: int
    included: NDArray[np.bool_]  # (n_refits, n_samples)
    size_factors: NDArray[np.float64]  # (n_refits, n_samples) NaN where not included
    called_up: NDArray[np.uint8]  # (n_refits, n_genes / 8) calls at the main fit's alpha, packed bits
    called_down: NDArray[np.uint8]  # (n_refits, n_genes / 8)
    n_tested: NDArray[np.int64]  # (n_refits,) genes with a p-value; 0 for a refit that failed
    n_small: NDArray[np.int64]  # (n_refits,) of them with p < .05
    lfc: NDArray[np.float32]  # (n_kept, n_genes) log2
    pvalue: NDArray[np.float32]  # (n_kept, n_genes)
    padj: NDArray[np.float32]  # (n_kept, n_genes)
    failed: tuple[tuple[int, str], ...]  # which refits could not be made, and why

    @property
    def n_refits(self) -> int:
        """Number of refits, failed ones included."""
        return int(self.included.shape[0])

    @property
    def n_up(self) -> NDArray[np.int64]:
        """Calls above 0 of each refit: (n_refits,)."""
        return np.asarray(np.bitwise_count(self.called_up).sum(axis=1, dtype=np.int64))

    @property
    def n_down(self) -> NDArray[np.int64]:
        """Calls below 0 of each refit: (n_refits,)."""
        return np.asarray(np.bitwise_count(self.called_down).sum(axis=1, dtype=np.int64))

    @property
    def up(self) -> NDArray[np.bool_]:
        """Which genes each refit calls with a fold change above 0: (n_refits, n_genes)."""
        return np.unpackbits(self.called_up, axis=1, count=self.n_genes).astype(np.bool_)

    @property
    def down(self) -> NDArray[np.bool_]:
        """Which genes each refit calls with a fold change below 0: (n_refits, n_genes)."""
        return np.unpackbits(self.called_down, axis=1, count=self.n_genes).astype(np.bool_)


def run(plan: Plan, fit: NBFit, *, size_factors: str | ArrayLike = "ratio", progress: Progress = silent) -> Ensemble:
    """Refit what a plan asks for; see `refit_block`. Raises ValueError where it cannot be carried out on this fit."""
    if fit.test != "wald":
        raise ValueError("refits are Wald tests; the main fit is a likelihood-ratio test")
    total = n_refits(plan)
    blocks = []
    for first in range(0, total, BLOCK):
        progress(plan.what, first, total)
        blocks.append(refit_block(plan, fit, size_factors, first, min(first + BLOCK, total)))
    progress(plan.what, total, total)
    return gathered(plan, fit.cohort.n_genes, blocks)


def gathered(plan: Plan, n_genes: int, blocks: Iterable[Block]) -> Ensemble:
    """One ensemble of a plan's blocks, in their order."""
    parts = sorted(blocks, key=lambda block: block.first)
    n_kept = min(n_refits(plan), KEPT_BYTES // (4 * n_genes * max(len(plan.keep), 1)))

    def kept(name: str) -> NDArray[np.float32]:
        found = [block.kept[name][: max(n_kept - block.first, 0)] for block in parts if name in block.kept]
        return frozen(np.concatenate([np.empty((0, n_genes), np.float32), *found]), np.float32)

    return Ensemble(
        plan=plan,
        n_genes=n_genes,
        included=frozen(np.concatenate([b.included for b in parts]), np.bool_),
        size_factors=frozen(np.concatenate([b.size_factors for b in parts])),
        called_up=frozen(np.concatenate([b.called_up for b in parts]), np.uint8),
        called_down=frozen(np.concatenate([b.called_down for b in parts]), np.uint8),
        n_tested=frozen(np.concatenate([b.n_tested for b in parts]), np.int64),
        n_small=frozen(np.concatenate([b.n_small for b in parts]), np.int64),
        lfc=kept("lfc"),
        pvalue=kept("pvalue"),
        padj=kept("padj"),
        failed=tuple(failure for block in parts for failure in block.failed),
    )
