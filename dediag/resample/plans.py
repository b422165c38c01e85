"""Plans of refits as data: which samples or which simulated counts, how often, from which seed.

Equal plans are run once and shared by every diagnostic that asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Subsets:
    """Refit these sets of samples (positions in the cohort), each in full: size factors, dispersions, trend, tests."""

    rows: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Simulations:
    """Refit cohorts simulated from the main fit at the same sizes and depths, normalised again in each.

    effects: "none" (no group effect), "fitted" (shrunken fold changes as estimated) or "swapped" (each gene's shrunken
    effect with its sign drawn anew: the two groups' means exchanged, log midpoint kept).
    dispersion: "shared" (the fit's one dispersion per gene) or "group" (each group's own).
    residuals: "independent" (every count by itself) or "permuted" (columns of the data's own quantile residuals, dealt
    out anew over the samples of both groups: genes vary together as in the data).
    """

    replicates: int
    seed: int
    effects: Literal["none", "fitted", "swapped"]
    dispersion: Literal["shared", "group"]
    residuals: Literal["independent", "permuted"] = "independent"


Plan = Subsets | Simulations
