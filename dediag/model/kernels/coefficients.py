"""Coefficients of every gene by reweighted least squares that stop where the reference's stop: log link, small ridge.

The design enters as cells (its distinct rows) in a well-conditioned basis: beta = transform @ gamma. McCullagh and
Nelder (1989), section 2.5; ridge, floor and stopping rule as Love, Huber, Anders (2014) and its implementation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.algebra import cholesky, solve, solve_columns
from dediag.model.kernels.compilation import expanded, inner, kernel
from dediag.model.kernels.special import TABLE, fill_table, log_one_plus, log_rising
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMALLEST_MEAN = 0.5
LARGEST_COEFFICIENT = 30.0


@inner
def information(alpha, mu, weight, cell, basis, sums, B):
    """B = basis' W basis with W = diag(weight / (1/mu + alpha)), lower triangle and its mirror."""
    n_cells, p = basis.shape
    sums[:] = 0.0
    for j in range(mu.size):
        w = mu[j] / (1.0 + alpha * mu[j])
        sums[cell[j]] += w * weight[j] if weight.size > 0 else w
    for i in range(p):
        for k in range(i + 1):
            b = 0.0
            for c in range(n_cells):
                b += basis[c, i] * basis[c, k] * sums[c]
            B[i, k] = B[k, i] = b


@inner
def means(gamma, s, cell, basis, floor, eta, mu):
    """Linear predictor of each cell and mean of each sample, not below floor."""
    n_cells, p = basis.shape
    for c in range(n_cells):
        eta[c] = 0.0
        for k in range(p):
            eta[c] += basis[c, k] * gamma[k]
    for j in range(mu.size):
        mu[j] = max(floor, s[j] * math.exp(eta[cell[j]]))


@inner
def fixed_log_likelihood(alpha, y, weight):
    """The part of the NB log-likelihood that does not depend on the mean."""
    table = np.empty(TABLE)
    fill_table(1.0 / alpha, 0, table)
    total = 0.0
    for j in range(y.size):
        term = log_rising(y[j], 1.0 / alpha, table) - math.lgamma(y[j] + 1.0)
        total += term * weight[j] if weight.size > 0 else term
    return total


@inner
def mean_log_likelihood(alpha, y, mu, log_size, eta, cell, floor, weight):
    """The part of the NB log-likelihood that depends on the mean."""
    total = 0.0
    for j in range(y.size):
        term = -(y[j] + 1.0 / alpha) * log_one_plus(alpha * mu[j])
        if y[j] > 0.0:
            term += y[j] * (math.log(mu[j]) if mu[j] == floor else log_size[j] + eta[cell[j]])
        total += term * weight[j] if weight.size > 0 else term
    return total


@expanded
def weighted_step(alpha, y, s, mu, weight, cell, basis, penalty, eta, sums, score, B, gamma):
    """One step of reweighted least squares: replaces gamma; False if the system is singular."""
    n_cells, p = basis.shape
    response = np.empty(n_cells)
    for c in range(n_cells):
        sums[c] = response[c] = 0.0
    for j in range(mu.size):
        inverse = 1.0 / (1.0 + alpha * mu[j])
        if weight.size > 0:
            inverse *= weight[j]
        c = cell[j]
        w = mu[j] * inverse
        predictor = math.log(mu[j] / s[j]) if mu[j] == SMALLEST_MEAN else eta[c]
        sums[c] += w
        response[c] += w * predictor + (y[j] - mu[j]) * inverse
    for i in range(p):
        score[i] = 0.0
        for c in range(n_cells):
            score[i] += basis[c, i] * response[c]
        for k in range(i + 1):
            b = penalty[i, k]
            for c in range(n_cells):
                b += basis[c, i] * basis[c, k] * sums[c]
            B[i, k] = b
    if cholesky(B, p) == -math.inf:
        return False
    solve(B, score, p)
    for k in range(p):
        gamma[k] = score[k]
    return True


@inner
def too_large(gamma, transform):
    """Whether a coefficient of the design, on the natural log scale, passes the bound or is not a number."""
    p = gamma.size
    for i in range(p):
        b = 0.0
        for k in range(p):
            b += transform[i, k] * gamma[k]
        if not abs(b) <= LARGEST_COEFFICIENT:
            return True
    return False


@expanded
def iterate(alpha, y, s, weight, cell, basis, transform, penalty, label, tolerance, max_iterations,
            gamma, eta, mu, log_size, sums, score, B, step):  # fmt: skip
    """Iterate gamma to convergence; returns the number of iterations, max_iterations if it failed."""
    means(gamma, s, cell, basis, SMALLEST_MEAN, eta, mu)
    fixed = fixed_log_likelihood(alpha, y, weight)
    before = np.empty(eta.size)
    deviance_before = 0.0
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        for c in range(eta.size):
            before[c] = eta[c]
        if not weighted_step(alpha, y, s, mu, weight, cell, basis, penalty, eta, sums, score, B, gamma):
            return max_iterations
        if too_large(gamma, transform):
            return max_iterations
        means(gamma, s, cell, basis, SMALLEST_MEAN, eta, mu)
        step[0] = step[1] = 0.0
        for c in range(eta.size):
            if label[c] > 0:
                step[label[c] - 1] = max(step[label[c] - 1], abs(eta[c] - before[c]))
        deviance = -2.0 * (fixed + mean_log_likelihood(alpha, y, mu, log_size, eta, cell, SMALLEST_MEAN, weight))
        change = abs(deviance - deviance_before) / (abs(deviance) + 0.1)
        if math.isnan(change):
            return max_iterations
        if iterations > 1 and change < tolerance:
            break
        deviance_before = deviance
    return iterations


@expanded
def sandwich(B, C, penalty, p):
    """Replace C = information by (I + P)^-1 I (I + P)^-1; B = information is used up."""
    for k in range(p):
        for h in range(p):
            C[k, h] = B[k, h]
    for k in range(p):
        for h in range(p):
            B[k, h] += penalty[k, h]
    cholesky(B, p)
    solve_columns(B, C, p)  # (I + P)^-1 I, whose transpose is solved once more
    for k in range(p):
        for h in range(k):
            C[k, h], C[h, k] = C[h, k], C[k, h]
    solve_columns(B, C, p)


@inner
def quadratic_root(row, C, p):
    """Square root of row' C row: a standard error."""
    total = 0.0
    for k in range(p):
        for h in range(p):
            total += row[k] * C[k, h] * row[h]
    return math.sqrt(max(total, 0.0))


@expanded
def fit_gene(i, y, s, weight, cell, basis, transform, penalty, projector, contrast, label, alpha, tolerance,
             max_iterations, intercept_only, beta, se, contrast_se, log_likelihood,
             iterations, last_step):  # fmt: skip
    """Fit one gene and write row i of the results."""
    n_cells, p = basis.shape
    m = y.size
    gamma, score, mu, log_size = np.empty(p), np.empty(p), np.empty(m), np.empty(m)
    eta, sums = np.empty(n_cells), np.empty(n_cells)
    B, C = np.empty((p, p)), np.empty((p, p))
    last_step[i, 0] = last_step[i, 1] = 0.0
    for k in range(p):
        gamma[k] = 0.0
    for j in range(m):
        log_size[j] = math.log(s[j])
    if intercept_only:
        total, share = 0.0, 0.0
        for j in range(m):
            w = weight[j] if weight.size > 0 else 1.0
            total += w * y[j] / s[j]
            share += w
        gamma[0] = math.log(total / share) / basis[0, 0]
        iterations[i] = 1
        means(gamma, s, cell, basis, 0.0, eta, mu)
    else:
        for j in range(m):
            z = math.log(y[j] / s[j] + 0.1)
            for k in range(p):
                gamma[k] += projector[k, j] * z
        iterations[i] = iterate(
            alpha, y, s, weight, cell, basis, transform, penalty, label, tolerance, max_iterations,
            gamma, eta, mu, log_size, sums, score, B, last_step[i],
        )  # fmt: skip
    information(alpha, mu, weight, cell, basis, sums, B)
    sandwich(B, C, penalty, p)
    for q in range(p):
        beta[i, q] = 0.0
        for k in range(p):
            beta[i, q] += transform[q, k] * gamma[k]
            score[k] = transform[q, k]
        se[i, q] = quadratic_root(score, C, p)
    for k in range(p):
        score[k] = 0.0
        for h in range(p):
            score[k] += contrast[h] * transform[h, k]
    contrast_se[i] = quadratic_root(score, C, p)
    means(gamma, s, cell, basis, 0.0, eta, mu)
    log_likelihood[i] = fixed_log_likelihood(alpha, y, weight)
    log_likelihood[i] += mean_log_likelihood(alpha, y, mu, log_size, eta, cell, 0.0, weight)


@kernel
def coefficients_of(
    first, last, counts, rows, size, weights, cell, basis, transform, penalty, projector, contrast, label, alpha,
    tolerance, max_iterations, intercept_only, beta, se, contrast_se, log_likelihood,
    iterations, last_step,
):  # fmt: skip
    """Fit the genes rows[first:last] and write these rows of the results."""
    for i in range(first, last):
        g = rows[i]
        fit_gene(
            i, counts[g], size[g if size.shape[0] > 1 else 0], weights[g if weights.shape[1] > 0 else 0], cell, basis,
            transform, penalty, projector, contrast, label, alpha[i], tolerance, max_iterations,
            intercept_only, beta, se, contrast_se, log_likelihood, iterations, last_step,
        )  # fmt: skip


def fit_coefficients(
    counts: Array, rows: Index, size: Array, weights: Array, cell: Index, basis: Array, transform: Array,
    penalty: Array, projector: Array, contrast: Array, label: Index, alpha: Array, tolerance: float,
    max_iterations: int, intercept_only: bool,
) -> tuple[Array, Array, Array, Array, Index, Array]:  # fmt: skip
    """Coefficients of counts[rows] at these dispersions.

    projector (n_coefficients, n_samples) gives least-squares starts; contrast (n_coefficients,) in the design's
    coefficients; label (n_cells,) is 1 for the test level, 2 for the reference level, else 0. Returns natural-log
    coefficients and standard errors (n_rows, n_coefficients), contrast SE (n_rows,), log-likelihood (n_rows,),
    iterations (n_rows,), and the last step per group (n_rows, 2).
    """
    n, p = rows.size, basis.shape[1]
    beta, se, last_step = np.empty((n, p)), np.empty((n, p)), np.empty((n, 2))
    contrast_se, log_likelihood, iterations = np.empty(n), np.empty(n), np.empty(n, np.int64)
    over_genes(
        coefficients_of, n, counts, rows, size, weights, cell, basis, transform, penalty, projector, contrast, label,
        alpha, tolerance, max_iterations, intercept_only, beta, se, contrast_se,
        log_likelihood, iterations, last_step,
    )  # fmt: skip
    return beta, se, contrast_se, log_likelihood, iterations, last_step
