"""The page of `validation.py`: its counts as tables in Markdown."""

from __future__ import annotations

from typing import Any

WORDS = {
    "warn": "warnings of one diagnostic without a fault, at most (upper bound)",
    "fail": "failures of one diagnostic without a fault, at most (upper bound)",
    "audit warns or fails": "audits without a fault that warn or fail, at most (upper bound)",
    "audit fails": "audits without a fault that fail, at most (upper bound)",
    "found": "faults found by their diagnostic, at least (share)",
}
PARTS = {"single": "each diagnostic alone", "whole": "whole audits"}


def page_of(
    results: dict[str, Any], asked: list[dict[str, Any]], designs: str, faults_in: str, few: dict[str, int]
) -> str:
    """The whole page."""
    lines = [
        "# Validation",
        "",
        "Written by `scripts/validation.py`; not edited by hand.",
        f"Healthy cohorts have {designs} samples, in equal parts.",
        f"Faults are planted in {faults_in}.",
        "Cohorts that a diagnostic could not assess are left out. In parentheses, in percent, what so many show (exact",
        "one-sided 95 % bounds, over all sizes together): of alarms the largest rate, of faults found the smallest.",
        f"Diagnostics that broke: {sum(part['errors'] for part in results.values())}.",
        "",
        "| asked | of | limit | seen | met |",
        "|---|---|---|---|---|",
        *map(_asked, asked),
        "",
    ]
    if "single" in results:
        lines += _single(results["single"])
    if "whole" in results:
        lines += _whole(results["whole"], few)
    lines += [
        "## Where the limits lie",
        "",
        "Every number of a report that has a limit. Whole audits: smallest, median, largest. Alone: lower tenth,",
        "median, upper tenth, without a fault and under the diagnostic's own. Some verdicts ask for two of them, or",
        "for an interval beyond the limit; what a number means is said by `dediag explain`.",
        "",
        "| diagnostic | number | limit | whole audits, no fault | alone, no fault | alone, its fault |",
        "|---|---|---|---|---|---|",
        *_places(results),
        "",
    ]
    return "\n".join(lines)


def _single(part: dict[str, Any]) -> list[str]:
    return [
        "## Each diagnostic alone",
        "",
        f"{part['audits']:,} audits with one diagnostic{_unfinished(part)}, of cohorts of {_genes(part)} genes,",
        f"default draws: {part['minutes']:.0f} processor minutes; seconds of processor time are the median of an",
        "audit. Without a fault so few show little; see below.",
        "",
        "| diagnostic | warn or fail without a fault | its fault | found if it says | found | seconds |",
        "|---|---|---|---|---|---|",
        *(_alone(i, r) for i, r in part["rates"].items()),
        "",
    ]


def _whole(part: dict[str, Any], few: dict[str, int]) -> list[str]:
    return [
        "## Whole audits without a fault",
        "",
        f"{part['audits']:,} audits with all diagnostics{_unfinished(part)}, of cohorts of {_genes(part)} genes,",
        f"{', '.join(f'{n} {what}' for what, n in few.items())}: {part['minutes']:.0f} processor minutes. The bounds",
        "hold for such audits; those above, of more genes and draws, are too few for rates as small.",
        "",
        "| diagnostic | warn | fail |",
        "|---|---|---|",
        *(f"| `{i}` | {_alarmed(r['warn'])} | {_alarmed(r['fail'])} |" for i, r in part["rates"].items()),
        "",
        f"- some diagnostic warns or fails: {_alarmed(part['audit warns or fails'])}",
        f"- some diagnostic fails: {_alarmed(part['audit fails'])}",
        "",
    ]


def _unfinished(part: dict[str, Any]) -> str:
    return "" if part["audits"] == part["planned"] else f" (ended early: {part['planned']:,} were planned)"


def _asked(row: dict[str, Any]) -> str:
    met = "yes" if row["met"] else "**no**"
    if row["what"] == "minutes":
        return f"| processor minutes, at most | {PARTS[row['of']]} | {row['limit']:.0f} | {row['seen']:.0f} | {met} |"
    of = f"`{row['of']}` (the furthest)" if row["of"] else "all"
    return f"| {WORDS[row['what']]} | {of} | {100 * row['limit']:g} % | {100 * row['seen']:.3g} % | {met} |"


def _alone(diagnostic: str, r: dict[str, Any]) -> str:
    expects, found = " or ".join(r["expects"] or ()), r["found"]
    share = f"{found['hits']} of {found['cohorts']} ({100 * found['low']:.1f})" if found else ""
    seconds = "" if r["seconds"] is None else f"{r['seconds']:.1f}"
    return f"| `{diagnostic}` | {_alarmed(r['alarms'])} | {r['fault'] or 'none'} | {expects} | {share} | {seconds} |"


def _places(results: dict[str, Any]) -> list[str]:
    columns = (("whole", "healthy"), ("single", "healthy"), ("single", "faulty"))
    found = [
        {(at["diagnostic"], at["metric"]): at for at in results.get(part, {}).get(name, [])} for part, name in columns
    ]
    order = {i: k for part in results.values() for k, i in enumerate(part["rates"])}
    rows = []
    for key in sorted({key for places in found for key in places}, key=lambda key: (order[key[0]], key[1])):
        limits = {places[key]["limit"] for places in found if key in places}
        limit = limits.pop() if len(limits) == 1 else None
        spreads = " | ".join(_spread(places.get(key)) for places in found)
        rows.append(f"| `{key[0]}` | `{key[1]}` | {'varies' if limit is None else f'{limit:g}'} | {spreads} |")
    return rows


def _alarmed(r: dict[str, Any]) -> str:
    return f"{r['hits']} of {r['cohorts']} ({100 * r['high']:.2f})"


def _spread(at: dict[str, Any] | None) -> str:
    return "" if at is None else ", ".join(f"{q + 0.0:.3g}" for q in at["quantiles"])


def _genes(part: dict[str, Any]) -> str:
    return " and ".join(f"{n:,}" for n in part["genes"])
