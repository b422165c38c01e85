"""Row-wise two-sample tests: Student, Welch, Wilcoxon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

EXACT_BELOW = 9  # samples in the smaller group up to which rows without ties get the exact Wilcoxon distribution


@dataclass(frozen=True)
class TwoSampleTests:
    """Difference of means (first minus second) and two-sided p-values, one per row; NaN where nothing varies."""

    difference: Array  # (n_rows,)
    student: Array  # (n_rows,)
    welch: Array  # (n_rows,)
    wilcoxon: Array  # (n_rows,)


def two_sample_tests(first: Array, second: Array) -> TwoSampleTests:
    """Tests of first (n_rows, n1) against second (n_rows, n2), each group with at least two columns."""
    from scipy.stats import t as t_distribution

    n1, n2 = first.shape[1], second.shape[1]
    difference = first.mean(axis=1) - second.mean(axis=1)
    v1, v2 = first.var(axis=1, ddof=1), second.var(axis=1, ddof=1)
    # Rows of equal values keep a variance of rounding error, which is none.
    still = (np.ptp(first, axis=1) == 0) & (np.ptp(second, axis=1) == 0)
    pooled = ((n1 - 1) * v1 + (n2 - 1) * v2) / (n1 + n2 - 2) * (1 / n1 + 1 / n2)
    apart = v1 / n1 + v2 / n2
    with np.errstate(divide="ignore", invalid="ignore"):
        df = apart**2 / ((v1 / n1) ** 2 / (n1 - 1) + (v2 / n2) ** 2 / (n2 - 1))
        student = 2 * t_distribution.sf(np.abs(difference) / np.sqrt(pooled), n1 + n2 - 2)
        welch = 2 * t_distribution.sf(np.abs(difference) / np.sqrt(apart), df)
    student[still], welch[still] = np.nan, np.nan
    return TwoSampleTests(difference, student, welch, wilcoxon(first, second))


def welch_interval(first: Array, second: Array, level: float = 0.95) -> tuple[float, float, float]:
    """Difference of the means of first (n1,) and second (n2,) with its interval by Welch's t; each has two values."""
    from scipy.stats import t as t_distribution

    v1, v2 = float(first.var(ddof=1) / len(first)), float(second.var(ddof=1) / len(second))
    difference = float(first.mean() - second.mean())
    if v1 + v2 == 0:
        return difference, difference, difference
    df = (v1 + v2) ** 2 / (v1**2 / (len(first) - 1) + v2**2 / (len(second) - 1))
    reach = float(t_distribution.isf((1 - level) / 2, df)) * (v1 + v2) ** 0.5
    return difference, difference - reach, difference + reach


def wilcoxon(first: Array, second: Array) -> Array:
    """Two-sided rank-sum p-values (n_rows,): exact for small groups in rows without ties, else normal with tie and
    continuity correction; NaN where all values of a row are equal.
    """  # fmt: skip
    from scipy.stats import mannwhitneyu, norm, rankdata

    n1, n2 = first.shape[1], second.shape[1]
    n = n1 + n2
    values = np.hstack([first, second])
    u = rankdata(values, axis=1)[:, :n1].sum(axis=1) - n1 * (n1 + 1) / 2
    ordered = np.sort(values, axis=1)
    ties = _tie_term(ordered)
    variance = n1 * n2 / 12 * (n + 1 - ties / (n * (n - 1)))
    pvalue = np.full(len(values), np.nan)
    moves = ordered[:, 0] != ordered[:, -1]
    distance = np.maximum(np.abs(u[moves] - n1 * n2 / 2) - 0.5, 0)
    pvalue[moves] = 2 * norm.sf(distance / np.sqrt(variance[moves]))
    exact = moves & (ties == 0) if min(n1, n2) < EXACT_BELOW else np.zeros(len(values), bool)
    if exact.any():
        pvalue[exact] = mannwhitneyu(first[exact], second[exact], axis=1, method="exact").pvalue
    return pvalue


def _tie_term(ordered: Array) -> Array:
    """Sum over groups of t tied values of t^3 - t, per row of sorted values (n_rows, n)."""
    n = ordered.shape[1]
    total = np.zeros(len(ordered))
    run = np.ones(len(ordered))
    for j in range(1, n):
        tied = ordered[:, j] == ordered[:, j - 1]
        run = np.where(tied, run + 1, 1)
        # Extending a run from r - 1 to r adds (r^3 - r) - ((r-1)^3 - (r-1)) = 3 r (r - 1).
        total += np.where(tied, 3 * run * (run - 1), 0)
    return total
