"""Adjustment of p-values for multiple testing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def benjamini_hochberg(pvalue: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values (n,) adjusted for the false discovery rate; NaN stays NaN and does not count as a test.

    Source: Benjamini and Hochberg 1995.
    """
    tested = np.flatnonzero(~np.isnan(pvalue))
    adjusted = np.full(len(pvalue), np.nan)
    order = tested[np.argsort(pvalue[tested])]
    adjusted[order] = benjamini_hochberg_sorted(pvalue[order])
    return adjusted


def benjamini_hochberg_sorted(pvalue: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for p-values (n,) in rising order without NaN."""
    n = len(pvalue)
    scaled = n / np.arange(1, n + 1) * pvalue
    return np.asarray(np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1]))
