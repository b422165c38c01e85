"""Run a plan: refit every set of samples, or every simulated cohort, in full, and keep what diagnostics read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import Cohort, InputError, frozen
from dediag.model.fit import fit as fit_cohort
from dediag.progress import Progress, silent
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Plan, Simulations, Subsets
from dediag.resample.streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What is kept of each refit; NaN where a gene has no value, and throughout a refit that failed."""

    plan: Plan
    included: NDArray[np.bool_]  # (n_refits, n_samples)
    lfc: NDArray[np.float32]  # (n_refits, n_genes) log2
    pvalue: NDArray[np.float32]  # (n_refits, n_genes)
    padj: NDArray[np.float32]  # (n_refits, n_genes)
    size_factors: NDArray[np.float64]  # (n_refits, n_samples) NaN where not included
    n_up: NDArray[np.int64]  # (n_refits,) calls at the main fit's alpha, before rounding to float32
    n_down: NDArray[np.int64]  # (n_refits,)
    failed: tuple[tuple[int, str], ...]  # which refits could not be made, and why

    @property
    def n_refits(self) -> int:
        """Number of refits, failed ones included."""
        return int(self.lfc.shape[0])


@dataclass(frozen=True)
class Task:
    """One refit: the samples it takes and their counts."""

    rows: NDArray[np.intp]  # (n_rows,) positions in the cohort
    cohort: Cohort


def run(plan: Plan, fit: NBFit, *, size_factors: str | ArrayLike = "ratio", progress: Progress = silent) -> Ensemble:
    """Refit what a plan asks for: size factors, dispersions, trend, prior, coefficients, tests, each time anew.

    size_factors: the method of the main fit, or its given factors (n_samples,), of which a refit takes its samples'.
    Refits use search="newton" and otherwise the options of `fit`. The result depends on the plan and the fit only, not
    on the number of threads. Raises ValueError where the plan cannot be carried out on this fit.
    """
    if fit.test != "wald":
        raise ValueError("refits are Wald tests; the main fit is a likelihood-ratio test")
    tasks, n_refits, what = _tasks(plan, fit)
    n_genes, n_samples = fit.cohort.n_genes, fit.cohort.n_samples
    lfc, pvalue, padj = (np.full((n_refits, n_genes), np.nan, np.float32) for _ in range(3))
    included = np.zeros((n_refits, n_samples), np.bool_)
    sizes = np.full((n_refits, n_samples), np.nan)
    n_up, n_down = np.zeros(n_refits, np.int64), np.zeros(n_refits, np.int64)
    failed = []
    for k, task in enumerate(tasks):
        progress(what, k, n_refits)
        included[k, task.rows] = True
        try:
            found = refit(task, fit, size_factors)
        except InputError as error:  # such as a draw in which no gene is free of zeros
            failed.append((k, str(error)))
            continue
        lfc[k], pvalue[k], padj[k] = found.lfc, found.pvalue, found.padj
        sizes[k, task.rows] = found.size_factors
        n_up[k] = np.count_nonzero(found.significant & (found.lfc > 0.0))
        n_down[k] = np.count_nonzero(found.significant & (found.lfc < 0.0))
    progress(what, n_refits, n_refits)
    return Ensemble(
        plan, frozen(included, np.bool_), frozen(lfc, np.float32), frozen(pvalue, np.float32),
        frozen(padj, np.float32), frozen(sizes), frozen(n_up, np.int64), frozen(n_down, np.int64), tuple(failed),
    )  # fmt: skip


def refit(task: Task, main: NBFit, size_factors: str | ArrayLike = "ratio") -> NBFit:
    """One refit by the newton search: design, contrast, threshold, weights, alpha of the main fit, else defaults."""
    return fit_cohort(
        task.cohort,
        main.design.take(task.rows),
        main.contrast,
        size_factors=size_factors if isinstance(size_factors, str) else np.asarray(size_factors)[task.rows],
        weights=main.weights[:, task.rows] if main.weights.shape[1] else None,
        search="newton",
        alpha=main.alpha,
        lfc_threshold=main.lfc_threshold,
        alternative=main.alternative,
    )


def _tasks(plan: Plan, fit: NBFit) -> tuple[Iterator[Task], int, str]:
    """The refits of a plan one after the other, how many there are, and what they are called."""
    if isinstance(plan, Subsets):
        return _subsets(plan, fit.cohort), len(plan.rows), "refits of drawn samples"
    return _simulations(plan, fit), plan.replicates, "refits of simulated cohorts"


def _subsets(plan: Subsets, cohort: Cohort) -> Iterator[Task]:
    for members in plan.rows:
        rows = np.asarray(members, np.intp)
        yield Task(rows, cohort.take_samples(rows))


def _simulations(plan: Simulations, fit: NBFit) -> Iterator[Task]:
    model = CountModel.of(fit, plan)
    rows = np.arange(fit.cohort.n_samples)
    for k in range(plan.replicates):
        rng = stream(plan.seed, f"simulation {plan.effects} {plan.dispersion} {k}")
        yield Task(rows, fit.cohort.with_counts(model.draw(rng)))
