"""What balanced and control draws of a study are expected to call, from cohorts simulated from the fit.

In each simulated cohort some of the draws of each arm are made with the samples that the real draws take, so that the
arms share cohorts as they share the study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dediag.resample.plans import Simulations
from dediag.stats.draw_expectation import expected_mean, ratio_terms
from dediag.stats.error_model import UNKNOWN, Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.ensemble import Ensemble
    from dediag.resample.plans import Subsets

    Array = NDArray[np.float64]

PER_COHORT = 2  # draws of each arm in a cohort: enough to tell what they share from what is their own
FEWEST_COHORTS = 5
FEWEST_CALLS = 10.0  # of a simulated draw, on average; below it a share of calls says nothing


@dataclass(frozen=True)
class Expected:
    """What one arm is expected to show: means over its draws, with prediction intervals; NaN: not known."""

    calls: Estimate = UNKNOWN
    up_fraction: Estimate = UNKNOWN

    def summary(self) -> dict[str, object]:
        """The numbers of a table's row."""
        names = {"expected_calls": self.calls, "expected_up_fraction": self.up_fraction}
        return {
            f"{name}{end}": value if math.isfinite(value) else None
            for name, estimate in names.items()
            for end, value in zip(("", "_low", "_high"), estimate, strict=True)
        }


@dataclass(frozen=True)
class ExpectedArms:
    """What the arms are expected to show, each by itself and balanced against control; NaN: not known."""

    arms: Mapping[str, Expected] = field(default_factory=dict)
    up_fraction_gap: Estimate = UNKNOWN  # balanced - control
    calls_ratio: Estimate = UNKNOWN  # balanced over control

    def of(self, name: str) -> Expected:
        """One arm's expectation."""
        return self.arms.get(name, Expected())


def plan(arms: Mapping[str, Subsets], n_cohorts: int, seed: int, *, by_group: bool) -> Simulations | None:
    """Cohorts with the shrunken effects and PER_COHORT draws of each arm, one arm after the other; None if too few.

    Genes vary together as in the data; by_group: each group with its own dispersions. Draws of an arm that has fewer
    than are needed come again, in another cohort.
    """
    if n_cohorts < FEWEST_COHORTS or not arms:
        return None
    rows = tuple(
        arm.rows[(PER_COHORT * cohort + k) % len(arm.rows)]
        for cohort in range(n_cohorts)
        for arm in arms.values()
        for k in range(PER_COHORT)
    )
    return Simulations(
        n_cohorts, seed, "fitted", "group" if by_group else "shared", residuals="permuted", rows=rows,
        per_cohort=PER_COHORT * len(arms), keep=(), what="refits of draws from simulated cohorts",
    )  # fmt: skip


def expected(found: Ensemble, arms: Mapping[str, int], level: float) -> ExpectedArms:
    """Expectations from the refits of `plan`; arms: how many draws each arm has in the study, in the plan's order."""
    made = (found.n_tested > 0).reshape(-1, len(arms), PER_COHORT).all(axis=(1, 2))  # cohorts without a failed refit

    def shaped(values: NDArray[np.int64]) -> Array:
        return values.reshape(-1, len(arms), PER_COHORT)[made].astype(np.float64)

    up, calls = shaped(found.n_up), shaped(found.n_up + found.n_down)
    some = calls.size > 0 and bool((calls.mean(axis=(0, 2)) >= FEWEST_CALLS).all())
    by_arm = {}
    for k, (name, draws) in enumerate(arms.items()):
        share = expected_mean(ratio_terms(up[:, k], calls[:, k]), draws, level) if some else UNKNOWN
        by_arm[name] = Expected(expected_mean(calls[:, k], draws, level), share)
    if len(arms) < 2 or not some:
        return ExpectedArms(by_arm)
    draws = min(arms.values())
    gap = ratio_terms(up[:, 0], calls[:, 0]) - ratio_terms(up[:, 1], calls[:, 1])
    ratio = ratio_terms(calls[:, 0], calls[:, 1])
    return ExpectedArms(by_arm, expected_mean(gap, draws, level), expected_mean(ratio, draws, level))
