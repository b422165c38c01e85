"""Many refits at once: the steps of `fit` with search="newton", each done for all draws of samples before the next.

Draws are indices into one matrix of counts, so that a gene's counts stay in the cache while all draws use them. Two
passes over the genes, because the trend of a draw needs all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError, frozen
from dediag.model import coefficients as glm
from dediag.model import contrasts, outliers
from dediag.model.dispersion import OUTLIER_SD, SMALLEST, largest
from dediag.model.estimates import Estimates, Shared, labels
from dediag.model.filtering import independent_filtering
from dediag.model.layout import layout
from dediag.model.prior import log_residual_variance, prior_variance
from dediag.model.size_factors import size_factors as size_factors_of
from dediag.model.trend import Trend, TrendError, fit_trend
from dediag.model.weights import NO_WEIGHTS
from dediag.stats.adjust import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dediag.model.contrasts import Contrast
    from dediag.model.design import Design
    from dediag.model.fit import Options
    from dediag.model.size_factors import Method

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]
    Mask = NDArray[np.bool_]

NO_OFFSETS = frozen(np.empty((1, 0)))
SIZES_AT_ONCE = 50  # draws whose size factors are taken together


@dataclass(frozen=True)
class Draw:
    """Samples of the matrix (positions) with the design that they are fitted by."""

    rows: NDArray[np.intp]  # (n,)
    design: Design


@dataclass(frozen=True, eq=False)
class DrawFit:
    """What one draw gives, arrays over all genes; NaN where `fit` has it."""

    size_factors: Array  # (n,) of the draw's samples
    base_mean: Array  # (n_genes,)
    dispersion: Array
    lfc: Array  # log2
    lfc_se: Array  # log2
    pvalue: Array
    padj: Array


def fit_draws(
    counts: Array,
    draws: Sequence[Draw],
    contrast: Contrast,
    options: Options,
    *,
    size_factors: Method | Array = "ratio",
    control_genes: Mask | None = None,
    spike_ins: Mask | None = None,
    weights: Array | None = None,
    guess: Array | None = None,
) -> list[DrawFit | InputError]:
    """Wald tests of many draws of samples by the newton search, without offsets.

    counts: (n_genes, n_samples). size_factors: a method, estimated anew in every draw, or factors (n_samples,) of which
    a draw takes its samples'. spike_ins: (n_genes,), no adjusted p-value for them. weights: of the samples
    (n_samples,), above 0.01, taken as they are. guess: size factors (n_samples,) that those of the draws are near; it
    saves time only. A draw that cannot be fitted gives the error that `fit` would raise.
    """
    distinct = {draw.rows.tobytes(): draw.rows for draw in draws}  # relabelled draws have the same samples
    found = _sizes(counts, list(distinct.values()), size_factors, control_genes, guess)
    size_of = dict(zip(distinct, found, strict=True))
    sizes = [size_of[draw.rows.tobytes()] for draw in draws]
    spaces = {id(draw.design): glm.Space.of(draw.design) for draw in draws}
    genes = frozen(np.flatnonzero(counts.max(axis=1) > 0.0), np.int64)
    results: list[DrawFit | InputError] = [size if isinstance(size, InputError) else _NOTHING for size in sizes]
    every = NO_WEIGHTS if weights is None else frozen(np.broadcast_to(weights, counts.shape))
    alike: dict[tuple[int, int, bool], list[int]] = {}
    for k, draw in enumerate(draws):
        if not isinstance(sizes[k], InputError):
            space = spaces[id(draw.design)]
            alike.setdefault((draw.rows.size, space.cells.shape[0], space.diagonal), []).append(k)
    for numbers in alike.values():
        members = [draws[k] for k in numbers]
        batch = Batch(
            counts, genes, members, [spaces[id(draw.design)] for draw in members],
            np.array([sizes[k] for k in numbers]), every, contrast, options, spike_ins,
        )  # fmt: skip
        for k, result in zip(numbers, batch.run(), strict=True):
            results[k] = result
    return results


def _sizes(
    counts: Array, rows: Sequence[NDArray[np.intp]], method: Method | Array, control: Mask | None, guess: Array | None
) -> list[Array | InputError]:
    """Size factors of every draw's samples, or why there are none."""
    if not isinstance(method, str):
        return [np.asarray(method)[index] for index in rows]
    if method != "ratio" or not rows:
        return [_by_method(counts[:, index], method, control) for index in rows]
    from dediag.model import kernels

    part = counts if control is None else counts[control]
    zero = part == 0.0
    least = min(index.size for index in rows)
    possible = zero.sum(axis=1) <= counts.shape[1] - least  # others are zero in some sample of every draw
    part, zero = part[possible], zero[possible]
    logs = np.log(np.where(zero, 1.0, part))
    near = np.zeros(counts.shape[1]) if guess is None else np.log(guess)
    by_sample = np.ascontiguousarray(logs.T)
    sizes: list[Array | InputError] = [np.empty(0)] * len(rows)
    for some in _alike([index.size for index in rows]):
        drawn = np.zeros((counts.shape[1], len(some)))
        for b, k in enumerate(some):
            drawn[rows[k], b] = 1.0 / rows[k].size
        used = np.ascontiguousarray((zero.astype(np.float64) @ drawn == 0.0).T)
        centres = np.ascontiguousarray((logs @ drawn).T)
        log_size = kernels.draw_medians(by_sample, centres, used, np.array([rows[k] for k in some], np.int64), near)
        for k, values in zip(some, log_size, strict=True):
            # without a gene free of zeros the method itself says what to do
            sizes[k] = np.exp(values) if np.isfinite(values).all() else _by_method(counts[:, rows[k]], method, control)
    return sizes


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The positions of equal lengths, at most SIZES_AT_ONCE of them together."""
    for length in sorted(set(lengths)):
        equal = [k for k, n in enumerate(lengths) if n == length]
        for first in range(0, len(equal), SIZES_AT_ONCE):
            yield equal[first : first + SIZES_AT_ONCE]


def _by_method(counts: Array, method: Method, control: Mask | None) -> Array | InputError:
    try:
        return size_factors_of(counts, method, control).values
    except InputError as error:
        return error


class Batch:
    """Draws with equally many samples and cells, fitted step by step; arrays are (n_draws, n_rows)."""

    def __init__(
        self, counts: Array, genes: Index, draws: Sequence[Draw], spaces: Sequence[glm.Space], sizes: Array,
        weights: Array, contrast: Contrast, options: Options, spike_ins: Mask | None,
    ) -> None:  # fmt: skip
        """Lay the draws out; sizes: (n_draws, n) size factors; weights: (n_genes, n_samples), or (1, 0) for none.

        spike_ins: (n_genes,), or None.
        """
        self.weights = weights
        self.counts, self.genes, self.draws, self.sizes = counts, genes, draws, sizes
        self.contrast, self.options, self.spike_ins = contrast, options, spike_ins
        self.rows = np.array([draw.rows for draw in draws], np.int64)
        shared = all(draw.design is draws[0].design for draw in draws)
        self.spaces = [spaces[0]] * len(draws) if shared else list(spaces)
        self.labels = [labels(contrast, draw.design, space) for draw, space in zip(draws, self.spaces, strict=True)]
        unique = slice(0, 1) if shared else slice(None)
        self.view = layout(self.spaces[unique], self.rows, sizes, NO_OFFSETS, weights, self.labels[unique])
        self.rules = [outliers.CooksRule.of(draws[0].design)] * len(draws) if shared else [
            outliers.CooksRule.of(draw.design) for draw in draws
        ]  # fmt: skip

    def run(self) -> list[DrawFit | InputError]:
        """Every draw's fit."""
        from dediag.model import kernels

        n, p = self.rows.shape[1], self.spaces[0].basis.shape[1]
        most = largest(n)
        self.first = kernels.draw_moments(
            self.counts, self.genes, self.view.draws, self.view.basis, (1.0 / self.sizes).mean(axis=1), most
        )
        base_mean, _, start, cell_mean = self.first
        if self.weights.shape[1] or not self.spaces[0].diagonal:
            cell_mean = self._cell_means(self._coefficients(start, np.zeros(p))[0])
        factors, diagonal, shift = self.view.determinant
        peak, curvature = np.full(start.shape, np.nan), np.full(start.shape, np.nan)

        def search(start: Array, prior_mean: Array, variance: Array) -> Array:
            return kernels.draw_dispersions(
                self.counts, self.genes, self.view.draws, cell_mean, start, prior_mean, variance, factors, diagonal,
                shift, most, peak, curvature,
            )[0]  # fmt: skip

        n_draws = len(self.draws)
        gene_wise = search(start, np.zeros_like(start), np.full(n_draws, np.inf))
        self.trends = kernels.each(lambda b: _trend(self.options, base_mean[b], gene_wise[b], n - p), range(n_draws))
        expected, variance = np.full(start.shape, np.nan), np.ones(n_draws)
        for b, trend in enumerate(self.trends):
            if not isinstance(trend, InputError):
                expected[b], variance[b] = trend.curve(base_mean[b]), trend.prior_variance
        start = np.where(gene_wise > 0.1 * expected, gene_wise, expected)
        shrunken = np.clip(search(start, np.log(expected), variance), SMALLEST, most)
        spread = np.array([np.nan if isinstance(t, InputError) else t.residual_variance for t in self.trends])
        with np.errstate(invalid="ignore"):
            outlying = np.log(gene_wise) > np.log(expected) + OUTLIER_SD * np.sqrt(spread)[:, None]
        self.dispersion = np.where(outlying, gene_wise, shrunken)
        self.beta, self.se, self.contrast_se = self._coefficients(self.dispersion, self.contrast.vector)
        self.fitted = self._cell_means(self.beta)
        self.cooks = kernels.draw_cooks(
            self.counts, self.genes, self.view.draws,
            self.view.unpenalised() if self.spaces[0].is_intercept else self.view.basis, self.fitted, self.fitted,
            self.dispersion, np.array([rule.classes for rule in self.rules]), 0.0, self.rules[0].cutoff, False,
        )[:2]  # fmt: skip
        return kernels.each(self._tested, range(n_draws))

    def _cell_means(self, beta: Array) -> Array:
        """Means at size factor 1: (n_draws, n_rows, n_cells)."""
        cells = np.stack([space.cells for space in self.spaces])
        return np.asarray(np.exp(beta @ cells.transpose(0, 2, 1)))

    def _coefficients(self, dispersion: Array, contrast: Array) -> tuple[Array, Array, Array]:
        """Coefficients, their standard errors, and that of the contrast, natural log."""
        from dediag.model import kernels

        beta, se, contrast_se, iterations, _ = kernels.draw_coefficients(
            self.counts, self.genes, self.view.draws, self.view.basis, frozen(contrast), dispersion,
            glm.STEP_TOLERANCE, glm.MAX_ITERATIONS,
        )  # fmt: skip
        bad = (iterations == glm.MAX_ITERATIONS) | ~np.isfinite(beta).all(axis=2) | (se <= 0.0).any(axis=2)
        bad &= np.isfinite(dispersion)
        for b in np.flatnonzero(bad.any(axis=1)).tolist():
            rows = np.flatnonzero(bad[b])
            part = self._data(b, rows)
            for i, row in enumerate(rows):
                found = glm.by_optimiser(part, self.spaces[b], i, float(dispersion[b, row]), contrast, beta[b, row])
                beta[b, row], se[b, row], contrast_se[b, row] = found[:3]
        return beta, se, contrast_se

    def _data(self, b: int, rows: NDArray[np.intp]) -> glm.Data:
        """Some genes of a draw, copied out of the matrix."""
        counts = frozen(self.counts[np.ix_(self.genes[rows], self.rows[b])])
        weights = NO_WEIGHTS
        if self.weights.shape[1]:
            weights = frozen(self.weights[np.ix_(self.genes[rows], self.rows[b])])
        return glm.Data(
            counts, frozen(np.arange(rows.size), np.int64), frozen(self.sizes[b][None, :]), weights, weights
        )

    def _tested(self, b: int) -> DrawFit | InputError:
        """Outliers replaced, tests and filtering of one draw, spread over all genes."""
        trend = self.trends[b]
        if isinstance(trend, InputError):
            return trend
        rule, options = self.rules[b], self.options
        base_mean, dispersion = self.first[0][b].copy(), self.dispersion[b].copy()
        beta, contrast_se = self.beta[b].copy(), self.contrast_se[b].copy()
        largest_distance, larger = self.cooks[0][b], self.cooks[1][b]
        over = largest_distance[:, 0] > rule.cutoff
        max_cooks = largest_distance[:, 1] if rule.eligible.any() else np.full(over.size, np.nan)
        now_zero = np.zeros(over.size, np.bool_)
        if options.replace_outliers and rule.replaceable.any() and over.any():
            every = bool(rule.replaceable.all())
            max_cooks = np.full(over.size, np.nan) if every else np.maximum(largest_distance[:, 2], 0.0)
            where = np.flatnonzero(over)
            estimates = self._estimates(b, where)
            shared = Shared(
                self.draws[b].design, self.spaces[b], None, self.contrast, trend.curve, trend.residual_variance,
                trend.prior_variance, False, rule,
            )  # fmt: skip
            means = outliers.Means(self.fitted[b, where], self.fitted[b, where])
            shared.replace(self._data(b, where), estimates, means, np.ones(where.size, np.bool_))
            base_mean[where], dispersion[where] = estimates.base_mean, estimates.dispersion
            beta[where], contrast_se[where] = estimates.beta, estimates.contrast_se
            now_zero = over & (base_mean == 0.0)
        lfc = beta @ self.contrast.vector * glm.LOG2_E
        lfc[self._unseen(b)] = 0.0
        lfc_se = contrast_se * glm.LOG2_E
        _, pvalue = contrasts.wald(lfc, lfc_se, options.lfc_threshold, options.alternative)
        outlying = max_cooks > rule.cutoff
        if rule.spare_common:
            outlying &= larger < outliers.LARGER_COUNTS
        if options.cooks:
            pvalue[outlying] = np.nan
        lfc[now_zero], lfc_se[now_zero], pvalue[now_zero] = 0.0, 0.0, 1.0
        mean, p = self._whole(base_mean, 0.0), self._whole(pvalue)
        of_genes = p if self.spike_ins is None else np.where(self.spike_ins, np.nan, p)
        if options.filtering:
            padj = independent_filtering(mean, of_genes, options.alpha).padj
        else:
            padj = benjamini_hochberg(of_genes)
        return DrawFit(self.sizes[b], mean, self._whole(dispersion), self._whole(lfc), self._whole(lfc_se), p, padj)

    def _whole(self, part: Array, fill: float = np.nan) -> Array:
        values = np.full(self.counts.shape[0], fill)
        values[self.genes] = part
        return values

    def _unseen(self, b: int) -> Mask:
        """Genes without a count in both of the compared levels, whose fold change is 0: (n_rows,)."""
        compared = self.labels[b][self.spaces[b].cell] > 0
        if self.contrast.factor is None or not compared.any():
            return np.zeros(self.genes.size, np.bool_)
        if self.spaces[b].diagonal:  # the cells' least-squares means are means of counts
            return np.asarray((self.first[3][b][:, self.labels[b] > 0] == 0.0).all(axis=1))
        return np.asarray(~self.counts[np.ix_(self.genes, self.rows[b][compared])].any(axis=1))

    def _estimates(self, b: int, where: NDArray[np.intp]) -> Estimates:
        """What `Shared.replace` takes and refits in place; fields that no refit keeps are empty."""
        n = where.size
        nothing = np.full(n, np.nan)
        mean, variance = self.first[0][b, where], self.first[1][b, where]
        return Estimates(
            mean, variance, nothing.copy(), nothing.copy(), nothing.copy(), self.dispersion[b, where],
            np.zeros(n, np.bool_), self.beta[b, where], self.se[b, where], self.contrast_se[b, where], nothing.copy(),
            nothing.copy(), np.zeros(n, np.int64), np.zeros((n, 2)), np.ones(n, np.bool_),
        )  # fmt: skip


@dataclass(frozen=True)
class _Trend:
    """The trend of one draw and the spread about it."""

    curve: Trend
    residual_variance: float
    prior_variance: float


def _trend(options: Options, base_mean: Array, dispersion: Array, df: int) -> _Trend | InputError:
    seen = np.isfinite(dispersion)
    mean, dispersion = base_mean[seen], dispersion[seen]
    try:
        curve = fit_trend(mean, dispersion, options.trend)
    except TrendError as error:
        return InputError(f"no dispersion trend can be fitted: {error}")
    fitted = curve(mean)
    prior = options.prior_variance
    if prior is None:
        prior = prior_variance(dispersion, fitted, df)
    return _Trend(curve, log_residual_variance(dispersion, fitted), prior)


_NOTHING = DrawFit(*(np.empty(0) for _ in range(7)))
