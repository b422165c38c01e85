"""The true effects that a fit's fold changes come from: their distribution, each gene's posterior, draws of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen
from dediag.model.group_means import group_means
from dediag.model.group_test import EXPRESSED, FEWEST_GENES
from dediag.stats.effect_distribution import EffectDistribution
from dediag.stats.two_means import TwoMeans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """What a fit says about its true effects (log2)."""

    distribution: EffectDistribution
    posterior: Array  # (n_genes, n_points) the prior where a gene has no estimate
    sign: Array  # (n_genes,) of the estimate

    @classmethod
    def of(cls, fit: NBFit) -> Effects:
        """From the fold changes and standard errors of a fit."""
        known = np.isfinite(fit.lfc) & (fit.lfc_se > 0.0)
        distribution = EffectDistribution.of(fit.lfc[known], fit.lfc_se[known])
        return cls(distribution, frozen(distribution.posterior(fit.lfc, fit.lfc_se)), _sign(fit.lfc))

    @classmethod
    def by_counts(cls, fit: NBFit, dispersion: Array) -> Effects:
        """From the likelihood of the counts, which is skewed where they are low, at dispersions (n_genes, n_samples).

        Each group has the same dispersion in all its samples. Effects are about the median fold change of
        well-expressed genes: a normalisation that moves all genes alike must not pass for an effect of each.
        """
        n_genes, means = fit.cohort.n_genes, group_means(fit)
        known = np.isfinite(fit.lfc) & (fit.lfc_se > 0.0)
        expressed = known & (np.minimum(*means) >= EXPRESSED)
        zero = float(np.median(fit.lfc[expressed])) if expressed.sum() >= FEWEST_GENES else 0.0
        centred = (means[0] * 2.0 ** (-zero / 2.0), means[1] * 2.0 ** (zero / 2.0))
        totals, depths, spreads, variance = [], [], [], np.zeros(n_genes)
        masks = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
        for mask, mean in zip(masks, centred, strict=True):
            size = fit.normalisation[:, mask]
            depth = np.broadcast_to(size.sum(axis=1), n_genes)
            square = (size**2).sum(axis=1) / depth**2
            totals.append(np.nan_to_num(mean) * depth)
            depths.append(depth)
            spreads.append(dispersion[:, int(np.argmax(mask))] * square)
            variance += 1.0 / np.maximum(totals[-1], 0.5) + np.nan_to_num(fit.dispersion, nan=1.0) * square
        fewer = np.ones(n_genes)  # covariates widen a standard error as fewer samples would
        if fit.design.matrix.shape[1] > len(fit.design.factors[str(fit.contrast.factor)]):
            fewer[known] = np.minimum(variance[known] / (fit.lfc_se[known] * math.log(2.0)) ** 2, 1.0)
        counts = TwoMeans(
            *(total * fewer for total in totals), *(depth * fewer for depth in depths),
            *(spread / fewer for spread in spreads),
        )  # fmt: skip
        moved = fit.lfc[known] - zero
        distribution = EffectDistribution.of(moved, fit.lfc_se[known], counts.take(known).likelihood)
        return cls(distribution, frozen(distribution.posterior_under(counts.likelihood)), _sign(fit.lfc - zero))

    def draw(self, rng: np.random.Generator) -> Array:
        """One effect for each gene: (n_genes,)."""
        return self.distribution.draw(self.posterior, rng)

    def draw_unsigned(self, rng: np.random.Generator) -> Array:
        """One effect for each gene, of the sign of its estimate: (n_genes,). Labels exchanged, times -1."""
        return self.distribution.magnitudes(self.posterior, rng) * self.sign


def _sign(estimate: Array) -> Array:
    return frozen(np.where(estimate < 0.0, -1.0, 1.0))
