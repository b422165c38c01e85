"""The page of `validation_detection.py`: its numbers as tables in Markdown."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def _number(value: float | None, decimals: int = 2) -> str:
    return "none" if value is None else f"{value:.{decimals}f}"


def _worst(rows: Rows, name: str) -> float:
    return max((abs(row[name] - 0.8) for row in rows if row[name] is not None), default=float("nan"))


def grid_lines(rows: Rows, draws: int, level: float) -> list[str]:
    """The largest error of each size and ratio of dispersions, and every cell of it."""
    lines = [
        "## Power at the limit",
        "",
        f"{draws:,} simulated genes a cell; Wald tests at p below {level:g} by the package's own fit at known",
        "dispersions; log size factors with standard deviation .3. Limits are those for a power of .80; off by: the",
        "largest distance of the simulated power from it over dispersions .05, .2, .5, means 2, 5, 10, 50, 500 and",
        f"both directions. One cell has a standard error of {(0.16 / draws) ** 0.5:.3f}. Asked: .05.",
        "",
        "| samples | dispersion, test over reference | cells with a limit | off by | first order: off by |",
        "|---|---|---|---|---|",
    ]
    groups: dict[tuple[int, int, float], Rows] = {}
    for row in rows:
        groups.setdefault((row["n_test"], row["n_reference"], row["ratio"]), []).append(row)
    for (n_test, n_reference, ratio), mine in groups.items():
        known = sum(row["power"] is not None for row in mine)
        lines.append(
            f"| {n_test} v {n_reference} | {ratio:g} | {known} of {len(mine)} | {_worst(mine, 'power'):.3f} | "
            f"{_worst(mine, 'first_order_power'):.3f} |"
        )
    exact, simple = _worst(rows, "power"), _worst(rows, "first_order_power")
    lines += [
        "",
        f"Overall: off by {exact:.3f}; the first-order formula by {simple:.3f}.",
        "",
        "Cells at equal dispersion; smallest fold change (simulated power):",
        "",
        "| samples | dispersion | direction | mean 2 | mean 5 | mean 10 | mean 50 | mean 500 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lined: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        if row["ratio"] == 1.0:
            key = (f"{row['n_test']} v {row['n_reference']}", f"{row['dispersion']:g}", row["direction"])
            cell = "none" if row["fold"] is None else f"{row['fold']:.2f} ({row['power']:.3f})"
            lined.setdefault(key, []).append(cell)
    lines += [f"| {' | '.join([*key, *cells])} |" for key, cells in lined.items()]
    return [*lines, ""]


def pipeline_lines(rows: Rows, cohorts: int) -> list[str]:
    """Calls by true change over limit."""
    lines = [
        "## Calls of the whole analysis",
        "",
        f"{cohorts} cohorts of 2,000 genes a size, dispersions and size factors estimated; share of the genes with",
        "an effect that are called in its direction, by the true log fold change over the gene's limit (genes).",
        "",
    ]
    bins = list(dict.fromkeys((row["low"], row["high"]) for row in rows))
    heads = [f"{low:g} to {high:g}" if high is not None else f"{low:g} and more" for low, high in bins]
    lines += [f"| samples | {' | '.join(heads)} |", "|" + "---|" * (len(bins) + 1)]
    sizes = list(dict.fromkeys((row["n_test"], row["n_reference"]) for row in rows))
    for size in sizes:
        cells = [
            f"{_number(row['called'])} ({row['genes']:,})"
            for row in rows
            if (row["n_test"], row["n_reference"]) == size
        ]
        lines.append(f"| {size[0]} v {size[1]} | {' | '.join(cells)} |")
    return [*lines, ""]


def warning_lines(rows: Rows, limit: float) -> list[str]:
    """Warnings by fault, and the largest lean of healthy cohorts by design."""
    lines = [
        "## Warnings",
        "",
        f"The lean, in absolute value, beside its limit of {limit:g}; 800 genes. Healthy cohorts: 3 v 3 to 71 v 29;",
        "faults: 5 v 20, 6 v 15, 10 v 10, 20 v 8. In parentheses: exact lower and upper bound, each of 95 %.",
        "",
        "| fault | warned | lean: least | median | most |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        name = row["fault"] if row["fault"] == "none" else f"{row['fault']}={row['strength']:g}"
        lines.append(
            f"| {name} | {row['warned']} of {row['cohorts']} ({100 * row['low']:.1f} to {100 * row['high']:.1f} %) | "
            f"{row['least']:.3f} | {row['median']:.3f} | {row['most']:.3f} |"
        )
    healthy = rows[0]["most_by_design"]
    most = "; ".join(f"{design}: {value:.3f}" for design, value in healthy.items())
    return [*lines, "", f"Largest lean of healthy cohorts: {most}.", ""]


def real_lines(found: dict[str, Any] | None) -> list[str]:
    """Spike-ins and qPCR."""
    if found is None:
        return ["## Spike-ins and qPCR", "", "Not measured: the data were not there.", ""]
    lines = [
        "## Spike-ins",
        "",
        "seqc_coh, sample A v sample B, 4 libraries each; the offset, measured on the spike-ins of equal amounts, is",
        "taken off. LODR: base mean above which the ratio is found; model: that above which the model finds it with",
        "power .9.",
        "",
        "| reads | known log2 | n | observed, median | distance from known, median | LODR | model | offset |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, part in found.items():
        lines += [
            f"| {name} | {row['known']:+.2f} | {row['n']} | {_number(row['observed'])} | {_number(row['error'])} | "
            f"{_number(row['lodr'], 0) if row['known'] else ''} | {_number(row['model'], 0) if row['known'] else ''} | "
            f"{_number(row['offset'])} |"
            for row in part["ratios"]
        ]
    lines += ["", "## qPCR", "", "The same study; genes detected in all 8 TaqMan assays. Share called (genes).", ""]
    labels = {
        "beyond": "qPCR's change beyond the gene's limit: called",
        "beyond_right_sign": "the same: called in qPCR's direction",
        "just_beyond": "beyond by less than half: called",
        "hidden_small": "limit above 2-fold, change below 2-fold: called",
        "hidden": "limit above 2-fold, any change: called",
        "others_small": "limit below 2-fold, change below 2-fold: called",
    }
    lines += [f"| | {' | '.join(found)} |", "|" + "---|" * (len(found) + 1)]
    for name, decimals in (("genes", 0), ("pearson", 3), ("slope", 3), ("offset", 3)):
        lines.append(f"| {name} | {' | '.join(_number(part['taqman'][name], decimals) for part in found.values())} |")
    for name, label in labels.items():
        parts = [part["taqman"][name] for part in found.values()]
        cells = [f"{_number(part['called'])} ({part['genes']})" for part in parts]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, ""]
