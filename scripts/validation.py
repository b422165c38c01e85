"""Write reports/validation.md and .json: how often each diagnostic alarms without a fault, and under its own.

usage: python scripts/validation.py [--single N] [--genes N] [--whole N] [--whole-genes N] [--workers N] [--out DIR]

1. Each diagnostic alone, as users run it: `--single` cohorts of `--genes` genes without a fault and as many with the
   diagnostic's own, default draws.
2. Whole audits of `--whole` healthy cohorts, smaller and with few draws, since false alarms are rare and only many
   cohorts show how rare: no alarm in 300 says at most 1 %, none in 1,500 at most 0.2 % (of 1,700 some cannot be
   assessed).

Rates come with exact (Clopper-Pearson) one-sided 95 % bounds, over the designs together; alarms are listed by design.
Every number that is judged is shown beside its limit. What is asked stands beside what was seen, processor time
(`BUDGET`) too. However the study ends (Ctrl-C, a worker without memory), what is finished is counted, and the page says
how many audits were planned.
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
ALARMS = ("warn", "fail")
BUDGET = {"single": 90.0, "whole": 240.0}  # processor minutes of the study as planned by default
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
    found: list[Audited] = []
    try:
        run(trials, options.workers, found)
    except KeyboardInterrupt:
        return 130
    finally:
        write(trials, found, options.out)
    return 0


def write(trials: list[Trial], found: list[Audited], out: Path) -> None:
    """The page and its numbers; nothing where nothing was found."""
    from validation_page import page_of

    if not found:
        return
    results = counted(trials, found)
    out.mkdir(parents=True, exist_ok=True)
    (out / "validation.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    (out / "validation.md").write_text(page_of(results, listed(DESIGNS), FAULTS_IN, FEW))


def planned(n_single: int, n_genes: int, n_whole: int, n_whole_genes: int) -> list[Trial]:
    """All trials: each diagnostic alone, with and without its fault, then whole audits."""
    trials = []
    for i, entry in registered().items():
        if entry.diagnostic.fault:
            designs = FAULTY_OF.get(i, FAULTY)
            trials += [Trial(FIRST_SEED + k, *designs[k % len(designs)], n_genes, i, True) for k in range(n_single)]
        trials += [Trial(FIRST_SEED + k, *DESIGNS[k % len(DESIGNS)], n_genes, i) for k in range(n_single)]
    return trials + [Trial(FIRST_SEED + k, *DESIGNS[k % len(DESIGNS)], n_whole_genes) for k in range(n_whole)]


def run(trials: list[Trial], workers: int, found: list[Audited]) -> None:
    """Appends what the trials found, in their order."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for audited in pool.map(Trial.run, trials, chunksize=2):
                found.append(audited)
                print(f"{len(found)} of {len(trials)} audits", end="\r", file=sys.stderr, flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def counted(trials: list[Trial], found: list[Audited]) -> dict[str, Any]:
    """The study in numbers; of fewer audits than trials, those of the first trials."""
    done = list(zip(trials, found, strict=False))
    whole = [pair for pair in done if not pair[0].alone]
    single = {
        (i, faulty): [pair for pair in done if pair[0].alone == i and pair[0].faulty == faulty]
        for i in registered()
        for faulty in (True, False)
    }
    rates = {}
    for i, entry in registered().items():
        fault = entry.diagnostic.fault
        seconds = [audited.seconds for faulty in (True, False) for _, audited in single[i, faulty]]
        rates[i] = {
            "warn": rate(whole, i, ["warn"]),
            "fail": rate(whole, i, ["fail"]),
            "where": dict(Counter(f"{t.n_test} v {t.n_reference}" for t, a in whole if said(a, i) in ALARMS)),
            "alone": rate(single[i, False], i, ALARMS),
            "fault": f"{fault.name}={fault.strength:g}" if fault else None,
            "expects": sorted(fault.expects) if fault else None,
            "detected": rate(single[i, True], i, fault.expects) if fault else None,
            "seconds": float(np.median(seconds)) if seconds else None,
        }
    worst = [{outcome.status for outcome in audited.outcomes.values()} for _, audited in whole]
    results = {
        "planned": len(trials),
        "finished": len(done),
        "errors": sum(outcome.status == "error" for _, audited in done for outcome in audited.outcomes.values()),
        "rates": rates,
        "limits": located(whole, single),
        "parts": {
            part: {
                "audits": len(pairs),
                "genes": sorted({trial.n_genes for trial, _ in pairs}),
                "minutes": sum(audited.seconds for _, audited in pairs) / 60.0,
            }
            for part, pairs in (("single", [pair for pair in done if pair[0].alone]), ("whole", whole))
        },
        "audit warns or fails": proportion(sum(bool(statuses & set(ALARMS)) for statuses in worst), len(worst)),
        "audit fails": proportion(sum("fail" in statuses for statuses in worst), len(worst)),
    }
    return results | {"asked": asked(results)}


def said(audited: Audited, diagnostic: str) -> str:
    """The status that a diagnostic gave."""
    return audited.outcomes[diagnostic].status


def rate(pairs: list[tuple[Trial, Audited]], diagnostic: str, wanted: Collection[str]) -> dict[str, Any]:
    """Share of the cohorts that a diagnostic could assess with one of the wanted statuses."""
    statuses = [said(audited, diagnostic) for _, audited in pairs]
    assessed = [status for status in statuses if status != "not_assessable"]
    return proportion(sum(status in wanted for status in assessed), len(assessed))


def proportion(hits: int, n: int) -> dict[str, Any]:
    """A share with its exact lower and upper bound, each of 95 %."""
    low = float(beta.ppf(0.05, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0
    return {"hits": hits, "cohorts": n, "share": hits / n if n else None, "low": low, "high": high}


def asked(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What is asked of the study and what was seen: upper bounds of alarms, the share of faults found, minutes."""
    rows = []
    for what in ("warn", "fail"):
        name, worst = max(results["rates"].items(), key=lambda item: item[1][what]["high"])
        rows.append({"what": what, "which": name, "asked": ASKED[what], "seen": worst[what]["high"]})
    rows += [
        {"what": what, "which": None, "asked": ASKED[what], "seen": results[what]["high"]}
        for what in ("audit warns or fails", "audit fails")
    ]
    shares = {
        i: r["detected"]["share"] for i, r in results["rates"].items() if r["detected"] and r["detected"]["cohorts"]
    }
    if shares:
        name = min(shares, key=lambda i: shares[i])
        rows.append({"what": "found", "which": name, "asked": ASKED["found"], "seen": shares[name]})
    rows += [
        {"what": "minutes", "which": part, "asked": minutes, "seen": results["parts"][part]["minutes"]}
        for part, minutes in BUDGET.items()
    ]
    return [
        row | {"met": row["seen"] >= row["asked"] if row["what"] == "found" else row["seen"] <= row["asked"]}
        for row in rows
    ]


def located(
    whole: list[tuple[Trial, Audited]], single: Mapping[tuple[str, bool], list[tuple[Trial, Audited]]]
) -> list[dict[str, Any]]:
    """Where each judged number lies: in whole audits its extremes and middle, alone its middle 80 %."""
    without = [pair for (_, faulty), pairs in single.items() if not faulty for pair in pairs]
    under = [pair for (_, faulty), pairs in single.items() if faulty for pair in pairs]
    values = {part: judged(pairs) for part, pairs in (("whole", whole), ("alone", without), ("fault", under))}
    order = {i: k for k, i in enumerate(registered())}
    places = []
    for at in sorted({at for found in values.values() for at in found}, key=lambda at: (order[at[0]], at[1])):
        pairs = {part: found.get(at, []) for part, found in values.items()}
        limits = {limit for part in pairs.values() for _, limit in part}
        place: dict[str, Any] = {
            "diagnostic": at[0],
            "metric": at[1],
            "limit": limits.pop() if len(limits) == 1 else None,
        }
        for part, levels in (("whole", (0.0, 0.5, 1.0)), ("alone", (0.1, 0.5, 0.9)), ("fault", (0.1, 0.5, 0.9))):
            numbers = [value for value, _ in pairs[part]]
            place[part] = [float(q) for q in np.quantile(numbers, levels)] if numbers else None
        places.append(place)
    return places


def judged(pairs: list[tuple[Trial, Audited]]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Values and limits by diagnostic and metric."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for _, audited in pairs:
        for i, outcome in audited.outcomes.items():
            for metric, pair in outcome.judged.items():
                found[i, metric].append(pair)
    return found


def listed(designs: tuple[tuple[int, int], ...]) -> str:
    """Group sizes in a row."""
    return ", ".join(f"{a} v {b}" for a, b in designs)


FAULTS_IN = (
    f"{listed(FAULTY)}; for {' and '.join(FAULTY_OF)} in {listed(SMALLER_NOISIER)}, since unequal dispersions cost "
    "them nothing at equal sizes or where the larger group is the noisier one"
)


if __name__ == "__main__":
    raise SystemExit(main())
