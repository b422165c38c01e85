"""Dispersion of every gene in every draw: the exact optimum of its (penalised) likelihood, by Newton's method."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.kernels.compilation import inner, kernel
from dediag.model.kernels.draws import gather, means_of_cells, own
from dediag.model.kernels.profile_likelihood import SMALLEST_DISPERSION, objective, rises_at_zero, slopes
from dediag.model.kernels.threads import over_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.kernels.draws import Draws

    Array = NDArray[np.float64]
    Index = NDArray[np.int64]

SMALLEST_MEAN = 0.5
MAX_TRIES = 100
LAST_STEP = 1e-3  # Newton's steps square their error: the next one would be below 1e-6
LONGEST_STEP = 3.0
USED_WEIGHT = 0.01  # samples of smaller weight do not enter the determinant
LITTLE_GAIN = 1e-6

# numba knows the untyped kind of tuple only
Gene = namedtuple("Gene", "y mu weight used")
Space = namedtuple("Space", "factors diagonal shift share")
Prior = namedtuple("Prior", "mean variance")
Work = namedtuple("Work", "w B D E")


@inner
def newton(start, high, gene, space, prior, work):
    """Optimum in [log 1e-8, high], number of derivatives taken, gain over the start, last second derivative.

    The gain is the trapezoid rule with its end correction over the derivatives at both ends, infinite for a step of
    more than one unit, where that would not be exact enough.

    Newton steps on the derivative, kept inside a bracket. Without a prior a start at the lower bound shows no
    overdispersion and stays there, as in the reference: trend and prior leave such genes out.
    """
    low = math.log(SMALLEST_DISPERSION)
    if start <= low + 1e-6 and not prior.variance < math.inf:
        return low, 0, math.inf, math.nan
    left, right = low, high
    rises = rises_at_zero(gene, space, prior, work)
    gain, first, curvature, d2 = math.inf, 0.0, 0.0, math.nan
    a = min(max(start, low), high)
    tries = 0
    while tries < MAX_TRIES:
        d, d2 = slopes(a, gene, space, prior, work)
        tries += 1
        if tries == 1:
            first, curvature = d, d2
        if a >= high and d >= 0.0:
            return high, tries, gain, math.nan
        if d > 0.0:
            left = a
        else:
            right = a
        if d2 < 0.0:
            step = min(max(-d / d2, -LONGEST_STEP), LONGEST_STEP)
        elif d <= 0.0 and not rises and left == low:  # convex and falling: it falls all the way from the bound
            right = low
            break
        else:
            step = 2.0 if d > 0.0 else -2.0
        new = a + step
        if new >= high and right == high:
            new = high
        elif new <= left or new >= right:
            if left == low and not rises and right - low < 1.0:
                right = low
                break
            new = 0.5 * (left + right)
        moved = abs(new - a)
        a = new
        if moved < LAST_STEP:
            break
    if right <= low:
        return low, tries, math.inf, math.nan
    moved = a - start
    if abs(moved) < 1.0:
        gain = 0.5 * moved * first + moved * moved / 12.0 * (curvature - d2)
    if not rises and objective(low, gene, space, prior, work) >= objective(a, gene, space, prior, work):
        return low, tries, math.inf, math.nan  # the bound is a local optimum too
    return a, tries, gain, d2


@inner
def gene_wise(start, high, gene, space, prior, work):
    """Gene-wise dispersion, tries, log of the optimum and second derivative there (NaN at a bound).

    Where the objective rises by less than a millionth of its size the dispersion stays at its start: a rule of the
    method, whatever the search; at high counts, where the objective is large, many moment estimates stay.
    """
    a, tries, gain, curvature = newton(math.log(start), high, gene, space, prior, work)
    if tries == 0:
        return SMALLEST_DISPERSION, 0, math.nan, math.nan
    before = objective(math.log(start), gene, space, prior, work)
    if not gain < math.inf:
        gain = objective(a, gene, space, prior, work) - before
    little = before + gain < before + abs(before) * LITTLE_GAIN
    return (start if little else math.exp(a)), tries, a, curvature


@kernel
def optima_of(
    first, last, counts, genes, draws, mean, start, prior_mean, prior_variance, factors, diagonal, shift, share, high,
    dispersion, tries, peak, curvature,
):  # fmt: skip
    """Fit the genes genes[first:last] in every draw and write these columns of the results."""
    n_draws, n_padded = draws.rows.shape
    p = int((math.sqrt(1.0 + 8.0 * factors.shape[1]) - 1.0) / 2.0 + 0.5)
    y, s, mu, weight = np.empty(n_padded), np.empty(n_padded), np.empty(n_padded), np.empty(n_padded)
    used = draws.real.copy()
    gene = Gene(y, mu, weight, used)
    work = Work(np.empty(n_padded), np.empty((p, p)), np.empty((p, p)), np.empty((p, p)))
    weighted = draws.weights.shape[1] > 0
    for i in range(first, last):
        g = genes[i]
        row, weight_row = counts[g], draws.weights[g if weighted else 0]
        for b in range(n_draws):
            if not math.isfinite(start[b, i]):  # no counts in this draw
                dispersion[b, i] = peak[b, i] = curvature[b, i] = math.nan
                tries[b, i] = 0
                continue
            v = prior_variance[b]
            space = Space(factors[own(b, factors)], diagonal, shift[own(b, shift)], share)
            gather(draws, b, g, row, weight_row, y, s, weight)
            means_of_cells(mean[b, i], draws.cell[own(b, draws.cell)], s, SMALLEST_MEAN, mu)
            if weighted:
                for j in range(draws.n):
                    used[j] = 1.0 if weight[j] > USED_WEIGHT else 0.0
                    if not v < math.inf:
                        weight[j] = max(weight[j], 1e-6)
            prior = Prior(prior_mean[b, i], v)
            if v < math.inf:
                near = math.log(start[b, i])
                if curvature[b, i] < 0.0:  # where the gene's own likelihood, a parabola about its peak, meets the prior
                    h = -curvature[b, i]
                    near = (h * peak[b, i] + prior.mean / v) / (h + 1.0 / v)
                a, tries[b, i], _, _ = newton(near, high, gene, space, prior, work)
                dispersion[b, i] = math.exp(a)
                continue
            found = gene_wise(start[b, i], high, gene, space, prior, work)
            dispersion[b, i], tries[b, i], peak[b, i], curvature[b, i] = found


def draw_dispersions(
    counts: Array, genes: Index, draws: Draws, mean: Array, start: Array, prior_mean: Array, prior_variance: Array,
    factors: Array, diagonal: bool, shift: Array, largest: float, peak: Array, curvature: Array, share: float = 1.0,
) -> tuple[Array, Index]:  # fmt: skip
    """Dispersions of counts[genes] in every draw: (dispersion, tries), each (n_draws, n_rows).

    mean (n_draws, n_rows, n_cells) at size factor 1; start (n_draws, n_rows), NaN for a gene without counts in a draw;
    prior_mean (n_draws, n_rows); prior_variance (n_draws,), infinite for none, and then a start stays where the
    objective gains little; factors (n_draws or 1, n_rows, n_padded) of the determinant: who belongs to each cell where
    `diagonal`, else the products of each two columns of its basis, lower triangle row by row. peak and curvature
    (n_draws, n_rows), the log of the optimum and the second derivative there, are written without a prior and give the
    start with one (NaN: `start` does). share: of the determinant that counts, where a basis takes fewer degrees of
    freedom from these samples than it has columns.
    """
    dispersion, tries = np.empty(start.shape), np.empty(start.shape, np.int64)
    over_genes(
        optima_of, genes.size, counts, genes, draws, mean, start, prior_mean, prior_variance, factors, diagonal, shift,
        share, math.log(largest), dispersion, tries, peak, curvature,
    )  # fmt: skip
    return dispersion, tries


@kernel
def profiles_of(first, last, counts, genes, draws, mean, log_alpha, factors, diagonal, shift, share, profile):
    """Write the rows first to last of the profile."""
    n_padded = draws.rows.shape[1]
    p = int((math.sqrt(1.0 + 8.0 * factors.shape[1]) - 1.0) / 2.0 + 0.5)
    y, s, mu, weight = np.empty(n_padded), np.empty(n_padded), np.empty(n_padded), np.empty(n_padded)
    used = draws.real.copy()
    gene = Gene(y, mu, weight, used)
    work = Work(np.empty(n_padded), np.empty((p, p)), np.empty((p, p)), np.empty((p, p)))
    space, prior = Space(factors[0], diagonal, shift[0], share), Prior(0.0, math.inf)
    weighted = draws.weights.shape[1] > 0
    for i in range(first, last):
        g = genes[i]
        gather(draws, 0, g, counts[g], draws.weights[g if weighted else 0], y, s, weight)
        means_of_cells(mean[0, i], draws.cell[0], s, SMALLEST_MEAN, mu)
        if weighted:
            for j in range(draws.n):
                used[j] = 1.0 if weight[j] > USED_WEIGHT else 0.0
                weight[j] = max(weight[j], 1e-6)
        for k in range(log_alpha.size):
            profile[0, i, k] = objective(log_alpha[k], gene, space, prior, work)


def dispersion_profiles(
    counts: Array, genes: Index, draws: Draws, mean: Array, log_alpha: Array, factors: Array, diagonal: bool,
    shift: Array, share: float,
) -> tuple[Array]:  # fmt: skip
    """Adjusted log-likelihood of each gene at these log dispersions: (1, n_rows, n_alphas); arguments as above."""
    profile = np.empty((1, genes.size, log_alpha.size))
    over_genes(profiles_of, genes.size, counts, genes, draws, mean, log_alpha, factors, diagonal, shift, share, profile)
    return (profile,)
