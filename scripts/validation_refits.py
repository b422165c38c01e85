"""Write reports/validation_refits.md and .json: what diagnostics conclude from refits, and what is true.

usage: python scripts/validation_refits.py [--cohorts N] [--equivalence N] [--workers N] [--out DIR]

1. Healthy cohorts at 71 v 29, 3 v 100 and 3 v 500: shift of balanced draws, observed and predicted.
2. The equivalence test of `imbalance`, put to the test by scripts/equivalence.py.
3. 6 v 60 with 200 true genes of 2,000: overlap inside its interval, exaggeration and wrong signs told and true.
4. 6 v 60 with one corrupted sample: overlap outside, and which sample `influence` names.
5. schurch2016 (48 v 48, where DEDIAG_DATA names the data): 5 v 20 drawn, judged by all replicates and by others drawn.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from equivalence import DESIGNS, equivalence

import dediag
from dediag.auditing import open_study
from dediag.cohort import Cohort, frozen
from dediag.diagnostics import imbalance, influence, replicability
from dediag.settings import AuditSettings
from dediag.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dediag.diagnostics.replicability import Replicability

HERE = Path(__file__).resolve().parent
FIRST_SEED = 90_000  # away from the seeds that limits were chosen on
CONTRAST = ("group", "case", "control")
SHIFTS = ((71, 29), (3, 100), (3, 500))
EFFECTS = (1.0, 1.5, 2.0, "normal")


def six_v_sixty(effect: float | str, seed: int) -> Cohort:
    """2,000 genes of mean 100 and dispersion .3, of which 200 have an effect of this size, or normal ones (sd 1.2)."""
    rng = np.random.default_rng([seed, 77])
    lfc = np.zeros(2000)
    lfc[:200] = rng.normal(0.0, 1.2, 200) if effect == "normal" else float(effect) * rng.choice([-1, 1], 200)
    case = np.arange(66) < 6
    mean = 100.0 * 2.0 ** (np.where(case, 0.5, -0.5) * lfc[:, None]) * np.exp(rng.normal(0.0, 0.2, 66))
    counts = rng.poisson(rng.gamma(1.0 / 0.3, 0.3 * mean)).astype(float)
    genes = pd.Index([f"gene{k} {value!r}" for k, value in enumerate(lfc.tolist())], name="gene_id")
    samples = pd.Index([f"s{k}" for k in range(66)], name="sample")
    return Cohort(frozen(counts), genes, pd.DataFrame({"group": np.where(case, "case", "control")}, index=samples))


def shift(seed: int, n_test: int, n_reference: int) -> dict[str, Any]:
    """Shift of the balanced draws of a healthy cohort."""
    cohort, _ = simulate(n_genes=800, n_test=n_test, n_reference=n_reference, seed=seed)
    found = imbalance.compute(open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(draws=50, bootstraps=5)))
    drawn = found.arms["balanced"].shift
    return {"observed": drawn.observed, "predicted": drawn.predicted, "status": str(imbalance.judge(found).status)}


def lists(seed: int, effect: float | str) -> dict[str, Any]:
    """Lists of balanced draws of a correct model."""
    found = replicability.compute(open_study(six_v_sixty(effect, seed), "~ group", CONTRAST))
    return _overlap(found) | _curse(found, np.array([float(name.split()[1]) for name in found.genes]))


def corrupted(seed: int) -> dict[str, Any]:
    """Lists where the first sample of the smaller group is damaged, and who is named."""
    cohort, _ = simulate(n_genes=2000, n_test=6, n_reference=60, seed=seed, bad_sample=1.5)
    study = open_study(cohort, "~ group", CONTRAST)
    found = replicability.compute(study)
    named = {metric.name: metric.value for metric in influence.metrics(influence.compute(study))}["worst_sample"]
    status = str(replicability.judge(found).status)
    return _overlap(found) | {"status": status, "named": named == str(cohort.samples.index[0])}


def schurch(seed: int, folder: str) -> dict[str, Any]:
    """5 v 20 of the clean replicates; truth: the fit of all of them, and what 5 v 20 others call."""
    contrast = ("group", "Snf2", "WT")
    cohort = dediag.read_cohort(f"{folder}/counts.tsv.gz", f"{folder}/samples.tsv")
    clean = (cohort.samples["clean"] == "yes").to_numpy()
    level = cohort.samples["group"].to_numpy()
    rng = np.random.default_rng(seed)
    test, reference = (rng.permutation(np.flatnonzero(clean & (level == name))) for name in ("Snf2", "WT"))
    one, other = (np.sort(np.r_[test[5 * k : 5 * k + 5], reference[20 * k : 20 * k + 20]]) for k in (0, 1))
    study = open_study(cohort.take_samples(one), "~ group", contrast)
    found, balance = replicability.compute(study), imbalance.compute(study)
    everything = dediag.fit(cohort.take_samples(np.flatnonzero(clean)), "~ group", contrast)
    again = dediag.fit(cohort.take_samples(other), "~ group", contrast)
    called = study.significant
    same = again.significant & (np.sign(again.lfc) == np.sign(study.fit.lfc))
    truth = everything.lfc[cohort.genes.get_indexer(list(found.genes))]
    return _overlap(found) | _curse(found, truth) | {
        "status": str(replicability.judge(found).status),
        "imbalance": str(imbalance.judge(balance).status),
        "again_told": found.again_share,
        "again_true": float((same & called).sum() / called.sum()),
        "up_balanced": balance.arms["balanced"].up_fraction,
        "up_full": balance.up_fraction,
        "up_everything": float((everything.lfc[everything.significant] > 0).mean()),
    }  # fmt: skip


def _overlap(found: Replicability) -> dict[str, Any]:
    drawn = found.lists.draws
    if drawn is None or drawn.expected_jaccard is None:
        return {"inside": None, "width": None, "observed": None, "expected": None}
    low, high = drawn.expected_jaccard.interval(0.9)
    return {
        "inside": bool(low <= drawn.jaccard <= high), "width": high - low, "observed": drawn.jaccard,
        "expected": drawn.expected_jaccard.value,
    }  # fmt: skip


def _curse(found: Replicability, truth: np.ndarray) -> dict[str, Any]:
    sign = np.sign(found.curse.estimate)
    wrong = np.where(truth == 0.0, 0.5, np.sign(truth) != sign)
    return {
        "exaggeration_told": found.curse.exaggeration,
        "exaggeration_true": float(np.abs(found.curse.estimate).sum() / (sign * truth).sum()),
        "wrong_told": found.curse.wrong_sign_rate,
        "wrong_true": float(wrong.mean()),
    }


def _alone(task: Callable[[], Any]) -> Any:
    from dediag.model import kernels

    kernels.set_threads(1)
    return task()


def _equivalence(design: tuple[int, int], cohorts: int) -> dict[str, Any]:
    return vars(equivalence(*design, cohorts))


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=60, help="of each kind")
    parser.add_argument("--equivalence", type=int, default=400, help="cohorts of each design of the equivalence test")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    n, data = options.cohorts, Path(os.environ.get("DEDIAG_DATA", "")) / "data" / "schurch2016"
    seeds = range(FIRST_SEED, FIRST_SEED + n)
    tasks: list[tuple[str, Callable[[], Any]]] = []
    tasks += [("equivalence", partial(_equivalence, design, options.equivalence)) for design in DESIGNS]
    tasks += [(f"{a} v {b}", partial(shift, s, a, b)) for a, b in SHIFTS for s in seeds[: max(n // 6, 2)]]
    tasks += [(f"effect {effect}", partial(lists, s, effect)) for effect in EFFECTS for s in seeds]
    tasks += [("corrupted", partial(corrupted, s)) for s in seeds[: max(n // 3, 2)]]
    if os.environ.get("DEDIAG_DATA") and data.is_dir():
        tasks += [("schurch2016", partial(schurch, s, str(data))) for s in seeds[: max(n // 6, 2)]]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(_alone, [task for _, task in tasks]))
    results: dict[str, list[Any]] = {}
    for (kind, _), outcome in zip(tasks, outcomes, strict=True):
        results.setdefault(kind, []).append(outcome)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation_refits.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "validation_refits.md").write_text(as_markdown(results))
    return 0


def as_markdown(results: dict[str, list[Any]]) -> str:
    """The numbers, for people."""

    def mean(rows: list[Any], name: str) -> float:
        return float(np.mean([row[name] for row in rows if row[name] is not None]))

    lines = [
        "# Validation of what is concluded from refits",
        "",
        "Written by `scripts/validation_refits.py`; not edited by hand.",
        "",
        "## Shift of balanced draws in healthy cohorts (log2)",
        "",
        "| sizes | cohorts | observed, mean | predicted, mean | largest difference | passes |",
        "|---|---|---|---|---|---|",
    ]
    for a, b in SHIFTS:
        rows = results[f"{a} v {b}"]
        apart = max(abs(row["observed"] - row["predicted"]) for row in rows)
        passed = sum(row["status"] == "pass" for row in rows)
        lines.append(
            f"| {a} v {b} | {len(rows)} | {mean(rows, 'observed'):+.4f} | {mean(rows, 'predicted'):+.4f} | {apart:.4f} "
            f"| {passed} of {len(rows)} |"
        )
    lines += [
        "",
        "## The equivalence test",
        "",
        "Share of healthy cohorts in which equivalence is concluded while the true difference is on the limit",
        "(stated: 5 %), and while there is none.",
        "",
        "| sizes | cohorts | at +0.05 log2 | at -0.05 log2 | no difference | 90 % interval covers |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['n_test']} v {r['n_reference']} | {r['cohorts']} | {r['at_upper']:.1%} | {r['at_lower']:.1%} "
        f"| {r['at_zero']:.1%} | {r['coverage']:.1%} |"
        for r in results["equivalence"]
    ]
    lines += [
        "",
        "## Overlap of lists, 6 v 60, 200 true genes of 2,000, dispersion .3, mean 100",
        "",
        "inside: the observed Jaccard index lies in the 90 % interval. Last columns: told, true (means).",
        "",
        "| effects (log2) | cohorts | inside | width (largest) | observed | expected | exaggeration | wrong sign |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for effect in EFFECTS:
        rows = results[f"effect {effect}"]
        lines.append(
            f"| {effect} | {len(rows)} | {mean(rows, 'inside'):.0%} | {mean(rows, 'width'):.3f} "
            f"({max(row['width'] for row in rows):.3f}) | {mean(rows, 'observed'):.3f} | {mean(rows, 'expected'):.3f} "
            f"| {mean(rows, 'exaggeration_told'):.2f}, {mean(rows, 'exaggeration_true'):.2f} "
            f"| {mean(rows, 'wrong_told'):.1%}, {mean(rows, 'wrong_true'):.1%} |"
        )
    rows = results["corrupted"]
    outside, named = sum(not row["inside"] for row in rows), sum(row["named"] for row in rows)
    alarms = sum(row["status"] in ("warn", "fail") for row in rows)
    said = f"{len(rows)} cohorts: outside in {outside}, warned or failed in {alarms}, named by `influence` in {named}."
    lines += ["", f"One corrupted sample of the six (1.5 log2), {said}"]
    if rows := results.get("schurch2016", []):
        passed = [sum(row[name] == "pass" for row in rows) for name in ("imbalance", "status")]
        said = f"{len(rows)} draws. `imbalance` passes in {passed[0]}, `replicability` in {passed[1]}."
        lines += [
            "",
            "## schurch2016: 5 v 20 of the clean replicates",
            "",
            said,
            "",
            "| | told | true |",
            "|---|---|---|",
        ]
        compared = {
            "calls that 5 v 20 others call again": ("again_told", "again_true"),
            "exaggeration (truth: all clean replicates)": ("exaggeration_told", "exaggeration_true"),
            "wrong signs (truth: all clean replicates)": ("wrong_told", "wrong_true"),
            "Jaccard index of balanced draws (expected, observed)": ("expected", "observed"),
            "share of calls that are up (5 v 20, all clean replicates)": ("up_full", "up_everything"),
            "the same (balanced draws of it, all clean replicates)": ("up_balanced", "up_everything"),
        }
        lines += [f"| {name} | {mean(rows, a):.3f} | {mean(rows, b):.3f} |" for name, (a, b) in compared.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
