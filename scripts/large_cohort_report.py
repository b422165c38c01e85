"""The numbers of scripts/large_cohort.py as a section of a page, and as goals: reads only what was measured."""

from __future__ import annotations

from typing import Any

MEMORY = 4096.0  # MiB that the fit of 30,000 x 5,000 may take
LARGE = (30_000, 5_000)
COLUMNS = (
    "fit", "genes x samples", "counts in float64, MiB", "peak, MiB", "peak while reading, MiB", "reading, s", "fit, s",
    "both, processor s",
)  # fmt: skip
PARTS = {"fit": "fit, s", "processor": "reading and fit, processor s", "read": "reading, s", "peak": "peak, MiB"}


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """As benchmark_report.goals: peak memory of the large cohort, by format and search, against 4 GiB."""
    return [
        {
            "goal": f"memory of a fit, {run['genes']:,} x {run['samples']:,}, {name}: MiB",
            "value": run["peak"],
            "bar": MEMORY,
            "side": "at most",
            "met": run["peak"] <= MEMORY,
        }
        for name, run in results["fits"].items()
        if (run["genes"], run["samples"]) == LARGE
    ]


def section(results: dict[str, Any]) -> list[str]:
    """Lines of a section of reports/benchmark.md."""
    machine = results["machine"]
    rows = [row(name, run) for name, run in results["fits"].items()]
    limited = results["limited"]
    lines = [
        "",
        "## Data larger than memory",
        "",
        "Written by `scripts/large_cohort.py`: simulated cohorts in files, each read and fitted in a process of",
        f"its own, counts on disk; {machine['cores']} cores, load before {machine['load_before']}. Peak: resident",
        "memory of the process, mapped pages and libraries included.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        row("newton, h5ad, 4 GiB of address space (`ulimit -v`)", limited),
        "",
        f"The libraries alone take {limited['imported']:.0f} MiB. Newton search from h5ad, by size:",
        "",
        "| axis | what | by size | exponent |",
        "|---|---|---|---|",
    ]
    for axis in ("genes", "samples"):
        found = results[axis]
        lines += [
            f"| {axis} | {words} | {by_size(found, axis, part)} | {found['exponent'][part]:.2f} |"
            for part, words in PARTS.items()
        ]
    return [
        *lines,
        "",
        "Slope of log seconds (or memory) on log size; the other axis is at 5,000 samples or 30,000 genes.",
    ]


def row(name: str, run: dict[str, Any]) -> str:
    """One fit."""
    sizes = (
        f"{run['genes']:,} x {run['samples']:,} | {run['matrix']:.0f} | {run['peak']:.0f} | {run['peak_reading']:.0f}"
    )
    return f"| {name} | {sizes} | {run['read']:.1f} | {run['fit']:.1f} | {run['processor']:.1f} |"


def by_size(found: dict[str, Any], axis: str, part: str) -> str:
    """A measurement at each size."""
    digits = 0 if part == "peak" else 1
    return ", ".join(f"{run[axis]:,}: {run[part]:.{digits}f}" for run in found["runs"])
