"""Write reports/validation.md and .json: how often each diagnostic alarms without a fault, and under its own.

usage: python scripts/validation.py [--single N] [--genes N] [--whole N] [--whole-genes N] [--workers N] [--out DIR]

1. Each diagnostic alone, as users run it: `--single` cohorts of `--genes` genes without a fault and as many with the
   diagnostic's own, default draws.
2. Whole audits of `--whole` healthy cohorts, smaller and with few draws, since false alarms are rare and only many
   cohorts show how rare: no alarm in 300 says at most 1 %, none in 1,500 at most 0.2 % (of 1,700 some cannot be
   assessed).

Rates come with exact (Clopper-Pearson) one-sided 95 % bounds. Every number that is judged is shown beside its limit:
where it lies in the whole audits, and where under the diagnostic's own fault. Processor time is counted and set beside
what it may be (`BUDGET`). Ctrl-C ends the study early: what is finished is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import beta

import dediag
from dediag.contract import registered
from dediag.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DESIGNS = ((3, 3), (4, 4), (5, 5), (5, 20), (6, 15), (10, 10), (20, 8), (6, 40), (71, 29))  # test, reference
FAULTY = ((5, 20), (6, 15), (10, 10), (20, 8))  # in which a fault must be found
SMALLER_NOISIER = ((5, 20), (6, 15), (6, 40))  # at equal sizes, or with the larger group noisier, pooling does no harm
FAULTY_OF = {"imbalance": SMALLER_NOISIER, "replicability": SMALLER_NOISIER}
FEW = {"draws": 20, "bootstraps": 20, "permutations": 40}  # in whole audits
ALARMS = {"warn", "fail", "error"}
BUDGET = {"single": 90.0, "whole": 240.0}  # processor minutes
CONTRAST = ("group", "case", "control")
FIRST_SEED = 50_000  # away from the seeds that limits were chosen on
HERE = Path(__file__).resolve().parent


class Outcome(NamedTuple):
    """What one diagnostic said of one cohort."""

    status: str
    judged: dict[str, tuple[float, float]]  # metrics that have a limit: value and limit


class Audited(NamedTuple):
    """What an audit said of one cohort, and the seconds of processor time that it took."""

    outcomes: dict[str, Outcome]
    seconds: float


@dataclass(frozen=True)
class Trial:
    """One simulated cohort and its audit."""

    seed: int
    n_test: int
    n_reference: int
    n_genes: int
    alone: str | None = None  # the only diagnostic; None: all of them, with few draws
    faulty: bool = False  # whether the cohort has the diagnostic's fault

    def run(self) -> Audited:
        """The outcome of each diagnostic that was run."""
        from dediag.model import kernels

        kernels.set_threads(1)
        started = time.process_time()
        fault = registered()[self.alone].diagnostic.fault if self.alone and self.faulty else None
        faults = {fault.name: fault.strength} if fault else {}
        cohort, _ = simulate(
            n_genes=self.n_genes, n_test=self.n_test, n_reference=self.n_reference, seed=self.seed, **faults
        )
        only, draws = ([self.alone], {}) if self.alone else (None, FEW)
        report = dediag.audit(
            cohort, "~ group", CONTRAST, seed=self.seed, cache=False, figures=False, only=only, **draws
        )
        outcomes = {
            f.id: Outcome(
                str(f.status),
                {m.name: (float(m.value), m.limit) for m in f.metrics if m.limit is not None and is_number(m.value)},
            )
            for f in report.findings
            if f.status != "skipped"
        }
        return Audited(outcomes, time.process_time() - started)


def is_number(value: object) -> bool:
    """Whether a metric's value can be set against a limit."""
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def main(argv: list[str] | None = None) -> int:
    """Simulate, audit, count, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--single", type=int, default=45, help="cohorts for each diagnostic, without and with its fault"
    )
    parser.add_argument("--genes", type=int, default=2000, help="of these")
    parser.add_argument("--whole", type=int, default=1700, help="healthy cohorts with a whole audit")
    parser.add_argument("--whole-genes", type=int, default=800, help="of these")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    trials = planned(options.single, options.genes, options.whole, options.whole_genes)
    results = counted(list(zip(trials, finished(trials, options.workers), strict=False)))  # not all after Ctrl-C
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "validation.md").write_text(as_markdown(results))
    return 0


def planned(n_single: int, n_genes: int, n_whole: int, n_whole_genes: int) -> list[Trial]:
    """All trials: each diagnostic alone, with and without its fault, then whole audits."""
    alone = [
        Trial(FIRST_SEED + k, *designs[k % len(designs)], n_genes, i, faulty)
        for i, entry in registered().items()
        for faulty in (True, False)
        if entry.diagnostic.fault or not faulty
        for designs in [FAULTY_OF.get(i, FAULTY) if faulty else DESIGNS]
        for k in range(n_single)
    ]
    return alone + [Trial(FIRST_SEED + k, *DESIGNS[k % len(DESIGNS)], n_whole_genes) for k in range(n_whole)]


def finished(trials: list[Trial], workers: int) -> list[Audited]:
    """What the trials found, in their order; of the first of them where Ctrl-C ends the study."""
    found: list[Audited] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for audited in pool.map(Trial.run, trials, chunksize=2):
                found.append(audited)
                print(f"{len(found)} of {len(trials)} audits", end="\r", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    return found


def counted(done: list[tuple[Trial, Audited]]) -> dict[str, Any]:
    """The whole study in numbers."""
    whole = [audited for trial, audited in done if not trial.alone]
    single = {
        (i, faulty): [audited for trial, audited in done if trial.alone == i and trial.faulty == faulty]
        for i in registered()
        for faulty in (True, False)
    }
    rates = {}
    for i, entry in registered().items():
        fault, costs = entry.diagnostic.fault, [audited.seconds for f in (True, False) for audited in single[i, f]]
        rates[i] = {
            "warn": rate(whole, i, {"warn"}),
            "fail": rate(whole, i, {"fail", "error"}),
            "alone": rate(single[i, False], i, ALARMS),
            "fault": f"{fault.name}={fault.strength:g}" if fault else None,
            "detected": rate(single[i, True], i, {"warn", "fail"}) if fault else None,
            "seconds": float(np.mean(costs)) if costs else None,
        }
    said = [{outcome.status for outcome in audited.outcomes.values()} for audited in whole]
    return {
        "rates": rates,
        "limits": located(whole, single),
        "whole": {
            "cohorts": len(whole),
            "genes": sorted({trial.n_genes for trial, _ in done if not trial.alone}),
            "warn or fail": proportion(sum(bool(statuses & ALARMS) for statuses in said), len(said)),
            "fail": proportion(sum(bool(statuses & {"fail", "error"}) for statuses in said), len(said)),
        },
        "single": {
            "cohorts": sum(map(len, single.values())),
            "genes": sorted({trial.n_genes for trial, _ in done if trial.alone}),
        },
        "minutes": {
            part: {
                "spent": sum(audited.seconds for trial, audited in done if bool(trial.alone) == (part == "single"))
                / 60,
                "budget": budget,
            }
            for part, budget in BUDGET.items()
        },
    }


def rate(audits: list[Audited], diagnostic: str, wanted: Collection[str]) -> dict[str, float | int]:
    """Share of the cohorts that a diagnostic could assess with one of the wanted statuses."""
    said = [audited.outcomes[diagnostic].status for audited in audits]
    said = [status for status in said if status != "not_assessable"]
    return proportion(sum(status in wanted for status in said), len(said))


def proportion(hits: int, n: int) -> dict[str, float | int]:
    """A share with its exact lower and upper bound, each of 95 %."""
    low = float(beta.ppf(0.05, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0
    return {"hits": hits, "cohorts": n, "rate": hits / n if n else float("nan"), "low": low, "high": high}


def located(whole: list[Audited], single: Mapping[tuple[str, bool], list[Audited]]) -> list[dict[str, object]]:
    """Where each judged number lies: its extremes and middle without a fault, its middle 80 % under the fault."""
    healthy: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    faulty: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    under = [audited for (_, with_fault), audits in single.items() if with_fault for audited in audits]
    for audits, pairs in ((whole, healthy), (under, faulty)):
        for audited in audits:
            for i, outcome in audited.outcomes.items():
                for metric, pair in outcome.judged.items():
                    pairs[i, metric].append(pair)
    places: list[dict[str, object]] = []
    for at, pairs_without in healthy.items():
        values, under_fault = [value for value, _ in pairs_without], [value for value, _ in faulty.get(at, [])]
        limits = {limit for _, limit in pairs_without + faulty.get(at, [])}
        places.append(
            {
                "diagnostic": at[0],
                "metric": at[1],
                "limit": limits.pop() if len(limits) == 1 else None,  # None: it depends on the cohort
                "cohorts": len(values),
                "healthy": [float(q) for q in np.quantile(values, (0.0, 0.5, 1.0))],
                "faulty": [float(q) for q in np.quantile(under_fault, (0.1, 0.5, 0.9))] if under_fault else None,
            }
        )
    return places


def as_markdown(results: dict[str, Any]) -> str:
    """The counts, for people."""

    def alarmed(r: Any) -> str:
        return f"{r['hits']} of {r['cohorts']} ({100 * r['high']:.2f})"

    def found(r: Any) -> str:
        return f"{r['hits']} of {r['cohorts']} ({100 * r['low']:.1f})" if r else ""

    def seconds(s: float | None) -> str:
        return f"{s:.1f}" if s is not None else ""

    whole, single = results["whole"], results["single"]
    minutes = {
        part: f"{m['spent']:.0f} processor minutes, of {m['budget']:.0f} that they may take."
        for part, m in results["minutes"].items()
    }
    genes = {part: " and ".join(f"{n:,}" for n in results[part]["genes"]) for part in BUDGET}
    listed = [", ".join(f"{a} v {b}" for a, b in designs) for designs in (DESIGNS, FAULTY, SMALLER_NOISIER)]
    alone = [
        f"| `{i}` | {r['alone']['hits']} of {r['alone']['cohorts']} | {r['fault'] or 'none'} | "
        f"{found(r['detected'])} | {seconds(r['seconds'])} |"
        for i, r in results["rates"].items()
    ]
    rows = [f"| `{i}` | {alarmed(r['warn'])} | {alarmed(r['fail'])} |" for i, r in results["rates"].items()]
    places = [
        f"| `{at['diagnostic']}` | `{at['metric']}` | {at['limit'] or 'varies'} | "
        f"{spread(at['healthy'])} | {spread(at['faulty'])} |"
        for at in results["limits"]
    ]
    lines = [
        "# Validation",
        "",
        "Written by `scripts/validation.py`; not edited by hand.",
        f"Healthy cohorts have {listed[0]} samples.",
        f"Faults are planted in {listed[1]};",
        f"for {' and '.join(FAULTY_OF)} in {listed[2]}, since unequal dispersions cost them nothing",
        "at equal sizes or where the larger group is the noisier one.",
        "Cohorts that a diagnostic could not assess are left out. In parentheses, in percent, what so many show",
        "(exact one-sided 95 % bounds): of alarms the largest rate, of faults found the smallest.",
        "",
        "Asked: per diagnostic at most 1 % warn and 0.2 % fail, per audit at most 15 % warn and 2 % fail, and 90 % of",
        "the faults found.",
        "",
        "## Each diagnostic alone",
        "",
        f"{single['cohorts']:,} audits with one diagnostic, of cohorts of {genes['single']} genes, default draws:",
        minutes["single"],
        "",
        "| diagnostic | warn or fail without a fault | its fault | warn or fail under it | processor seconds each |",
        "|---|---|---|---|---|",
        *alone,
        "",
        "## Whole audits without a fault",
        "",
        f"{whole['cohorts']:,} audits with all diagnostics, of cohorts of {genes['whole']} genes,",
        f"{', '.join(f'{n} {what}' for what, n in FEW.items())}:",
        minutes["whole"],
        "",
        "| diagnostic | warn | fail |",
        "|---|---|---|",
        *rows,
        "",
        *(f"- some diagnostic says {what}: {alarmed(whole[what])}" for what in ("warn or fail", "fail")),
        "",
        "## Where the limits lie",
        "",
        "Every number of a report that has a limit. Without a fault, in whole audits: smallest, median, largest. Under",
        "the diagnostic's fault, alone: lower tenth, median, upper tenth. Some verdicts ask for two of them, or for an",
        "interval beyond the limit; what a number means is said by `dediag explain`.",
        "",
        "| diagnostic | number | limit | without a fault | under its fault |",
        "|---|---|---|---|---|",
        *places,
        "",
    ]
    return "\n".join(lines)


def spread(quantiles: object) -> str:
    """Three numbers, for the table."""
    return ", ".join(f"{q:.3g}" for q in quantiles) if isinstance(quantiles, list) else ""


if __name__ == "__main__":
    raise SystemExit(main())
