"""Calls by direction among genes of some expression, beside those of simulated studies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.shares import ShareNull

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

FEWEST_STUDIES = 5  # simulated studies with calls, below which there is no expectation


@dataclass(frozen=True)
class Split:
    """Calls by direction, observed and in simulated studies; None: unknown."""

    low: float  # expression
    high: float | None
    n_genes: int
    n_up: int
    n_down: int
    median_lfc: float | None  # log2, of all genes
    shares: Array  # (n_studies with calls,) up share of each simulated study
    expected: float | None = None  # up share over all calls of the simulated studies
    expected_low: float | None = None
    expected_high: float | None = None
    p_value: float | None = None  # two-sided, of the observed split under what gives the interval

    @property
    def up_share(self) -> float | None:
        """Share of the calls that are up; None without calls."""
        n = self.n_up + self.n_down
        return self.n_up / n if n else None


@dataclass(frozen=True)
class Calls:
    """The calls of a study and of simulated ones (n_studies, n_genes), None where nothing was simulated."""

    expression: Array  # (n_genes,) genes without any are left out
    lfc: Array  # (n_genes,) log2
    called: Mask  # (n_genes,)
    simulated_up: Mask | None
    simulated_down: Mask | None
    level: float  # of the prediction interval

    def between(self, low: float, high: float) -> Split:
        """The calls among genes with low <= expression < high."""
        inside = (self.expression > 0) & (self.expression >= low) & (self.expression < high)
        called = inside & self.called
        n_up = int((called & (self.lfc > 0)).sum())
        seen = Split(
            low=low,
            high=high if np.isfinite(high) else None,
            n_genes=int(inside.sum()),
            n_up=n_up,
            n_down=int(called.sum()) - n_up,
            median_lfc=float(np.nanmedian(self.lfc[inside])) if inside.any() else None,
            shares=np.empty(0),
        )
        return self._beside_simulated(seen, inside)

    def _beside_simulated(self, seen: Split, inside: Mask) -> Split:
        """The split with what the simulated studies say about it."""
        if self.simulated_up is None or self.simulated_down is None:
            return seen
        up = self.simulated_up[:, inside].sum(axis=1).astype(np.float64)
        calls = up + self.simulated_down[:, inside].sum(axis=1)
        some = calls > 0
        up, calls = up[some], calls[some]
        shares = up / calls
        n = seen.n_up + seen.n_down
        if len(calls) < FEWEST_STUDIES:
            return replace(seen, shares=shares)
        null = ShareNull.of(up, calls, max(n, 1))
        low, high = null.interval(self.level)
        return replace(
            seen, shares=shares, expected=float(up.sum() / calls.sum()), expected_low=low, expected_high=high,
            p_value=null.p_value(seen.n_up) if n else None,
        )  # fmt: skip


def columns(splits: tuple[Split, ...]) -> dict[str, list[float | None]]:
    """Splits as a table."""
    names = {
        "base_mean_from": "low", "base_mean_below": "high", "n_genes": "n_genes", "n_up": "n_up", "n_down": "n_down",
        "up_share": "up_share", "expected_up_share": "expected", "expected_low": "expected_low",
        "expected_high": "expected_high", "median_log2_fold_change": "median_lfc",
    }  # fmt: skip
    return {column: [getattr(split, name) for split in splits] for column, name in names.items()}
