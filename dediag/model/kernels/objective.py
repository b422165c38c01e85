"""The penalised likelihood of a dispersion and its derivative as the reference's search takes them.

Objective over a = log alpha, means held: NB log-likelihood - 1/2 log det(B' W B) + log normal prior, with
W = diag(1 / (1/mu + alpha)) and B any basis of the design's column space (a change of basis shifts it by a constant).
Love, Huber, Anders (2014), equations 12 to 15.
"""

from __future__ import annotations

import math
from collections import namedtuple

from dediag.model.kernels.algebra import cholesky, solve_columns
from dediag.model.kernels.compilation import expanded, inner
from dediag.model.kernels.special import derivative_gap, fill_table, likelihood_term, reference_log_gamma

LARGEST_PRODUCT = 1e200

Gene = namedtuple("Gene", "y mu weight used")  # each (n_samples,); numba knows the untyped kind of tuple only
Space = namedtuple("Space", "cell basis diagonal shift")  # cell (n_samples,), basis (n_cells, p)
Prior = namedtuple("Prior", "mean variance")
Work = namedtuple("Work", "sums B D table")  # (2, n_cells), twice (p, p), special.TABLE


@inner
def determinant(alpha, order, gene, space, work):
    """-1/2 log det(B' W B) and, for order 1, its derivative with respect to alpha."""
    mu, used, cell, basis = gene.mu, gene.used, space.cell, space.basis
    sums, B, D = work.sums, work.B, work.D
    n_cells, p = basis.shape
    sums[:, :] = 0.0
    for j in range(mu.size):
        if used[j]:
            w = mu[j] / (1.0 + alpha * mu[j])
            sums[0, cell[j]] += w
            if order > 0:
                sums[1, cell[j]] -= w * w
    value, first = 0.0, 0.0
    if space.diagonal:
        for c in range(n_cells):
            if sums[0, c] > 0.0:
                value += math.log(sums[0, c])
                first += sums[1, c] / sums[0, c]
        return -0.5 * value, -0.5 * first
    for i in range(p):
        for k in range(i + 1):
            b, d = 0.0, 0.0
            for c in range(n_cells):
                z = basis[c, i] * basis[c, k]
                b += z * sums[0, c]
                d += z * sums[1, c]
            B[i, k] = b
            D[i, k] = D[k, i] = d
        if B[i, i] == 0.0:  # weights left no sample of this column: it does not count
            B[i, i] = 1.0
    value = cholesky(B, p)
    if order > 0:
        solve_columns(B, D, p)
        for i in range(p):
            first += D[i, i]
    return -0.5 * value, -0.5 * first


@expanded
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


@expanded
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


@inner
def objective(a, gene, space, prior, work):
    """Log posterior of a = log alpha, without constants that do not depend on the data."""
    alpha = math.exp(a)
    value = log_likelihood(alpha, gene, work.table)
    value += determinant(alpha, 0, gene, space, work)[0] + space.shift
    return value - 0.5 * (a - prior.mean) ** 2 / prior.variance


@inner
def slope(a, gene, space, prior, work):
    """Derivative of the objective with respect to a."""
    alpha = math.exp(a)
    r = 1.0 / alpha
    y, mu, weight = gene.y, gene.mu, gene.weight
    fill_table(r, 1, work.table)
    total = 0.0
    for j in range(y.size):
        d = derivative_gap(y[j], mu[j], r, work.table) + (mu[j] - y[j]) / (mu[j] + r)
        total += d * weight[j] if weight.size > 0 else d
    return -r * total + alpha * determinant(alpha, 1, gene, space, work)[1] - (a - prior.mean) / prior.variance
