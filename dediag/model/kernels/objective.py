"""The penalised likelihood of a dispersion, its derivatives, and what they are evaluated on.

Objective over a = log alpha, means held: NB log-likelihood - 1/2 log det(B' W B) + log normal prior, with
W = diag(1 / (1/mu + alpha)) and B any basis of the design's column space (a change of basis shifts it by a constant).
Love, Huber, Anders (2014), equations 12 to 15.
"""

from __future__ import annotations

import math
from collections import namedtuple

from numba import njit

from dediag.model.kernels.algebra import cholesky, solve_columns
from dediag.model.kernels.special import derivative_gaps, fill_table, likelihood_term, reference_log_gamma

LARGEST_PRODUCT = 1e200

Gene = namedtuple("Gene", "y mu weight used")  # each (n_samples,); numba knows the untyped kind of tuple only
Space = namedtuple("Space", "cell basis diagonal shift")  # cell (n_samples,), basis (n_cells, p)
Prior = namedtuple("Prior", "mean variance")
Work = namedtuple("Work", "sums B D E table")  # (3, n_cells), three times (p, p), special.TABLE


@njit(error_model="numpy")
def determinant(alpha, order, gene, space, work):
    """-1/2 log det(B' W B) and, for order 1 and 2, its derivatives with respect to alpha."""
    mu, used, cell, basis = gene.mu, gene.used, space.cell, space.basis
    sums, B, D, E = work.sums, work.B, work.D, work.E
    n_cells, p = basis.shape
    sums[:, :] = 0.0
    for j in range(mu.size):
        if used[j]:
            w = mu[j] / (1.0 + alpha * mu[j])
            sums[0, cell[j]] += w
            if order > 0:
                sums[1, cell[j]] -= w * w
            if order > 1:
                sums[2, cell[j]] += 2.0 * w * w * w
    value, first, second = 0.0, 0.0, 0.0
    if space.diagonal:
        for c in range(n_cells):
            if sums[0, c] > 0.0:
                value += math.log(sums[0, c])
                ratio = sums[1, c] / sums[0, c]
                first += ratio
                second += sums[2, c] / sums[0, c] - ratio * ratio
        return -0.5 * value, -0.5 * first, -0.5 * second
    for i in range(p):
        for k in range(i + 1):
            b, d, e = 0.0, 0.0, 0.0
            for c in range(n_cells):
                z = basis[c, i] * basis[c, k]
                b += z * sums[0, c]
                d += z * sums[1, c]
                e += z * sums[2, c]
            B[i, k] = b
            D[i, k] = D[k, i] = d
            E[i, k] = E[k, i] = e
        if B[i, i] == 0.0:  # weights left no sample of this column: it does not count
            B[i, i] = 1.0
    value = cholesky(B, p)
    if order > 0:
        solve_columns(B, D, p)
        solve_columns(B, E, p)
        for i in range(p):
            first += D[i, i]
            second += E[i, i]
            for k in range(p):
                second -= D[i, k] * D[k, i]
    return -0.5 * value, -0.5 * first, -0.5 * second


@njit(error_model="numpy", inline="always")
def log_likelihood(alpha, gene, table):
    """NB log-likelihood without its lgamma(y + 1) term; weight of size 0 means all ones."""
    y, mu, weight = gene.y, gene.mu, gene.weight
    r = 1.0 / alpha
    fill_table(r, 0, table)
    total, product = 0.0, 1.0
    for j in range(y.size):
        term, ratio = likelihood_term(y[j], mu[j], r, table)
        if weight.size > 0:
            total += weight[j] * (term - 0.5 * math.log(ratio))
            continue
        total += term
        product *= ratio
        if product > LARGEST_PRODUCT:
            total -= 0.5 * math.log(product)
            product = 1.0
    return total - 0.5 * math.log(product)


@njit(error_model="numpy", inline="always")
def reference_log_likelihood(alpha, gene):
    """NB log-likelihood as the reference rounds it: with small dispersions the grid is flat down to rounding."""
    y, mu, weight = gene.y, gene.mu, gene.weight
    r = 1.0 / alpha
    total = 0.0
    for j in range(y.size):
        term = reference_log_gamma(y[j] + r) - reference_log_gamma(r)
        term = term - y[j] * math.log(mu[j] + r) - r * math.log(1.0 + mu[j] * alpha)
        total += term * weight[j] if weight.size > 0 else term
    return total


@njit(error_model="numpy", inline="always")
def slopes(alpha, gene, table):
    """First and second derivative of the NB log-likelihood with respect to log alpha."""
    y, mu, weight = gene.y, gene.mu, gene.weight
    r = 1.0 / alpha
    fill_table(r, 2, table)
    first, second = 0.0, 0.0
    for j in range(y.size):
        inverse = 1.0 / (mu[j] + r)
        residual = (mu[j] - y[j]) * inverse
        d, d2 = derivative_gaps(y[j], mu[j], r, table)
        d += residual
        d2 = (mu[j] * alpha - residual) * inverse - d2
        if weight.size > 0:
            d *= weight[j]
            d2 *= weight[j]
        first += d
        second += d2
    return -r * first, r * first + r * r * second


@njit(error_model="numpy")
def objective(a, gene, space, prior, work):
    """Log posterior of a = log alpha, without constants that do not depend on the data."""
    alpha = math.exp(a)
    value = log_likelihood(alpha, gene, work.table)
    value += determinant(alpha, 0, gene, space, work)[0] + space.shift
    return value - 0.5 * (a - prior.mean) ** 2 / prior.variance


@njit(error_model="numpy")
def slope(a, order, gene, space, prior, work):
    """First and (order 2) second derivative of the objective with respect to a."""
    alpha = math.exp(a)
    first, second = slopes(alpha, gene, work.table)
    _, d1, d2 = determinant(alpha, order, gene, space, work)
    first += alpha * d1 - (a - prior.mean) / prior.variance
    second += alpha * d1 + alpha * alpha * d2 - 1.0 / prior.variance
    return first, second
