"""Size factors of many draws by the median of ratios, without sorting: the median lies near that of all samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.compilation import inner, kernel
from dediag.model.kernels.cooks import sort
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

HALF_WIDTH = 0.02  # natural log, of the first interval that is searched for the median


@inner
def median_near(values, centre, used, guess, buffer):
    """Median of values - centre where used; searched in ever wider intervals around the guess."""
    n = 0
    for g in range(values.size):
        n += used[g]
    if n == 0:
        return math.nan
    half = HALF_WIDTH
    while True:
        low, high = guess - half, guess + half
        below, inside = 0, 0
        for g in range(values.size):
            if used[g]:
                v = values[g] - centre[g]
                if v < low:
                    below += 1
                elif v <= high:
                    buffer[inside] = v
                    inside += 1
        first = (n - 1) // 2 - below  # place of the (lower) median among those inside
        last = n // 2 - below
        if first >= 0 and last < inside:
            sort(buffer, inside)
            return 0.5 * (buffer[first] + buffer[last])
        half *= 5.0


@kernel
def medians_of(first, last, log_counts, centres, used, rows, guess, log_size):
    """Medians for the draws first to last - 1."""
    buffer = np.empty(log_counts.shape[1])
    for b in range(first, last):
        shift = 0.0  # a draw's centres may lie elsewhere, for all its samples alike
        for j in range(rows.shape[1]):
            at = rows[b, j]
            log_size[b, j] = median_near(log_counts[at], centres[b], used[b], guess[at] + shift, buffer)
            shift = log_size[b, j] - guess[at]


def draw_medians(log_counts: Array, centres: Array, used: NDArray[np.bool_], rows: Index, guess: Array) -> Array:
    """Median over the used genes of each drawn sample's log counts less the draw's centres: (n_draws, n).

    log_counts (n_samples, n_genes); centres and used (n_draws, n_genes); rows (n_draws, n) positions of samples; guess
    (n_samples,) near which the medians are looked for first. NaN where no gene is used.
    """
    log_size = np.empty(rows.shape)
    over_genes(medians_of, rows.shape[0], log_counts, centres, used, rows, guess, log_size, smallest=1)
    return log_size
