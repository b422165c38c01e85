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


def page_of(results: dict[str, Any], designs: str, faults_in: str, few: dict[str, int]) -> str:
    """The whole page."""
    single, whole = results["parts"]["single"], results["parts"]["whole"]
    unfinished = f" Ended early: {results['finished']:,} of {results['planned']:,} audits that were planned."
    lines = [
        "# Validation",
        "",
        "Written by `scripts/validation.py`; not edited by hand."
        + (unfinished if results["finished"] < results["planned"] else ""),
        f"Healthy cohorts have {designs} samples, in equal parts.",
        f"Faults are planted in {faults_in}.",
        "Cohorts that a diagnostic could not assess are left out. In parentheses, in percent, what so many show (exact",
        "one-sided 95 % bounds, over all sizes together): of alarms the largest rate, of faults found the smallest.",
        f"Diagnostics that broke: {results['errors']}.",
        "",
        "| asked | of | limit | seen | met |",
        "|---|---|---|---|---|",
        *map(_asked, results["asked"]),
        "",
        "## Each diagnostic alone",
        "",
        f"{single['audits']:,} audits with one diagnostic, of cohorts of {_genes(single)} genes, default draws:",
        f"{single['minutes']:.0f} processor minutes; seconds of processor time are the median of an audit.",
        "Without a fault so few show little; see below.",
        "",
        "| diagnostic | warn or fail without a fault | its fault | found if it says | found | seconds |",
        "|---|---|---|---|---|---|",
        *(_alone(i, r) for i, r in results["rates"].items()),
        "",
        "## Whole audits without a fault",
        "",
        f"{whole['audits']:,} audits with all diagnostics, of cohorts of {_genes(whole)} genes,",
        f"{', '.join(f'{n} {what}' for what, n in few.items())}: {whole['minutes']:.0f} processor minutes. The bounds",
        "hold for such audits; those above, of more genes and draws, are too few for rates as small.",
        "",
        "| diagnostic | warn | fail | alarms by group sizes |",
        "|---|---|---|---|",
        *(_whole(i, r) for i, r in results["rates"].items()),
        "",
        f"- some diagnostic warns or fails: {_alarmed(results['audit warns or fails'])}",
        f"- some diagnostic fails: {_alarmed(results['audit fails'])}",
        "",
        "## Where the limits lie",
        "",
        "Every number of a report that has a limit. Whole audits: smallest, median, largest. Alone: lower tenth,",
        "median, upper tenth, without a fault and under the diagnostic's own. Some verdicts ask for two of them, or",
        "for an interval beyond the limit; what a number means is said by `dediag explain`.",
        "",
        "| diagnostic | number | limit | whole audits, no fault | alone, no fault | alone, its fault |",
        "|---|---|---|---|---|---|",
        *map(_place, results["limits"]),
        "",
    ]
    return "\n".join(lines)


def _asked(row: dict[str, Any]) -> str:
    met = "yes" if row["met"] else "**no**"
    if row["what"] == "minutes":
        return (
            f"| processor minutes, at most | {PARTS[row['which']]} | {row['asked']:.0f} | {row['seen']:.0f} | {met} |"
        )
    of = f"`{row['which']}` (the furthest)" if row["which"] else "all"
    return f"| {WORDS[row['what']]} | {of} | {100 * row['asked']:g} % | {100 * row['seen']:.2f} % | {met} |"


def _alone(diagnostic: str, r: dict[str, Any]) -> str:
    expects, found = " or ".join(r["expects"] or ()), r["detected"]
    share = f"{found['hits']} of {found['cohorts']} ({100 * found['low']:.1f})" if found else ""
    seconds = "" if r["seconds"] is None else f"{r['seconds']:.1f}"
    return f"| `{diagnostic}` | {_alarmed(r['alone'])} | {r['fault'] or 'none'} | {expects} | {share} | {seconds} |"


def _whole(diagnostic: str, r: dict[str, Any]) -> str:
    where = ", ".join(f"{sizes}: {n}" for sizes, n in r["where"].items())
    return f"| `{diagnostic}` | {_alarmed(r['warn'])} | {_alarmed(r['fail'])} | {where} |"


def _place(at: dict[str, Any]) -> str:
    limit = "varies" if at["limit"] is None else f"{at['limit']:g}"
    parts = " | ".join(_spread(at[part]) for part in ("whole", "alone", "fault"))
    return f"| `{at['diagnostic']}` | `{at['metric']}` | {limit} | {parts} |"


def _alarmed(r: dict[str, Any]) -> str:
    return f"{r['hits']} of {r['cohorts']} ({100 * r['high']:.2f})"


def _spread(quantiles: list[float] | None) -> str:
    return "" if quantiles is None else ", ".join(f"{q + 0.0:.3g}" for q in quantiles)


def _genes(part: dict[str, Any]) -> str:
    return " and ".join(f"{n:,}" for n in part["genes"])
