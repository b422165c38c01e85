"""What needs one pass over a gene's counts: base mean and variance, start of the dispersion, Cook's distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from dediag.model.kernels.algebra import cholesky, solve
from dediag.model.kernels.coefficients import information
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMALLEST_ROBUST_DISPERSION = 0.04
MANY = 24  # replicates from which an eighth is trimmed


@njit(error_model="numpy", inline="always")
def gene_moments(i, y, s, weight, cell, basis, projector, inverse_size, largest, mean, variance, start, fitted):
    """Moments of one gene, written to row i of the results."""
    m = y.size
    n_cells, p = basis.shape
    gamma = np.empty(p)
    for k in range(p):
        gamma[k] = 0.0
    total = 0.0
    for j in range(m):
        q = y[j] / s[j]
        for k in range(p):
            gamma[k] += projector[k, j] * q
        total += q * weight[j] if weight.size > 0 else q
    mean[i] = total / m
    for c in range(n_cells):
        fitted[i, c] = 0.0
        for k in range(p):
            fitted[i, c] += basis[c, k] * gamma[k]
    squares, rough = 0.0, 0.0
    for j in range(m):
        q = y[j] / s[j]
        weighted = q * weight[j] if weight.size > 0 else q
        squares += (weighted - mean[i]) ** 2
        mu = max(1.0, fitted[i, cell[j]])
        rough += ((q - mu) ** 2 - mu) / (mu * mu)
    variance[i] = squares / (m - 1)
    rough = max(rough / (m - p), 0.0)
    start[i] = min(max(min(rough, (variance[i] - inverse_size * mean[i]) / mean[i] ** 2), 1e-8), largest)


@njit(cache=True, nogil=True, error_model="numpy")
def moments_of(
    first,
    last,
    counts,
    rows,
    size,
    weights,
    cell,
    basis,
    projector,
    inverse_size,
    largest,
    mean,
    variance,
    start,
    fitted,
):
    """Moments of the genes rows[first:last], written to these rows of the results."""
    for i in range(first, last):
        g = rows[i]
        gene_moments(
            i, counts[g], size[g if size.shape[0] > 1 else 0], weights[g if weights.shape[1] > 0 else 0], cell, basis,
            projector, inverse_size, largest, mean, variance, start, fitted,
        )  # fmt: skip


def moments(
    counts: Array, rows: Index, size: Array, weights: Array, cell: Index, basis: Array, projector: Array,
    inverse_size: float, largest: float,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Base mean, base variance, start of the dispersion (n_rows,) and least-squares cell means (n_rows, n_cells).

    inverse_size is the mean of 1 / size factor. The start is the smaller of a Pearson-type estimate about the
    least-squares fit and the moment estimate, within [1e-8, largest]. Weights enter mean and variance only.
    """
    n = rows.size
    mean, variance, start, fitted = np.empty(n), np.empty(n), np.empty(n), np.empty((n, basis.shape[0]))
    over_genes(
        moments_of, n, counts, rows, size, weights, cell, basis, projector, inverse_size, largest, mean, variance,
        start, fitted,
    )  # fmt: skip
    return mean, variance, start, fitted


@njit(error_model="numpy")
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


@njit(error_model="numpy", inline="always")
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


@njit(error_model="numpy")
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


@njit(error_model="numpy", inline="always")
def gene_cooks(
    i, y, s, weight, cell, basis, penalty, fitted, centre, alpha, keep, floor, centre_floor, largest, larger, distances
):
    """Cook's distances of one gene, written to row i of the results."""
    m = y.size
    n_cells, p = basis.shape
    mu, floored, q, buffer = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    members = np.empty(m, np.int64)
    sums, row, B = np.empty(n_cells), np.empty(p), np.empty((p, p))
    for j in range(m):
        mu[j] = max(centre_floor, s[j] * centre[i, cell[j]])
        floored[j] = max(floor, s[j] * fitted[i, cell[j]])
        q[j] = y[j] / s[j]
    robust = robust_dispersion(q, cell, n_cells, members, buffer)
    information(alpha, floored, weight, cell, basis, sums, B)
    for k in range(p):
        for h in range(p):
            B[k, h] += penalty[k, h]
    cholesky(B, p)
    for c in range(n_cells):  # leverage of each cell per unit of weight
        for k in range(p):
            row[k] = basis[c, k]
        solve(B, row, p)
        sums[c] = 0.0
        for k in range(p):
            sums[c] += basis[c, k] * row[k]
    at = 0
    for k in range(3):
        largest[i, k] = -1.0
    for j in range(m):
        w = floored[j] / (1.0 + alpha * floored[j])
        if weight.size > 0:
            w *= weight[j]
        h = w * sums[cell[j]]
        residual = (y[j] - mu[j]) ** 2 / (mu[j] + robust * mu[j] * mu[j])
        cooks = residual / p * h / (1.0 - h) ** 2
        if cooks > largest[i, 0]:
            largest[i, 0] = cooks
            at = j
        for k in range(2):
            if keep[k, j]:
                largest[i, k + 1] = max(largest[i, k + 1], cooks)
        if distances.shape[0] > 0:
            distances[i, j] = cooks
    larger[i] = 0
    for j in range(m):
        larger[i] += y[j] > y[at]


@njit(cache=True, nogil=True, error_model="numpy")
def cooks_of(
    first, last, counts, rows, size, weights, cell, basis, penalty, fitted, centre, alpha, keep, floor, centre_floor,
    largest, larger, distances,
):  # fmt: skip
    """Cook's distances of the genes rows[first:last], written to these rows of the results."""
    for i in range(first, last):
        g = rows[i]
        gene_cooks(
            i, counts[g], size[g if size.shape[0] > 1 else 0], weights[g if weights.shape[1] > 0 else 0], cell, basis,
            penalty, fitted, centre, alpha[i], keep, floor, centre_floor, largest, larger, distances,
        )  # fmt: skip


def cooks_distances(
    counts: Array, rows: Index, size: Array, weights: Array, cell: Index, basis: Array, penalty: Array, fitted: Array,
    centre: Array, alpha: Array, keep: NDArray[np.bool_], floor: float, centre_floor: float, all_distances: bool,
) -> tuple[Array, Index, Array]:  # fmt: skip
    """Cook's distances of counts[rows]: largest per class of samples, and all of them when asked.

    fitted and centre (n_rows, n_cells) are means at size factor 1, for the leverage and for the residuals, not below
    floor and centre_floor. keep (2, n_samples) are two classes of samples. Returns the largest distance over all
    samples and over each class (n_rows, 3; -1 for an empty class), how many counts are larger than that of the sample
    with the overall largest (n_rows,), and the distances (n_rows if all_distances else 0, n_samples).
    """
    n = rows.size
    largest, larger = np.empty((n, 3)), np.empty(n, np.int64)
    distances = np.empty((n if all_distances else 0, counts.shape[1]))
    over_genes(
        cooks_of, n, counts, rows, size, weights, cell, basis, penalty, fitted, centre, alpha, keep, floor,
        centre_floor, largest, larger, distances,
    )  # fmt: skip
    return largest, larger, distances
