"""Dispersions (steps 2, 4 and 5 of the method): gene-wise, shrunken toward the trend, and per group."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import ALL, frozen, gene_blocks, stored
from dediag.model.blocks import in_blocks, seen
from dediag.model.coefficients import Data, Space, fit_coefficients
from dediag.model.layout import of_one_draw, single
from dediag.model.prior import log_residual_variance, prior_variance
from dediag.model.trend import PROFILE_AT, Trend, group_trend
from dediag.model.weights import NO_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

SMALLEST = 1e-8
FEWEST_OWN_DF = 2  # of a group's samples under the design's columns among them
OUTLIER_SD = 2.0  # gene-wise estimates this many SD above the trend are not shrunken


def largest(n_samples: int) -> float:
    """The upper bound of a dispersion."""
    return max(10.0, float(n_samples))


@dataclass(frozen=True)
class GeneWise:
    """Gene-wise dispersions with what they rest on; arrays over the fitted genes."""

    base_mean: NDArray[np.float64]  # (n_rows,)
    base_variance: NDArray[np.float64]  # (n_rows,)
    start: NDArray[np.float64]  # (n_rows,)
    cell_mean: NDArray[np.float64]  # (n_rows, n_cells) at size factor 1
    dispersion: NDArray[np.float64]  # (n_rows,)
    tries: NDArray[np.int64]  # (n_rows,)
    peak: NDArray[np.float64]  # (n_rows,) newton: log of the likelihood's optimum, NaN at a bound; else NaN
    curvature: NDArray[np.float64]  # (n_rows,) newton: second derivative there over the log dispersion


@dataclass(frozen=True)
class Shrunken:
    """Dispersions after shrinkage; arrays over the fitted genes."""

    trend: NDArray[np.float64]  # (n_rows,)
    map: NDArray[np.float64]  # (n_rows,)
    final: NDArray[np.float64]  # (n_rows,)
    outlier: NDArray[np.bool_]  # (n_rows,)
    tries: NDArray[np.int64]  # (n_rows,)


def gene_wise(data: Data, space: Space, *, reference: bool) -> GeneWise:
    """Gene-wise dispersions by Cox-Reid adjusted profile likelihood, each gene by itself."""
    from dediag.model import kernels

    view = single(data, space, weights=data.given_weights)
    inverse_size = np.array([np.mean(1.0 / data.size.mean(axis=0))])
    mean, variance, start, cell_mean = in_blocks(
        data,
        lambda part, _: of_one_draw(
            kernels.draw_moments(part.counts, part.rows, view.draws, view.basis, inverse_size, largest(part.n_samples))
        ),
    )
    if data.weighted or not space.diagonal:
        no_label = np.zeros(space.cells.shape[0], np.int64)
        contrast = np.zeros(space.cells.shape[1])
        fitted = fit_coefficients(
            data, space, start, contrast=contrast, label=no_label, reference=reference, with_likelihood=False
        )
        cell_mean = fitted.cell_means(space)
    peak, curvature = np.full(start.size, np.nan), np.full(start.size, np.nan)
    first = GeneWise(mean, variance, start, cell_mean, start, np.zeros(start.size, np.int64), peak, curvature)
    dispersion, tries = search(data, space, first, reference=reference)
    return replace(first, dispersion=dispersion, tries=tries)


def search(
    data: Data,
    space: Space,
    first: GeneWise,
    prior_mean: NDArray[np.float64] | None = None,
    prior_var: float = math.inf,
    *,
    reference: bool,
    share: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Dispersions (n_rows,) that maximise the (penalised) likelihood at the means of `first`, with the tries it took.

    share: of the determinant that counts (newton only).
    Without a prior newton's optimum and curvature are written into `first`; with one it starts from them.
    """
    from dediag.model import kernels

    mean_of_prior = np.zeros_like(first.start) if prior_mean is None else prior_mean
    if not reference:
        view = single(data, space)
        factors, diagonal, shift = view.determinant
        return in_blocks(
            data,
            lambda part, at: of_one_draw(
                kernels.draw_dispersions(
                    part.counts, part.rows, view.draws, first.cell_mean[None, at], first.start[None, at],
                    mean_of_prior[None, at], np.array([prior_var]), factors, diagonal, shift, largest(part.n_samples),
                    first.peak[None, at], first.curvature[None, at], share,
                )
            ),
        )  # fmt: skip
    # weights can leave a column of the design without samples, which shows in the design's own columns only
    own_columns = data.weighted and space.cells.shape[1] == space.basis.shape[1]
    basis = space.cells if own_columns else space.basis
    mean, start, centre = frozen(first.cell_mean), frozen(first.start), frozen(mean_of_prior)
    return in_blocks(
        data,
        lambda part, at: kernels.fit_dispersions(
            part.counts, part.rows, part.size, part.weights, space.cell, basis, space.diagonal and not own_columns,
            0.0 if own_columns else -0.5 * space.log_det, mean[at], start[at], centre[at], prior_var,
            largest(part.n_samples),
        ),
    )  # fmt: skip


def shrink(
    data: Data,
    space: Space,
    first: GeneWise,
    trend: NDArray[np.float64],
    prior_var: float,
    residual_variance: float,
    *,
    reference: bool,
    share: float = 1.0,
) -> Shrunken:
    """Maximum a posteriori dispersions around the trend (n_rows,); outliers keep their gene-wise value."""
    start = np.where(first.dispersion > 0.1 * trend, first.dispersion, trend)
    found, tries = search(
        data, space, replace(first, start=start), np.log(trend), prior_var, reference=reference, share=share
    )
    found = np.clip(found, SMALLEST, largest(data.n_samples))
    outlier = np.log(first.dispersion) > np.log(trend) + OUTLIER_SD * math.sqrt(residual_variance)
    return Shrunken(trend, found, np.where(outlier, first.dispersion, found), outlier, tries)


@dataclass(frozen=True)
class OwnDispersion:
    """Gene-wise dispersions of one group, from its own samples, and their trend; rows are those with counts in it."""

    level: str
    rows: NDArray[np.int64]  # (n_rows,) of the genes
    n_genes: int
    first: GeneWise  # (n_rows,) with the group's own means
    df: float  # residual degrees of freedom in the group: samples less the coefficients' share that they bear
    share: float  # of the determinant that counts
    trend: Trend
    data: Data
    space: Space

    def over_all(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of the rows (n_rows,) at their places among all genes: (n_genes,), NaN elsewhere."""
        whole = np.full(self.n_genes, np.nan)
        whole[self.rows] = part
        return frozen(whole)


@dataclass(frozen=True)
class GroupDispersion:
    """Dispersions of one group, from its own samples; arrays over all genes, NaN where the group has no counts."""

    level: str
    gene: NDArray[np.float64]  # (n_genes,) gene-wise
    trend: NDArray[np.float64]  # (n_genes,) the group's own trend at each base mean
    map: NDArray[np.float64]  # (n_genes,) shrunken toward the trend
    mean: NDArray[np.float64]  # (n_genes,) mean of the group's normalised counts
    outlier: NDArray[np.bool_]  # (n_genes,) far above the trend, so that the gene-wise value stays
    prior_variance: float
    df: float  # residual degrees of freedom in the group: samples less the coefficients' share that they bear
    curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def group_dispersions(fit: NBFit, level: str) -> GroupDispersion:
    """Gene-wise and shrunken dispersions of the samples of one level of the contrast factor, own trend and prior.

    Raises ValueError as `own_dispersions` does.
    """
    own = own_dispersions(fit, level)
    gene, mean = own.first.dispersion, own.first.base_mean
    values = own.trend(mean)
    residual = log_residual_variance(gene, values)
    prior_var = prior_variance(gene, values, round(own.df))
    shrunken = shrink(own.data, own.space, own.first, values, prior_var, residual, reference=False, share=own.share)
    outlier = np.zeros(own.n_genes, np.bool_)
    outlier[own.rows] = shrunken.outlier
    return GroupDispersion(
        level, own.over_all(gene), own.over_all(values), own.over_all(shrunken.final), own.over_all(mean),
        frozen(outlier, np.bool_), prior_var, own.df, own.trend,
    )  # fmt: skip


def own_dispersions(fit: NBFit, level: str) -> OwnDispersion:
    """Gene-wise dispersions of the samples of one level of the contrast factor, and their own trend.

    Means come from the full design (the main fit's), the likelihood from the group's samples, its determinant from
    the columns of the design that vary or stay within the group. A coefficient that both groups share takes only a part
    of its degree of freedom from each: the leverage of the group's samples, which is also the share of the determinant
    that counts. Raises ValueError below 3 residual degrees of freedom, and where the design leaves the group by itself
    fewer than 2: in pairs each residual of a group mirrors one of the other, and neither has a dispersion of its own.
    """
    mask = fit.group_mask(level)
    columns = fit.design.matrix[mask]
    rank = int(np.linalg.matrix_rank(columns))
    basis, _ = np.linalg.qr(fit.design.matrix)
    taken = round(float((basis[mask] ** 2).sum()), 9)  # leverage: a whole number where no coefficient is shared
    df = float(mask.sum()) - taken
    if df < 3.0:
        raise ValueError(f"group {level} has {df:.3g} residual degrees of freedom; 3 are needed")
    if mask.sum() - rank < FEWEST_OWN_DF:
        raise ValueError(f"the design leaves group {level} no residuals of its own, as in pairs")
    share = taken / rank
    n_genes = fit.cohort.n_genes
    own = ((block, ALL, fit.fitted_counts[block, mask]) for block in gene_blocks(fit.fitted_counts))
    counts = stored((n_genes, int(mask.sum())), own)
    rows = np.flatnonzero(np.isfinite(fit.dispersion) & seen(counts))
    data = Data(
        counts,
        frozen(rows, np.int64),
        frozen(fit.normalisation[:, mask]),
        fit.weights if fit.weights.shape[1] == 0 else frozen(fit.weights[:, mask]),
        NO_WEIGHTS,  # the moments of a group are taken below
    )
    space = _group_space(columns, rank)
    beta = fit.coefficients[rows] / math.log2(math.e)
    cell_mean = np.exp(beta @ space.cells.T)
    mean, variance = in_blocks(data, lambda part, _: _moments(part.counts[part.rows] / part.rows_of(part.size)))
    if space.diagonal:  # the group's own mean, also where the main fit's floor or ridge held it up
        cell_mean = np.ascontiguousarray(np.broadcast_to(mean[:, None], cell_mean.shape))
    inverse_size = float(np.mean(1.0 / data.size.mean(axis=0)))
    start = np.clip((variance - inverse_size * mean) / mean**2, SMALLEST, largest(data.n_samples))
    unknown = np.full(start.size, np.nan)
    first = GeneWise(mean, variance, start, cell_mean, start, np.zeros(start.size, np.int64), unknown, unknown.copy())
    dispersion, tries = search(data, space, first, reference=False, share=share)
    trend = group_trend(mean, dispersion, profiles(data, space, cell_mean, share), fit.trend)
    first = replace(first, dispersion=dispersion, tries=tries)
    return OwnDispersion(level, rows, n_genes, first, df, share, trend, data, space)


def profiles(data: Data, space: Space, cell_mean: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Adjusted log-likelihood of every gene at the dispersions PROFILE_AT: (n_rows, n_alphas)."""
    from dediag.model import kernels

    view = single(data, space)
    factors, diagonal, shift = view.determinant
    found: tuple[NDArray[np.float64], ...] = in_blocks(
        data,
        lambda part, at: of_one_draw(
            kernels.dispersion_profiles(
                part.counts, part.rows, view.draws, cell_mean[None, at], PROFILE_AT, factors, diagonal, shift, share
            )
        ),
    )
    return found[0]


def _moments(normalized: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each gene."""
    return normalized.mean(axis=1), normalized.var(axis=1, ddof=1)


def _group_space(columns: NDArray[np.float64], rank: int) -> Space:
    """The space that a group's rows of the design span: one constant, or an orthonormal basis of `rank` columns."""
    cells, cell = np.unique(columns, axis=0, return_inverse=True)
    U, _, _ = np.linalg.svd(columns, full_matrices=False)
    basis_rows = U[:, :rank]
    first = np.array([int(np.argmax(cell.reshape(-1) == c)) for c in range(cells.shape[0])])
    identity = np.eye(rank)
    saturated = cells.shape[0] == 1
    return Space(
        frozen(cell.reshape(-1), np.int64),
        frozen(cells),
        frozen(np.ones((1, 1)) if saturated else basis_rows[first]),
        frozen(identity),
        frozen(np.zeros((rank, rank))),
        frozen(np.linalg.pinv(basis_rows)),
        saturated,
        0.0,
        False,
    )


__all__ = [
    "GeneWise", "GroupDispersion", "Shrunken", "Trend", "gene_wise", "group_dispersions", "largest", "profiles",
    "search", "shrink",
]  # fmt: skip
