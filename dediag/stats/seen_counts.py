"""How much expression it takes to be seen: the mean at which a negative binomial count is rarely zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

HALVINGS = 60
RANGE = (1e-3, 1e9)  # base means between which the floor is looked for


def seen_mean(dispersion: ArrayLike, share: float = 0.95) -> Array:
    """The mean of a negative binomial count at which P(Y >= 1) = share, from P(Y = 0) = (1 + phi mu)^(-1/phi).

    dispersion (n,) >= 0; 0 is Poisson, with mean -log(1 - share). Infinite where the dispersion leaves no such mean in
    floating point.
    """
    phi = np.maximum(np.asarray(dispersion, float), 1e-12)
    exponent = -phi * np.log1p(-share)
    with np.errstate(over="ignore"):
        return np.asarray(np.expm1(exponent) / phi)


def seen_mean_under_trend(trend: Callable[[Array], Array], share: float = 0.95) -> float:
    """The smallest mean at which P(Y >= 1) = share under a dispersion trend; NaN if there is none."""
    grid = np.geomspace(*RANGE, 400)
    seen = grid >= seen_mean(trend(grid), share)
    if not seen.any():
        return float("nan")
    first = int(np.argmax(seen))
    if first == 0:
        return float(grid[0])
    low, high = grid[first - 1], grid[first]
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        if middle >= float(seen_mean(trend(np.array([middle])), share)[0]):
            high = middle
        else:
            low = middle
    return float(high)
