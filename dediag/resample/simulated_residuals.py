"""Quantile residuals of a fit's counts, and those of cohorts simulated from the fit and fitted again.

Residuals about fitted means and dispersions are more regular than a standard normal distribution, the more so the fewer
samples: fitted values follow the counts. Simulated cohorts that are fitted again, size factors, trend, shrinkage and
replacement of outliers included, are as regular, if the model is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError, frozen
from dediag.model.fit import fit as fit_cohort
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Simulations
from dediag.stats.quantile_residuals import quantile_residuals, zero_probability
from dediag.stats.residual_shape import Tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.nbfit import NBFit
    from dediag.model.size_factors import Method

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

OTHER, REFERENCE, TEST = range(3)  # groups of samples


@dataclass(frozen=True)
class Judging:
    """How residuals are summed up."""

    edges: Array  # (n_bins + 1,) base means between the bins
    groups: Index  # (n_samples,) OTHER, REFERENCE or TEST
    limit: float  # residuals beyond it are outliers

    def tally(self, counts: Array, mean: Array, dispersion: Array, base_mean: Array, rng: np.random.Generator) -> Tally:
        """The residuals of counts (n_genes, n_samples) under these means and dispersions (n_genes,)."""
        residual = quantile_residuals(counts, mean, dispersion[:, None], rng.random(counts.shape))
        bins = np.where(base_mean > 0.0, np.searchsorted(self.edges, base_mean, side="right") - 1, -1)
        return Tally.of(
            residual, counts == 0.0, zero_probability(mean, dispersion[:, None]), bins=bins,
            n_bins=self.edges.size - 1, groups=self.groups, limit=self.limit,
        )  # fmt: skip


def observed(fit: NBFit, genes: Index, judging: Judging, rng: np.random.Generator) -> Tally:
    """The counts of these genes as they came, outliers not replaced, under the fit's means and dispersions."""
    mean = np.exp2(fit.coefficients[genes] @ fit.design.cells.T)[:, fit.design.cell] * _of_genes(fit, genes)
    return judging.tally(fit.cohort.counts[genes], mean, fit.dispersion[genes], fit.base_mean[genes], rng)


def simulated(
    fit: NBFit, genes: Index, judging: Judging, replicates: int, *, dispersions: tuple[Array, Array],
    size_factors: Method | Array, rng: np.random.Generator,
) -> list[Tally]:  # fmt: skip
    """The same of cohorts simulated from the fit, each under its own fit; cohorts without a trend are left out.

    dispersions: (n_genes of the fit,) of the test and the reference group; other samples have the shared ones.
    size_factors: the method of the main fit, or its given factors.
    """
    model = CountModel.of(fit, Simulations(1, 0, "fitted", "shared"))
    spread = model.dispersion[genes]
    for group, own in zip((model.test, model.reference), dispersions, strict=True):
        spread[:, group] = own[genes, None]
    model = replace(
        model, mean=model.mean[genes], dispersion=frozen(spread), factor_test=model.factor_test[genes],
        factor_reference=model.factor_reference[genes],
    )  # fmt: skip
    part, found = fit.cohort.take_genes(genes), []
    for _ in range(replicates):
        counts = model.draw(rng)
        again = _fitted_again(part.with_counts(counts), fit, size_factors)
        if again is not None:
            found.append(judging.tally(counts, again.mu(), again.dispersion, again.base_mean, rng))
    return found


def _of_genes(fit: NBFit, genes: Index) -> Array:
    """Size factors (1, n_samples), or offsets of these genes."""
    return fit.normalisation if fit.normalisation.shape[0] == 1 else fit.normalisation[genes]


def _fitted_again(cohort: Cohort, fit: NBFit, size_factors: Method | Array) -> NBFit | None:
    """Like the main fit; at its size factors where the method finds no genes among these, and None without a trend."""
    method = size_factors if cohort.control_genes is None else fit.size_factors  # the part may lack control genes
    for factors in (method, fit.size_factors):
        try:
            return fit_cohort(
                cohort, fit.design, fit.contrast, search="newton", size_factors=factors, cooks=False, filtering=False
            )
        except InputError:
            continue
    return None
