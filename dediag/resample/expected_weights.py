"""Sample weights of a study, those that its fitted model gives by itself, and the calls when the weights are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from dediag.cohort import InputError
from dediag.model.fit import fit as fit_cohort
from dediag.model.group_test import EXPRESSED
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Simulations
from dediag.resample.streams import stream
from dediag.stats.fellows import beyond_fellows, spread_of_fellows
from dediag.stats.moderated_t import voom
from dediag.stats.sample_weights import sample_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]

SIMULATED_GENES = 2_000  # of a simulated cohort: each log weight is known to .03 there


@dataclass(frozen=True)
class SampleWeights:
    """Weights of the samples of two groups beside those that the fitted model gives by itself."""

    everyone: Array  # (n_samples of the design,) weights, geometric mean one
    weight: Array  # (n_samples,)
    expected: Array  # (n_cohorts, n_samples) in simulated cohorts
    dispersion: Literal["group", "shared"]  # they were simulated with
    ratio: Array  # (n_samples,) weight over expected one, as a multiple of the fellows' median; NaN: no fellows
    spreads: Array  # (n_samples,) how far below the fellows that is, in robust standard deviations of its log
    n_genes: int  # that the weights come from

    @property
    def typical(self) -> Array:
        """The expected weights: geometric means over the cohorts, (n_samples,)."""
        return np.asarray(np.exp(np.log(self.expected).mean(axis=0)))


@dataclass(frozen=True)
class Calls:
    """Numbers of genes called without and with weights."""

    before: int
    after: int
    lost: int
    gained: int

    @property
    def changed(self) -> float:
        """Calls lost and gained, as a share of those without or with weights, whichever are more."""
        return (self.lost + self.gained) / max(self.before, self.after, 1)


def beside_model(fit: NBFit, genes: Index, group: Index, n_cohorts: int, seed: int) -> SampleWeights:
    """The sample weights of a fit from these genes; group (n_samples,) 0 or 1, negative: of neither group, left out.

    They are set beside those of the fellows, the other samples of the group: a bad sample makes the dispersions of a
    small group larger, and its own expected weight lower than it should be, but that of its fellows as well.
    """
    weight = weights_of(fit, genes, fit.cohort.counts[genes])
    expected, dispersion = expected_weights(fit, genes, n_cohorts, seed)
    both = group >= 0
    beyond = beyond_fellows((np.log(weight) - np.log(expected).mean(axis=0))[both], group[both])
    spread = spread_of_fellows(beyond, group[both])
    spreads = -np.divide(beyond, spread, out=np.full(beyond.size, np.nan), where=spread > 0.0)
    return SampleWeights(weight, weight[both], expected[:, both], dispersion, np.exp(beyond), spreads, int(genes.size))


def weighed_genes(fit: NBFit) -> Index:
    """Positions of the genes that sample weights are estimated from: lower log counts are too discrete."""
    return np.flatnonzero(fit.base_mean >= EXPRESSED)


def weights_of(fit: NBFit, genes: Index, counts: Array) -> Array:
    """Sample weights (n_samples,) of counts (n_genes chosen, n_samples) of these genes, at the fit's size factors."""
    size = fit.size_factors
    level = counts if fit.normalisation.shape[0] == 1 else counts * size / fit.normalisation[genes]
    made = voom(level, fit.design.matrix, size * np.exp(np.log(counts.sum(axis=0) + 1.0).mean() - np.log(size).mean()))
    return sample_weights(made.log_cpm, fit.design.matrix, made.weights)


def expected_weights(fit: NBFit, genes: Index, n_cohorts: int, seed: int) -> tuple[Array, Literal["group", "shared"]]:
    """Weights in cohorts simulated from the fit, (n_cohorts, n_samples), and whose dispersions they were drawn with.

    Each group has dispersions of its own where it has enough samples: a group that varies more as a whole is then
    expected to. At most SIMULATED_GENES of the genes, evenly spaced.
    """
    chosen = genes[:: max(1, -(-genes.size // SIMULATED_GENES))]
    used: Literal["group", "shared"] = "group"
    try:
        model = CountModel.of(fit, Simulations(n_cohorts, seed, "fitted", used))
    except (ValueError, ArithmeticError):
        used = "shared"
        model = CountModel.of(fit, Simulations(n_cohorts, seed, "fitted", used))
    part = replace(
        model, mean=model.mean[chosen], dispersion=model.dispersion[chosen], factor_test=model.factor_test[chosen],
        factor_reference=model.factor_reference[chosen],
    )  # fmt: skip
    draws = (part.draw(stream(seed, f"sample weights {k}")) for k in range(n_cohorts))
    return np.array([weights_of(fit, chosen, counts) for counts in draws]), used


def calls_with(fit: NBFit, weights: Array, size_factors: str | ArrayLike, before: Mask) -> Calls | None:
    """What these sample weights (n_samples,) do to the calls `before` (n_genes,); None if no fit can be made.

    Weights are scaled to mean one and used as given: they say which samples to trust more, not how many there are.
    size_factors: the method of the main fit, or its given factors.
    """
    try:
        found = fit_cohort(
            fit.cohort, fit.design, fit.contrast, size_factors=size_factors, search="newton", alpha=fit.alpha,
            lfc_threshold=fit.lfc_threshold, alternative=fit.alternative, scale_weights=False,
            weights=np.broadcast_to(weights / weights.mean(), fit.cohort.counts.shape),
        ).significant  # fmt: skip
    except InputError:
        return None
    return Calls(int(before.sum()), int(found.sum()), int((before & ~found).sum()), int((found & ~before).sum()))
