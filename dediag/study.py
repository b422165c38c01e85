"""A study: the cohort, its main fit, and everything that more than one diagnostic asks for, computed once on demand.

A diagnostic sees nothing else. All arrays are read-only; random numbers come from `Study.rng`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import InputError, frozen
from dediag.model.dispersion import group_dispersions
from dediag.model.exact import floor_genes, optimum
from dediag.model.group_means import group_means
from dediag.model.group_test import EXPRESSED, FEWEST_GENES
from dediag.progress import Progress, silent
from dediag.resample import draws
from dediag.resample.plans import Simulations
from dediag.resample.streams import stream
from dediag.settings import AuditSettings
from dediag.stats.error_model import UNKNOWN, ErrorModel
from dediag.stats.error_rate import median_variance_ratio
from dediag.stats.fellows import most
from dediag.stats.strata import by_expression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.dispersion import GroupDispersion
    from dediag.model.exact import Optimum
    from dediag.model.nbfit import NBFit
    from dediag.model.sample_shares import CooksShares
    from dediag.model.shrinkage import Shrunken
    from dediag.model.size_factors import Method
    from dediag.resample.against_full import Drawn
    from dediag.resample.dispersion_ratio import RatioEstimate
    from dediag.resample.effects import Effects
    from dediag.resample.ensemble import Ensemble
    from dediag.resample.plans import Plan, Subsets
    from dediag.resample.workers import Execution
    from dediag.stats.error_model import Estimate
    from dediag.stats.strata import Stratum

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

RATIO_EDGES = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, np.inf)  # base means between which dispersions are compared
RATIO_GENES = FEWEST_GENES  # whose ratio of dispersions is given
SHIFT_KNOTS = np.linspace(-4.0, 4.0, 9)  # log2 ratios of dispersions at which the shift is simulated
LEFT_OUT = 50  # most samples that are left out in turn ...
FELLOWS = 5  # ... and how many of them are of the same group at least, if it has so many
DIFFERENT = 0.75  # most of the larger group that a draw takes whose list is compared with that of other draws


@dataclass(frozen=True)
class Study:
    """A cohort with its main fit; what diagnostics share is a lazily computed property.

    Where `in_interaction` is true, a diagnostic that compares two groups is not assessable.
    """

    cohort: Cohort
    fit: NBFit  # search="reference"
    seed: int = 1
    settings: AuditSettings = field(default_factory=AuditSettings)
    size_factors: Method | Array = "ratio"  # the method of the main fit, or its given factors (n_samples,)
    execution: Execution | None = field(default=None, repr=False, compare=False)  # of refits; None: here, not cached
    _ensembles: dict[Plan, Ensemble] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rng(self, name: str) -> np.random.Generator:
        """A generator that depends on the study's seed and this name only."""
        return stream(self.seed, name)

    def ensemble(self, plan: Plan, progress: Progress = silent) -> Ensemble:
        """The refits of a plan; equal plans are run once."""
        if plan not in self._ensembles:
            from dediag.resample.ensemble import run

            self._ensembles[plan] = run(
                plan, self.fit, size_factors=self.size_factors, execution=self.execution, progress=progress
            )
        return self._ensembles[plan]

    @property
    def inputs(self) -> frozenset[str]:
        """Which of contract.NEEDS this study has."""
        given = {"lengths": self.cohort.gene_lengths, "spike_ins": self.cohort.spike_ins}
        return frozenset({"cohort", *(name for name, value in given.items() if value is not None)})

    @property
    def in_interaction(self) -> bool:
        """Whether the contrast factor is part of an interaction, so that two groups have no one difference."""
        return self.fit.contrast.factor in self.fit.design.interactions

    # The two groups --------------------------------------------------------------------------------------------------

    @cached_property
    def test_samples(self) -> Mask:
        """Samples of the test group: (n_samples,)."""
        return frozen(self.fit.group_mask(_level(self.fit.contrast.test)), np.bool_)

    @cached_property
    def reference_samples(self) -> Mask:
        """Samples of the reference group: (n_samples,)."""
        return frozen(self.fit.group_mask(_level(self.fit.contrast.reference)), np.bool_)

    @property
    def n_test(self) -> int:
        """Number of samples in the test group."""
        return int(self.test_samples.sum())

    @property
    def n_reference(self) -> int:
        """Number of samples in the reference group."""
        return int(self.reference_samples.sum())

    # Expression ------------------------------------------------------------------------------------------------------

    @cached_property
    def normalized(self) -> Array:
        """Counts over size factors (or offsets): (n_genes, n_samples)."""
        return frozen(self.cohort.counts / self.fit.normalisation)

    @cached_property
    def cpm(self) -> Array:
        """Counts per million of the sample's counts: (n_genes, n_samples)."""
        return frozen(self.cohort.counts / self.cohort.counts.sum(axis=0) * 1e6)

    @cached_property
    def _group_means(self) -> tuple[Array, Array]:
        return group_means(self.fit)

    @property
    def mean_test(self) -> Array:
        """Fitted mean of the test group at size factor 1: (n_genes,); NaN for an all-zero gene.

        With covariates, at their average over the samples of both groups, so that log2(mean_test / mean_reference) is
        the fitted fold change. The floor of 0.5 is not applied.
        """
        return self._group_means[0]

    @property
    def mean_reference(self) -> Array:
        """Fitted mean of the reference group at size factor 1: (n_genes,); see `mean_test`."""
        return self._group_means[1]

    @cached_property
    def above_floor(self) -> NDArray[np.intp]:
        """Positions of the genes with counts whose fitted means are 0.5 or more in every sample."""
        seen = np.isfinite(self.fit.dispersion) & (self.fit.base_mean > 0.0)
        return frozen(np.flatnonzero(seen & ~floor_genes(self.fit)), np.intp)

    @cached_property
    def exact(self) -> Optimum:
        """The exact optimum of the coefficients at the main fit's dispersions."""
        return optimum(self.fit)

    # Dispersions and effects -----------------------------------------------------------------------------------------

    @cached_property
    def group_dispersion_test(self) -> GroupDispersion:
        """Dispersions of the test group alone; raises ValueError below 3 residual degrees of freedom."""
        return group_dispersions(self.fit, _level(self.fit.contrast.test))

    @cached_property
    def group_dispersion_reference(self) -> GroupDispersion:
        """Dispersions of the reference group alone; raises ValueError below 3 residual degrees of freedom."""
        return group_dispersions(self.fit, _level(self.fit.contrast.reference))

    @cached_property
    def has_group_dispersions(self) -> bool:
        """Whether both groups have dispersions of their own."""
        try:
            return bool(self.group_dispersion_test.df and self.group_dispersion_reference.df)
        except (ValueError, ArithmeticError):
            return False

    @cached_property
    def recentred(self) -> NBFit:
        """The main fit with recentred size factors; itself at given ones, or with too few well-expressed genes."""
        from dediag.model.fit import fit

        main, alpha, factors = self.fit, self.settings.alpha, self.size_factors
        with contextlib.suppress(InputError):
            if self.normalisation_shifts is not None:
                return fit(self.cohort, main.design, main.contrast, alpha=alpha, size_factors=factors, recentre=True)
        return main

    @cached_property
    def significant(self) -> Mask:
        """Calls: adjusted p below `settings.alpha`: (n_genes,)."""
        return frozen(self.fit.padj < self.settings.alpha, np.bool_)

    @cached_property
    def dispersion_ratio(self) -> RatioEstimate:
        """Log2 ratio of the groups' dispersions, in the genes expressed in both and then by base mean (RATIO_EDGES).

        Raises ValueError or ArithmeticError where a group has no dispersions of its own.
        """
        from dediag.resample.dispersion_ratio import estimate

        expressed = np.minimum(self.mean_test, self.mean_reference) >= EXPRESSED
        bins = [(self.fit.base_mean >= low) & (self.fit.base_mean < high) for low, high in pairwise(RATIO_EDGES)]
        return estimate(self.fit, np.array([expressed, *bins]), RATIO_GENES, self.rng("heteroskedasticity ratio"))

    @cached_property
    def normalisation_shifts(self) -> Array | None:
        """Log2 shift of all fold changes at each of SHIFT_KNOTS; None where normalisation cannot shift them."""
        from dediag.resample.dispersion_ratio import shift_at

        return shift_at(self.fit, self.size_factors, SHIFT_KNOTS, self.rng("heteroskedasticity shift"))

    @cached_property
    def error_model(self) -> ErrorModel:
        """Error rate of each gene's test as a function of the dispersion ratio, shift of the normalisation included."""
        shifts = self.normalisation_shifts
        n1, n2 = self.n_test, self.n_reference
        common = (n1 * self.mean_test + n2 * self.mean_reference) / (n1 + n2)
        # the variance of a log count averages 1/mean over samples, hence harmonic means of the size factors
        depth = [1.0 / np.mean(1.0 / self.fit.size_factors[g]) for g in (self.test_samples, self.reference_samples)]
        known = np.zeros(len(SHIFT_KNOTS)) if shifts is None else shifts
        return ErrorModel(common * depth[0], common * depth[1], self.fit.dispersion, n1, n2, SHIFT_KNOTS, known)

    @cached_property
    def predicted_size(self) -> Estimate:
        """Mean over tested genes of the error rate at nominal 5 %, with the interval that the ratio's gives it.

        Unknown where too few genes are well expressed, or the ratio of the dispersions cannot be estimated.
        """
        if (np.minimum(self.mean_test, self.mean_reference) >= EXPRESSED).sum() < RATIO_GENES:
            return UNKNOWN
        tested = np.isfinite(self.fit.pvalue) & np.isfinite(self.fit.dispersion) & (self.fit.base_mean > 0)
        try:
            return self.error_model.take(tested).mean_size(self.dispersion_ratio.estimates()[0])
        except (ValueError, ArithmeticError):
            return UNKNOWN

    @property
    def remedy(self) -> str:
        """The command of the analysis for groups of unequal dispersion; given size factors are not recentred."""
        return f"dediag fit --dispersion group{'' if self.normalisation_shifts is None else ' --recentre'}"

    @cached_property
    def own_dispersions(self) -> tuple[Array, Array]:
        """Dispersions of the test and the reference group, (n_genes,) each: their own if known, else the shared."""
        own = self.fit.dispersion, self.fit.dispersion
        if self.has_group_dispersions:
            own = self.group_dispersion_test.map, self.group_dispersion_reference.map
        test, reference = (frozen(np.where(np.isfinite(phi), phi, self.fit.dispersion)) for phi in own)
        return test, reference

    def against_full(self, draws: Subsets, genes: NDArray[np.intp]) -> Drawn:
        """The fold changes of these genes in draws against those of the full fit; see `resample.against_full`."""
        from dediag.resample.against_full import against_full

        return against_full(
            self.fit, self.ensemble(draws), genes, dispersions=self.own_dispersions, size_factors=self.size_factors,
            rng=self.rng("parts of the genes"),
        )  # fmt: skip

    @cached_property
    def effects(self) -> Effects:
        """The distribution of true effects that the main fit's fold changes come from, and each gene's posterior."""
        from dediag.resample.effects import Effects

        return Effects.of(self.fit)

    @cached_property
    def shrunken(self) -> Shrunken:
        """Shrunken fold changes of the main fit (log2)."""
        from dediag.model.shrinkage import shrink

        return shrink(self.fit)

    @cached_property
    def strata(self) -> tuple[Stratum, ...]:
        """Genes, calls, share of calls that are up, and median fold change of all genes, by base mean."""
        return by_expression(self.fit.base_mean, self.fit.lfc, self.significant)

    # Plans that several diagnostics ask for --------------------------------------------------------------------------

    @cached_property
    def balanced_draws(self) -> Subsets | None:
        """Equally many samples of both groups; None where every sample would be taken, or no draw has full rank."""
        return draws.balanced(self.fit, self.settings.draws, self.settings.draw_size, self.rng("balanced draws"))

    @cached_property
    def control_draws(self) -> Subsets | None:
        """Draws as precise as the balanced ones at the original ratio; None below 3 samples a group."""
        size, ratio = self.settings.draw_size, self.log_variance_ratio or 1.0
        return draws.control(self.fit, -(-self.settings.draws // 2), size, ratio, self.rng("control draws"))

    @cached_property
    def half_draws(self) -> Subsets | None:
        """Half of each group; None where every sample would be taken, or no draw has full rank."""
        return draws.halves(self.fit, self.settings.draws, self.rng("half draws"))

    @property
    def without_effect(self) -> Simulations:
        """Cohorts in which no gene has an effect, each group with its own dispersions (where it has them)."""
        n = -(-self.settings.bootstraps // 2)  # ten thousand genes in each: enough for an error rate
        return Simulations(n, self.seed, "none", "group", keep=("pvalue",), what="refits of cohorts without effect")

    @property
    def repeated_draws(self) -> Subsets | None:
        """Draws whose lists are compared: balanced ones if these differ in a quarter of the larger group, or halves."""
        smaller, larger = sorted((self.n_test, self.n_reference))
        size = self.settings.draw_size or smaller
        return (self.balanced_draws if size <= DIFFERENT * larger else None) or self.half_draws

    @cached_property
    def cooks_shares(self) -> CooksShares:
        """Each sample's share of Cook's distance, mean over the genes above the floor."""
        from dediag.model.sample_shares import cooks_shares

        return cooks_shares(self.fit, self.above_floor)

    @cached_property
    def leave_one_out(self) -> Subsets | None:
        """All samples but one, for each of both groups', or for the LEFT_OUT with most of Cook's distance."""
        group = np.where(self.test_samples, 0, np.where(self.reference_samples, 1, -1))
        return draws.leave_one_out(self.fit, most(self.cooks_shares.observed, group, LEFT_OUT, FELLOWS).tolist())

    @property
    def draw_arms(self) -> dict[str, Subsets]:
        """Balanced and control draws by name, as far as there are any; none for equal groups."""
        if self.n_test == self.n_reference or self.balanced_draws is None:
            return {}
        both = {"balanced": self.balanced_draws, "control": self.control_draws}
        return {name: draws for name, draws in both.items() if draws is not None}

    @cached_property
    def log_variance_ratio(self) -> float | None:
        """Median over expressed genes of v1/v2, v = 1/mean + group dispersion; None without group dispersions."""
        if not self.has_group_dispersions:
            return None
        own = self.group_dispersion_test.map, self.group_dispersion_reference.map
        return median_variance_ratio(self.mean_test, self.mean_reference, *own, EXPRESSED)


def _level(level: str | None) -> str:
    if level is None:
        raise ValueError("the contrast is a coefficient, so there are no two groups")
    return level
