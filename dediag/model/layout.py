"""Draws of samples with their designs, laid out for the kernels: a single fit is one draw of all samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.cohort import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.model.coefficients import Data, Space
    from dediag.model.kernels.draws import Draws
    from dediag.model.kernels.least_squares import Basis

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """What the kernels read besides counts and genes; all draws have equally many samples and cells."""

    draws: Draws
    basis: Basis
    shift: Array  # (n_draws or 1,) constant of the determinant
    own_factors: Array | None  # of the determinant in the design's own columns, where there are weights

    @property
    def determinant(self) -> tuple[Array, bool, Array]:
        """Factors of the determinant, whether they are cells, and its constant."""
        if self.own_factors is None:
            return self.basis.factors, self.basis.diagonal, self.shift
        return self.own_factors, False, np.zeros_like(self.shift)

    def unpenalised(self) -> Basis:
        """The basis without ridge."""
        return self.basis._replace(penalty=np.zeros_like(self.basis.penalty))


def layout(
    spaces: Sequence[Space], rows: Index, size: Array, offsets: Array, weights: Array, labels: Sequence[Index]
) -> Layout:
    """Lay out draws of samples.

    spaces and labels (which cells are of the test level, 1, and the reference level, 2): one for each draw, or one for
    all; all of the same shape. rows (n_draws, n) positions of the samples; size (n_draws, n); offsets (n_genes,
    n_samples) in place of size, or (1, 0); weights (n_genes, n_samples), or (1, 0).
    """
    from dediag.model.kernels.draws import Draws
    from dediag.model.kernels.least_squares import Basis
    from dediag.model.kernels.vector import LANES

    n = rows.shape[1]
    n_padded = -(-n // LANES) * LANES
    real = np.zeros(n_padded)
    real[:n] = 1.0

    def padded(values: NDArray[np.generic], fill: float = 0.0) -> NDArray[np.generic]:
        wide = np.full((*values.shape[:-1], n_padded), fill, values.dtype)
        wide[..., :n] = values
        return wide

    first = spaces[0]
    columns = np.stack([space.basis[space.cell].T for space in spaces])  # (n_spaces, p, n)
    factors = columns if first.diagonal else np.stack([products(part) for part in columns])
    draws = Draws(
        padded(rows), real, n, padded(size, 1.0), offsets, weights, padded(np.stack([space.cell for space in spaces])),
    )  # fmt: skip
    basis = Basis(
        np.stack([space.basis for space in spaces]),
        padded(columns),
        padded(factors),
        padded(np.stack([space.projector for space in spaces])),
        np.stack([space.transform for space in spaces]),
        np.stack([space.penalty for space in spaces]),
        np.stack([np.asarray(label, np.int64) for label in labels]),
        first.diagonal,
        first.is_intercept,
    )
    own = None
    # weights can leave a column of the design without samples, which shows in the design's own columns only
    if weights.shape[1] and first.cells.shape[1] == first.basis.shape[1]:
        own = np.asarray(padded(np.stack([products(space.cells[space.cell].T) for space in spaces])), np.float64)
    return Layout(draws, basis, np.array([-0.5 * space.log_det for space in spaces]), own)


def products(columns: Array) -> Array:
    """Products of each two columns (p, n), lower triangle row by row: (p (p + 1) / 2, n)."""
    return np.array([columns[i] * columns[k] for i in range(len(columns)) for k in range(i + 1)])


def of_one_draw(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a kernel gives for the one draw of a single fit."""
    return tuple(array[0] for array in arrays)


def single(data: Data, space: Space, label: Index | None = None, weights: Array | None = None) -> Layout:
    """The layout of one fit to all samples; weights: in place of the data's."""
    one = data.size.shape[0] == 1
    rows = np.arange(data.n_samples, dtype=np.int64)[None, :]
    return layout(
        [space],
        rows,
        data.size if one else np.ones((1, data.n_samples)),
        frozen(np.empty((1, 0))) if one else data.size,
        data.weights if weights is None else weights,
        [np.zeros(space.cells.shape[0], np.int64) if label is None else label],
    )
