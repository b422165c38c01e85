"""Write reports/validation.md and .json: how often each diagnostic alarms without a fault, and under its own.

usage: python scripts/validation.py [--parts NAME ...] [--single N] [--genes N] [--whole N] [--whole-genes N]
                                    [--workers N] [--out DIR]

1. Each diagnostic alone, as users run it: `--single` cohorts of `--genes` genes without a fault and as many with the
   diagnostic's own, default draws.
2. Whole audits of `--whole` healthy cohorts, smaller and with few draws, since false alarms are rare and only many
   cohorts show how rare: no alarm in 300 says at most 1 %, none in 1,500 at most 0.2 % (of 1,700 some cannot be
   assessed).

Rates come with exact (Clopper-Pearson) one-sided 95 % bounds, over the designs together. Every number that is judged is
shown beside its limit. What is asked stands beside what was seen, processor time (`BUDGET`) too. Each part is written
when it is finished, and a part that is not asked for stays as it was. However a part ends (Ctrl-C, a worker without
memory), what is finished is counted, and the page says how many audits were planned.
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
from statsmodels.stats.proportion import proportion_confint

import dediag
from dediag.contract import registered
from dediag.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Collection

DESIGNS = ((3, 3), (4, 4), (5, 5), (5, 20), (6, 15), (10, 10), (20, 8), (6, 40), (71, 29))  # test, reference
FAULTY = ((5, 20), (6, 15), (10, 10), (20, 8))  # in which a fault must be found
SMALLER_NOISIER = ((5, 20), (6, 15), (6, 40))  # at equal sizes, or with the larger group noisier, pooling does no harm
FAULTY_OF = {"imbalance": SMALLER_NOISIER, "replicability": SMALLER_NOISIER}
FEW = {"draws": 20, "bootstraps": 20, "permutations": 40}  # in whole audits
PARTS = ("single", "whole")
ALARMS = ("warn", "fail")
MIDDLE, EXTREMES = (0.1, 0.5, 0.9), (0.0, 0.5, 1.0)  # quantiles
BUDGET = {"single": 90.0, "whole": 240.0}  # processor minutes by default: twice and one and a half times what was spent
# Shares: of warnings and of failures of one diagnostic, of audits with either and with a failure, of faults found.
ASKED = {"warn": 0.01, "fail": 0.002, "audit warns or fails": 0.15, "audit fails": 0.02, "found": 0.9}
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--single", type=int, default=45, help="cohorts for each diagnostic, healthy and faulty each")
    parser.add_argument("--genes", type=int, default=2000, help="of these")
    parser.add_argument("--whole", type=int, default=1700, help="healthy cohorts with a whole audit")
    parser.add_argument("--whole-genes", type=int, default=800, help="of these")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    trials = {"single": alone(options.single, options.genes), "whole": whole(options.whole, options.whole_genes)}
    for part in options.parts:
        found: list[Audited] = []
        try:
            run(trials[part], options.workers, found)
        except KeyboardInterrupt:
            return 130
        finally:
            write(part, trials[part], found, options.out)
    return 0


def alone(n_cohorts: int, n_genes: int) -> list[Trial]:
    """Each diagnostic alone, with its fault and without."""
    trials = []
    for i, entry in registered().items():
        if entry.diagnostic.fault:
            designs = FAULTY_OF.get(i, FAULTY)
            trials += [Trial(FIRST_SEED + k, *designs[k % len(designs)], n_genes, i, True) for k in range(n_cohorts)]
        trials += [Trial(FIRST_SEED + k, *DESIGNS[k % len(DESIGNS)], n_genes, i) for k in range(n_cohorts)]
    return trials


def whole(n_cohorts: int, n_genes: int) -> list[Trial]:
    """Whole audits of healthy cohorts."""
    return [Trial(FIRST_SEED + k, *DESIGNS[k % len(DESIGNS)], n_genes) for k in range(n_cohorts)]


def run(trials: list[Trial], workers: int, found: list[Audited]) -> None:
    """Append what the trials found, in their order."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for audited in pool.map(Trial.run, trials, chunksize=2):
                found.append(audited)
                print(f"{len(found)} of {len(trials)} audits", end="\r", file=sys.stderr, flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def write(part: str, trials: list[Trial], found: list[Audited], out: Path) -> None:
    """The page and its numbers, with this part anew; nothing where nothing was found."""
    from validation_page import page_of

    if not found:
        return
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "validation.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    results[part] = counted(part, trials, found)
    results = {part: results[part] for part in PARTS if part in results}
    kept.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    (out / "validation.md").write_text(page_of(results, asked(results), listed(DESIGNS), FAULTS_IN, FEW))


def counted(part: str, trials: list[Trial], found: list[Audited]) -> dict[str, Any]:
    """A part of the study in numbers; of fewer audits than trials, those of the first trials."""
    done = list(zip(trials, found, strict=False))
    return {
        "planned": len(trials),
        "audits": len(found),
        "genes": sorted({trial.n_genes for trial in trials}),
        "minutes": sum(audited.seconds for audited in found) / 60.0,
        "errors": sum(outcome.status == "error" for audited in found for outcome in audited.outcomes.values()),
        **(counted_alone(done) if part == "single" else counted_whole(found)),
    }


def counted_alone(done: list[tuple[Trial, Audited]]) -> dict[str, Any]:
    """Alarms and faults found of each diagnostic alone, and where its numbers lie."""
    healthy = [audited for trial, audited in done if not trial.faulty]
    faulty = [audited for trial, audited in done if trial.faulty]
    rates = {}
    for i, entry in registered().items():
        fault, seconds = entry.diagnostic.fault, [audited.seconds for trial, audited in done if trial.alone == i]
        rates[i] = {
            "alarms": rate(healthy, i, ALARMS),
            "fault": f"{fault.name}={fault.strength:g}" if fault else None,
            "expects": sorted(fault.expects) if fault else None,
            "found": rate(faulty, i, fault.expects) if fault else None,
            "seconds": float(np.median(seconds)) if seconds else None,
        }
    return {"rates": rates, "healthy": located(healthy, MIDDLE), "faulty": located(faulty, MIDDLE)}


def counted_whole(found: list[Audited]) -> dict[str, Any]:
    """Alarms of all diagnostics in whole audits, and where their numbers lie."""
    worst = [{outcome.status for outcome in audited.outcomes.values()} for audited in found]
    return {
        "rates": {i: {status: rate(found, i, [status]) for status in ALARMS} for i in registered()},
        "audit warns or fails": proportion(sum(bool(statuses & set(ALARMS)) for statuses in worst), len(worst)),
        "audit fails": proportion(sum("fail" in statuses for statuses in worst), len(worst)),
        "healthy": located(found, EXTREMES),
    }


def rate(found: list[Audited], diagnostic: str, wanted: Collection[str]) -> dict[str, Any]:
    """Share of the cohorts that a diagnostic was asked about and could assess with one of the wanted statuses."""
    statuses = [audited.outcomes[diagnostic].status for audited in found if diagnostic in audited.outcomes]
    assessed = [status for status in statuses if status != "not_assessable"]
    return proportion(sum(status in wanted for status in assessed), len(assessed))


def proportion(hits: int, n: int) -> dict[str, Any]:
    """A share with its exact lower and upper bound, each of 95 %."""
    low, high = bounds(hits, n)
    return {"hits": hits, "cohorts": n, "share": hits / n if n else None, "low": low, "high": high}


def bounds(hits: int, n: int) -> tuple[float, float]:
    """Exact lower and upper bound of a rate, each of 95 %."""
    low, high = proportion_confint(hits, n, alpha=0.1, method="beta") if n else (0.0, 1.0)
    return float(low), float(high)


def located(found: list[Audited], levels: tuple[float, ...]) -> list[dict[str, Any]]:
    """Quantiles of every number that has a limit."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for audited in found:
        for i, outcome in audited.outcomes.items():
            for metric, pair in outcome.judged.items():
                pairs[i, metric].append(pair)
    places = []
    for (i, metric), judged in pairs.items():
        limits = {limit for _, limit in judged}
        limit = limits.pop() if len(limits) == 1 else None  # None: it depends on the cohort
        quantiles = [float(q) for q in np.quantile([value for value, _ in judged], levels)]
        places.append({"diagnostic": i, "metric": metric, "limit": limit, "quantiles": quantiles})
    return places


def asked(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What is asked of the study and what was seen: upper bounds of alarms, the share of faults found, minutes."""
    rows: list[dict[str, Any]] = []
    if "whole" in results:
        for what in ALARMS:
            worst = max(results["whole"]["rates"].items(), key=lambda item: item[1][what]["high"])
            rows.append({"what": what, "of": worst[0], "seen": worst[1][what]["high"]})
        audits = ("audit warns or fails", "audit fails")
        rows += [{"what": what, "of": None, "seen": results["whole"][what]["high"]} for what in audits]
    if "single" in results:
        shares = {i: r["found"]["share"] for i, r in results["single"]["rates"].items() if r["found"]}
        shares = {i: share for i, share in shares.items() if share is not None}
        if shares:
            least = min(shares, key=lambda i: shares[i])
            rows.append({"what": "found", "of": least, "seen": shares[least]})
    for row in rows:
        limit = ASKED[row["what"]]
        row |= {"limit": limit, "met": row["seen"] >= limit if row["what"] == "found" else row["seen"] <= limit}
    for part, found in results.items():
        minutes = {"what": "minutes", "of": part, "limit": BUDGET[part], "seen": found["minutes"]}
        rows.append(minutes | {"met": found["minutes"] <= BUDGET[part]})
    return rows


def listed(designs: tuple[tuple[int, int], ...]) -> str:
    """Group sizes in a row."""
    return ", ".join(f"{a} v {b}" for a, b in designs)


FAULTS_IN = (
    f"{listed(FAULTY)}; for {' and '.join(FAULTY_OF)} in {listed(SMALLER_NOISIER)}, since unequal dispersions cost "
    "them nothing at equal sizes or where the larger group is the noisier one"
)


if __name__ == "__main__":
    raise SystemExit(main())
