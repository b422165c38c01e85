"""Simulated counts whose genes vary together as in the data: whole columns of residuals dealt out anew.

Each count of the two groups becomes a randomised quantile residual under its own group's mean and dispersion. A
simulated cohort deals the columns (samples) of residuals out at random over the samples of both groups and turns them
back into counts of the simulated means: what genes share within a sample stays, what belongs to a group goes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.quantile_residuals import gamma_factor, quantile_residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Above this mean a count is a rounded gamma variable, and a residual fixes it; below, a gamma variable fixes the mean
# of a Poisson count, whose own noise is drawn anew and dilutes the correlation between genes.
POISSON_BELOW = 30.0


@dataclass(frozen=True)
class PermutedResiduals:
    """Residual columns of both groups as multiplicative noise, ready to be dealt out."""

    groups: tuple[NDArray[np.intp], NDArray[np.intp]]  # samples (positions) of the test and the reference group
    factor: tuple[Array, Array]  # (n_genes, n_both) noise of mean about one, as a sample of that group would have it

    @classmethod
    def of(
        cls, counts: Array, fitted: Array, simulated: Array, dispersion: Array, test: Mask, reference: Mask,
        rng: np.random.Generator, *, standardised: bool = False,
    ) -> PermutedResiduals:  # fmt: skip
        """Residuals of `counts` under the means `fitted`, for counts to be simulated around `simulated`.

        counts, fitted, simulated, dispersion: (n_genes, n_samples), the same dispersion throughout a group. Residuals
        are widened for the means that were estimated from them, by sqrt(n_k / (n_k - 1) (n - 1) / n) in a group of n_k
        of n samples, so that a difference of two means of dealt-out columns has the variance of independent samples.
        standardised: scale each column to that variance, (n - 1) / n over genes, so that no sample is noisier than
        another.
        """
        groups = (np.flatnonzero(test), np.flatnonzero(reference))
        both = np.sort(np.concatenate(groups))
        residual = quantile_residuals(counts[:, both], fitted[:, both], dispersion[:, both], rng)
        unknown = ~np.isfinite(residual)
        residual[unknown] = rng.standard_normal(int(unknown.sum()))  # no fitted mean: nothing to keep
        for samples in groups:
            k, n = samples.size, both.size
            residual[:, np.isin(both, samples)] *= math.sqrt(k / max(k - 1, 1) * (n - 1) / n)
        if standardised:
            residual *= np.sqrt((1.0 - 1.0 / both.size) / (residual**2).mean(axis=0))
        factors = []
        for samples in groups:
            mean = simulated[:, samples].mean(axis=1)
            own = dispersion[:, samples[0]]
            with np.errstate(divide="ignore"):
                shape = np.where(mean < POISSON_BELOW, 1.0 / own, 1.0 / (1.0 / mean + own))
            factors.append(gamma_factor(residual, np.minimum(shape, 1e8)[:, None]))
        return cls(groups, (factors[0], factors[1]))

    def draw(self, mean: Array, dispersion: Array, rng: np.random.Generator, rows: NDArray[np.intp]) -> Array:
        """Counts of the samples `rows` around these means: mean, dispersion, result (n_genes, n_rows).

        Samples of neither group vary independently. Which group is called the test group makes no difference to the
        numbers drawn.
        """
        member = [np.isin(rows, samples) for samples in self.groups]
        other = ~(member[0] | member[1])
        column = np.full(rows.size, -1)
        column[~other] = rng.permutation(self.factor[0].shape[1])[: int((~other).sum())]
        level = mean.copy()
        rounded = np.zeros(mean.shape, np.bool_)
        for own, factor in zip(member, self.factor, strict=True):
            if own.any():
                rounded[:, own] = mean[:, own].mean(axis=1, keepdims=True) >= POISSON_BELOW
                level[:, own] *= factor[:, column[own]]
        if other.any():
            shape = 1.0 / dispersion[:, other]
            level[:, other] *= rng.gamma(shape, 1.0 / shape)
        counts = np.round(level)
        counts[~rounded] = rng.poisson(level[~rounded])
        return counts
