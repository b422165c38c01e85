"""The same counts under other size factors: how far each moves all fold changes, and what the calls become."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError
from dediag.model.fit import fit as fit_cohort
from dediag.model.size_factors import centred, size_factors
from dediag.stats.zero_point import group_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit
    from dediag.model.size_factors import Method
    from dediag.stats.error_model import Estimate

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

METHODS: tuple[Method, ...] = ("ratio", "poscounts", "TMM", "upperquartile")
CONTROLS, SPIKE_INS = "control genes", "spike-ins"
FEWEST_SPIKE_INS = 5  # with a count in every sample


@dataclass(frozen=True)
class Normalisation:
    """One way to normalise."""

    name: str
    n_genes: int  # that carry the size factors (TMM: on average over samples)
    mean_count: float  # of those genes
    shift: Estimate  # log2 by which it moves all fold changes against those of the fit; samples are the unit
    n_up: int  # calls of a fit with these size factors
    n_down: int
    vanish: int  # calls of the main fit that are none here
    appear: int
    turn: int  # calls of both, in opposite directions

    @property
    def up_fraction(self) -> float | None:
        """Share of the calls that are up; None without calls."""
        return self.n_up / (self.n_up + self.n_down) if self.n_up + self.n_down else None

    @property
    def at_risk(self) -> int:
        """Calls of the main fit that do not hold."""
        return self.vanish + self.turn


def normalisations(fit: NBFit) -> tuple[Normalisation, ...]:
    """The fit's cohort under each of METHODS, and by control genes and spike-ins where they are named.

    Spike-ins have no part in the first four. A method that finds no genes, or under which the
    cohort cannot be fitted, is left out.
    """
    cohort = fit.cohort
    use = None if cohort.spike_ins is None else ~cohort.spike_ins
    wanted: list[tuple[str, Method, Mask | None]] = [(name, name, use) for name in METHODS]
    if cohort.control_genes is not None:
        wanted.append((CONTROLS, "ratio", cohort.control_genes))
    found = []
    for name, method, genes in wanted:
        with contextlib.suppress(InputError):
            factors = size_factors(cohort.counts, method, genes)
            found.append(_compared(fit, name, factors.values, factors.n_genes, factors.mean_count))
    if cohort.spike_ins is not None and (spikes := _spike_in_factors(fit, cohort.spike_ins)) is not None:
        with contextlib.suppress(InputError):
            found.append(_compared(fit, SPIKE_INS, *spikes))
    return tuple(found)


def columns(methods: Sequence[Normalisation]) -> dict[str, list[object]]:
    """The ways to normalise as a table."""
    shifts = zip(*(method.shift for method in methods), strict=True)
    return {
        "method": [m.name for m in methods],
        "n_genes": [m.n_genes for m in methods],
        "mean_count": [m.mean_count for m in methods],
        **dict(zip(("shift_log2", "shift_low", "shift_high"), map(list, shifts), strict=True)),
        "n_up": [m.n_up for m in methods],
        "n_down": [m.n_down for m in methods],
        "calls_that_vanish": [m.vanish for m in methods],
        "calls_that_appear": [m.appear for m in methods],
        "calls_that_turn": [m.turn for m in methods],
    }


def group_shift(fit: NBFit, log2_factors: Array) -> Estimate:
    """Log2 by which size factors (n_samples,) that are so much larger than the fit's move all fold changes."""
    test, reference = (fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference))
    return group_difference(log2_factors[reference], log2_factors[test])


def against(fit: NBFit, other: NBFit, name: str, n_genes: int, mean_count: float) -> Normalisation:
    """Another fit of the same cohort, whose size factors rest on so many genes of this mean count."""
    change = np.log2(other.size_factors / fit.size_factors)
    before, after = fit.padj < fit.alpha, other.padj < fit.alpha
    n_up = int((after & (other.lfc > 0)).sum())
    return Normalisation(
        name, n_genes, mean_count, group_shift(fit, change), n_up, int(after.sum()) - n_up,
        int((before & ~after).sum()), int((after & ~before).sum()),
        int((before & after & (fit.lfc * other.lfc < 0.0)).sum()),
    )  # fmt: skip


def recentred(fit: NBFit, other: NBFit, expressed: Mask) -> Normalisation:
    """A fit with recentred size factors; expressed: (n_genes,), the genes whose median fold change was taken off."""
    genes = fit.cohort.normalisation_genes
    use = expressed if genes is None else expressed & genes
    return against(fit, other, "recentred", int(use.sum()), float(fit.base_mean[use].mean()))


def _compared(fit: NBFit, name: str, factors: Array, n_genes: int, mean_count: float) -> Normalisation:
    if np.array_equal(factors, fit.size_factors):
        return against(fit, fit, name, n_genes, mean_count)
    other = fit_cohort(fit.cohort, fit.design, fit.contrast, search="newton", alpha=fit.alpha, size_factors=factors)
    return against(fit, other, name, n_genes, mean_count)


def _spike_in_factors(fit: NBFit, spike_ins: Mask) -> tuple[Array, int, float] | None:
    """Median of ratios over the spike-ins, known fold changes taken out, with their number and mean count."""
    cohort, rows = fit.cohort, np.flatnonzero(spike_ins)
    counts = cohort.counts[rows]
    known = np.zeros(rows.size) if cohort.spike_in_log2 is None else cohort.spike_in_log2[rows]
    use = counts.all(axis=1) & np.isfinite(known)
    if use.sum() < FEWEST_SPIKE_INS:
        return None
    counts, known = counts[use], known[use]
    half = np.where(fit.group_mask(str(fit.contrast.test)), 0.5, 0.0)
    half -= np.where(fit.group_mask(str(fit.contrast.reference)), 0.5, 0.0)
    log2 = np.log2(counts) - known[:, None] * half
    factors = np.exp2(np.median(log2 - log2.mean(axis=1, keepdims=True), axis=0))
    return centred(factors), int(use.sum()), float(counts.mean())
