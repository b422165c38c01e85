"""How much more dispersed one group is than the other: median ratio, its small-sample bias, its standard error.

The log ratio of two gene-wise dispersions is biased where the groups are small or of unequal size, and differently at
different true ratios. So cohorts are simulated at the same sizes and depths with the ratio that was found, and what
they show is compared with what was put in. The standard error comes from leaving out samples, the unit of error; where
a group has too few for that, from simulated cohorts whose genes vary together as in the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import t

from dediag.model.dispersion import own_dispersions
from dediag.model.fit import fit as fit_cohort
from dediag.model.size_factors import METHODS, size_factors
from dediag.resample.parametric import CountModel
from dediag.resample.permuted_residuals import PermutedResiduals
from dediag.resample.plans import Simulations
from dediag.stats import jackknife
from dediag.stats.error_model import Estimate
from dediag.stats.error_rate import pooled_dispersion
from dediag.stats.satterthwaite import satterthwaite_df

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Index = NDArray[np.intp]

MOST_GENES = 2000  # that are simulated or fitted again; more change the figures by less than their error
TRIAL_REPLICATES = 6  # simulated cohorts for a first idea of the ratio
REPLICATES = 16  # and for its bias
MOST_BLOCKS = 12  # of samples left out, per group
FEWEST_TO_LEAVE_OUT = 6  # samples a group, below which leaving one out says little about a dispersion
TREND_MEANS = np.geomspace(1.0, 1e5, 26)  # at which the groups' trends are compared
SHIFT_DRAWS = 400  # samples simulated for each shift: their size factors average to an error of about .003 log2
SHIFT_GENES = 2000  # at ratios of 4 and 1/4 the shift then has a standard deviation of .001 to .002 log2 over seeds


@dataclass(frozen=True)
class RatioEstimate:
    """Median log2 ratio of dispersions, test over reference, in several sets of genes (n_sets,); NaN: too few genes."""

    value: Array  # (n_sets,) freed of small-sample bias
    se: Array  # (n_sets,)
    df: Array  # (n_sets,) degrees of freedom of se
    bias: Array  # (n_sets,) that was taken off
    method: Literal["leaving out samples", "simulation"]  # behind se and trend_se
    trend_se: Array  # (2, n_means) standard error of the log2 trend of the test and the reference group at TREND_MEANS

    def estimates(self, level: float = 0.95) -> tuple[Estimate, ...]:
        """Each set's ratio with its confidence limits."""
        reach = np.asarray(t.isf((1.0 - level) / 2.0, self.df)) * self.se
        limits = zip(self.value.tolist(), (self.value - reach).tolist(), (self.value + reach).tolist(), strict=True)
        return tuple(Estimate(*each) for each in limits)


def estimate(fit: NBFit, sets: Mask, fewest: int, rng: np.random.Generator) -> RatioEstimate:
    """The ratio in sets of genes: (n_sets, n_genes), the first of which sets the ratio of the simulated cohorts.

    fewest: genes a set must have. Raises ValueError (ArithmeticError) where a group has no dispersions.
    """
    sets = sets & np.isfinite(fit.dispersion)
    found = _medians(_compared(fit)[0], sets, fewest)
    genes = np.flatnonzero(sets.any(axis=0))
    if genes.size > MOST_GENES:
        genes = np.sort(rng.choice(genes, MOST_GENES, replace=False))
    part, inside = _part(fit, genes), sets[:, genes]
    first = float(found[0] - _simulated(part, inside, 0.0, TRIAL_REPLICATES, rng)[0][:, 0].mean())
    variance = _left_out_variance(part, inside, rng)
    simulated, trends = _simulated(part, inside, first, REPLICATES, rng, permuted=variance is None)
    bias = simulated.mean(axis=0) - first
    if variance is None:
        n = sum(part.group_mask(str(level)).sum() for level in (part.contrast.test, part.contrast.reference))
        se, df = simulated.std(axis=0, ddof=1), np.full(len(sets), n - 2.0)
        return RatioEstimate(found - bias, se, df, bias, "simulation", trends.std(axis=0, ddof=1))
    parts, df, trend_variance = variance
    se = np.sqrt(parts.sum(axis=0))
    df = satterthwaite_df(list(parts), list(df))
    return RatioEstimate(found - bias, se, df, bias, "leaving out samples", np.sqrt(trend_variance))


def _compared(fit: NBFit) -> tuple[Array, Array]:
    """log2 ratio of gene-wise dispersions (n_genes,), and log2 of both groups' trends at TREND_MEANS (2, n_means)."""
    groups = [own_dispersions(fit, str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    trends = np.log2([group.trend(TREND_MEANS) for group in groups])
    test, reference = (group.over_all(group.first.dispersion) for group in groups)
    return np.asarray(np.log2(test / reference)), trends


def _medians(values: Array, sets: Mask, fewest: int = 1) -> Array:
    """Median of the finite values of each set: (n_sets,); NaN with fewer than `fewest`."""
    known = sets & np.isfinite(values)
    return np.array([np.median(values[mask]) if mask.sum() >= fewest else np.nan for mask in known])


def _part(fit: NBFit, genes: Index, rows: Index | None = None, counts: Array | None = None) -> NBFit:
    """The fit of some genes and samples at the main fit's size factors, or of other counts for them.

    Where each group is one cell of the design, group dispersions need no more than the counts, so nothing is fitted
    again.
    """
    rows = np.arange(fit.cohort.n_samples) if rows is None else rows
    cohort: Cohort = fit.cohort.with_counts(fit.fitted_counts).take_genes(genes).take_samples(rows)
    if counts is not None:
        cohort = cohort.with_counts(counts)
    design = fit.design.take(rows)
    weights = fit.weights[np.ix_(genes, rows)] if fit.weights.shape[1] else fit.weights
    groups = (fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference))
    if any(np.unique(fit.design.cell[group]).size > 1 for group in groups):
        return fit_cohort(
            cohort, design, fit.contrast, size_factors=fit.size_factors[rows], search="newton",
            weights=weights if fit.weights.shape[1] else None, cooks=False, replace_outliers=False, filtering=False,
        )  # fmt: skip
    norm = fit.normalisation[:, rows] if fit.normalisation.shape[0] == 1 else fit.normalisation[np.ix_(genes, rows)]
    return replace(
        fit,
        cohort=cohort,
        design=design,
        normalisation=norm,
        weights=weights,
        base_mean=fit.base_mean[genes],
        dispersion=fit.dispersion[genes],
        coefficients=fit.coefficients[genes],
        replaced=np.zeros(genes.size, np.bool_),
        replaced_counts=np.empty((0, rows.size)),
    )


def _simulated(
    part: NBFit, sets: Mask, log2_ratio: float, replicates: int, rng: np.random.Generator, *, permuted: bool = False
) -> tuple[Array, Array]:
    """Medians (n_replicates, n_sets) and log2 trends (n_replicates, 2, n_means) in cohorts with this true ratio."""
    model = CountModel.of(part, Simulations(1, 0, "none", "shared"))
    model = with_ratio(model, log2_ratio)
    columns = None
    if permuted:
        columns = PermutedResiduals.of(
            part.fitted_counts, part.mu(), model.mean, model.dispersion, model.test, model.reference, rng
        )
    genes, rows = np.arange(part.cohort.n_genes), np.arange(part.cohort.n_samples)
    found, trends = [], []
    for _ in range(replicates):
        counts = model.draw(rng) if columns is None else columns.draw(model.mean.copy(), model.dispersion, rng, rows)
        ratio, trend = _compared(_part(part, genes, rows, counts))
        found.append(_medians(ratio, sets))
        trends.append(trend)
    return np.array(found), np.array(trends)


def with_ratio(model: CountModel, log2_ratio: float) -> CountModel:
    """The same model with this ratio of group dispersions, test over reference, and the same pooled dispersion."""
    n_test, n_reference = int(model.test.sum()), int(model.reference.sum())
    ratio = 2.0**log2_ratio
    reference = 1.0 / float(pooled_dispersion(ratio, 1.0, n_test, n_reference))
    dispersion = model.dispersion.copy()
    dispersion[:, model.test] *= ratio * reference
    dispersion[:, model.reference] *= reference
    dispersion.flags.writeable = False
    return replace(model, dispersion=dispersion)


def _left_out_variance(part: NBFit, sets: Mask, rng: np.random.Generator) -> tuple[Array, Array, Array] | None:
    """Variance of the medians due to each group's samples, and its degrees of freedom: (2, n_sets) each.

    And the variance of each group's log2 trend: (2, n_means).

    None where a group has too few samples, or where the design cannot do without some of them.
    """
    groups = [np.flatnonzero(part.group_mask(str(g))) for g in (part.contrast.test, part.contrast.reference)]
    if min(samples.size for samples in groups) < FEWEST_TO_LEAVE_OUT:
        return None
    everything, genes = np.arange(part.cohort.n_samples), np.arange(part.cohort.n_genes)
    variances, df, trends = [], [], []
    for k, samples in enumerate(groups):
        parts = jackknife.blocks(samples, MOST_BLOCKS, rng)
        try:
            compared = [_compared(_part(part, genes, np.setdiff1d(everything, out))) for out in parts]
        except (ValueError, ArithmeticError):  # no longer estimable, too few degrees of freedom, no trend
            return None
        variances.append(jackknife.variance(np.array([_medians(ratio, sets) for ratio, _ in compared])))
        trends.append(jackknife.variance(np.array([trend[k] for _, trend in compared])))
        df.append(np.full(len(sets), len(parts) - 1.0))
    return np.array(variances), np.array(df), np.array(trends)


def shift_at(fit: NBFit, method: str | Array, log2_ratios: Array, rng: np.random.Generator) -> Array | None:
    """How far unequal dispersions alone move all log2 fold changes through the size factors: one value per ratio.

    Cohorts without effect are simulated with each ratio at the same pooled dispersion, and normalised anew. None for
    given size factors or offsets, and where the method finds no genes.
    """
    if not isinstance(method, str) or method not in METHODS or fit.cohort.offsets is not None:
        return None
    model = CountModel.of(fit, Simulations(1, 0, "none", "shared"))
    use = np.flatnonzero(np.isfinite(fit.dispersion) & _control(fit.cohort))
    if use.size > SHIFT_GENES:
        use = np.sort(rng.choice(use, SHIFT_GENES, replace=False))
    both = model.test | model.reference
    of_test = model.test[both]
    mean = model.mean[np.ix_(use, both)]
    depth = fit.size_factors[both]
    replicates = max(4, math.ceil(SHIFT_DRAWS / int(both.sum())))
    seeds = rng.integers(0, 2**63, replicates)  # the same for each ratio, so that their noise is shared
    shifts = []
    for log2_ratio in log2_ratios:
        shape = 1.0 / with_ratio(model, float(log2_ratio)).dispersion[np.ix_(use, both)]
        found = []
        for seed in seeds:
            counts = np.random.default_rng(seed).negative_binomial(shape, shape / (shape + mean)).astype(np.float64)
            try:
                error = np.log2(size_factors(counts, method).values / depth)  # type: ignore[arg-type]  # checked above
            except ValueError:
                return None
            found.append(error[~of_test].mean() - error[of_test].mean())
        shifts.append(float(np.mean(found)))
    return np.array(shifts)


def _control(cohort: Cohort) -> Mask:
    use = cohort.normalisation_genes
    return np.ones(cohort.n_genes, np.bool_) if use is None else use
