"""What keeps two programs' fits of one response from being compared, and why they may differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Words = NDArray[np.str_]

COMPARED = "compared"
FLOOR = 0.5  # fitted mean that our fit does not go below
LOW_COUNT = 10.0  # mean
SHRUNKEN = 1.2  # ratio of dispersions that counts as shrinkage: it moves standard errors by up to a tenth


@dataclass(frozen=True)
class Traits:
    """Our fit of each response: (n,) each."""

    seen: Mask  # counts in both groups
    lowest_mean: Array  # of the fitted ones
    converged: Mask
    outlying: Mask
    mean: Array
    dispersion: Array

    def states(self, converged: Mask, apart: Array, from_maximum: Array, limit: float) -> Words:
        """COMPARED, or what keeps a response from having the same finite maximum in both programs: (n,).

        converged: the other program's search. apart, from_maximum: how far our estimate, and our search continued to
        the maximum, lie from the other program's.
        """
        kept_from = {
            "separation": ~self.seen,
            "floor": self.lowest_mean < FLOOR,
            "our search did not converge": ~self.converged,
            "statsmodels did not converge": ~converged,
            "stopping rule": (apart > limit) & (from_maximum <= limit),
        }
        return np.select(list(kept_from.values()), list(kept_from), COMPARED)

    def reasons(self, states: Words, alpha: Array) -> Words:
        """Why a fit with its own dispersion `alpha` (n,) may differ from ours: (n,)."""
        ratio = np.maximum(alpha, 1e-8) / self.dispersion
        why = {
            "separation": states == "separation",
            "floor": states == "floor",
            "outlier": self.outlying,
            "low count": self.mean < LOW_COUNT,
            "dispersion shrinkage": np.maximum(ratio, 1 / ratio) > SHRUNKEN,
        }
        return np.select(list(why.values()), list(why), "unexplained")


def stratified(values: Array, n: int, strata: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of `n` values, rising, equally many from each of `strata` stretches of their order."""
    parts = np.array_split(np.argsort(values, kind="stable"), strata)
    return np.sort(np.concatenate([rng.choice(part, n // strata, replace=False) for part in parts]))
