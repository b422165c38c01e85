"""How numbers, statuses and names are put into words, the same in every format."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from dediag.finding import Status
from dediag.rounding import settled

NOT_AVAILABLE = "not available"
_UPPER = {
    "lfc": "LFC", "de": "DE", "ci": "CI", "fdp": "FDP", "vif": "VIF", "ks": "KS", "bh": "BH", "se": "SE", "mle": "MLE",
    "r2": "R²", "log2": "log₂", "pi0": "π₀", "p90": "90th percentile", "n": "number of",
}  # fmt: skip


@dataclass(frozen=True)
class StatusWords:
    """A status as a sign, a word, and what it asks of the reader."""

    sign: str
    word: str
    meaning: str


STATUS_WORDS = {
    Status.PASS: StatusWords("✓", "Pass", "No problem found"),
    Status.WARN: StatusWords("!", "Warning", "Read this before you publish"),
    Status.FAIL: StatusWords("✕", "Fail", "Conclusions change"),
    Status.ERROR: StatusWords("⚠", "Our error", "A check of ours broke"),
    Status.NOT_ASSESSABLE: StatusWords("○", "Not assessable", "Could not be judged on these data"),
    Status.SKIPPED: StatusWords("–", "Skipped", "Left out on request"),
}


def number(value: Any, limit: float | None = None) -> str:
    """A value for reading: three significant digits, scientific notation where that is shorter, words for the rest.

    A value beside a limit has as many digits as keep it on its side.
    """
    if value is None:
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _real(value + 0.0, limit)  # no -0
    return str(value)


def _real(value: float, limit: float | None) -> str:
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size != 0.0 and (size < 1e-4 or size >= 1e6):
        text = f"{value:.2e}"
    else:
        text = f"{value:,.0f}" if size >= 1e3 else f"{value:.3g}"
    shown = float(text.replace(",", ""))
    if limit is not None and ((shown > limit) != (value > limit) or (shown < limit) != (value < limit)):
        return settled(value, limit)
    return text


def cell(value: Any) -> str:
    """A value in a table: as `number`, without thousands separators, which would not survive copying."""
    if value is None:
        return "NA"
    return (
        number(value).replace(",", "")
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else number(value)
    )


def tied(text: str) -> str:
    """The text with a number and its per cent sign on one line."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def percent(count: int, total: int) -> str:
    """A share as a percentage with two significant digits, as DESeq2's summary prints it."""
    return f"{100 * count / total:.2g}%" if total else "0%"


def label(name: str) -> str:
    """A metric's or column's name as words: `lfc_bias_ci_low` becomes `LFC bias CI low`."""
    words = " ".join(_UPPER.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def interval(low: float | None, high: float | None, limit: float | None = None) -> str:
    """`-0.1 to 0.2`; one-sided intervals with the side in words; empty without either. limit: as for `number`."""
    if low is None and high is None:
        return ""
    ends = number(low, limit), number(high, limit)
    if low is None:
        return f"up to {ends[1]}"
    return f"from {ends[0]}" if high is None else f"{ends[0]} to {ends[1]}"


@dataclass(frozen=True)
class Block:
    """A paragraph, a list or a verbatim block; each line is a list of (text, is it code)."""

    kind: str  # "paragraph", "list" or "verbatim"
    lines: tuple[tuple[tuple[str, bool], ...], ...]


def blocks(text: str) -> list[Block]:
    """A docstring's prose: paragraphs between blank lines, `- ` lists, indented verbatim text, code in backticks."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.splitlines()
        if not part.strip():
            continue
        if all(line.startswith("    ") for line in lines):
            found.append(Block("verbatim", (((("\n".join(line[4:] for line in lines)), True),),)))
            continue
        at = next((i for i, line in enumerate(lines) if line.startswith("- ")), len(lines))
        if at > 0:
            found.append(Block("paragraph", (_inline(lines[:at]),)))
        if at < len(lines):
            items = re.split(r"(?:^|\n)- ", "\n".join(lines[at:]))[1:]
            found.append(Block("list", tuple(_inline(item.splitlines()) for item in items)))
    return found


def _inline(lines: list[str]) -> tuple[tuple[str, bool], ...]:
    return spans(" ".join(line.strip() for line in lines))


def spans(text: str) -> tuple[tuple[str, bool], ...]:
    """A sentence as pieces, each with whether it is code in backticks."""
    pieces = re.split(r"(`[^`]+`)", text)
    return tuple((piece.strip("`"), len(piece) > 1 and piece[0] == piece[-1] == "`") for piece in pieces if piece)
