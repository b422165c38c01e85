"""Small symmetric positive definite systems, in place, for one gene at a time."""

from __future__ import annotations

import math

from dediag.model.kernels.compilation import inner


@inner
def cholesky(A, p):
    """Replace the lower triangle of A[:p, :p] by its Cholesky factor; return log det A, -inf if not positive."""
    log_det = 0.0
    for j in range(p):
        for k in range(j):
            A[j, j] -= A[j, k] * A[j, k]
        if not A[j, j] > 0.0:
            return -math.inf
        log_det += math.log(A[j, j])
        A[j, j] = math.sqrt(A[j, j])
        for i in range(j + 1, p):
            for k in range(j):
                A[i, j] -= A[i, k] * A[j, k]
            A[i, j] /= A[j, j]
    return log_det


@inner
def solve(L, b, p):
    """Replace b[:p] by the solution of L L' x = b."""
    for i in range(p):
        for k in range(i):
            b[i] -= L[i, k] * b[k]
        b[i] /= L[i, i]
    for i in range(p - 1, -1, -1):
        for k in range(i + 1, p):
            b[i] -= L[k, i] * b[k]
        b[i] /= L[i, i]


@inner
def solve_columns(L, B, p):
    """Replace B[:p, :p] by the solution of L L' X = B."""
    for j in range(p):
        for i in range(p):
            for k in range(i):
                B[i, j] -= L[i, k] * B[k, j]
            B[i, j] /= L[i, i]
        for i in range(p - 1, -1, -1):
            for k in range(i + 1, p):
                B[i, j] -= L[k, i] * B[k, j]
            B[i, j] /= L[i, i]
