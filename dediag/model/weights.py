"""Observation weights: scaled per gene, with the genes whose weights leave the design without information."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError, blocks, frozen

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dediag.model.design import Design

USED_WEIGHT = 0.01  # samples of smaller weight do not count toward the design's rank
NO_WEIGHTS = frozen(np.empty((1, 0)))


def checked(
    weights: ArrayLike | None, shape: tuple[int, int], design: Design, *, scale: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Weights divided by each gene's largest and as given, (n_genes, n_samples), and the genes that stay estimable.

    Without `scale` both are as given. None gives (1, 0) twice and all genes. Raises InputError for a wrong shape, a
    negative or a missing weight.
    """
    if weights is None:
        return NO_WEIGHTS, NO_WEIGHTS, np.ones(shape[0], np.bool_)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != shape:
        raise InputError(f"weights: {w.shape[0]} x {w.shape[1]} values for {shape[0]} genes x {shape[1]} samples")
    if not np.isfinite(w).all() or (w < 0.0).any():
        gene, sample = (int(k[0]) for k in np.nonzero(~(np.isfinite(w) & (w >= 0.0))))
        raise InputError(f"weights: row {gene + 1}, column {sample + 1} is {w[gene, sample]}; weights are 0 or more")
    top = w.max(axis=1, keepdims=True)
    given = frozen(w)
    used = given
    if scale:
        used = given / np.where(top > 0.0, top, 1.0)
        used.flags.writeable = False
    X = design.matrix
    usable = top[:, 0] > 0.0
    for block in blocks(*shape):
        usable[block] &= _full_rank(used[block] > 0.0, X) & _full_rank(used[block] > USED_WEIGHT, X, drop_empty=True)
    return used, given, usable


def _full_rank(used: NDArray[np.bool_], X: NDArray[np.float64], *, drop_empty: bool = False) -> NDArray[np.bool_]:
    """Whether the used samples' rows of X have full column rank; drop_empty leaves out columns of zeros."""
    gram = np.einsum("gj,ja,jb->gab", used.astype(np.float64), X, X, optimize=True)
    if drop_empty:
        diagonal = np.arange(X.shape[1])
        gram[:, diagonal, diagonal] += gram[:, diagonal, diagonal] == 0.0
    full: NDArray[np.bool_] = np.linalg.matrix_rank(gram, hermitian=True) == X.shape[1]
    return full
