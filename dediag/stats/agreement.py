"""How well two measurements of the same things agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """Mean difference and the limits within which 95 % of normal differences lie (Bland and Altman 1986)."""

    bias: float
    low: float
    high: float


def pearson(x: Array, y: Array) -> float | None:
    """Correlation of x and y (n,) over pairs that are finite; None below 3 pairs or without variation."""
    x, y = finite_pairs(x, y)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip((dx @ dy) / np.sqrt((dx @ dx) * (dy @ dy)), -1.0, 1.0))


def spearman(x: Array, y: Array) -> float | None:
    """Rank correlation of x and y (n,), ties sharing their mean rank; as `pearson` otherwise."""
    from scipy.stats import rankdata

    x, y = finite_pairs(x, y)
    return pearson(rankdata(x), rankdata(y)) if len(x) else None


def concordance(x: Array, y: Array) -> float | None:
    """Lin's concordance correlation coefficient (1989, eq. 3): how closely pairs (n,) lie to the line y = x."""
    x, y = finite_pairs(x, y)
    if len(x) < 3:
        return None
    spread = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else None


def explained(observed: Array, predicted: Array) -> float | None:
    """R^2 of a prediction without free parameters: 1 - sum (o - p)^2 / sum (o - mean o)^2; may be negative."""
    observed, predicted = finite_pairs(observed, predicted)
    if len(observed) < 3 or np.ptp(observed) == 0:
        return None
    return float(1 - ((observed - predicted) ** 2).sum() / ((observed - observed.mean()) ** 2).sum())


def limits_of_agreement(x: Array, y: Array) -> Limits | None:
    """Limits of agreement of x - y (n,) over pairs that are finite; None below 3 pairs."""
    x, y = finite_pairs(x, y)
    if len(x) < 3:
        return None
    difference = x - y
    bias, half = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    return Limits(bias, bias - half, bias + half)


def against(x: Array, y: Array) -> dict[str, float | None]:
    """All of these measures of x against y (n,), with the number of finite pairs."""
    limits = limits_of_agreement(x, y)
    return {
        "pairs": len(finite_pairs(x, y)[0]),
        "pearson": pearson(x, y),
        "spearman": spearman(x, y),
        "concordance": concordance(x, y),
        "bias": limits.bias if limits else None,
        "limit_low": limits.low if limits else None,
        "limit_high": limits.high if limits else None,
    }


def histogram(x: Array, y: Array, edges: Sequence[float]) -> list[int]:
    """Numbers of differences x - y (n,) between these edges; pairs that are not finite do not count."""
    x, y = finite_pairs(x, y)
    return [int(n) for n in np.histogram(x - y, np.asarray(edges))[0]]


def jaccard(a: Mask, b: Mask) -> float | None:
    """Shared over joint members of two sets (n,); None where both are empty."""
    joint = int((a | b).sum())
    return float((a & b).sum() / joint) if joint else None


def concordance_at_top(first: Array, second: Array, sizes: Sequence[int]) -> list[float | None]:
    """Share of the k smallest values of `first` (n,) that are among the k smallest of `second`, for each k.

    Values that are not finite in either are left out; None where fewer than k are left.
    """
    first, second = finite_pairs(first, second)
    one, two = np.argsort(first, kind="stable"), np.argsort(second, kind="stable")
    return [len(np.intersect1d(one[:k], two[:k])) / k if 0 < k <= len(one) else None for k in sizes]


def finite_pairs(x: Array, y: Array) -> tuple[Array, Array]:
    """The pairs in which both are finite."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep]
