"""Coefficients of every gene in every draw by iteratively reweighted least squares, log link, small ridge.

The same estimates as in `coefficients`, which stops where the reference stops; here an iteration ends when no log mean
moves, and loops over samples become vector instructions. McCullagh and Nelder (1989), section 2.5.
"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.algebra import cholesky, solve
from dediag.model.kernels.coefficients import SMALLEST_MEAN, quadratic_root, sandwich, too_large
from dediag.model.kernels.compilation import expanded, inner, kernel, summing_inlined
from dediag.model.kernels.draws import fill, gather, own
from dediag.model.kernels.threads import over_genes
from dediag.model.kernels.vector import log

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.kernels.draws import Draws

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

# numba knows the untyped kind of tuple only
Basis = namedtuple(
    "Basis",
    (
        "cells",  # (n_cells, p) rows of the basis
        "columns",  # (p, n_padded) the same by sample
        "factors",  # (n_rows, n_padded) as in `optimum.draw_dispersions`
        "projector",  # (p, n_padded) least squares
        "transform",  # (p, p) to the coefficients of the design
        "penalty",  # (p, p)
        "label",  # (n_cells,) 1 for the test level, 2 for the reference level, else 0
        "diagonal",  # whether factors are the members of each cell
        "intercept_only",
    ),
)
One = namedtuple("One", "cell cells columns factors projector transform penalty label diagonal floor")
Buffers = namedtuple("Buffers", "y s weight real w response residual mu eta level gamma score B C")


@expanded
def one_of(b, draws, basis, floor):
    """The basis of draw b."""
    return One(
        draws.cell[own(b, draws.cell)], basis.cells[own(b, basis.cells)], basis.columns[own(b, basis.columns)],
        basis.factors[own(b, basis.factors)], basis.projector[own(b, basis.projector)],
        basis.transform[own(b, basis.transform)], basis.penalty[own(b, basis.penalty)],
        basis.label[own(b, basis.label)], basis.diagonal, floor,
    )  # fmt: skip


@summing_inlined
def dot(a, b):
    """Sum of products."""
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@inner
def starting_values(one, f):
    """Least squares of log(y / s + 0.1); where cells are fitted one by one and all have counts, logs of their means."""
    p = f.gamma.size
    if one.diagonal:
        seen = True
        for j in range(f.y.size):
            f.w[j] = f.y[j] / f.s[j] * f.weight[j]
        for k in range(p):
            f.gamma[k] = math.log(dot(one.columns[k], f.w) / dot(one.columns[k], f.weight))
            seen &= math.isfinite(f.gamma[k])
        if seen:
            return
    for j in range(f.y.size):
        f.response[j] = log(f.y[j] / f.s[j] + 0.1) * f.real[j]
    for k in range(p):
        f.gamma[k] = dot(one.projector[k], f.response)


@inner
def fitted_means(one, f):
    """Linear predictor of each cell and means of the samples, not below the floor; whether any mean is at it."""
    for c in range(f.eta.size):
        eta = 0.0
        for k in range(f.gamma.size):
            eta += one.cells[c, k] * f.gamma[k]
        f.eta[c] = eta
        f.level[c] = math.exp(eta)
    lowest = math.inf
    for j in range(f.mu.size):
        f.mu[j] = f.s[j] * f.level[one.cell[j]]
        lowest = min(lowest, f.mu[j])
    if not lowest < one.floor:
        return False
    for j in range(f.mu.size):
        f.mu[j] = max(f.mu[j], one.floor)
    return True


@inner
def working_values(alpha, y, mu, weight, w, residual):
    """Diagonal of W, and working residuals times it."""
    for j in range(y.size):
        inverse = weight[j] / (1.0 + alpha * mu[j])
        w[j] = mu[j] * inverse
        residual[j] = (y[j] - mu[j]) * inverse


@inner
def normal_equations(one, f):
    """Lower triangle of B' W B into B; the working residuals in the basis into score."""
    p = f.gamma.size
    row = 0
    for i in range(p):
        f.score[i] = dot(f.residual, one.columns[i])
        for k in range(i + 1):
            if one.diagonal:
                f.B[i, k] = dot(f.w, one.factors[i]) if i == k else 0.0
            else:
                f.B[i, k] = dot(f.w, one.factors[row])
            row += 1


@inner
def iterate(alpha, tolerance, max_iterations, one, f, step):
    """Iterate gamma until no log mean moves by `tolerance`; the number of iterations, max_iterations if it failed."""
    p = f.gamma.size
    fill(step, 0.0)
    at_floor = fitted_means(one, f)
    for iteration in range(1, max_iterations + 1):
        working_values(alpha, f.y, f.mu, f.weight, f.w, f.residual)
        if at_floor:  # there the working response is about the floor, not about the linear predictor
            for j in range(f.y.size):
                if f.mu[j] == one.floor:
                    f.residual[j] += f.w[j] * (math.log(one.floor / f.s[j]) - f.eta[one.cell[j]])
        normal_equations(one, f)
        for i in range(p):
            for k in range(p):
                f.score[i] -= one.penalty[i, k] * f.gamma[k]
            for k in range(i + 1):
                f.B[i, k] += one.penalty[i, k]
        if cholesky(f.B, p) == -math.inf:
            return max_iterations
        solve(f.B, f.score, p)
        for k in range(p):
            f.gamma[k] += f.score[k]
        if too_large(f.gamma, one.transform):
            return max_iterations
        fill(step, 0.0)
        moved = 0.0
        for c in range(f.eta.size):
            change = 0.0
            for k in range(p):
                change += one.cells[c, k] * f.score[k]
            moved = max(moved, abs(change))
            if one.label[c] > 0:
                step[one.label[c] - 1] = max(step[one.label[c] - 1], abs(change))
        at_floor = fitted_means(one, f)
        if moved < tolerance:
            return iteration
    return max_iterations


@inner
def log_of_mean(one, f):
    """The intercept where there is nothing else: log of the weighted mean of y / s."""
    total, share = 0.0, 0.0
    for j in range(f.y.size):
        total += f.weight[j] * f.y[j] / f.s[j]
        share += f.weight[j]
    f.gamma[0] = math.log(total / share) / one.cells[0, 0]
    fitted_means(one, f)


@inner
def standard_errors(alpha, contrast, one, f, se):
    """Sandwich standard errors of the design's coefficients into se; that of the contrast is returned."""
    p, transform = f.gamma.size, one.transform
    working_values(alpha, f.y, f.mu, f.weight, f.w, f.residual)
    normal_equations(one, f)
    for i in range(p):
        for k in range(i):
            f.B[k, i] = f.B[i, k]
    sandwich(f.B, f.C, one.penalty, p)
    for q in range(p):
        for k in range(p):
            f.score[k] = transform[q, k]
        se[q] = quadratic_root(f.score, f.C, p)
    for k in range(p):
        f.score[k] = 0.0
        for h in range(p):
            f.score[k] += contrast[h] * transform[h, k]
    return quadratic_root(f.score, f.C, p)


@kernel
def least_squares_of(
    first, last, counts, genes, draws, basis, contrast, alpha, tolerance, max_iterations, beta, se, contrast_se,
    iterations, last_step,
):  # fmt: skip
    """Fit the genes genes[first:last] in every draw and write these columns of the results."""
    n_draws, n = draws.rows.shape
    n_cells, p = basis.cells.shape[1:]
    f = Buffers(
        np.empty(n), np.empty(n), np.empty(n), draws.real, np.empty(n), np.empty(n), np.empty(n), np.empty(n),
        np.empty(n_cells), np.empty(n_cells), np.empty(p), np.empty(p), np.empty((p, p)), np.empty((p, p)),
    )  # fmt: skip
    weighted = draws.weights.shape[1] > 0
    floor = 0.0 if basis.intercept_only else SMALLEST_MEAN
    for i in range(first, last):
        g = genes[i]
        row, weight_row = counts[g], draws.weights[g if weighted else 0]
        for b in range(n_draws):
            a = alpha[b, i]
            if not math.isfinite(a):  # no counts in this draw
                fill(beta[b, i], math.nan)
                fill(se[b, i], math.nan)
                fill(last_step[b, i], math.nan)
                contrast_se[b, i], iterations[b, i] = math.nan, 0
                continue
            one = one_of(b, draws, basis, floor)
            gather(draws, b, g, row, weight_row, f.y, f.s, f.weight)
            if basis.intercept_only:
                log_of_mean(one, f)
                iterations[b, i] = 1
                fill(last_step[b, i], 0.0)
            else:
                starting_values(one, f)
                iterations[b, i] = iterate(a, tolerance, max_iterations, one, f, last_step[b, i])
            contrast_se[b, i] = standard_errors(a, contrast, one, f, se[b, i])
            for q in range(p):
                total = 0.0
                for k in range(p):
                    total += one.transform[q, k] * f.gamma[k]
                beta[b, i, q] = total


def draw_coefficients(
    counts: Array, genes: Index, draws: Draws, basis: Basis, contrast: Array, alpha: Array, tolerance: float,
    max_iterations: int,
) -> tuple[Array, Array, Array, Index, Array]:  # fmt: skip
    """Coefficients of counts[genes] in every draw at these dispersions (n_draws, n_rows), NaN: no counts in the draw.

    contrast (n_coefficients,) in the design's coefficients. Returns natural-log coefficients and standard errors
    (n_draws, n_rows, n_coefficients), contrast SE and iterations (n_draws, n_rows), and the last step per group
    (n_draws, n_rows, 2).
    """
    n_draws, n, p = alpha.shape[0], genes.size, basis.cells.shape[2]
    beta, se, last_step = np.empty((n_draws, n, p)), np.empty((n_draws, n, p)), np.empty((n_draws, n, 2))
    contrast_se, iterations = np.empty((n_draws, n)), np.empty((n_draws, n), np.int64)
    over_genes(
        least_squares_of, n, counts, genes, draws, basis, contrast, alpha, tolerance, max_iterations, beta, se,
        contrast_se, iterations, last_step,
    )  # fmt: skip
    return beta, se, contrast_se, iterations, last_step
