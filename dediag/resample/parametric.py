"""Counts simulated from a fit: its depths, its dispersions or each group's own, its effects in one of several ways."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from dediag.cohort import frozen
from dediag.model.dispersion import SMALLEST, group_dispersions
from dediag.model.group_means import group_means
from dediag.model.shrinkage import shrink
from dediag.resample.effects import Effects
from dediag.resample.permuted_residuals import PermutedResiduals
from dediag.resample.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.plans import Dispersions, Simulations

    Array = NDArray[np.float64]


def _masks(fit: NBFit) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if fit.contrast.test is None or fit.contrast.reference is None:
        raise ValueError("the contrast is a coefficient, so there are no two groups to simulate")
    return fit.group_mask(fit.contrast.test), fit.group_mask(fit.contrast.reference)


SMALLEST_MEAN = 0.01  # below it a trend over 1/mean says nothing


@dataclass(frozen=True)
class CountModel:
    """Everything that a simulated cohort is drawn from; genes without counts keep none."""

    mean: Array  # (n_genes, n_samples) without group effect, on the scale of the counts
    dispersion: Array  # (n_genes, n_samples)
    factor_test: Array  # (n_genes,) the test group's mean over that without effect
    factor_reference: Array  # (n_genes,)
    swapping: bool  # whether each gene's two factors are exchanged at random
    test: NDArray[np.bool_]  # (n_samples,)
    reference: NDArray[np.bool_]  # (n_samples,)
    columns: PermutedResiduals | None = None  # None: counts vary independently
    effects: Effects | None = None  # drawn anew in each cohort, in place of the factors

    @classmethod
    def of(cls, fit: NBFit, plan: Simulations) -> CountModel:
        """The model that a plan asks for.

        Without effect, both groups have the mean of all their samples, (n1 mu1 + n2 mu2) / (n1 + n2); effects keep
        that mean. Raises ValueError where group dispersions are asked for and a group has below 3 residual degrees of
        freedom.
        """
        test, reference = _masks(fit)
        if plan.residuals == "independent":
            null = _without_effect(fit, plan.dispersion, plan.residuals, plan.seed)
        else:
            with _one_at_a_time:
                null = _kept_without_effect(fit, plan.dispersion, plan.residuals, plan.seed)
        ratio = np.ones(fit.cohort.n_genes)
        if plan.effects == "fitted":
            ratio = np.exp2(np.nan_to_num(shrink(fit).lfc))
        factor_test, factor_reference = _factors(ratio, test.sum() / (test.sum() + reference.sum()))
        return cls(
            null.mean,
            null.dispersion,
            frozen(factor_test),
            frozen(factor_reference),
            plan.effects == "swapped",
            test,
            reference,
            null.columns,
            _effects(fit, plan, null.dispersion),
        )

    def draw(self, rng: np.random.Generator, rows: NDArray[np.intp] | None = None) -> Array:
        """Counts of one simulated cohort, or of these samples of it: (n_genes, n_samples)."""
        index = np.arange(self.mean.shape[1]) if rows is None else rows
        factor_test, factor_reference = self.factor_test, self.factor_reference
        if self.effects is not None:
            share = self.test.sum() / (self.test.sum() + self.reference.sum())
            effect = self.effects.draw_unsigned(rng) if self.swapping else self.effects.draw(rng)
            factor_test, factor_reference = _factors(np.exp2(effect), share)
        if self.swapping:
            swap = rng.random(self.mean.shape[0]) < 0.5
            factor_test, factor_reference = (
                np.where(swap, factor_reference, factor_test),
                np.where(swap, factor_test, factor_reference),
            )
        factor = np.where(self.test, factor_test[:, None], np.where(self.reference, factor_reference[:, None], 1.0))
        mean = self.mean * factor if rows is None else (self.mean * factor)[:, index]
        dispersion = self.dispersion if rows is None else self.dispersion[:, index]
        if self.columns is not None:
            return self.columns.draw(mean, dispersion, rng, index)
        return rng.negative_binomial(1.0 / dispersion, 1.0 / (1.0 + dispersion * mean)).astype(np.float64)


def _effects(fit: NBFit, plan: Simulations, dispersion: Array) -> Effects | None:
    """What is drawn anew in each cohort."""
    if plan.effects == "swapped":
        return Effects.by_counts(fit, dispersion)
    return Effects.of(fit) if plan.effects == "posterior" else None


_one_at_a_time = threading.Lock()  # plans that run side by side wait for what they share, not to make it twice


class _Null(NamedTuple):
    """The part of a model that the effects have no part in."""

    mean: Array
    dispersion: Array
    columns: PermutedResiduals | None


def _without_effect(
    fit: NBFit, dispersions: Dispersions, residuals: Literal["independent", "permuted", "standardised"],
    seed: int,
) -> _Null:  # fmt: skip
    test, reference = _masks(fit)
    share = test.sum() / (test.sum() + reference.sum())
    mean_test, mean_reference = group_means(fit)
    common = share * mean_test + (1.0 - share) * mean_reference
    fitted = np.exp2(fit.coefficients @ fit.design.matrix.T) * fit.normalisation
    mean = fitted.copy()
    mean[:, test] *= (common / mean_test)[:, None]
    mean[:, reference] *= (common / mean_reference)[:, None]
    mean = np.nan_to_num(mean)
    dispersion = _dispersions(fit, dispersions, common)
    columns = None
    if residuals != "independent":
        columns = PermutedResiduals.of(
            fit.fitted_counts, fitted, mean, dispersion, test, reference, stream(seed, "quantile residuals"),
            standardised=residuals == "standardised",
        )  # fmt: skip
    return _Null(frozen(mean), frozen(dispersion), columns)


def _factors(ratio: Array, share: float) -> tuple[Array, Array]:
    """Means of the test and reference group over that without effect, at a ratio of means; the common mean stays.

    ratio: (n_genes,); share: of the two groups' samples that are the test group's.
    """
    reference = 1.0 / (share * ratio + (1.0 - share))
    return ratio * reference, reference


_kept_without_effect = lru_cache(maxsize=2)(_without_effect)  # residuals take as long as ten refits, and are shared


def _dispersions(fit: NBFit, which: Dispersions, common: Array) -> Array:
    """Dispersion of each gene in each sample: (n_genes, n_samples); 1 where a gene has no counts."""
    values = np.repeat(np.nan_to_num(fit.dispersion, nan=1.0)[:, None], fit.cohort.n_samples, axis=1)
    if which == "shared":
        return values
    seen = np.isfinite(fit.dispersion)
    for level in (str(fit.contrast.test), str(fit.contrast.reference)):
        group = group_dispersions(fit, level)
        own = group.map.copy()
        silent = seen & ~np.isfinite(own)  # the group has no counts of the gene: what its trend says at this mean
        own[silent] = group.curve(common[silent])
        if which == "group trend":
            away = fit.dispersion[seen] / fit.trend(np.maximum(fit.base_mean[seen], SMALLEST_MEAN))
            own[seen] = np.maximum(group.curve(np.maximum(common[seen], SMALLEST_MEAN)) * away, SMALLEST)
        values[:, fit.group_mask(level)] = np.where(seen, own, 1.0)[:, None]
    return values
