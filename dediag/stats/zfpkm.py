"""zFPKM: how far a gene lies from the bulk of the expressed genes of its sample.

Hart, Komori, LaMere, Podshivalova, Salomon (2013) "Finding the active genes in deep RNA-seq gene expression studies".
The right half of the density of log2 expression is taken for half a normal distribution: its centre is the right-most
peak, its standard deviation the mean distance of the values above the centre times sqrt(pi / 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SILENT_BELOW = -3.0  # z of genes in closed chromatin (Hart 2013)
GRID = 512
PROMINENCE = 0.1  # of the highest density: lower bumps are noise of the estimate


@dataclass(frozen=True)
class HalfNormal:
    """Centre and spread of the expressed genes of one sample (log2)."""

    centre: float
    sd: float

    @property
    def floor(self) -> float:
        """log2 expression below which a gene counts as silent."""
        return self.centre + SILENT_BELOW * self.sd

    def z(self, log2_expression: Array) -> Array:
        """zFPKM of log2 expression values."""
        return np.asarray((log2_expression - self.centre) / self.sd)


def half_normal(log2_expression: Array) -> HalfNormal:
    """Fit to log2 expression values (n,) of one sample; values that are not finite (zero counts) are left out.

    Raises ValueError where fewer than 10 values are left or all are alike.
    """
    from scipy.signal import find_peaks

    values = log2_expression[np.isfinite(log2_expression)]
    if len(values) < 10 or np.ptp(values) == 0:
        raise ValueError("too few different values for a density")
    grid, density = kernel_density(values)
    peaks, _ = find_peaks(np.r_[0.0, density, 0.0], prominence=PROMINENCE * density.max())
    centre = float(grid[peaks[-1] - 1])
    above = values[values > centre]
    return HalfNormal(centre, float((above.mean() - centre) * np.sqrt(np.pi / 2)))


def kernel_density(values: Array) -> tuple[Array, Array]:
    """Grid and Gaussian kernel density of values (n,): Silverman's bandwidth, convolution of a fine histogram."""
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.34) or float(values.std(ddof=1))
    width = 0.9 * spread * len(values) ** -0.2
    edges = np.linspace(values.min() - 4 * width, values.max() + 4 * width, GRID + 1)
    step = edges[1] - edges[0]
    counts = np.histogram(values, edges)[0] / (len(values) * step)
    reach = min(int(np.ceil(4 * width / step)), (GRID - 1) // 2)
    kernel = np.exp(-(((np.arange(-reach, reach + 1) * step) / width) ** 2) / 2)
    return (edges[1:] + edges[:-1]) / 2, np.convolve(counts, kernel / kernel.sum(), mode="same")
