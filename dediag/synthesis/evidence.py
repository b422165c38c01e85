"""What findings say, as numbers: metrics and their limits, which way the calls lean and at which expression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dediag.finding import Status
from dediag.rounding import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dediag.finding import Finding, Metric

    Known = Mapping[str, Finding]  # by id
    Weighed = tuple["Support", str]

Support = Literal["none", "weak", "moderate", "strong"]
Direction = Literal["up", "down"]
FIRMNESS: tuple[Support, ...] = ("none", "weak", "moderate", "strong")
JUDGED: dict[Status, Support] = {Status.PASS: "none", Status.WARN: "moderate", Status.FAIL: "strong"}
ALARMS = (Status.WARN, Status.FAIL)
LOPSIDED = 0.1  # distance of the up share from one half ...
RARE = 10.83  # ... which coin tosses pass once in a thousand (chi-squared of one degree of freedom)


def metric(finding: Finding | None, name: str) -> Metric | None:
    """A metric that is a number; None when it is not there."""
    for found in () if finding is None else finding.metrics:
        if found.name == name and isinstance(found.value, (int, float)) and math.isfinite(found.value):
            return found
    return None


def value(finding: Finding | None, name: str) -> float | None:
    """A metric's number; None when it is not there or not a number."""
    found = metric(finding, name)
    return None if found is None else float(found.value)  # type: ignore[arg-type]  # metric() took numbers only


def limit(finding: Finding | None, name: str) -> float | None:
    """A metric's limit."""
    found = metric(finding, name)
    return None if found is None else found.limit


def surely(finding: Finding | None, name: str) -> float:
    """The end of a metric's interval that is nearer to zero, with its sign; 0 where the interval holds zero."""
    found = metric(finding, name)
    if found is None or found.low is None or found.high is None or found.low <= 0.0 <= found.high:
        return 0.0
    return found.low if found.low > 0.0 else found.high


def firmest(findings: Sequence[Finding]) -> Support:
    """Support of the firmest verdict."""
    return JUDGED[max((finding.status for finding in findings), key=lambda status: status.severity)]


@dataclass(frozen=True)
class Lean:
    """Calls that lean one way beyond what the design gives by itself."""

    toward: Direction
    observed: float  # up share
    expected: float

    @property
    def sign(self) -> float:
        """1 up, -1 down."""
        return 1.0 if self.toward == "up" else -1.0


def lean_of(known: Known) -> Lean | None:
    """Where the calls lean against what the design gives by itself; None when they do not."""
    finding = known.get("sign_asymmetry")
    observed, expected = value(finding, "up_fraction"), value(finding, "expected_up_fraction")
    if finding is None or finding.status not in ALARMS or observed is None or expected is None:
        return None
    return Lean("up" if observed > expected else "down", observed, expected)


def lopsided(known: Known) -> bool:
    """Whether many more calls go one way than the other, though no more than the design gives by itself.

    Nothing is wrong then, but who looks at the list asks why.
    """
    finding = known.get("sign_asymmetry")
    up, down = value(finding, "n_up"), value(finding, "n_down")
    if finding is None or finding.status is not Status.PASS or up is None or down is None:
        return False
    return abs(up - down) >= 2.0 * LOPSIDED * (up + down) and (up - down) ** 2 > RARE * (up + down)


@dataclass(frozen=True)
class Layer:
    """Calls among genes of some expression."""

    low: float  # base mean
    high: float | None
    calls: int
    up_share: float
    expected: float | None  # that the design gives by itself
    expected_low: float | None
    expected_high: float | None

    @property
    def words(self) -> str:
        """`97 % below 10 (310)`: up share, base mean, number of calls."""
        where = f"below {self.high:g}" if not self.low else f"from {self.low:g}"
        where += f" to {self.high:g}" if self.low and self.high is not None else ""
        return f"{percent(self.up_share)} {where} ({self.calls:,})"

    @property
    def beyond(self) -> bool:
        """Whether the up share lies outside the interval of what the design gives."""
        low, high = self.expected_low, self.expected_high
        return low is not None and high is not None and not low <= self.up_share <= high

    @property
    def given(self) -> str:
        """`47 to 61 %`, what the design gives in one study."""
        return f"{100 * (self.expected_low or 0.0):.0f} to {percent(self.expected_high or 0.0)}"

    def excess(self, lean: Lean) -> float:
        """Calls toward the lean beyond what the design gives here."""
        expected = lean.expected if self.expected is None else self.expected
        return lean.sign * self.calls * (self.up_share - expected)


def layers_of(known: Known) -> list[Layer]:
    """Calls by base mean, from sign_asymmetry's table; without the line of all genes and layers without calls."""
    finding = known.get("sign_asymmetry")
    table = next((t for t in finding.tables if t.name == "strata"), None) if finding is not None else None
    if table is None:
        return []
    names = ["base_mean_from", "base_mean_below", "n_up", "n_down", "up_share"]
    names += ["expected_up_share", "expected_low", "expected_high"]
    rows = list(zip(*(table.columns[name] for name in names), strict=True))[:-1]
    numbers = [[float(x) if isinstance(x, (int, float)) else None for x in row] for row in rows]
    return [
        Layer(low or 0.0, high, int((n_up or 0) + (n_down or 0)), up_share, *expected)
        for low, high, n_up, n_down, up_share, *expected in numbers
        if up_share is not None
    ]
