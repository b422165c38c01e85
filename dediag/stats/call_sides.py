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
        return cls.split(expression < level, lfc, called)

    @classmethod
    def split(cls, below: Mask, lfc: Array, called: Mask) -> Sides:
        """The same for genes that are known to lie below (n,)."""
        up = lfc > 0
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

    def columns(self) -> dict[str, list[object]]:
        """The calls as a table, those below first."""
        return {
            "side": ["below", "above"],
            "up": [self.up_below, self.up_above],
            "down": [self.down_below, self.down_above],
            "up_share": [self.up_fraction_below, self.up_fraction_above],
        }

    def differ(self, least: float, p: float) -> bool:
        """Whether the up-fractions of both sides are so far apart, and Fisher's test of that below p."""
        low, high = self.up_fraction_below, self.up_fraction_above
        return low is not None and high is not None and abs(low - high) >= least and self.lean_p < p

    @property
    def lean_p(self) -> float:
        """p-value of Fisher's exact test that both sides have the same up-fraction."""
        from scipy.stats import fisher_exact

        counts = np.array([[self.up_below, self.down_below], [self.up_above, self.down_above]])
        return float(fisher_exact(counts).pvalue)


def kept_calls(kept: list[Mask], lfc: Array, called: Mask) -> dict[str, list[object]]:
    """Genes and calls, by direction, that each of these masks (n,) keeps, as columns of a table."""
    calls = [called & mask for mask in kept]
    return {
        "genes_kept": [int(mask.sum()) for mask in kept],
        "calls_up": [int((mask & (lfc > 0)).sum()) for mask in calls],
        "calls_down": [int((mask & ~(lfc > 0)).sum()) for mask in calls],
        "up_share": [up_share(lfc, mask) for mask in calls],
    }


def up_share(lfc: Array, genes: Mask) -> float | None:
    """Share of these genes (n,) whose log fold change is positive; None without any."""
    return float((lfc[genes] > 0).mean()) if genes.any() else None
