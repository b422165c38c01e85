"""Write reports/validation_detection.md and .json: limits of detection beside simulated tests, spike-ins and qPCR.

usage: python scripts/validation_detection.py [--draws N] [--cohorts N] [--healthy N] [--faulty N] [--out DIR]

1. The power of simulated Wald tests (the package's own fit at known dispersions, depths that differ) at the limit that
   the package gives, and at the limit of the first-order formula, over group sizes, dispersions, means and directions.
2. Calls of the whole analysis, with estimated dispersions and size factors, by how far the true change is beyond the
   gene's limit.
3. How often the verdict warns on healthy cohorts and under faults: the source of LIMIT in detection_limit.
4. seqc_coh (where DEDIAG_DATA names the data): the limits of detection of spike-in ratios, and genes of known change.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
from detection_truth import depth_titration, power_at, seqc, spike_limits, taqman
from validation import DESIGNS, bounds

from dediag.auditing import open_study
from dediag.diagnostics import detection_limit
from dediag.simulation import simulate
from dediag.stats.detection import Comparison, Genes, first_order_limit
from dediag.stats.detection_limits import LARGEST, limits
from dediag.stats.error_rate import pooled_dispersion
from dediag.stats.reach import genes_at

HERE = Path(__file__).resolve().parent
CONTRAST = ("group", "case", "control")
FIRST_SEED = 80_000  # away from the seeds that LIMIT was chosen on
GRID_SIZES = ((5, 20), (10, 10), (20, 5), (3, 3), (6, 40))
GRID_DISPERSIONS = (0.05, 0.2, 0.5)
GRID_MEANS = (2.0, 5.0, 10.0, 50.0, 500.0)
GRID_RATIOS = (1.0, 4.0)  # of the dispersions, test over reference
LEVEL = 0.005  # p cut-off of the grid: that of an adjusted p of .1 with one gene in 20 called
POWER = 0.8
DEPTH_SD = 0.3  # of the natural log of the size factors
FAULTY = ((5, 20), (6, 15), (10, 10), (20, 8))
FAULTS = (
    ("group_dispersion_ratio", 8.0), ("group_dispersion_ratio", 4.0), ("group_dispersion_ratio", 0.125),
    ("depth_ratio", 0.1), ("depth_ratio", 0.03), ("depth_ratio", 0.01),
)  # fmt: skip
PIPELINE = ((3, 3), (5, 20), (10, 10), (20, 8))
BEYOND = (0.0, 0.5, 0.8, 1.0, 1.25, 2.0, np.inf)  # true change over limit
GENES = 800


def grid(draws: int) -> list[dict[str, Any]]:
    """Power at the predicted limits, cell by cell."""
    rows = []
    for (n_test, n_reference), ratio in product(GRID_SIZES, GRID_RATIOS):
        rng = np.random.default_rng([FIRST_SEED, n_test, n_reference, int(ratio)])
        factors = np.exp(rng.normal(0.0, DEPTH_SD, n_test + n_reference))
        depths = factors[None, :n_test], factors[None, n_test:]
        cells = list(product(GRID_DISPERSIONS, GRID_MEANS))
        phi, mean = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
        reference = phi / pooled_dispersion(ratio, 1.0, n_test, n_reference)
        own = ratio * reference, reference
        genes = genes_at(mean, [*own, phi], depths)
        comparison = Comparison(n_test, n_reference, LEVEL, POWER)
        simple = formula(genes, comparison)
        for sign, exact, first in zip((1, -1), limits(genes, comparison), simple, strict=True):
            for k in range(len(cells)):
                row = {
                    "n_test": n_test, "n_reference": n_reference, "ratio": ratio, "dispersion": phi[k], "mean": mean[k],
                    "direction": "up" if sign > 0 else "down", "fold": None, "power": None, "first_order_fold": None,
                    "first_order_power": None,
                }  # fmt: skip
                for name, limit in (("", exact[k]), ("first_order_", first[k])):
                    if np.isfinite(limit):
                        dispersions = own[0][k], own[1][k], phi[k]
                        row[f"{name}fold"] = float(np.exp(limit))
                        row[f"{name}power"] = power_at(
                            rng, mean[k], sign * limit, dispersions, factors, n_test, LEVEL, draws
                        )
                rows.append(row)
    return rows


def formula(genes: Genes, comparison: Comparison) -> tuple[Any, Any]:
    """Limits up and down by first order."""
    down = first_order_limit(genes.exchanged(), comparison.exchanged(), LARGEST)
    return first_order_limit(genes, comparison, LARGEST), down


def pipeline(cohorts: int) -> list[dict[str, Any]]:
    """Genes with a true effect by true change over limit: how many, and how many are called in that direction."""
    rows = []
    for n_test, n_reference in PIPELINE:
        beyond, called = [], []
        for seed in range(cohorts):
            cohort, truth = simulate(
                n_genes=2_000, n_test=n_test, n_reference=n_reference, seed=FIRST_SEED + seed, effect_share=0.3,
                effect_sd=1.5,
            )  # fmt: skip
            study = open_study(cohort, "~ group", CONTRAST, seed=1)
            result = detection_limit.compute(study)
            at = cohort.genes.get_indexer(list(result.genes))
            lfc = truth["lfc"].to_numpy()[at]
            limit = np.where(lfc > 0, result.reach.up, result.reach.down) / np.log(2.0)
            some = lfc != 0.0
            beyond.append(np.abs(lfc[some]) / limit[some])
            called.append((result.reach.called & (np.sign(study.fit.lfc[at]) == np.sign(lfc)))[some])
        ratio, hit = np.concatenate(beyond), np.concatenate(called)
        for low, high in pairwise(BEYOND):
            inside = (ratio >= low) & (ratio < high)
            share = float(hit[inside].mean()) if inside.any() else None
            rows.append(
                {"n_test": n_test, "n_reference": n_reference, "low": low, "high": None if np.isinf(high) else high,
                 "genes": int(inside.sum()), "called": share}
            )  # fmt: skip
    return rows


def lean(n_test: int, n_reference: int, seed: int, **faults: float) -> tuple[float, bool]:
    """The lean of a simulated cohort, and whether it warns."""
    cohort, _ = simulate(n_genes=GENES, n_test=n_test, n_reference=n_reference, seed=seed, **faults)
    result = detection_limit.compute(open_study(cohort, "~ group", CONTRAST, seed=1))
    verdict = detection_limit.judge(result)
    return result.reach.strongest_lean(detection_limit.FOLDS)[0], verdict.status.value == "warn"


def warnings(healthy: int, faulty: int) -> list[dict[str, Any]]:
    """Rates of warnings without a fault and with each."""
    rows = []
    for name, strength, designs, n in [("none", 0.0, DESIGNS, healthy), *((f, s, FAULTY, faulty) for f, s in FAULTS)]:
        faults = {} if name == "none" else {name: strength}
        found = [lean(*designs[k % len(designs)], FIRST_SEED + k, **faults) for k in range(n)]
        size = np.abs([value for value, _ in found])
        hits = sum(warned for _, warned in found)
        low, high = bounds(hits, n)
        by_design = {f"{a} v {b}": float(size[k :: len(designs)].max()) for k, (a, b) in enumerate(designs) if k < n}
        rows.append(
            {"fault": name, "strength": strength, "warned": hits, "cohorts": n, "low": low, "high": high,
             "median": float(np.median(size)), "least": float(size.min()), "most": float(size.max()),
             "most_by_design": by_design}
        )  # fmt: skip
    return rows


def real(folder: Path) -> dict[str, Any]:
    """Spike-ins and qPCR of seqc_coh, all lanes and one."""
    found = {}
    for name, cohort in (("all lanes", seqc(folder)), ("one lane", depth_titration(folder, "L01"))):
        study = open_study(cohort, "~ group", ("group", "A", "B"), seed=1)
        result = detection_limit.compute(study)
        found[name] = {"ratios": spike_limits(result), "taqman": taqman(folder, study, result)}
    return found


def main(argv: list[str] | None = None) -> int:
    """Simulate, count, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=4_000, help="simulated tests in each cell of the grid")
    parser.add_argument("--cohorts", type=int, default=6, help="cohorts of each size for the calls of the analysis")
    parser.add_argument("--healthy", type=int, default=360)
    parser.add_argument("--faulty", type=int, default=40, help="cohorts for each fault")
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    data = Path(os.environ.get("DEDIAG_DATA", "nowhere")) / "data" / "seqc_coh"
    found = {
        "grid": grid(options.draws),
        "pipeline": pipeline(options.cohorts),
        "warnings": warnings(options.healthy, options.faulty),
        "seqc": real(data) if data.is_dir() else None,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation_detection.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (options.out / "validation_detection.md").write_text(page(found, options))
    return 0


def page(found: dict[str, Any], options: argparse.Namespace) -> str:
    """The numbers, for people."""
    from detection_page import grid_lines, pipeline_lines, real_lines, warning_lines

    lines = [
        "# Limits of detection",
        "",
        "Written by `scripts/validation_detection.py`; not edited by hand.",
        "",
        *grid_lines(found["grid"], options.draws, LEVEL),
        *pipeline_lines(found["pipeline"], options.cohorts),
        *warning_lines(found["warnings"], detection_limit.LIMIT),
        *real_lines(found["seqc"]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
