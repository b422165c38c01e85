"""Intervals for a share of calls, from shares seen in simulated studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def prediction_interval(shares: Array, calls: Array, n: int, level: float) -> tuple[float, float]:
    """Interval that holds the share of one further study of `n` calls with probability `level`.

    shares, calls: (n_studies,) share and number of calls of simulated studies, at least two. Shares are taken to
    arcsine(square root), where their variance depends on the number of calls and not on the share: it is the larger of
    that between the studies and that of n independent calls, 1 / (4 n). Student's t for the estimated part; the
    interval covers the few values that the normal shape would cut off by half a call at each end.
    """
    angle = np.arcsin(np.sqrt((shares * calls + 0.375) / (calls + 0.75)))  # Anscombe (1948)
    sd = float(np.sqrt(max(angle.var(ddof=1), 0.25 / (n + 0.5))))
    centre = float(angle @ calls / calls.sum())
    reach = float(t.isf((1.0 - level) / 2.0, len(shares) - 1)) * sd * np.sqrt(1.0 + 1.0 / len(shares))
    low, high = (np.sin(np.clip(centre + side * reach, 0.0, np.pi / 2)) ** 2 for side in (-1, 1))
    half = 0.5 / max(n, 1)
    return max(0.0, float(low) - half), min(1.0, float(high) + half)
