"""Numbers for reading that never contradict a verdict: rounded on their side of a limit, and never to -0."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 18  # digits; 17 tell any two floats apart


def settled(value: float, *limits: float, digits: int = 3, sign: bool = False) -> str:
    """The value with `digits` significant digits, or as many more as keep it on its side of each limit: `2.502`."""
    value += 0.0  # no -0
    for n in range(digits, MOST):
        text = f"{value:{'+' if sign else ''}.{n}g}"
        if all(_side(float(text), limit) == _side(value, limit) for limit in limits):
            return text
    return f"{value!r}"


def apart(value: float, *others: float, decimals: int = 0) -> list[str]:
    """All numbers with equally many decimals, as few as keep `value` on its side of each other: `53.8`, `44.0`, `53.7`.

    For a value beside the ends of an interval, which are rounded themselves.
    """
    numbers = (value, *others)
    for n in range(decimals, MOST):
        texts = [fixed(number, n) for number in numbers]
        if all(_side(float(texts[0]), float(t)) == _side(value, o) for t, o in zip(texts[1:], others, strict=True)):
            return texts
    return [repr(number) for number in numbers]


def fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    """The value with this many decimals; with `sign` also a plus, but none of either before zero: `0.00`, `+0.01`."""
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text if not math.isfinite(value) or float(text) != 0.0 else text.lstrip("+-")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 gene`, `1,200 genes`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def percent(share: float | None, digits: int = 0) -> str:
    """`56 %`; `? %` where it is not known."""
    return "? %" if share is None else f"{100.0 * share:.{digits}f} %"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])


def span(low: float | None, high: float | None) -> str:
    """A stretch of expression: `below 10`, `10 to 50`, `500 and more`, `all`; None, zero and infinity are open ends."""
    start = "" if low is None or low == 0.0 else f"{low:g}"
    end = "" if high is None or math.isinf(high) else f"{high:g}"
    if start and end:
        return f"{start} to {end}"
    return f"{start} and more" if start else f"below {end}" if end else "all"


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
