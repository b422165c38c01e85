"""The benchmark's numbers against the goals, and as a page: reads only what scripts/benchmark.py measured."""

from __future__ import annotations

from statistics import median
from typing import Any

from large_cohort_report import section

SEARCHES = ("newton", "reference")
RATIOS = (
    ("newton", "DESeq2", 50.0),
    ("newton", "inmoose", 20.0),
    ("newton", "PyDESeq2", 100.0),
    ("reference", "DESeq2", 15.0),
    ("reference", "inmoose", 7.0),
)
COMPILING = 20.0  # seconds more for the first fit of a fresh installation
GOAL_DRAWS = 100
GOAL_PERMUTATIONS = 1000
NAMES = {
    "edgeR_QL": "edgeR QL",
    "limma_voom": "limma voom",
    "PyDESeq2": "PyDESeq2, 2 processes",
    "inmoose": "inmoose (DESeq2 port)",
    "statsmodels_GLM": "statsmodels GLM, dispersion by moments",
}


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each goal with its measured value, its bar and whether it is met (None: not measured)."""
    found = [ratio_goal(results, *ratio) for ratio in RATIOS]
    refits, deseq2 = results.get("refits"), seconds_of(results, "DESeq2")
    value = None
    if refits and deseq2 and str(GOAL_DRAWS) in refits["seconds"]:
        value = refits["seconds"][str(GOAL_DRAWS)] / deseq2
    found.append(goal(f"{GOAL_DRAWS} balanced refits, in DESeq2 fits", value, 1.0, at_most=True))
    relabelled = results.get("permutations")
    full = relabelled is not None and relabelled["n"] == GOAL_PERMUTATIONS
    value = relabelled["seconds"] / deseq2 if relabelled and full and deseq2 else None
    found.append(goal(f"{GOAL_PERMUTATIONS:,} label permutations, in DESeq2 fits", value, 8.0, at_most=True))
    for name, run in results.get("memory", {}).items():
        text = f"memory of a fit, {name}: MB against 3 x {run['matrix']:.0f} + 300"
        found.append(goal(text, run["above"], run["limit"], at_most=True))
    for search in SEARCHES:
        value = results["cold"][search]["compiling"] if "cold" in results else None
        found.append(goal(f"seconds of compiling at first use, {search}", value, COMPILING, at_most=True))
    return found


def goal(text: str, value: float | None, bar: float, *, at_most: bool) -> dict[str, Any]:
    """One goal."""
    met = None if value is None else (value <= bar if at_most else value >= bar)
    return {"goal": text, "value": value, "bar": bar, "side": "at most" if at_most else "at least", "met": met}


def ratio_goal(results: dict[str, Any], search: str, tool: str, bar: float) -> dict[str, Any]:
    """How many times faster than another tool, medians of both."""
    theirs, ours = seconds_of(results, tool), dediag_seconds(results, search)
    return goal(f"{search}: times faster than {tool}", theirs / ours if theirs and ours else None, bar, at_most=False)


def seconds_of(results: dict[str, Any], tool: str) -> float | None:
    """Median seconds of another tool, None where it was not measured."""
    return results["tools"].get(tool, {}).get("median")  # type: ignore[no-any-return]  # JSON


def dediag_seconds(results: dict[str, Any], search: str, threads: str = "all") -> float | None:
    """Median seconds of a warm fit."""
    return median(results["dediag"]["seconds"][f"{search}_{threads}"]) if "dediag" in results else None


def as_markdown(results: dict[str, Any]) -> str:
    """The page."""
    machine, study = results["machine"], results["study"]
    lines = [
        "# Benchmark",
        "",
        "Written by `scripts/benchmark.py`; not edited by hand. One run, one tool after the other on one machine:",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']};",
        f"load before the run {machine['load_before']}.",
        (
            f"Study: {study['genes']:,} genes x {study['test'] + study['reference']} samples ({study['test']} v "
            f"{study['reference']}), simulated."
        ),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".",
        "",
        "## From size factors to adjusted p-values",
        "",
        "Reading the data is not counted; every process has done an untimed fit before (compiled code is warm).",
        "",
        *fit_table(results),
        "",
        "## Goals",
        "",
        "| goal | measured | bar | met |",
        "|---|---|---|---|",
    ]
    for g in results["goals"]:
        value = "not measured" if g["value"] is None else f"{g['value']:.3g}"
        met = {True: "yes", False: "**no**", None: ""}[g["met"]]
        lines.append(f"| {g['goal']} | {value} | {'≤' if g['side'] == 'at most' else '≥'} {g['bar']:.4g} | {met} |")
    for part in (refit_lines, memory_lines, cold_lines, scaling_lines):
        lines += part(results)
    if "large" in results:
        lines += section(results["large"])
    return "\n".join(lines) + "\n"


def fit_table(results: dict[str, Any]) -> list[str]:
    """Seconds of every tool, and how many times dediag is faster."""
    fast = {search: dediag_seconds(results, search) for search in SEARCHES}
    lines = [
        "| tool | seconds | processor s | runs | times newton | times reference | genes at 0.1 |",
        "|---|---|---|---|---|---|---|",
    ]
    if "dediag" in results:
        ours = results["dediag"]
        for search in SEARCHES:
            for label, threads in (("all", ours["threads"]), ("one", 1)):
                runs, now = ours["seconds"][f"{search}_{label}"], dediag_seconds(results, search, label)
                name = f'**dediag, search="{search}"**, {threads} thread{"s" if threads > 1 else ""}'
                busy = median(ours["processor"][f"{search}_{label}"])
                lines.append(f"| {name} | {now:.3f} | {busy:.3f} | {spread(runs)} | | | {ours['calls'][search]} |")
    for tool, run in results["tools"].items():
        name = NAMES.get(tool, tool)
        if run.get("missing"):
            lines.append(f"| {name} | not installed | | | | | |")
            continue
        times = [f"{run['median'] / fast[search]:.1f}" if fast[search] else "" for search in SEARCHES]
        name = f"{name} {run['version']} ({run['language']})"
        cells = [name, f"{run['median']:.2f}", "", spread(run["seconds"]), *times, str(run["calls"])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def spread(seconds: list[float]) -> str:
    """How many runs, and their range."""
    if len(seconds) == 1:
        return "1"
    return f"{len(seconds)}: {min(seconds):.3g} to {max(seconds):.3g}"


def refit_lines(results: dict[str, Any]) -> list[str]:
    """Balanced refits."""
    if "refits" not in results:
        return []
    refits = results["refits"]
    text = ", ".join(
        f"{n} in {s:.2f} s ({refits['processor'][n]:.2f} processor s)" for n, s in refits["seconds"].items()
    )
    grows = "" if refits["exponent"] is None else f"; time grows as draws to the power {refits['exponent']:.2f}"
    lines = ["", "## Refits", "", f"Balanced refits of {refits['size']} samples, each in full: {text}{grows}."]
    if "permutations" in results:
        run = results["permutations"]
        lines += [
            "",
            (
                f"{run['n']:,} label permutations of all samples, each in full: {run['seconds']:.1f} s "
                f"({run['processor']:.1f} processor s); they add {run['memory']:.0f} MB to the peak of the process."
            ),
        ]
    return lines


def memory_lines(results: dict[str, Any]) -> list[str]:
    """Peak memory."""
    if "memory" not in results:
        return []
    rows = [
        f"| {name} | {run['matrix']:.1f} | {run['above']:.0f} | {run['limit']:.0f} | {run['seconds']:.2f} |"
        for name, run in results["memory"].items()
    ]
    return [
        "",
        "## Memory",
        "",
        "Peak of the process above what it held after its imports; the matrix and the compiled code are counted.",
        "",
        "| fit | count matrix in float64, MB | peak, MB | limit, MB | seconds, first fit |",
        "|---|---|---|---|---|",
        *rows,
    ]


def cold_lines(results: dict[str, Any]) -> list[str]:
    """First use."""
    if "cold" not in results:
        return []
    rows = [
        f"| {search} | {name} | {run[key]['import']:.2f} | {run[key]['first']:.2f}"
        f" | {run[key]['processor']:.2f} | {run[key]['second']:.2f} |"
        for search, run in results["cold"].items()
        for key, name in (("empty", "empty (compiles)"), ("filled", "filled by another process"))
    ]
    heading = [
        "",
        "## First use",
        "",
        "| search | cache | import, s | first fit, s | both, processor s | second fit, s |",
    ]
    return [*heading, "|---|---|---|---|---|---|", *rows]


def scaling_lines(results: dict[str, Any]) -> list[str]:
    """Exponents of cost."""
    if "scaling" not in results:
        return []
    lines = ["", "## Cost", "", "| search | axis | seconds | exponent |", "|---|---|---|---|"]
    for search, found in results["scaling"].items():
        for axis in ("genes", "samples"):
            text = ", ".join(f"{int(n):,}: {s:.3f}" for n, s in found[axis].items())
            lines.append(f"| {search} | {axis} | {text} | {found[f'{axis}_exponent']:.2f} |")
    return [*lines, "", "Slope of log seconds on log size; fixed costs make it smaller than 1 where fits are short."]
