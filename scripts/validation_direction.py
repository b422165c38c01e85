"""Write reports/validation_direction.md and .json: what sign_asymmetry expects, and which cause comes first.

usage: python scripts/validation_direction.py [--parts NAME ...] [--cohorts N] [--leans N] [--causes N] [--genes N]
                                              [--workers N] [--out DIR]

1. The up share that a design gives by itself: told by `sign_asymmetry` and true, over group sizes and expression; at a
   mean count of 2 how often its 90 % interval holds the share of the cohort at hand. The design that is furthest off
   once more with more genes, and with genes of many means.
2. False alarms: cohorts with symmetric effects and a module of co-regulated genes, beside a binomial test over genes.
3. Cohorts whose effects all go one way: how often that is seen.
4. The synthesis: cohorts with one planted cause each, and which explanation it ranks first.

Each part is written when it is finished; parts that are not asked for keep what the report has of them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

import dediag
from dediag.auditing import open_study
from dediag.cohort import Cohort, frozen
from dediag.diagnostics import sign_asymmetry
from dediag.model.fit import fit
from dediag.settings import AuditSettings
from dediag.simulation import TYPICAL, Population, draw_counts, simulate
from dediag.stats.call_split import Calls
from dediag.synthesis import explain, ranked, surprising

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).resolve().parent
FIRST_SEED = 110_000  # away from the seeds that limits were chosen on
CONTRAST = ("group", "case", "control")
SIZES = ((5, 20), (10, 10), (20, 5))
MEANS = (2.0, 5.0, 10.0, 50.0)
DISPERSION = 0.2
CARRIERS = 300  # genes of mean 100 and without effect, so that the size factors do not rest on low counts
EFFECTS = {"normal, sd 1": None, "plus or minus 1": 1.0}  # log2, in a fifth of the genes
SMALL = ((5, 20), (6, 15), (10, 10), (20, 8))
SILENT = Population(log_mean=2.5, log_mean_sd=2.5)  # half of the genes below a mean count of 12: floors matter
BOOTSTRAPS = 20
PARTS = ("expected", "module", "skewed", "causes")
MODULE = 0.3  # share of the genes that share one factor ...
MODULE_SD = 1.0  # ... of this log2 standard deviation over samples
MODULE_EFFECTS = 0.05  # share of all genes with an effect, up or down by chance

# planted cause -> explanation that is right, group sizes, population, faults
CAUSES: Mapping[str, tuple[str, Sequence[tuple[int, int]], Population, Mapping[str, float]]] = {
    "depth floor": ("noise_floor", SMALL, TYPICAL, {"depth_ratio": 0.1}),
    "contamination": ("noise_floor", SMALL, SILENT, {"contamination": 3.0}),
    "composition, factors from totals": ("normalization", SMALL, TYPICAL, {"composition_shift": 0.5}),
    "dispersion shift": ("dispersion_shift", ((40, 40), (50, 50)), TYPICAL, {"group_dispersion_ratio": 4.0}),
    "unequal dispersion": (
        "unequal_dispersion",
        ((5, 20), (6, 15), (6, 24)),
        TYPICAL,
        {"group_dispersion_ratio": 4.0},
    ),
    "one bad sample": ("one_sample", SMALL, TYPICAL, {"bad_sample": 2.0}),
    "covariate confounding": ("confounding", SMALL, TYPICAL, {"confounded_covariate": 0.9}),
    "one-sided biology": ("biology", SMALL, TYPICAL, {"one_sided": 1.0, "effect_share": 0.2}),
    "none": ("nothing", SMALL, TYPICAL, {}),
}
NOT_ASKED = ("glm_agreement", "log_scale_tests", "group_weights", "detection_limit")  # the synthesis does not need them


class Cell(NamedTuple):
    """A design whose up share is studied."""

    effects: str  # of EFFECTS
    n_test: int
    n_reference: int
    mean: float  # geometric, over the genes
    n_genes: int = 2000
    spread: float = 0.3  # standard deviation of the log means


# The furthest off from a mean of 5 on; with more genes; and with genes of many means, 5 on average too.
HARD = Cell("plus or minus 1", 5, 20, 5.0)
OTHER_CELLS = (HARD._replace(n_genes=8000), HARD._replace(mean=3.0, spread=1.0))


def flipped(cell: Cell, seed: int) -> Cohort:
    """Genes of one expression, a fifth of them with an effect about their midpoint, and carriers."""
    n_genes, effect = cell.n_genes, EFFECTS[cell.effects]
    rng = np.random.default_rng([seed, cell.n_test, cell.n_reference, int(cell.mean)])
    midpoint = np.r_[np.exp(rng.normal(np.log(cell.mean), cell.spread, n_genes)), np.full(CARRIERS, 100.0)]
    effects, changed = np.zeros(midpoint.size), n_genes // 5
    effects[:changed] = rng.normal(0, 1, changed) if effect is None else effect * rng.choice([-1.0, 1.0], changed)
    case = np.arange(cell.n_test + cell.n_reference) < cell.n_test
    sizes = np.exp(rng.normal(0, 0.3, case.size))
    means = midpoint[:, None] * 2.0 ** (np.where(case, 0.5, -0.5) * effects[:, None]) * sizes
    counts = draw_counts(rng, means, np.full((midpoint.size, 1), DISPERSION))
    samples = pd.DataFrame({"group": np.where(case, "case", "control")}, index=[f"s{k}" for k in range(case.size)])
    return Cohort(frozen(counts), pd.Index([f"g{k}" for k in range(midpoint.size)]), samples)


def expected_cell(cell: Cell, n_cohorts: int) -> dict[str, Any]:
    """Expected and true up share of one design."""
    from dediag.model import kernels

    kernels.set_threads(1)
    up, down = np.zeros(4 * n_cohorts), np.zeros(4 * n_cohorts)
    for k in range(4 * n_cohorts):
        found = fit(flipped(cell, FIRST_SEED + 1000 + k), "~ group", CONTRAST, search="newton")
        called = found.padj < AuditSettings.alpha
        n_up, n_down = int((called & (found.lfc > 0)).sum()), int((called & (found.lfc < 0)).sum())
        if n_up + n_down >= sign_asymmetry.FEWEST_CALLS:  # of the others `sign_asymmetry` tells nothing
            up[k], down[k] = n_up, n_down
    both = up + down
    true = float(up.sum() / max(both.sum(), 1.0))
    told, held = [], []
    for k in range(n_cohorts):
        cohort, settings = flipped(cell, FIRST_SEED + k), AuditSettings(bootstraps=BOOTSTRAPS)
        study = open_study(cohort, "~ group", CONTRAST, seed=k, settings=settings)
        wanted = sign_asymmetry.plan(study)
        if not wanted:
            continue
        simulated = study.ensemble(wanted["swapped"])
        calls = Calls(study.fit.base_mean, study.fit.lfc, study.significant, simulated.up, simulated.down, 0.9)
        whole = calls.between(0.0, np.inf)
        if whole.expected is not None and whole.up_share is not None:
            told.append(whole.expected)
            held.append(bool((whole.expected_low or 0.0) <= whole.up_share <= (whole.expected_high or 1.0)))
    return {
        **cell._asdict(), "calls": float(both.mean()), "true": true, "told": float(np.mean(told)) if told else None,
        "se": None if len(told) < 2 else math.hypot(
            math.sqrt(((up - true * both) ** 2).sum()) / max(both.sum(), 1.0),
            float(np.std(told, ddof=1)) / math.sqrt(len(told)),
        ),
        "assessed": len(told), "held": int(np.sum(held)),
    }  # fmt: skip


def module_cohort(k: int, n_genes: int) -> dict[str, Any]:
    """Symmetric effects and a module whose genes rise and fall together, whatever the groups."""
    from dediag.model import kernels

    kernels.set_threads(1)
    n_test, n_reference = SMALL[k % len(SMALL)]
    cohort, truth = simulate(
        n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=FIRST_SEED + k, effect_share=MODULE_EFFECTS
    )
    rng = np.random.default_rng([FIRST_SEED, k])
    module = rng.random(n_genes) < MODULE
    factor = np.where(module[:, None], 2.0 ** rng.normal(0, MODULE_SD, cohort.n_samples), 1.0)
    case = (cohort.samples["group"] == "case").to_numpy()
    mean = np.where(case, truth[["mean_case"]], truth[["mean_control"]]) * factor * truth.attrs["size_factors"]
    counts = draw_counts(rng, mean, truth[["dispersion"]].to_numpy())
    return one_sided_verdict(cohort.with_counts(counts), k)


def skewed_cohort(k: int, n_genes: int) -> dict[str, Any]:
    """All effects, a tenth of the genes, go down."""
    from dediag.model import kernels

    kernels.set_threads(1)
    n_test, n_reference = SMALL[k % len(SMALL)]
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=FIRST_SEED + k, one_sided=1.0)
    return one_sided_verdict(cohort, k)


def one_sided_verdict(cohort: Cohort, seed: int) -> dict[str, Any]:
    """Whether sign_asymmetry and a binomial test with one half, each at its 1 %, see a lean."""
    study = open_study(cohort, "~ group", CONTRAST, seed=seed, settings=AuditSettings(bootstraps=BOOTSTRAPS))
    result = sign_asymmetry.compute(study)
    n_up, n_down = result.whole.n_up, result.whole.n_down
    status = str(sign_asymmetry.judge(result).status)
    binomial = n_up + n_down > 0 and binomtest(n_up, n_up + n_down).pvalue < 0.01
    return {"status": status, "binomial": bool(binomial)}


def first_cause(trial: tuple[str, int], n_genes: int) -> dict[str, Any]:
    """The explanation that the synthesis ranks first in a cohort with one planted cause."""
    from dediag.model import kernels

    kernels.set_threads(1)
    cause, k = trial
    right, sizes, population, faults = CAUSES[cause]
    n_test, n_reference = sizes[k % len(sizes)]
    cohort, _ = simulate(
        n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=FIRST_SEED + k, population=population, **faults
    )
    total = cohort.counts.sum(axis=0)
    given = {"size_factors": total / np.exp(np.log(total).mean())} if right == "normalization" else {}
    report = dediag.audit(
        cohort, "~ group", CONTRAST, seed=k, draws=BOOTSTRAPS, bootstraps=BOOTSTRAPS, permutations=BOOTSTRAPS,
        cache=False, figures=False, skip=NOT_ASKED, **given,
    )  # fmt: skip
    candidates = explain(report.findings)
    supported = ranked(candidates)
    first = supported[0].id if supported else "undecided" if surprising(report.findings) else "nothing"
    alarms = [finding.id for finding in report.findings if finding.status in ("warn", "fail")]
    return {"cause": cause, "right": right, "first": first, "sizes": [n_test, n_reference], "alarms": alarms,
            "support": {e.id: e.support for e in supported}}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Simulate, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--cohorts", type=int, default=24, help="cohorts for each expected share")
    parser.add_argument("--leans", type=int, default=100, help="cohorts with a module, and with effects one way")
    parser.add_argument("--causes", type=int, default=50, help="cohorts for each planted cause")
    parser.add_argument("--genes", type=int, default=800, help="in the cohorts with planted causes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    cells = [Cell(name, *sizes, mean) for name, sizes, mean in product(EFFECTS, SIZES, MEANS)] + list(OTHER_CELLS)
    trials = [(cause, k) for k in range(options.causes) for cause in CAUSES]
    work: dict[str, tuple[Callable[..., dict[str, Any]], Sequence[Any]]] = {
        "expected": (partial(expected_cell, n_cohorts=options.cohorts), cells),
        "module": (partial(module_cohort, n_genes=1000), range(options.leans)),
        "skewed": (partial(skewed_cohort, n_genes=1000), range(options.leans)),
        "causes": (partial(first_cause, n_genes=options.genes), trials),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "validation_direction.json"
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in work}
    if kept.exists():
        found |= json.loads(kept.read_text())
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        for part in options.parts:
            found[part] = list(pool.map(*work[part]))
            kept.write_text(json.dumps(found, indent=1) + "\n")
            (options.out / "validation_direction.md").write_text(as_markdown(found, options.genes))
    return 0


def as_markdown(found: dict[str, list[dict[str, Any]]], n_genes: int) -> str:
    """The tables, for people."""
    lines = [
        "# Direction: what a design gives by itself, and which cause comes first",
        "",
        "Written by `scripts/validation_direction.py`; not edited by hand.",
        f"{BOOTSTRAPS} simulated cohorts behind each expectation.",
        "",
        "## Expected up share",
        "",
        f"Genes of one mean (lognormal: geometric mean, and spread of the logs) and dispersion {DISPERSION:g}, an",
        f"effect in a fifth of them, and {CARRIERS} genes of mean 100 without any. *true*: share of all calls of four",
        "times as many cohorts that are up. *told*: mean of `expected_up_fraction`. *held*: cohorts whose own share",
        "lies in the 90 % interval.",
        "",
        "| effects (log2) | sizes | mean | spread | genes | calls | true | told | difference (standard error) | held |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["expected"]:
        told = "not assessed" if row["told"] is None else f"{row['told']:.3f}"
        gap = "" if row["told"] is None else f"{row['told'] - row['true']:+.3f}"
        gap += f" ({row['se']:.3f})" if row["se"] else ""
        sizes = f"{row['n_test']} v {row['n_reference']}"
        lines.append(
            f"| {row['effects']} | {sizes} | {row['mean']:g} | {row['spread']:g} | {row['n_genes']:,} "
            f"| {row['calls']:.0f} | {row['true']:.3f} | {told} | {gap} | {row['held']} of {row['assessed']} |"
        )
    low = [row for row in found["expected"] if row["mean"] == min(MEANS)]
    held, assessed = sum(row["held"] for row in low), sum(row["assessed"] for row in low)
    plain = [row for row in found["expected"] if row["n_genes"] == HARD.n_genes and row["spread"] == HARD.spread]
    near = [row for row in plain if row["mean"] > min(MEANS) and row["told"] is not None]
    worst = {
        name: max((abs(row["told"] - row["true"]) for row in near if row["effects"] == name), default=float("nan"))
        for name in EFFECTS
    }
    alarms = {
        kind: (sum(row["status"] == "warn" for row in found[kind]), sum(row["binomial"] for row in found[kind]))
        for kind in ("module", "skewed")
    }
    lines += [
        "",
        f"Largest difference at means of 5, 10 and 50, {HARD.n_genes:,} genes, spread {HARD.spread:g}: "
        + ", ".join(f"{gap:.3f} ({name})" for name, gap in worst.items())
        + f". At a mean of 2 the interval held {held} of {assessed}.",
        "",
        "## A lean that is none, and one that is",
        "",
        f"Group sizes {', '.join(f'{a} v {b}' for a, b in SMALL)}; 1,000 genes.",
        "",
        "| cohorts | sign_asymmetry warns | binomial test over genes, p < .01 | of |",
        "|---|---|---|---|",
        *(
            f"| {what} | {alarms[kind][0]} | {alarms[kind][1]} | {len(found[kind])} |"
            for kind, what in (
                ("module", f"symmetric effects, {MODULE:.0%} of the genes rise and fall together over samples"),
                ("skewed", "all effects go down (a tenth of the genes)"),
            )
        ),
        "",
        "## Which cause comes first",
        "",
        f"Cohorts of {n_genes} genes with one planted cause each, audited with {BOOTSTRAPS} draws, permutations and",
        "bootstraps; the explanation that the synthesis ranks first. *undecided*: something is surprising and nothing",
        "has any support; *nothing*: nothing needs explaining. *lean*: cohorts in which sign_asymmetry warns; in",
        "others the cause shows in another diagnostic's alarm. *tied*: cohorts in which another explanation has as",
        "firm a support, and the more particular one is put first.",
        "",
    ]
    names = [*dict.fromkeys([right for right, *_ in CAUSES.values()])]
    others = sorted({row["first"] for row in found["causes"]} - set(names))
    columns = [*names, *others]
    lines += [f"| planted | {' | '.join(columns)} | right | lean | tied |", "|---|" + "---|" * (len(columns) + 3)]
    for cause, (right, *_) in CAUSES.items():
        rows = [row for row in found["causes"] if row["cause"] == cause]
        counts = Counter(row["first"] for row in rows)
        lean = sum("sign_asymmetry" in row["alarms"] for row in rows)
        tied = sum(list(row["support"].values()).count(row["support"].get(row["first"])) > 1 for row in rows)
        n = sum(counts.values())
        shown = " | ".join(str(counts[name] or "") for name in columns)
        lines.append(f"| {cause} | {shown} | {counts[right]} of {n} | {lean} | {tied} |")
    healthy = [row["alarms"] for row in found["causes"] if row["right"] == "nothing"]
    alarms_without = Counter(name for alarms in healthy for name in alarms)
    said = ", ".join(f"`{name}` {n}" for name, n in alarms_without.items()) or "none"
    lines += [
        "",
        *(f"- {cause}: {described(cause)}" for cause in CAUSES),
        "",
        f"Alarms in the {len(healthy)} cohorts without a planted cause: {said}.",
        "",
    ]
    return "\n".join(lines)


def described(cause: str) -> str:
    """How a cause was planted."""
    _, sizes, population, faults = CAUSES[cause]
    listed = ", ".join(f"{a} v {b}" for a, b in sizes)
    planted = ", ".join(f"{name}={strength:g}" for name, strength in faults.items()) or "no fault"
    silent = "; many silent genes" if population is SILENT else ""
    return f"{planted} at {listed}{silent}"


if __name__ == "__main__":
    raise SystemExit(main())
