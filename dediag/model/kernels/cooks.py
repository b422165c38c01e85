"""Cook's distances of every gene in every draw, with the robust dispersion of Love, Huber, Anders (2014)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.algebra import cholesky, solve
from dediag.model.kernels.coefficients import SMALLEST_MEAN
from dediag.model.kernels.compilation import inner, kernel
from dediag.model.kernels.draws import fill, gather, means_of_cells, own
from dediag.model.kernels.least_squares import dot, one_of
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.kernels.draws import Draws
    from dediag.model.kernels.least_squares import Basis

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMALLEST_ROBUST_DISPERSION = 0.04
MANY = 24  # replicates from which an eighth is trimmed


@inner
def sort(values, n):
    """Sort values[:n] in place (shell sort: no allocation, little to compile)."""
    gap = n // 2
    while gap > 0:
        for i in range(gap, n):
            v = values[i]
            j = i
            while j >= gap and values[j - gap] > v:
                values[j] = values[j - gap]
                j -= gap
            values[j] = v
        gap = (5 * gap) // 11 if gap != 2 else 1
    return values


@inner
def trimmed_variance(q, members, n, buffer, regime):
    """Scaled trimmed mean of squared deviations from the trimmed mean of q[members[:n]].

    The trimmed share and the factor that makes up for it depend on the number of replicates, `regime`. One sort serves
    both means: the squared deviations of sorted values grow toward either end, so the largest are taken from the ends.
    """
    trim, scale = 1.0 / 8.0, 1.51
    if regime <= 3:
        trim, scale = 1.0 / 3.0, 2.04
    elif regime < MANY:
        trim, scale = 1.0 / 4.0, 1.86
    for k in range(n):
        buffer[k] = q[members[k]]
    sort(buffer, n)
    cut = int(n * trim)
    centre = 0.0
    for k in range(cut, n - cut):
        centre += buffer[k]
    centre /= n - 2 * cut
    left, right = 0, n - 1
    total = 0.0
    for k in range(n - cut):  # from the largest squared deviation down
        low, high = centre - buffer[left], buffer[right] - centre
        if low > high:
            left += 1
            value = low * low
        else:
            right -= 1
            value = high * high
        if k >= cut:
            total += value
    return scale * total / (n - 2 * cut)


@inner
def robust_dispersion(q, cell, n_cells, members, buffer):
    """Moment dispersion from the largest trimmed variance over cells with three or more samples, at least 0.04."""
    m = q.size
    largest = -1.0
    mean = 0.0
    for j in range(m):
        mean += q[j]
    mean /= m
    for c in range(n_cells):
        n = 0
        for j in range(m):
            if cell[j] == c:
                members[n] = j
                n += 1
        if n >= 3:
            largest = max(largest, trimmed_variance(q, members, n, buffer, n))
    if largest < 0.0:
        for j in range(m):
            members[j] = j
        largest = trimmed_variance(q, members, m, buffer, m + MANY)
    return max((largest - mean) / (mean * mean), SMALLEST_ROBUST_DISPERSION)


@inner
def leverages(alpha, mu, weight, real, one, w, row, B, h):
    """Weight of each sample in W (w), and leverage of each cell per unit of weight (h)."""
    p = B.shape[0]
    for j in range(mu.size):
        w[j] = real[j] * weight[j] * (mu[j] / (1.0 + alpha * mu[j]))
    at = 0
    for i in range(p):
        for k in range(i + 1):
            if one.diagonal:
                B[i, k] = dot(w, one.factors[i]) if i == k else 0.0
            else:
                B[i, k] = dot(w, one.factors[at])
            B[i, k] += one.penalty[i, k]
            at += 1
    cholesky(B, p)
    for c in range(one.cells.shape[0]):
        for k in range(p):
            row[k] = one.cells[c, k]
        solve(B, row, p)
        h[c] = 0.0
        for k in range(p):
            h[c] += one.cells[c, k] * row[k]


@inner
def distances_at(robust, y, mu, factor, distance):
    """Cook's distances with Pearson residuals at a robust dispersion; the largest."""
    for j in range(y.size):
        residual = (y[j] - mu[j]) * (y[j] - mu[j]) / (mu[j] + robust * mu[j] * mu[j])
        distance[j] = residual * factor[j]
    largest = -1.0
    for j in range(y.size):
        largest = max(largest, distance[j])
    return largest


@inner
def summarise(distance, n, keep, largest):
    """Largest distance over all samples, and over each of two classes of them (-1: empty)."""
    fill(largest, -1.0)
    for j in range(n):
        largest[0] = max(largest[0], distance[j])
        for k in range(2):
            if keep[k, j]:
                largest[k + 1] = max(largest[k + 1], distance[j])


@kernel
def cooks_of(
    first, last, counts, genes, draws, basis, fitted, centre, alpha, keep, centre_floor, screen, largest, larger,
    distances,
):  # fmt: skip
    """Cook's distances of the genes genes[first:last] in every draw, written to these columns of the results."""
    n_draws, n = draws.rows.shape
    n_cells, p = basis.cells.shape[1:]
    y, s, weight, mu, floored = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    w, factor, distance, q, buffer = np.empty(n), np.empty(n), np.empty(n), np.empty(draws.n), np.empty(draws.n)
    members = np.empty(draws.n, np.int64)
    h, row, B = np.empty(n_cells), np.empty(p), np.empty((p, p))
    weighted = draws.weights.shape[1] > 0
    floor = 0.0 if basis.intercept_only else SMALLEST_MEAN
    for i in range(first, last):
        g = genes[i]
        count_row, weight_row = counts[g], draws.weights[g if weighted else 0]
        for b in range(n_draws):
            a = alpha[b, i]
            if not math.isfinite(a):  # no counts in this draw
                larger[b, i] = 0
                fill(largest[b, i], -1.0)
                continue
            one = one_of(b, draws, basis, floor)
            gather(draws, b, g, count_row, weight_row, y, s, weight)
            means_of_cells(fitted[b, i], one.cell, s, floor, floored)
            means_of_cells(centre[b, i], one.cell, s, centre_floor, mu)
            leverages(a, floored, weight, draws.real, one, w, row, B, h)
            for j in range(n):
                leverage = w[j] * h[one.cell[j]]
                factor[j] = leverage / ((1.0 - leverage) * (1.0 - leverage)) / p
            bound = distances_at(SMALLEST_ROBUST_DISPERSION, y, mu, factor, distance)
            if bound <= screen:  # a larger robust dispersion makes all distances smaller
                larger[b, i] = 0
                fill(largest[b, i], bound)
                continue
            for j in range(draws.n):
                q[j] = y[j] / s[j]
            robust = robust_dispersion(q, one.cell, n_cells, members, buffer)
            distances_at(robust, y, mu, factor, distance)
            summarise(distance, draws.n, keep[own(b, keep)], largest[b, i])
            at = 0
            for j in range(draws.n):
                if distance[j] > distance[at]:
                    at = j
            more = 0
            for j in range(draws.n):
                if y[j] > y[at]:
                    more += 1
                if distances.shape[1] > 0:
                    distances[b, i, j] = distance[j]
            larger[b, i] = more


def draw_cooks(
    counts: Array, genes: Index, draws: Draws, basis: Basis, fitted: Array, centre: Array, alpha: Array,
    keep: NDArray[np.bool_], centre_floor: float, screen: float, all_distances: bool,
) -> tuple[Array, Index, Array]:  # fmt: skip
    """Cook's distances of counts[genes] in every draw: largest per class of samples, and all of them when asked.

    fitted and centre (n_draws, n_rows, n_cells) are means at size factor 1, for the leverage and for the residuals.
    keep (n_draws or 1, 2, n) are two classes of samples. Returns the largest distance over all samples and over each
    class (n_draws, n_rows, 3; -1 for an empty class), how many counts are larger than that of the sample with the
    overall largest (n_draws, n_rows), and the distances (n_draws, n_rows if all_distances else 0, n). Where no distance
    can be above `screen` an upper bound of all of them stands for each, which takes a tenth of the time; 0: nowhere.
    """
    shape = (draws.rows.shape[0], genes.size)
    largest, larger = np.empty((*shape, 3)), np.empty(shape, np.int64)
    distances = np.empty((shape[0], shape[1] if all_distances else 0, draws.n))
    over_genes(
        cooks_of, genes.size, counts, genes, draws, basis, fitted, centre, alpha, keep, centre_floor, screen, largest,
        larger, distances,
    )  # fmt: skip
    return largest, larger, distances
