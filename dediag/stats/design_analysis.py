"""The winner's curse among calls: how far they exaggerate (type M) and how often their sign is wrong (type S).

Gelman and Carlin (2014), with posteriors of the true effects in place of one assumed effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class WinnersCurse:
    """Each call's true effect as far as its posterior says; arrays (n_calls,)."""

    estimate: Array
    effect: Array  # posterior mean
    wrong_sign: Array  # posterior probability that the true effect has the other sign; no effect counts by half
    largest: float  # effect on the grid

    @classmethod
    def of(cls, estimate: Array, grid: Array, posterior: Array) -> WinnersCurse:
        """From estimates (n_calls,) and posteriors (n_calls, n_points) over effects on a grid (n_points,)."""
        other = np.where(estimate[:, None] > 0.0, grid < 0.0, grid > 0.0) + 0.5 * (grid == 0.0)
        return cls(estimate, posterior @ grid, np.asarray((posterior * other).sum(axis=1)), float(grid[-1]))

    @property
    def exaggeration(self) -> float | None:
        """Mean size of the estimates over the mean true effect in their direction; None without calls.

        An estimate beyond the grid, such as of a gene that one group does not have, counts as the end of the grid.
        """
        true = float((np.sign(self.estimate) * self.effect).sum())
        return float(np.minimum(np.abs(self.estimate), self.largest).sum()) / true if true > 0.0 else None

    @property
    def wrong_sign_rate(self) -> float | None:
        """Expected share of the calls whose sign is wrong, those without effect by half; None without calls."""
        return float(self.wrong_sign.mean()) if self.wrong_sign.size else None
