"""What each sample contributes to a fit: its share of Cook's distance, and of each group's log mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen
from dediag.model.group_means import group_vectors
from dediag.model.outliers import CooksRule, Means, distances
from dediag.stats.fellows import fair_shares, mean_shares
from dediag.stats.score_shares import ScoreParts, cross_group, leverages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dediag.model.coefficients import Data, Space
    from dediag.model.exact import Optimum
    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

BLOCK = 4_000_000  # counts that are worked on at a time


@dataclass(frozen=True)
class CooksShares:
    """Shares of Cook's distance, means over genes; each (n_samples,)."""

    observed: Array
    fair: Array  # what the design and the depths give by themselves; NaN where a sample determines a coefficient alone


def cooks_shares(fit: NBFit, genes: Index) -> CooksShares:
    """Shares of Cook's distance over these genes (positions), of the counts as they came: outliers not replaced."""
    data, space = fit.data_and_space()
    data, rule = replace(data, counts=fit.cohort.counts), CooksRule.of(fit.design)
    observed, fair = np.zeros(data.n_samples), np.zeros(data.n_samples)
    for part, rows, _ in _blocks(data, genes):
        fitted = np.exp2(fit.coefficients[rows] @ space.cells.T)
        h = leverages(_means(fitted, part, space), fit.dispersion[rows], fit.design.matrix, _weights(part))
        expected = fair_shares(h)
        distance = distances(part, space, Means(fitted, fitted), fit.dispersion[rows], rule)
        distance[:, np.isnan(expected)] = 0.0
        observed += rows.size / genes.size * mean_shares(distance)
        fair += rows.size / genes.size * expected
    return CooksShares(frozen(observed), frozen(fair))


def score_parts(fit: NBFit, optimum: Optimum, genes: Index) -> tuple[ScoreParts, ScoreParts]:
    """What samples outside the test and outside the reference group contribute to the group's log mean at an optimum.

    Arrays over these genes (positions); see `stats.score_shares.cross_group`.
    """
    data, space = fit.data_and_space()
    levels = (str(fit.contrast.test), str(fit.contrast.reference))
    found = np.empty((2, 3, genes.size))
    for part, rows, at in _blocks(data, genes):
        mu = _means(np.exp2(optimum.coefficients[rows] @ space.cells.T), part, space)
        for k, (vector, level) in enumerate(zip(group_vectors(fit), levels, strict=True)):
            found[k, :, at] = np.array(
                cross_group(
                    part.counts[rows], mu, optimum.dispersion[rows], fit.design.matrix, vector, fit.group_mask(level),
                    _weights(part),
                )
            )  # fmt: skip
    return ScoreParts(*map(frozen, found[0])), ScoreParts(*map(frozen, found[1]))


def _blocks(data: Data, genes: Index) -> Iterator[tuple[Data, Index, slice]]:
    size = max(BLOCK // data.n_samples, 1)
    for first in range(0, genes.size, size):
        rows = genes[first : first + size]
        yield replace(data, rows=frozen(rows, np.int64)), rows, slice(first, first + rows.size)


def _means(fitted: Array, part: Data, space: Space) -> Array:
    """Means on the scale of the counts (n_rows, n_samples) of means at size factor 1 (n_rows, n_cells)."""
    return np.asarray(fitted[:, space.cell] * part.rows_of(part.size))


def _weights(part: Data) -> Array | None:
    return part.rows_of(part.weights) if part.weighted else None
