"""What needs one pass over a gene's counts: base mean and variance, start of the dispersion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.compilation import kernel, summing
from dediag.model.kernels.draws import fill, gather, own
from dediag.model.kernels.least_squares import dot
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.kernels.draws import Draws
    from dediag.model.kernels.least_squares import Basis

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]


@summing
def squares(q, weight, mean, mu, real):
    """Sum of (q weight - mean)^2, and of ((q - mu)^2 - mu) / mu^2."""
    total, rough = 0.0, 0.0
    for j in range(q.size):
        apart = q[j] * weight[j] - mean
        total += real[j] * (apart * apart)
        apart = q[j] - mu[j]
        rough += real[j] * ((apart * apart - mu[j]) / (mu[j] * mu[j]))
    return total, rough


@kernel
def moments_of(first, last, counts, genes, draws, basis, inverse_size, largest, mean, variance, start, fitted):
    """Moments of the genes genes[first:last] in every draw, written to these columns of the results."""
    n_draws, n_padded = draws.rows.shape
    n_cells, p = basis.cells.shape[1:]
    y, s, weight, mu = np.empty(n_padded), np.empty(n_padded), np.empty(n_padded), np.empty(n_padded)
    gamma = np.empty(p)
    weighted = draws.weights.shape[1] > 0
    for i in range(first, last):
        g = genes[i]
        row, weight_row = counts[g], draws.weights[g if weighted else 0]
        for b in range(n_draws):
            gather(draws, b, g, row, weight_row, y, s, weight)
            for j in range(n_padded):
                y[j] /= s[j]
            average = dot(y, weight) / draws.n
            mean[b, i] = average
            if not dot(y, draws.real) > 0.0:
                mean[b, i], variance[b, i], start[b, i] = 0.0, 0.0, math.nan
                fill(fitted[b, i], math.nan)
                continue
            projector, cells = basis.projector[own(b, basis.projector)], basis.cells[own(b, basis.cells)]
            cell = draws.cell[own(b, draws.cell)]
            for k in range(p):
                gamma[k] = dot(projector[k], y)
            for c in range(n_cells):
                value = 0.0
                for k in range(p):
                    value += cells[c, k] * gamma[k]
                fitted[b, i, c] = value
            for j in range(n_padded):
                mu[j] = max(1.0, fitted[b, i, cell[j]])
            total, rough = squares(y, weight, average, mu, draws.real)
            variance[b, i] = total / (draws.n - 1)
            rough = max(rough / (draws.n - p), 0.0)
            moment = (variance[b, i] - inverse_size[b] * average) / (average * average)
            start[b, i] = min(max(min(rough, moment), 1e-8), largest)


def draw_moments(
    counts: Array, genes: Index, draws: Draws, basis: Basis, inverse_size: Array, largest: float
) -> tuple[Array, Array, Array, Array]:
    """Base mean, base variance, start of the dispersion (n_draws, n_rows), least-squares cell means (.., n_cells).

    inverse_size (n_draws,) is the mean of 1 / size factor. The start is the smaller of a Pearson-type estimate about
    the least-squares fit and the moment estimate, within [1e-8, largest]; NaN for a gene without counts in a draw.
    Weights enter mean and variance only.
    """
    shape = (draws.rows.shape[0], genes.size)
    mean, variance, start = np.empty(shape), np.empty(shape), np.empty(shape)
    fitted = np.empty((*shape, basis.cells.shape[1]))
    over_genes(
        moments_of, genes.size, counts, genes, draws, basis, inverse_size, largest, mean, variance, start, fitted
    )
    return mean, variance, start, fitted
