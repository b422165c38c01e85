"""Dispersion of every gene by the reference's line search; `optimum` has the exact optimum of the same objective.

Love, Huber, Anders (2014); the line search is the one the reference implementation documents.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.compilation import expanded, kernel
from dediag.model.kernels.objective import (
    Gene,
    Prior,
    Space,
    Work,
    determinant,
    objective,
    reference_log_likelihood,
    slope,
)
from dediag.model.kernels.special import TABLE
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMALLEST_MEAN = 0.5
SMALLEST_DISPERSION = 1e-8
LOWEST, HIGHEST = -30.0, 10.0  # bounds of the reference's proposals on the log scale
MAX_TRIES = 100
GRID = 20
USED_WEIGHT = 0.01  # samples of smaller weight do not enter the determinant


@expanded
def line_search(a, gene, space, prior, work):
    """The reference's ascent from a: (a, initial objective, last objective, number of tries)."""
    value, initial, d, step = -math.inf, 0.0, 0.0, 0.0
    accepted = 0
    tries = -1  # the first round only evaluates the start; one place each calls objective and slope: less to compile
    while tries < MAX_TRIES:
        tries += 1
        if a + step * d < LOWEST:
            step = (LOWEST - a) / d
        if a + step * d > HIGHEST:
            step = (HIGHEST - a) / d
        proposed = a + step * d
        new = objective(proposed, gene, space, prior, work)
        if not new >= value + 1e-4 * step * d * d:
            step /= 2.0
            continue
        rise = new - value
        a = proposed
        if tries == 0:
            initial = new
            step = 1.0
        else:
            accepted += 1
            if rise < 1e-6:
                value = new
                break
            if a < math.log(SMALLEST_DISPERSION / 10.0):
                break
            step = min(1.1 * step, 1.0)
            if accepted % 5 == 0:
                step /= 2.0
        value = new
        d = slope(a, gene, space, prior, work)
    return a, initial, value, tries


@expanded
def grid_search(high, gene, space, prior, work):
    """Best of 20 points on the log scale, then of 20 points one coarse step around it, as the reference rounds."""
    low = math.log(SMALLEST_DISPERSION)
    best = low
    for _ in range(2):
        width = (high - low) / (GRID - 1)
        best, best_value = low, -math.inf
        for k in range(GRID):
            a = low + k * width
            value = reference_log_likelihood(math.exp(a), gene)
            value += determinant(math.exp(a), 0, gene, space, work)[0] - 0.5 * (a - prior.mean) ** 2 / prior.variance
            if value > best_value:
                best, best_value = a, value
        low, high = best - width, best + width
    return best


@expanded
def little_gain(before, after):
    """Whether the objective rose by less than a millionth of its size: then a gene-wise estimate stays at its start.

    At high counts, where the objective is large, many moment estimates stay.
    """
    return after < before + abs(before) / 1e6


@expanded
def fit_gene(y, s, weights, mean, start, prior_mean, prior_variance, largest, space):
    """Dispersion of one gene and the number of tries."""
    m = y.size
    n_cells, p = space.basis.shape
    has_prior = prior_variance < math.inf
    weight, used, mu = np.empty(weights.size), np.empty(m, np.bool_), np.empty(m)
    for j in range(m):
        mu[j] = max(SMALLEST_MEAN, s[j] * mean[space.cell[j]])
        used[j] = True
        if weights.size > 0:
            used[j] = weights[j] > USED_WEIGHT
            weight[j] = weights[j] if has_prior else max(weights[j], 1e-6)
    gene = Gene(y, mu, weight, used)
    prior = Prior(prior_mean, prior_variance)
    work = Work(np.empty((2, n_cells)), np.empty((p, p)), np.empty((p, p)), np.empty(TABLE))
    high = math.log(largest)
    a, initial, last, tries = line_search(math.log(start), gene, space, prior, work)
    alpha = math.exp(a)
    finish = tries == MAX_TRIES
    if not has_prior:
        alpha = min(alpha, largest)
        if little_gain(initial, last):
            alpha = start
        finish = (finish or tries == 1) and alpha > 10.0 * SMALLEST_DISPERSION
    if finish:
        alpha = math.exp(grid_search(high, gene, space, prior, work))
    return min(max(alpha, SMALLEST_DISPERSION), largest), tries


@kernel
def dispersions_of(
    first, last, counts, rows, size, weights, cell, basis, diagonal, shift, mean, start, prior_mean, prior_variance,
    largest, dispersion, tries,
):  # fmt: skip
    """Fit the genes rows[first:last] and write these rows of the results."""
    for i in range(first, last):
        g = rows[i]
        dispersion[i], tries[i] = fit_gene(
            counts[g], size[g if size.shape[0] > 1 else 0], weights[g if weights.shape[1] > 0 else 0], mean[i],
            start[i], prior_mean[i], prior_variance, largest, Space(cell, basis, diagonal, shift),
        )  # fmt: skip


def fit_dispersions(
    counts: Array, rows: Index, size: Array, weights: Array, cell: Index, basis: Array, diagonal: bool, shift: float,
    mean: Array, start: Array, prior_mean: Array, prior_variance: float, largest: float,
) -> tuple[Array, Index]:  # fmt: skip
    """Dispersion of counts[rows]: (dispersion, tries), each (n_rows,).

    size (1 or n_genes, n_samples), weights (n_genes, n_samples) or (1, 0) for none, cell (n_samples,) the row of
    `basis` (n_cells, n_coefficients) of each sample, mean (n_rows, n_cells) at size factor 1, start (n_rows,); an
    infinite prior variance means no prior, and then a start stays where the objective gains little.
    """
    dispersion, tries = np.empty(rows.size), np.empty(rows.size, np.int64)
    over_genes(
        dispersions_of, rows.size, counts, rows, size, weights, cell, basis, diagonal, shift, mean, start, prior_mean,
        prior_variance, largest, dispersion, tries,
    )  # fmt: skip
    return dispersion, tries
