"""Write reports/validation_dispersions.md and .json: the groups' dispersion ratio and the shift that it makes.

usage: python scripts/validation_dispersions.py [--cohorts N] [--shifts N] [--out DIR]

1. How often the 95 % interval of the groups' ratio of dispersions holds the true ratio, and how wide it is beside the
   errors that are made: cohorts of independent genes.
2. How far unequal dispersions move all fold changes through each normalisation, and what `normalization` tells of it:
   cohorts without effect, 50 v 50 and a dispersion of .4 v .1 at the median, with more or less spread among genes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from dediag.auditing import open_study
from dediag.model.fit import fit
from dediag.model.size_factors import Method, size_factors
from dediag.simulation import Population, simulate

HERE = Path(__file__).resolve().parent
FIRST_SEED = 31_000  # away from the seeds that limits were chosen on
CONTRAST = ("group", "case", "control")
INTERVALS = ((4, 4, 1.0), (4, 4, 4.0), (5, 5, 1.0), (5, 10, 4.0), (6, 15, 1.0), (6, 15, 4.0))  # test, reference, ratio
INTERVAL_GENES = 350
SPREADS = (0.05, 0.5, 1.0)  # standard deviation of the log dispersions
METHODS: dict[str, Method] = {  # column, method
    "ratio": "ratio", "poscounts": "poscounts", "TMM": "TMM", "upper quartile": "upperquartile"
}  # fmt: skip
SHIFT_SIZE, SHIFT_RATIO, SHIFT_GENES = 50, 4.0, 2000


def interval(n_test: int, n_reference: int, ratio: float, cohorts: int) -> dict[str, Any]:
    """The ratio told and its interval, cohort by cohort (log2)."""
    rows = []
    for k in range(cohorts):
        cohort, _ = simulate(
            n_genes=INTERVAL_GENES, n_test=n_test, n_reference=n_reference, seed=FIRST_SEED + k,
            group_dispersion_ratio=ratio,
        )  # fmt: skip
        rows.append(open_study(cohort, "~ group", CONTRAST, seed=k).dispersion_ratio.estimates()[0])
    value, low, high = np.array(rows).T
    truth = np.log2(ratio)
    return {
        "n_test": n_test, "n_reference": n_reference, "ratio": ratio, "cohorts": cohorts,
        "held": int(((low <= truth) & (truth <= high)).sum()), "bias": float((value - truth).mean()),
        "sd": float(value.std(ddof=1)), "width": float((high - low).mean()),
    }  # fmt: skip


def shift(spread: float, cohorts: int) -> dict[str, Any]:
    """Mean shift (log2, test over reference) by method, what is told of that of `ratio`, what recentring leaves."""
    population = Population(log_mean=5.3, log_mean_sd=0.4, asymptote=0.1, extra=0.0, dispersion_sd=spread)
    moved: dict[str, list[float]] = {name: [] for name in (*METHODS, "told", "recentred")}
    for k in range(cohorts):
        cohort, truth = simulate(
            n_genes=SHIFT_GENES, n_test=SHIFT_SIZE, n_reference=SHIFT_SIZE, seed=FIRST_SEED + k, population=population,
            effect_share=0.0, group_dispersion_ratio=SHIFT_RATIO,
        )  # fmt: skip
        case = np.arange(2 * SHIFT_SIZE) < SHIFT_SIZE
        depth = np.array(truth.attrs["size_factors"])
        for name, method in METHODS.items():
            error = np.log2(size_factors(cohort.counts, method).values / depth)
            moved[name].append(float(error[~case].mean() - error[case].mean()))
        shifts = open_study(cohort, "~ group", CONTRAST, seed=k)
        moved["told"].append(float(shifts.error_model.shift(float(np.log2(SHIFT_RATIO)))))
        after = fit(cohort, "~ group", CONTRAST, recentre=True)
        moved["recentred"].append(float(np.median(after.lfc)))
    return {"spread": spread, "cohorts": cohorts} | {name: float(np.mean(values)) for name, values in moved.items()}


def main(argv: list[str] | None = None) -> int:
    """Simulate, estimate, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=60, help="for each line of the intervals")
    parser.add_argument("--shifts", type=int, default=4, help="cohorts for each line of the shifts")
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    found = {
        "intervals": [interval(*at, options.cohorts) for at in INTERVALS],
        "shifts": [shift(spread, options.shifts) for spread in SPREADS],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation_dispersions.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "validation_dispersions.md").write_text(page(found))
    return 0


def page(found: dict[str, Any]) -> str:
    """The numbers, for people."""
    lines = [
        "# The groups' dispersions: their ratio, and the shift it makes",
        "",
        "Written by `scripts/validation_dispersions.py`; not edited by hand.",
        "",
        "## The 95 % interval of the ratio",
        "",
        f"Cohorts of {INTERVAL_GENES} independent genes; log2 of the test group's dispersion over the reference's.",
        "*needed*: the width that errors of this spread ask for (3.92 standard deviations). From 6 samples a group on",
        "samples are left out one by one, which allows for genes that vary together and is too careful where, as",
        "here, they do not.",
        "",
        "| sizes | true ratio | held | bias | sd of the error | width | needed |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {r['n_test']} v {r['n_reference']} | {r['ratio']:g} | {r['held']} of {r['cohorts']} | {r['bias']:+.3f} "
            f"| {r['sd']:.3f} | {r['width']:.2f} | {3.92 * r['sd']:.2f} |"
            for r in found["intervals"]
        ),
        "",
        "## The shift of all fold changes",
        "",
        f"No effects; {SHIFT_SIZE} v {SHIFT_SIZE}, {SHIFT_GENES:,} genes of mean 200 about, median dispersion .4 v .1,",
        "whose natural logs have the standard deviation *spread*; log2, test over reference, means of",
        f"{found['shifts'][0]['cohorts']} cohorts. *told*: `dispersion_shift_log2` of the median of ratios.",
        "*recentred*: the median fold change that `--recentre` leaves.",
        "",
        f"| spread | {' | '.join(METHODS)} | told | recentred |",
        f"|---|{'---|' * (len(METHODS) + 2)}",
        *(
            f"| {r['spread']:g} | {' | '.join(f'{r[name]:+.3f}' for name in (*METHODS, 'told', 'recentred'))} |"
            for r in found["shifts"]
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
