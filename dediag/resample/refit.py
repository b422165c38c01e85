"""Refit a block of a plan's draws in full: what a worker does, in this process, another one, or on another machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from dediag.cohort import InputError
from dediag.model.blas import ONE_BLAS_THREAD
from dediag.model.draw_fits import Draw, fit_draws
from dediag.model.fit import Options
from dediag.model.fit import fit as fit_cohort
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Kept, Plan, Relabelled, Subsets
from dediag.resample.relabelled import relabelled
from dediag.resample.streams import stream
from dediag.resample.winsorised import winsorised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.design import Design
    from dediag.model.draw_fits import DrawFit
    from dediag.model.nbfit import NBFit
    from dediag.model.size_factors import Method
    from dediag.resample.plans import Simulations

    Array = NDArray[np.float64]
    Result = tuple[NDArray[np.intp], DrawFit | NBFit | InputError]

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
    with ONE_BLAS_THREAD:
        for k, (rows, found) in enumerate(_refits(plan, fit, size_factors, first, last)):
            included[k, rows] = True
            if isinstance(found, InputError):  # such as a draw in which no gene is free of zeros
                failed.append((first + k, str(found)))
                continue
            for name, values in kept.items():
                values[k] = getattr(found, name)
            sizes[k, rows] = found.size_factors
            called = found.padj < fit.alpha
            up[k], down[k] = called & (found.lfc > 0.0), called & (found.lfc < 0.0)
            n_tested[k] = np.count_nonzero(np.isfinite(found.pvalue))
            n_small[k] = np.count_nonzero(found.pvalue < LEVEL)
    return Block(
        first, included, sizes, np.packbits(up, axis=1), np.packbits(down, axis=1), n_tested, n_small, kept,
        tuple(failed),
    )  # fmt: skip


def _refits(plan: Plan, fit: NBFit, size_factors: str | ArrayLike, first: int, last: int) -> Iterator[Result]:
    """The samples and the outcome of each refit, in order."""
    if isinstance(plan, Subsets):
        designs = [_design(fit.design.take, rows) for rows in plan.rows[first:last]]
        yield from _together(fit, fit.cohort.counts, plan.rows[first:last], designs, size_factors)
    elif isinstance(plan, Relabelled):
        rows, test = plan.rows[first:last], plan.test[first:last]
        designs = [_design(relabelled, fit.design, fit.contrast, r, t) for r, t in zip(rows, test, strict=True)]
        counts = fit.cohort.counts if plan.winsorised is None else _winsorised(fit, plan.winsorised)
        yield from _together(fit, counts, rows, designs, size_factors)
    else:
        yield from _simulated(plan, fit, size_factors, first, last)


@lru_cache(maxsize=1)  # one plan comes in many blocks
def _winsorised(fit: NBFit, quantile: float) -> Array:
    groups = fit.group_mask(str(fit.contrast.test)) | fit.group_mask(str(fit.contrast.reference))
    return winsorised(fit.cohort.counts, fit.normalisation, groups, quantile)


@lru_cache(maxsize=2)  # one plan comes in many blocks, and its residuals take as long as ten refits
def _count_model(fit: NBFit, plan: Simulations) -> CountModel:
    return CountModel.of(fit, plan)


def _simulated(plan: Simulations, fit: NBFit, size_factors: str | ArrayLike, first: int, last: int) -> Iterator[Result]:
    """Simulate each cohort and refit it."""
    from dediag.model import kernels

    model = _count_model(fit, replace(plan, replicates=1, rows=(), per_cohort=1, weights=(), keep=(), what=""))
    everyone = tuple(range(fit.cohort.n_samples))

    def counts_of(cohort: int) -> Array:
        return model.draw(stream(plan.seed, f"simulation {plan.effects} {plan.dispersion} {cohort}"))

    def refits(cohort: int) -> list[Result]:
        numbers = range(max(first, cohort * plan.per_cohort), min(last, (cohort + 1) * plan.per_cohort))
        rows = [plan.rows[k] if plan.rows else everyone for k in numbers]
        designs = [_design(fit.design.take, r) if plan.rows else fit.design for r in rows]
        counts = counts_of(cohort)
        if not plan.weights:
            return list(_together(fit, counts, rows, designs, size_factors))
        found: list[Result] = []
        for k, own, design in zip(numbers, rows, designs, strict=True):
            weights = plan.weights[k % plan.per_cohort]
            given = None if weights is None else np.asarray(weights)
            found += _together(fit, counts, [own], [design], size_factors, given)
        return found

    cohorts = range(first // plan.per_cohort, (last - 1) // plan.per_cohort + 1)
    for found in kernels.each(refits, cohorts):  # one is drawn while another is fitted
        yield from found


def _design(make: Callable[..., Design], *arguments: object) -> Design | InputError:
    """A design, or why these samples have none."""
    try:
        return make(*arguments)
    except InputError as error:
        return error


def _together(
    fit: NBFit,
    counts: Array,
    rows: Sequence[Sequence[int]],
    designs: Sequence[Design | InputError],
    size_factors: str | ArrayLike,
    weights: Array | None = None,
) -> Iterator[Result]:
    """Refits of draws from one matrix: all at once, or one by one where there are offsets or weights."""
    index = [np.asarray(part, np.intp) for part in rows]
    method = cast("Method", size_factors) if isinstance(size_factors, str) else np.asarray(size_factors, np.float64)
    if fit.cohort.offsets is not None or fit.weights.shape[1]:
        for part, design in zip(index, designs, strict=True):
            yield part, design if isinstance(design, InputError) else _alone(fit, counts, part, design, method, weights)
        return
    options = Options("newton", alpha=fit.alpha, lfc_threshold=fit.lfc_threshold, alternative=fit.alternative)
    draws = [Draw(part, d) for part, d in zip(index, designs, strict=True) if not isinstance(d, InputError)]
    found = iter(
        fit_draws(
            counts, draws, fit.contrast, options, size_factors=method, control_genes=fit.cohort.normalisation_genes,
            spike_ins=fit.cohort.spike_ins, weights=weights, guess=fit.size_factors,
        )
    )  # fmt: skip
    for part, design in zip(index, designs, strict=True):
        yield part, design if isinstance(design, InputError) else next(found)


def _alone(
    fit: NBFit, counts: Array, rows: NDArray[np.intp], design: Design, method: str | Array, weights: Array | None
) -> NBFit | InputError:
    """One refit; weights: of the samples (n_samples,), as given, in place of the main fit's."""
    own = fit.weights[:, rows] if fit.weights.shape[1] else None
    if weights is not None:
        own = np.broadcast_to(weights[rows], (len(counts), rows.size))
    try:
        return fit_cohort(
            fit.cohort.with_counts(counts).take_samples(rows),
            design,
            fit.contrast,
            size_factors=method if isinstance(method, str) else method[rows],
            weights=own,
            scale_weights=weights is None,
            search="newton",
            alpha=fit.alpha,
            lfc_threshold=fit.lfc_threshold,
            alternative=fit.alternative,
        )
    except InputError as error:
        return error
