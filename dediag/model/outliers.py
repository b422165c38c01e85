"""Cook's distances (step 8 of the method): which p-values they void, and which counts they replace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from dediag.model.blocks import in_blocks
from dediag.model.layout import of_one_draw, single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.coefficients import Data, Space
    from dediag.model.design import Design

QUANTILE = 0.99
FLAG_REPLICATES = 3  # samples in smaller cells cannot flag a gene
REPLACE_REPLICATES = 7  # counts of samples in cells of this size are replaced
REPLACE_TRIM = 0.2
NOWHERE = 0.0  # no distance may be replaced by its upper bound
LARGER_COUNTS = 3  # with this many larger counts, the sample with the largest distance is no outlier


@dataclass(frozen=True)
class CooksRule:
    """The cut-off and the samples that may flag a gene or have their counts replaced."""

    cutoff: float
    eligible: NDArray[np.bool_]  # (n_samples,)
    replaceable: NDArray[np.bool_]  # (n_samples,)
    spare_common: bool  # genes with three or more larger counts are spared

    @property
    def classes(self) -> NDArray[np.bool_]:
        """Samples that may flag, and those of them whose counts are never replaced: (2, n_samples)."""
        return np.array([self.eligible, self.eligible & ~self.replaceable])

    @classmethod
    def of(cls, design: Design) -> CooksRule:
        """The rule for a design: F(.99; p, m - p), cells of 3 to flag, of 7 to replace."""
        m, p = design.matrix.shape
        replicates = design.replicates()
        return cls(
            float(f_distribution.ppf(QUANTILE, p, m - p)),
            replicates >= FLAG_REPLICATES,
            replicates >= REPLACE_REPLICATES,
            design.single_two_level_factor,
        )


@dataclass(frozen=True)
class Cooks:
    """Largest Cook's distances of the fitted genes; arrays (n_rows,), NaN where no sample may flag."""

    largest: NDArray[np.float64]  # over the samples that may flag
    largest_kept: NDArray[np.float64]  # over those of them whose counts are never replaced
    over: NDArray[np.bool_]  # any sample passes the cut-off
    larger: NDArray[np.int64]  # raw counts larger than that of the sample with the largest distance


@dataclass(frozen=True)
class Means:
    """Means at size factor 1 in each cell, (n_rows, n_cells), that leverages and residuals are taken at.

    After the likelihood-ratio test the reference takes residuals about the means of the gene-wise dispersions, not
    below 0.5; after the Wald test about the fitted ones.
    """

    fitted: NDArray[np.float64]
    centre: NDArray[np.float64]
    centre_floor: float = 0.0

    def take(self, where: NDArray[np.intp] | slice) -> Means:
        """The means of these fitted genes."""
        return Means(self.fitted[where], self.centre[where], self.centre_floor)


def cooks(data: Data, space: Space, means: Means, dispersion: NDArray[np.float64], rule: CooksRule) -> Cooks:
    """Cook's distances of the fitted genes, summarised."""
    largest, larger, _ = _kernel(data, space, means, dispersion, rule, all_distances=False)
    may_flag = bool(rule.eligible.any())
    return Cooks(
        largest[:, 1] if may_flag else np.full(data.rows.size, np.nan),
        np.maximum(largest[:, 2], 0.0) if may_flag else np.full(data.rows.size, np.nan),
        largest[:, 0] > rule.cutoff,
        larger,
    )


def distances(
    data: Data, space: Space, means: Means, dispersion: NDArray[np.float64], rule: CooksRule
) -> NDArray[np.float64]:
    """All Cook's distances of the fitted genes: (n_rows, n_samples)."""
    return _kernel(data, space, means, dispersion, rule, all_distances=True)[2]


def _kernel(
    data: Data, space: Space, means: Means, dispersion: NDArray[np.float64], rule: CooksRule, *, all_distances: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    from dediag.model import kernels

    view = single(data, space)
    basis = view.unpenalised() if space.is_intercept else view.basis
    found: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]] = in_blocks(
        data,
        lambda part, at: of_one_draw(
            kernels.draw_cooks(
                part.counts, part.rows, view.draws, basis, means.fitted[None, at], means.centre[None, at],
                dispersion[None, at], rule.classes[None], means.centre_floor, NOWHERE, all_distances,
            )
        ),
    )  # fmt: skip
    return found


def replacements(data: Data, distance: NDArray[np.float64], rule: CooksRule) -> NDArray[np.float64]:
    """Counts of the fitted genes (n_rows, n_samples) with those over the cut-off replaced, where that may be.

    A replaced count is the gene's trimmed mean of normalised counts times the sample's size factor, truncated.
    """
    counts, size = data.counts[data.rows], data.rows_of(data.size)
    ordered = np.sort(counts / size, axis=1)
    cut = int(ordered.shape[1] * REPLACE_TRIM)
    centre = ordered[:, cut : ordered.shape[1] - cut].mean(axis=1)
    replace = (distance > rule.cutoff) & rule.replaceable
    return np.where(replace, np.trunc(centre[:, None] * size), counts)
