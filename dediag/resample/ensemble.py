"""Run a plan and gather its refits: summaries of all of them, and what the plan keeps of each gene while it fits."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.progress import Progress, silent
from dediag.resample.plans import ALL, Plan, Simulations, n_refits
from dediag.resample.workers import Execution, Part

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.refit import Block

BLOCK = 25  # refits computed, sent and stored at a time, whatever the number of workers
KEPT_BYTES = 1_000_000_000  # per plan, of the arrays over refits and genes: 6,927 refits of 12,029 genes


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The refits of a plan; NaN where a gene has no value, and throughout a refit that failed.

    lfc, pvalue and padj hold the first `n_kept` refits: all of them unless that would take more than KEPT_BYTES, else
    as many whole blocks as fit. They are empty (0, n_genes) where the plan does not keep them.
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

    def every(self, step: int, start: int) -> Ensemble:
        """The refits start, start + step, ..., as of simulated cohorts that are refitted in several ways."""
        here = slice(start, None, step)
        arrays = ("included", "size_factors", "called_up", "called_down", "n_tested", "n_small", *ALL)
        failed = tuple((k // step, why) for k, why in self.failed if k % step == start)
        return replace(self, **{name: getattr(self, name)[here] for name in arrays}, failed=failed)

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


def run(
    plan: Plan,
    fit: NBFit,
    *,
    size_factors: str | ArrayLike = "ratio",
    execution: Execution | None = None,
    progress: Progress = silent,
) -> Ensemble:
    """Refit what a plan asks for; see `refit_block`. Raises ValueError where it cannot be carried out on this fit.

    The result is the same wherever its blocks are computed, in whatever order, and whether they were in the cache.
    """
    if fit.test != "wald":
        raise ValueError("refits are Wald tests; the main fit is a likelihood-ratio test")
    execution = execution or Execution()
    cache, total = execution.cache, n_refits(plan)
    gathered = Gathered(plan, fit)
    missing = []
    for part in partition(plan, fit.cohort.n_genes):
        block = cache.load(plan, fit, size_factors, part) if cache else None
        if block is None:
            missing.append(part)
        else:
            gathered.put(block)
    progress(plan.what, gathered.n_refits, total)  # what was there at once says nothing about the time left
    by_first = {part.first: part for part in missing}
    with contextlib.closing(execution.workers.blocks(plan, fit, size_factors, missing)) as blocks:
        for block in blocks:
            if cache:
                cache.store(block, plan, fit, size_factors, by_first[block.first])
            gathered.put(block)
            progress(plan.what, gathered.n_refits, total)
    return gathered.ensemble()


def partition(plan: Plan, n_genes: int) -> list[Part]:
    """The blocks of a plan, which depend on the plan and the number of genes alone, not on who computes them.

    Simulated cohorts are not divided. What the plan keeps of each gene is kept of as many blocks as KEPT_BYTES hold.
    """
    total = n_refits(plan)
    whole = plan.per_cohort if isinstance(plan, Simulations) else 1
    size = whole * max(1, BLOCK // whole)
    n_kept = total
    if plan.keep and total * 4 * n_genes * len(plan.keep) > KEPT_BYTES:
        n_kept = KEPT_BYTES // (4 * n_genes * len(plan.keep)) // size * size
    return [Part(k, min(k + size, total), kept=bool(plan.keep) and k < n_kept) for k in range(0, total, size)]


class Gathered:
    """The arrays of a plan, made once at their full size and filled block by block in whatever order they come."""

    def __init__(self, plan: Plan, fit: NBFit) -> None:
        """Nothing is there yet."""
        n, n_genes, n_samples = n_refits(plan), fit.cohort.n_genes, fit.cohort.n_samples
        n_kept = max((part.last for part in partition(plan, n_genes) if part.kept), default=0)
        packed = (n, -(-n_genes // 8))
        self.plan, self.n_genes, self.n_refits = plan, n_genes, 0
        self.failed: list[tuple[int, str]] = []
        self.summaries: dict[str, NDArray[Any]] = {
            "included": np.zeros((n, n_samples), np.bool_),
            "size_factors": np.full((n, n_samples), np.nan),
            "called_up": np.zeros(packed, np.uint8),
            "called_down": np.zeros(packed, np.uint8),
            "n_tested": np.zeros(n, np.int64),
            "n_small": np.zeros(n, np.int64),
        }
        self.kept: dict[str, NDArray[Any]] = {
            name: np.empty((n_kept if name in plan.keep else 0, n_genes), np.float32) for name in ALL
        }

    def put(self, block: Block) -> None:
        """Take over a block, of which nothing is held afterwards."""
        here = slice(block.first, block.first + len(block.included))
        for name, values in self.summaries.items():
            values[here] = getattr(block, name)
        for name, kept in block.kept.items():
            self.kept[name][here] = kept
        self.failed += block.failed
        self.n_refits += len(block.included)

    def ensemble(self) -> Ensemble:
        """The whole."""
        if self.n_refits != len(self.summaries["included"]):
            raise ValueError(f"{self.n_refits} of {len(self.summaries['included'])} refits were computed")
        for values in (*self.summaries.values(), *self.kept.values()):
            values.flags.writeable = False
        return Ensemble(
            plan=self.plan, n_genes=self.n_genes, **self.summaries, **self.kept, failed=tuple(sorted(self.failed))
        )
