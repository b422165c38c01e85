"""How often the equivalence test of `imbalance` concludes wrongly, and how often it concludes rightly.

usage: python scripts/equivalence.py [--cohorts N] [--genes N] [--draws N]

Healthy cohorts are simulated and their balanced draws compared with the full fit. A true difference between observed
and predicted shift is made by adding a constant to every fold change of the draws, which adds it to the estimate and
leaves its standard error alone (tests/stats/test_draw_shift.py). With the true difference on the limit, +0.05 or
-0.05 log2, equivalence may be concluded in at most 5 % of cohorts; with none it should be, in most.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.auditing import open_study
from dediag.diagnostics.imbalance import SHIFT_LIMIT, SMALLEST_MEAN
from dediag.settings import AuditSettings
from dediag.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dediag.stats.draw_shift import Shift

DESIGNS = ((4, 12), (5, 20), (3, 30), (29, 71))  # test, reference
FIRST_SEED = 70_000  # away from the seeds that limits were chosen on


@dataclass(frozen=True)
class Equivalence:
    """Shares of the cohorts of one design in which equivalence is concluded."""

    n_test: int
    n_reference: int
    cohorts: int
    at_upper: float  # at a true difference of +limit; 5 % is the stated error rate
    at_lower: float  # at -limit
    monte_carlo_error: float  # standard error of the two where they are 5 %
    at_zero: float
    mean_difference: float  # log2, observed - predicted, over cohorts: how wrong the predicted shift is
    sd_difference: float
    median_se: float
    coverage: float  # of the 90 % interval, of the mean difference


def equivalence(n_test: int, n_reference: int, cohorts: int, *, n_genes: int = 400, draws: int = 20) -> Equivalence:
    """Conclusions of the equivalence test in healthy cohorts of one design."""
    found = [_shift(FIRST_SEED + k, n_test, n_reference, n_genes, draws) for k in range(cohorts)]
    difference = np.array([shift.difference for shift in found])
    half = np.array([shift.interval()[1] - shift.difference for shift in found])
    true = float(difference.mean())

    def concluded(at: float) -> float:
        moved = difference - true + at
        return float(np.mean(np.abs(moved) + half <= SHIFT_LIMIT))

    return Equivalence(
        n_test=n_test,
        n_reference=n_reference,
        cohorts=cohorts,
        at_upper=concluded(SHIFT_LIMIT),
        at_lower=concluded(-SHIFT_LIMIT),
        monte_carlo_error=math.sqrt(0.05 * 0.95 / cohorts),
        at_zero=concluded(0.0),
        mean_difference=true,
        sd_difference=float(difference.std(ddof=1)),
        median_se=float(np.median([shift.se for shift in found])),
        coverage=float(np.mean(np.abs(difference - true) <= half)),
    )


def _shift(seed: int, n_test: int, n_reference: int, n_genes: int, draws: int) -> Shift:
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed)
    study = open_study(cohort, "~ group", ("group", "case", "control"), settings=AuditSettings(draws=draws))
    shown = np.flatnonzero(np.nan_to_num(np.minimum(study.mean_test, study.mean_reference)) >= SMALLEST_MEAN)
    plan = study.balanced_draws
    if plan is None:
        raise ValueError("groups of equal size have no balanced draws")
    return study.against_full(plan, shown).shift


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line of JSON for each design."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=400)
    parser.add_argument("--genes", type=int, default=400)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args(argv)
    for n_test, n_reference in DESIGNS:
        found = equivalence(n_test, n_reference, options.cohorts, n_genes=options.genes, draws=options.draws)
        print(json.dumps(vars(found)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
