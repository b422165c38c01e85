"""Plans of refits as data: which samples, labels, weights or simulated counts, how often, and what is kept.

Equal plans are run once and shared by every diagnostic that asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kept = Literal["lfc", "pvalue", "padj"]
Dispersions = Literal["shared", "group", "group trend"]
ALL: tuple[Kept, ...] = ("lfc", "pvalue", "padj")


@dataclass(frozen=True)
class Subsets:
    """Refit these sets of samples (positions in the cohort), each in full: size factors, dispersions, trend, tests."""

    rows: tuple[tuple[int, ...], ...]
    keep: tuple[Kept, ...] = ALL  # of each refit and gene; summaries are kept always
    what: str = "refits of drawn samples"  # said while they run


@dataclass(frozen=True)
class Relabelled:
    """Refit these sets of samples with other labels: `test` names those that are called the test group.

    All other samples of the set that belong to one of the two groups are called the reference group; samples of further
    levels keep theirs. winsorised: quantile at which each gene's counts are cut, over all samples of the two groups.
    """

    rows: tuple[tuple[int, ...], ...]
    test: tuple[tuple[int, ...], ...]  # for each refit, some of its rows
    keep: tuple[Kept, ...] = ()
    winsorised: float | None = None
    what: str = "refits of relabelled samples"


@dataclass(frozen=True)
class Simulations:
    """Refit cohorts simulated from the main fit at the same sizes and depths, normalised again in each.

    effects: "none" (no group effect), "fitted" (shrunken fold changes as estimated), "posterior" (each gene's
    effect drawn anew in every cohort from its posterior: the effects are then distributed as the true ones) or
    "swapped" (the same with the sign drawn anew: the two groups' means exchanged, log midpoint kept).
    dispersion: "shared" (the fit's one dispersion per gene), "group" (each group's own) or "group trend" (each group's
    own trend, from which a gene lies as far as its shared dispersion lies from the shared trend: steadier where a group
    is small, blind to what is peculiar to a gene in one group).
    residuals: "independent" (every count by itself), "permuted" (columns of the data's own quantile residuals, dealt
    out anew over the samples of both groups: genes vary together as in the data) or "standardised" (the same, each
    column scaled to one variance: genes vary together, but no sample is worse than another).
    rows: the samples of each refit, `per_cohort` refits to a simulated cohort; empty: all samples of every cohort.
    weights: of the samples (n_samples,), as given, not scaled to a largest of one, one set (None: all count alike) for
    each of the `per_cohort` refits; empty: none for any.
    """

    replicates: int  # simulated cohorts
    seed: int
    effects: Literal["none", "fitted", "swapped", "posterior"]
    dispersion: Dispersions
    residuals: Literal["independent", "permuted", "standardised"] = "independent"
    rows: tuple[tuple[int, ...], ...] = ()  # (replicates * per_cohort) sets of positions, or none
    per_cohort: int = 1
    weights: tuple[tuple[float, ...] | None, ...] = ()
    keep: tuple[Kept, ...] = ALL
    what: str = "refits of simulated cohorts"


Plan = Subsets | Relabelled | Simulations


def n_refits(plan: Plan) -> int:
    """How many refits a plan asks for."""
    return plan.replicates * plan.per_cohort if isinstance(plan, Simulations) else len(plan.rows)
