"""Calls on either side of a level of expression, by direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sides:
    """Numbers of calls below and at or above a level."""

    up_below: int
    down_below: int
    up_above: int
    down_above: int

    @classmethod
    def of(cls, expression: Array, lfc: Array, called: Mask, level: float) -> Sides:
        """Count calls (n,) with log fold changes (n,) on either side of a level of expression (n,)."""
        below, up = expression < level, lfc > 0
        parts = (below & up, below & ~up, ~below & up, ~below & ~up)
        return cls(*(int((called & part).sum()) for part in parts))

    @property
    def up_fraction_below(self) -> float | None:
        """Share of the calls below that are up; None without calls."""
        n = self.up_below + self.down_below
        return self.up_below / n if n else None

    @property
    def up_fraction_above(self) -> float | None:
        """Share of the calls above that are up; None without calls."""
        n = self.up_above + self.down_above
        return self.up_above / n if n else None

    @property
    def lean_p(self) -> float:
        """p-value of Fisher's exact test that both sides have the same up-fraction."""
        from scipy.stats import fisher_exact

        counts = np.array([[self.up_below, self.down_below], [self.up_above, self.down_above]])
        return float(fisher_exact(counts).pvalue)
