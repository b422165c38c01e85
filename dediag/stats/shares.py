"""What share of the calls one further study may have, from the calls of simulated studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShareNull:
    """Distribution of the share of one further study of `n` calls: Student's t of arcsine(square root(share)).

    On that scale the variance of a share depends on the number of calls and not on the share. Interval and p-value are
    two readings of the same distribution: a number of calls has p below 1 - level if and only if its share lies outside
    the interval of that level.
    """

    n: int
    centre: float  # radians
    scale: float  # radians, error of the centre included
    df: int

    @classmethod
    def of(cls, some: Array, calls: Array, n: int) -> ShareNull:
        """From at least two simulated studies: `some` of their `calls` (n_studies,), each with at least one call.

        The studies' shares vary by what their calls have in common and by the small number of calls, 1 / (4 n) each.
        Where one further study has fewer calls than the simulated ones, what that adds is added; where it has more,
        nothing is taken off: a difference of two estimates would be too small as often as too large.
        """
        angle = _angle(some, calls)
        own = float(np.mean(0.25 / (calls + 0.5)))
        variance = max(float(angle.var(ddof=1)), own) + max(0.25 / (n + 0.5) - own, 0.0)
        scale = float(np.sqrt(variance * (1.0 + 1.0 / len(calls))))
        return cls(n, float(angle @ calls / calls.sum()), scale, len(calls) - 1)

    def interval(self, level: float) -> tuple[float, float]:
        """Shares of a study that holds to the distribution with probability `level`.

        Half a call more at each end, for the few values that the smooth shape would cut off.
        """
        reach = float(t.isf((1.0 - level) / 2.0, self.df)) * self.scale
        low, high = ((self._calls(self.centre + side * reach) + side * 0.5) / self.n for side in (-1, 1))
        return max(0.0, low), min(1.0, high)

    def p_value(self, some: int) -> float:
        """Two-sided p of this number of calls, moved half a call toward the centre."""
        centre = self._calls(self.centre)
        moved = some - np.sign(some - centre) * min(0.5, abs(some - centre))
        angle = float(_angle(np.array([moved]), np.array([float(self.n)]))[0])
        return float(min(1.0, 2.0 * t.sf(abs(angle - self.centre) / self.scale, self.df)))

    def _calls(self, angle: float) -> float:
        """The number of calls at an angle."""
        return float((self.n + 0.75) * np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2 - 0.375)


def _angle(some: Array, calls: Array) -> Array:
    """Anscombe (1948): the variance-stabilising transformation of a binomial count."""
    return np.asarray(np.arcsin(np.sqrt(np.clip((some + 0.375) / (calls + 0.75), 0.0, 1.0))))
