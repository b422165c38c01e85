"""What a diagnostic says: status, verdict, metrics, tables, figures. A leaf: imports nothing of dediag."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Value = float | int | str | bool | None


class Status(StrEnum):
    """Outcome of a diagnostic; the first four are ordered, the last two are never counted in an overall status."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    NOT_ASSESSABLE = "not_assessable"
    SKIPPED = "skipped"

    @property
    def severity(self) -> int:
        """0 for pass to 3 for error; -1 for the statuses that do not count."""
        return _SEVERITY.get(self, -1)


_SEVERITY = {Status.PASS: 0, Status.WARN: 1, Status.FAIL: 2, Status.ERROR: 3}


def worst(statuses: Iterable[Status]) -> Status:
    """The most severe of the statuses that count; pass when none counts."""
    return max((s for s in statuses if s.severity >= 0), key=lambda s: s.severity, default=Status.PASS)


@dataclass(frozen=True)
class Verdict:
    """A status, one sentence with the effect size and its limit, one action; made only by a diagnostic's `judge`."""

    status: Status
    headline: str
    advice: str
    calls_at_risk: int | None = None  # significant genes that would change; None: cannot be said
    reason: str | None = None  # why not assessable


@dataclass(frozen=True)
class Metric:
    """A named number of report.json; `value` None means not available. `low` and `high` bound an interval."""

    name: str
    value: Value
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Table:
    """Columns of equal length, written to tables/<diagnostic>_<name>.tsv.gz."""

    name: str
    caption: str
    columns: Mapping[str, Sequence[object]]


@dataclass(frozen=True)
class Figure:
    """A finished picture: SVG text, never a plotting library's object."""

    name: str
    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Finding:
    """Everything that one diagnostic has to say about one study."""

    id: str
    question: str
    status: Status
    headline: str
    reason: str | None = None
    advice: str = ""
    calls_at_risk: int | None = None
    metrics: tuple[Metric, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    explanation: str = ""
    references: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)  # by the clock, with a share of the refits, which run beside
