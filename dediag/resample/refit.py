"""Refit a block of a plan's draws in full: what a worker does, in this process, another one, or on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import Cohort, InputError
from dediag.model.fit import fit as fit_cohort
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Kept, Plan, Relabelled, Subsets
from dediag.resample.streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit

LEVEL = 0.05  # p below it counts toward a refit's size, whatever the cut-off of the calls


@dataclass(frozen=True, eq=False)
class Block:
    """Some consecutive refits of a plan; NaN where a gene has no value, and throughout a refit that failed."""

    first: int  # number of the first refit in the plan
    included: NDArray[np.bool_]  # (n_block, n_samples)
    size_factors: NDArray[np.float64]  # (n_block, n_samples) NaN where not included
    called_up: NDArray[np.uint8]  # (n_block, n_genes / 8) calls at the main fit's alpha with LFC above 0, packed bits
    called_down: NDArray[np.uint8]  # (n_block, n_genes / 8)
    n_tested: NDArray[np.int64]  # (n_block,) genes with a p-value
    n_small: NDArray[np.int64]  # (n_block,) of them with p < .05
    kept: dict[Kept, NDArray[np.float32]]  # each (n_block, n_genes)
    failed: tuple[tuple[int, str], ...]  # which refits (numbers in the plan) could not be made, and why


@dataclass(frozen=True)
class Task:
    """One refit: the samples it takes and their counts."""

    rows: NDArray[np.intp]  # (n_rows,) positions in the cohort
    cohort: Cohort


def refit_block(plan: Plan, fit: NBFit, size_factors: str | ArrayLike, first: int, last: int) -> Block:
    """Refits first to last - 1 of a plan: size factors, dispersions, trend, prior, coefficients, tests, each anew.

    size_factors: the method of the main fit, or its given factors (n_samples,), of which a refit takes its samples'.
    Refits use search="newton" and otherwise the options of `fit`. The result depends on the arguments only, not on the
    number of threads. Raises ValueError where the plan cannot be carried out on this fit.
    """
    n, n_genes, n_samples = last - first, fit.cohort.n_genes, fit.cohort.n_samples
    kept: dict[Kept, NDArray[np.float32]] = {name: np.full((n, n_genes), np.nan, np.float32) for name in plan.keep}
    included, sizes = np.zeros((n, n_samples), np.bool_), np.full((n, n_samples), np.nan)
    up, down = np.zeros((n, n_genes), np.bool_), np.zeros((n, n_genes), np.bool_)
    n_tested, n_small = np.zeros(n, np.int64), np.zeros(n, np.int64)
    failed = []
    for k, task in enumerate(_tasks(plan, fit, first, last)):
        included[k, task.rows] = True
        try:
            found = refit(task, fit, size_factors, weights=getattr(plan, "weights", None))
        except InputError as error:  # such as a draw in which no gene is free of zeros
            failed.append((first + k, str(error)))
            continue
        for name, values in kept.items():
            values[k] = getattr(found, name)
        sizes[k, task.rows] = found.size_factors
        up[k], down[k] = found.significant & (found.lfc > 0.0), found.significant & (found.lfc < 0.0)
        n_tested[k] = np.count_nonzero(np.isfinite(found.pvalue))
        n_small[k] = np.count_nonzero(found.pvalue < LEVEL)
    return Block(
        first, included, sizes, np.packbits(up, axis=1), np.packbits(down, axis=1), n_tested, n_small, kept,
        tuple(failed),
    )  # fmt: skip


def refit(
    task: Task, main: NBFit, size_factors: str | ArrayLike = "ratio", *, weights: tuple[float, ...] | None = None
) -> NBFit:
    """One refit by the newton search: design, contrast, threshold, weights, alpha of the main fit, else defaults.

    weights: of the samples (n_samples,), as given, in place of the main fit's.
    """
    own = main.weights[:, task.rows] if main.weights.shape[1] else None
    if weights is not None:
        own = np.broadcast_to(np.asarray(weights)[task.rows], task.cohort.counts.shape)
    return fit_cohort(
        task.cohort,
        main.design.take(task.rows),
        main.contrast,
        size_factors=size_factors if isinstance(size_factors, str) else np.asarray(size_factors)[task.rows],
        weights=own,
        scale_weights=weights is None,
        search="newton",
        alpha=main.alpha,
        lfc_threshold=main.lfc_threshold,
        alternative=main.alternative,
    )


def _tasks(plan: Plan, fit: NBFit, first: int, last: int) -> Iterator[Task]:
    if isinstance(plan, Relabelled):
        raise NotImplementedError
    if isinstance(plan, Subsets):
        for members in plan.rows[first:last]:
            rows = np.asarray(members, np.intp)
            yield Task(rows, fit.cohort.take_samples(rows))
        return
    model = CountModel.of(fit, plan)
    everyone, cohort_number, counts = np.arange(fit.cohort.n_samples), -1, fit.cohort.counts
    for k in range(first, last):
        if k // plan.per_cohort != cohort_number:
            cohort_number = k // plan.per_cohort
            counts = model.draw(stream(plan.seed, f"simulation {plan.effects} {plan.dispersion} {cohort_number}"))
        rows = np.asarray(plan.rows[k], np.intp) if plan.rows else everyone
        yield Task(rows, fit.cohort.with_counts(counts).take_samples(rows))
