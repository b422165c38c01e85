"""Write reports/agreement.md and .json: how close dediag is to DESeq2 and edgeR on every reference cohort.

usage: python scripts/agreement.py [--cohorts NAMES] [--reference FOLDER] [--out FOLDER]

The simulated cohorts lie in tests/reference; the real ones are used when the environment variable DEDIAG_DATA names the
folder that holds data/ and reference/. What is compared is in agreement_cases.py, how in agreement_measures.py.
Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

from agreement_cases import cases, size_factor_rows
from agreement_measures import Measure
from reference_cohorts import Reference, real_references, simulated_references

HERE = Path(__file__).resolve().parent
Rows = dict[str, list[Measure]]  # case -> rows


def main(argv: list[str] | None = None) -> int:
    """Measure, write, say what misses its bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cohorts", help="comma-separated names; default: all that are there")
    parser.add_argument("--reference", type=Path, default=HERE.parent / "tests" / "reference")
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    found = simulated_references(options.reference)
    if os.environ.get("DEDIAG_DATA"):
        found += real_references(Path(os.environ["DEDIAG_DATA"]))
    wanted = set(options.cohorts.split(",")) if options.cohorts else {r.name for r in found}
    if unknown := wanted - {r.name for r in found}:
        parser.error(f"unknown cohorts: {', '.join(sorted(unknown))} (real ones need DEDIAG_DATA)")
    measured = {r.name: (r, measure(r)) for r in found if r.name in wanted}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "agreement.json").write_text(json.dumps(as_json(measured), indent=1) + "\n")
    (options.out / "agreement.md").write_text(as_markdown(measured))
    missed = [
        (n, case, m) for n, (_, rows) in measured.items() for case, ms in rows.items() for m in ms if m.met is False
    ]
    for name, case, m in missed:
        print(f"missed: {name}, {case}: {m.quantity} is {m.value:.6g}, bar {m.bar:g}", file=sys.stderr)
    return 1 if missed else 0


def measure(reference: Reference) -> Rows:
    """Every row of one cohort."""
    rows: Rows = {"size factors": size_factor_rows(reference)}
    for case in cases(reference):
        rows[case.name] = case.run(reference)
        reached = [m.met for m in rows[case.name] if m.met is not None]
        print(f"{reference.name}: {case.name}: {sum(reached)} of {len(reached)} bars met", flush=True)
    return rows


def as_json(measured: dict[str, tuple[Reference, Rows]]) -> dict[str, object]:
    """The numbers, for programs; a value that is not finite becomes null."""
    listed = [
        {
            "cohort": name, "case": case, "quantity": m.quantity, "value": m.value if abs(m.value) < 1e300 else None,
            "bar": m.bar, "side": "at most" if m.at_most else "at least", "compared": m.compared, "met": m.met,
        }
        for name, (_, rows) in measured.items() for case, ms in rows.items() for m in ms
    ]  # fmt: skip
    return {"versions": versions(measured), "rows": listed}


def versions(measured: dict[str, tuple[Reference, Rows]]) -> dict[str, str]:
    """dediag and what it runs on, and the tools that made the stored results."""
    stored = {k: str(v).removeprefix("R version ") for r, _ in measured.values() for k, v in r.info["versions"].items()}
    ours = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "numba")}
    return {"Python": platform.python_version(), **ours, **stored}


def as_markdown(measured: dict[str, tuple[Reference, Rows]]) -> str:
    """The tables, for people: first the default fit of every cohort side by side, then everything."""
    every = [m for _, rows in measured.values() for ms in rows.values() for m in ms if m.met is not None]
    listed = ", ".join(f"{name} {version}" for name, version in versions(measured).items())
    lines = [
        "# Agreement with DESeq2 and edgeR",
        "",
        f"Written by `scripts/agreement.py`; not edited by hand. Versions: {listed}.",
        "",
        f"**{sum(bool(m.met) for m in every)} of {len(every)} bars met**, {len(measured)} cohorts.",
        "Shares are of the genes that the reference has a number for. Log2 fold changes are of genes that converged in",
        "the reference and have counts in both groups. A bar of `-` means: shown, not judged.",
        "",
    ]
    for title, case in (("search = reference (default)", "Wald"), ("search = newton", "Wald, Newton search")):
        lines += ["## " + title, "", *side_by_side({n: rows[case] for n, (_, rows) in measured.items()}), ""]
    lines += ["## Every comparison", ""]
    for name, (reference, rows) in measured.items():
        info = reference.info
        lines += [
            f"### {name}",
            "",
            f"`{reference.design}`, {info['n_genes']:,} genes x {info['n_samples']} samples",
            "",
        ]
        if reference.prior_needs_draws:
            lines += [
                f"The prior variance is given as {reference.prior_variance:.6g}, except where it says estimated.",
                "",
            ]
        lines += ["| fit | quantity | value | bar | compared | met |", "|---|---|---|---|---|---|"]
        for case, ms in rows.items():
            lines += [f"| {case} | {m.quantity} | {number(m)} | {bar(m)} | {m.compared:,} | {mark(m)} |" for m in ms]
        lines.append("")
    return "\n".join(lines)


def side_by_side(rows: dict[str, list[Measure]]) -> list[str]:
    """Quantities down, cohorts across; values that miss their bar are bold."""
    first = next(iter(rows.values()))
    lines = ["| quantity | bar | " + " | ".join(rows) + " |", "|---" * (len(rows) + 2) + "|"]
    for i, quantity in enumerate(m.quantity for m in first):
        cells = [f"**{number(ms[i])}**" if ms[i].met is False else number(ms[i]) for ms in rows.values()]
        bars = {bar(ms[i]) for ms in rows.values()}
        lines.append(f"| {quantity} | {' or '.join(sorted(bars))} | " + " | ".join(cells) + " |")
    return lines


def number(m: Measure) -> str:
    """A share in per cent, an index with four decimals, a difference with two digits."""
    if "share" in m.quantity:
        return f"{100 * m.value:.2f} %"
    return f"{m.value:.2g}" if m.at_most else f"{m.value:.4f}"


def bar(m: Measure) -> str:
    """The bar with its side."""
    if m.bar is None:
        return "-"
    shown = f"{100 * m.bar:g} %" if "share" in m.quantity else f"{m.bar:g}"
    return f"{'≤' if m.at_most else '≥'} {shown}"


def mark(m: Measure) -> str:
    """Met, not met, or not judged."""
    return {True: "yes", False: "**no**", None: ""}[m.met]


if __name__ == "__main__":
    sys.exit(main())
