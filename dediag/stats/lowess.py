"""Robust locally weighted regression (Cleveland 1979), with the numbers of R's lowess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

LARGEST_BLOCK = 2_000_000  # weights held at a time


def lowess(x: Array, y: Array, span: float = 2 / 3, iterations: int = 3, delta: float | None = None) -> Array:
    """Smoothed y (n,) at x (n,), which must not fall.

    span: share of the points that a local line uses. iterations: robustness rounds after the first fit. delta: between
    points that are no farther apart the curve is interpolated (default: a hundredth of the range of x).
    """
    n = len(x)
    if n < 2:
        return y.astype(float)
    spread = float(x[-1] - x[0])
    size = max(2, min(n, int(span * n + 1e-7)))
    anchors = _anchors(x, 0.01 * spread if delta is None else delta)
    # The window of `size` points around an anchor starts where moving on would bring in a point farther than it drops.
    start = np.searchsorted(x[:-size] + x[size:], 2 * x[anchors]) if size < n else np.zeros(len(anchors), np.intp)
    trust = np.ones(n)  # robustness weights
    for done in range(iterations + 1):
        smooth = np.interp(x, x[anchors], _local_lines(x, y, anchors, start, size=size, trust=trust, spread=spread))
        residual = np.abs(y - smooth)
        scale = 6 * float(np.median(residual))
        if done == iterations or scale < 1e-7 * residual.mean():
            break
        trust = _bisquare(residual, scale)
    return smooth


def _bisquare(residual: Array, scale: float) -> Array:
    if scale == 0:
        return np.ones(len(residual))
    weight = np.where(residual <= 0.999 * scale, (1 - (residual / scale) ** 2) ** 2, 0.0)
    weight[residual <= 0.001 * scale] = 1.0
    return weight


def _anchors(x: Array, delta: float) -> Index:
    """Positions at which a line is fitted: the farthest within delta of the one before, or else the next."""
    anchors, last = [0], 0
    while True:
        same = int(np.searchsorted(x, x[last], "right"))  # ties need no line of their own
        if same >= len(x):
            return np.array(anchors, dtype=np.intp)
        last = max(same, int(np.searchsorted(x, x[last] + delta, "right")) - 1)
        anchors.append(last)


def _local_lines(x: Array, y: Array, anchors: Index, start: Index, *, size: int, trust: Array, spread: float) -> Array:
    """Value at each anchor of the line fitted to its window."""
    fitted = np.empty(len(anchors))
    rows = max(1, LARGEST_BLOCK // size)
    for first in range(0, len(anchors), rows):
        block = slice(first, first + rows)
        centre = x[anchors[block]][:, None]
        window = start[block][:, None] + np.arange(size)  # (n_anchors, size)
        away = np.abs(x[window] - centre)
        reach = away.max(axis=1, keepdims=True)
        ratio = np.divide(away, reach, out=np.zeros_like(away), where=reach > 0)
        weight = np.where(ratio <= 0.999, (1 - ratio**3) ** 3, 0.0)
        weight[ratio <= 0.001] = 1.0
        weight *= trust[window]
        total = weight.sum(axis=1, keepdims=True)
        weight = np.divide(weight, total, out=weight, where=total > 0)
        middle = (weight * x[window]).sum(axis=1, keepdims=True)
        square = (weight * (x[window] - middle) ** 2).sum(axis=1, keepdims=True)
        steep = (np.sqrt(square) > 0.001 * spread) & (reach > 0)  # else the points are too close for a slope
        slope = np.divide(centre - middle, square, out=np.zeros_like(square), where=steep)
        line = (weight * (slope * (x[window] - middle) + 1) * y[window]).sum(axis=1)
        fitted[block] = np.where(total[:, 0] > 0, line, y[anchors[block]])
        for row in np.flatnonzero(reach[:, 0] == 0) + first:  # more ties than a window holds: all of them count
            tied = slice(start[row], np.searchsorted(x, x[anchors[row]], "right"))
            if trust[tied].sum() > 0:
                fitted[row] = np.average(y[tied], weights=trust[tied])
    return fitted
