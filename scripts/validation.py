"""Write reports/validation.md and .json: how often each diagnostic alarms without a fault, and under its own.

usage: python scripts/validation.py [--healthy N] [--faulty N] [--genes N] [--workers N] [--out DIR]

Cohorts are simulated at several group sizes (`DESIGNS`), audited in full with few draws, and their statuses counted.
Rates come with exact (Clopper-Pearson) one-sided 95 % bounds, so that few cohorts claim little: no alarm in 300 cohorts
says at most 1 %, none in 1,500 at most 0.2 % (of 1,700 some cannot be assessed). Every number that is judged is shown
beside its limit: where it lies without a fault, and where under the diagnostic's own. Ctrl-C ends the study early:
what is finished is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta

import dediag
from dediag.contract import registered
from dediag.simulation import simulate

DESIGNS = ((3, 3), (4, 4), (5, 5), (5, 20), (6, 15), (10, 10), (20, 8), (6, 40), (71, 29))  # test, reference
FAULTY = ((5, 20), (6, 15), (10, 10), (20, 8))  # in which a fault must be found
SMALLER_NOISIER = ((5, 20), (6, 15), (6, 40))  # at equal sizes, or with the larger group noisier, pooling does no harm
FAULTY_OF = {"imbalance": SMALLER_NOISIER, "replicability": SMALLER_NOISIER}
DRAWS = 20
PERMUTATIONS = 40
FIRST_SEED = 50_000  # away from the seeds that limits were chosen on
HERE = Path(__file__).resolve().parent


class Outcome(NamedTuple):
    """What one diagnostic said of one cohort."""

    status: str
    judged: dict[str, tuple[float, float]]  # metrics that have a limit: value and limit


@dataclass(frozen=True)
class Trial:
    """One cohort to be audited: by every diagnostic where it is healthy, by the one whose fault it has otherwise."""

    seed: int
    n_test: int
    n_reference: int
    n_genes: int
    diagnostic: str | None = None

    def run(self) -> dict[str, Outcome]:
        """The outcome of each diagnostic that was run."""
        from dediag.model import kernels

        kernels.set_threads(1)
        fault = registered()[self.diagnostic].diagnostic.fault if self.diagnostic else None
        faults = {fault.name: fault.strength} if fault else {}
        cohort, _ = simulate(
            n_genes=self.n_genes, n_test=self.n_test, n_reference=self.n_reference, seed=self.seed, **faults
        )
        report = dediag.audit(
            cohort, "~ group", ("group", "case", "control"), seed=self.seed, draws=DRAWS, bootstraps=DRAWS,
            permutations=PERMUTATIONS, cache=False, figures=False, only=[self.diagnostic] if self.diagnostic else None,
        )  # fmt: skip
        return {
            f.id: Outcome(
                str(f.status),
                {m.name: (float(m.value), m.limit) for m in f.metrics if m.limit is not None and is_number(m.value)},
            )
            for f in report.findings
            if f.status != "skipped"
        }


def is_number(value: object) -> bool:
    """Whether a metric's value can be set against a limit."""
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def bounds(hits: int, n: int) -> tuple[float, float]:
    """Exact lower and upper bound of a rate, each of 95 %."""
    low = float(beta.ppf(0.05, hits, n - hits + 1)) if hits else 0.0
    return low, float(beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0


def rate(statuses: Counter[str], wanted: set[str]) -> dict[str, float | int]:
    """Share of the assessable cohorts with one of the wanted statuses."""
    n = sum(count for status, count in statuses.items() if status != "not_assessable")
    hits = sum(statuses[status] for status in wanted)
    low, high = bounds(hits, n) if n else (0.0, 1.0)
    return {"hits": hits, "cohorts": n, "rate": hits / n if n else float("nan"), "low": low, "high": high}


def main(argv: list[str] | None = None) -> int:
    """Simulate, audit, count, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--healthy", type=int, default=1700, help="cohorts without a fault")
    parser.add_argument("--faulty", type=int, default=40, help="cohorts for each diagnostic's fault")
    parser.add_argument("--genes", type=int, default=800)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    faulty = [i for i, r in registered().items() if r.diagnostic.fault]
    trials = [
        Trial(FIRST_SEED + k, *designs[k % len(designs)], options.genes, diagnostic)
        for diagnostic, n, designs in [
            *((i, options.faulty, FAULTY_OF.get(i, FAULTY)) for i in faulty),
            (None, options.healthy, DESIGNS),
        ]
        for k in range(n)
    ]
    started = time.perf_counter()
    outcomes = finished(trials, options.workers)
    healthy: dict[str, Counter[str]] = {i: Counter() for i in registered()}
    broken: dict[str, Counter[str]] = {i: Counter() for i in faulty}
    judged: dict[tuple[str, str, bool], list[tuple[float, float]]] = defaultdict(list)
    for trial, found in zip(trials, outcomes, strict=False):  # not all, where the study was ended early
        for i, outcome in found.items():
            (broken if trial.diagnostic else healthy)[i][outcome.status] += 1
            for name, pair in outcome.judged.items():
                judged[i, name, bool(trial.diagnostic)].append(pair)
    results = {
        i: {
            "healthy": dict(healthy[i]),
            "warn": rate(healthy[i], {"warn"}),
            "fail": rate(healthy[i], {"fail", "error"}),
            "fault": None if i not in broken else f"{r.diagnostic.fault.name}={r.diagnostic.fault.strength:g}",  # type: ignore[union-attr]
            "detected": None if i not in broken else rate(broken[i], {"warn", "fail"}),
        }
        for i, r in registered().items()
    }
    limits = [
        located(i, name, pairs, judged.get((i, name, True), [])) for (i, name, bad), pairs in judged.items() if not bad
    ]
    audits = [
        {o.status for o in found.values()} for t, found in zip(trials, outcomes, strict=False) if not t.diagnostic
    ]
    options.healthy = len(audits)
    alarms = {
        "warn or fail": sum(bool(found & {"warn", "fail", "error"}) for found in audits),
        "fail": sum(bool(found & {"fail", "error"}) for found in audits),
    }
    minutes = (time.perf_counter() - started) / 60.0 * options.workers
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation.json").write_text(json.dumps({"rates": results, "limits": limits}, indent=1) + "\n")
    (options.out / "validation.md").write_text(as_markdown(results, limits, options, alarms, minutes))
    return 0


def finished(trials: list[Trial], workers: int) -> list[dict[str, Outcome]]:
    """The outcomes of the trials in their order; of the first of them where Ctrl-C ends the study."""
    outcomes: list[dict[str, Outcome]] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for outcome in pool.map(Trial.run, trials, chunksize=2):
                outcomes.append(outcome)
                print(f"{len(outcomes)} of {len(trials)} audits", end="\r", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    return outcomes


def located(
    diagnostic: str, metric: str, healthy: list[tuple[float, float]], faulty: list[tuple[float, float]]
) -> dict[str, object]:
    """Where a judged number lies: its extremes and middle without a fault, its middle 80 % under the fault."""
    values = np.array([value for value, _ in healthy])
    under = np.array([value for value, _ in faulty])
    limits = {limit for _, limit in healthy + faulty}
    return {
        "diagnostic": diagnostic,
        "metric": metric,
        "limit": limits.pop() if len(limits) == 1 else None,  # None: it depends on the cohort
        "cohorts": values.size,
        "healthy": [float(q) for q in np.quantile(values, (0.0, 0.5, 1.0))],
        "faulty": [float(q) for q in np.quantile(under, (0.1, 0.5, 0.9))] if under.size else None,
    }


def as_markdown(
    results: dict[str, dict[str, Any]],
    limits: list[dict[str, object]],
    options: argparse.Namespace,
    alarms: dict[str, int],
    minutes: float,
) -> str:
    """The counts, for people."""

    def alarmed(r: Any) -> str:
        return f"{r['hits']} of {r['cohorts']} ({100 * r['high']:.2f})"

    def found(r: Any) -> str:
        return f"{r['hits']} of {r['cohorts']} ({100 * r['low']:.1f})" if r else ""

    listed = [", ".join(f"{a} v {b}" for a, b in designs) for designs in (DESIGNS, FAULTY, SMALLER_NOISIER)]
    rows = [
        f"| `{i}` | {alarmed(r['warn'])} | {alarmed(r['fail'])} | {r['fault'] or 'none'} | {found(r['detected'])} |"
        for i, r in results.items()
    ]
    audits = [
        f"- {name}: {n} of {options.healthy} (at most {100 * bounds(n, options.healthy)[1]:.2f} %)"
        for name, n in alarms.items()
    ]
    places = [
        f"| `{at['diagnostic']}` | `{at['metric']}` | {at['limit'] or 'varies'} | "
        f"{spread(at['healthy'])} | {spread(at['faulty'])} |"
        for at in limits
    ]
    lines = [
        "# Validation",
        "",
        "Written by `scripts/validation.py`; not edited by hand.",
        f"{options.healthy} healthy cohorts ({listed[0]})",
        f"and {options.faulty} for each fault ({listed[1]};",
        f"for {' and '.join(FAULTY_OF)} {listed[2]}, since unequal dispersions cost them nothing",
        "at equal sizes or where the larger group is the noisier one);",
        f"{options.genes} genes, {DRAWS} draws and bootstraps, {PERMUTATIONS} permutations;",
        f"{minutes:.0f} processor minutes.",
        "Cohorts that a diagnostic could not assess are left out. In parentheses, in percent, what so many show",
        "(exact one-sided 95 % bounds): of alarms the largest rate, of faults found the smallest.",
        "",
        "| diagnostic | warn, healthy | fail, healthy | its fault | warn or fail under it |",
        "|---|---|---|---|---|",
        *rows,
        "",
        "Audits of healthy cohorts, all diagnostics together:",
        "",
        *audits,
        "",
        "Asked: per diagnostic at most 1 % warn and 0.2 % fail, per audit at most 15 % warn and 2 % fail, and 90 % of",
        "the faults found.",
        "",
        "## Where the limits lie",
        "",
        "Every number of a report that has a limit. Without a fault: smallest, median, largest. Under the diagnostic's",
        "fault: lower tenth, median, upper tenth. Some verdicts ask for two of them, or for an interval beyond the",
        "limit; what a number means is said by `dediag explain`.",
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
