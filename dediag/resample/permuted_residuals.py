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

from dediag.model import kernels
from dediag.stats.quantile_residuals import gamma_factor, quantile_residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Above this mean a count is a rounded gamma variable, and a residual fixes it; below, a gamma variable fixes the mean
# of a Poisson count, whose own noise is drawn anew and dilutes the correlation between genes.
POISSON_BELOW = 30.0
CHUNK = 512  # genes at a time, in as many threads as the kernels use


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
        seen, fitted, phi = counts[:, both], fitted[:, both], dispersion[:, both]
        jitter = rng.random(seen.shape)
        residual = np.empty_like(seen)

        def find(part: slice) -> None:
            residual[part] = quantile_residuals(seen[part], fitted[part], phi[part], jitter[part])

        chunks = [slice(k, k + CHUNK) for k in range(0, len(seen), CHUNK)]
        kernels.each(find, chunks)
        unknown = ~np.isfinite(residual)
        residual[unknown] = rng.standard_normal(int(unknown.sum()))  # no fitted mean: nothing to keep
        for samples in groups:
            k, n = samples.size, both.size
            residual[:, np.isin(both, samples)] *= math.sqrt(k / max(k - 1, 1) * (n - 1) / n)
        if standardised:
            residual *= np.sqrt((1.0 - 1.0 / both.size) / (residual**2).mean(axis=0))
        mean = [simulated[:, samples].mean(axis=1) for samples in groups]
        factor = (np.empty_like(residual), np.empty_like(residual))

        def turn(part: slice) -> None:
            for samples, own_mean, own_factor in zip(groups, mean, factor, strict=True):
                own, m = dispersion[part, samples[0]], own_mean[part]
                with np.errstate(divide="ignore"):
                    shape = np.where(m < POISSON_BELOW, 1.0 / own, 1.0 / (1.0 / m + own))
                own_factor[part] = gamma_factor(residual[part], np.minimum(shape, 1e8)[:, None])

        kernels.each(turn, chunks)
        return cls(groups, factor)

    def draw(self, mean: Array, dispersion: Array, rng: np.random.Generator, rows: NDArray[np.intp]) -> Array:
        """Counts of the samples `rows` around these means: mean, dispersion, result (n_genes, n_rows).

        Samples of neither group vary independently. Which group is called the test group makes no difference to the
        numbers drawn.
        """
        member = [np.flatnonzero(np.isin(rows, samples)) for samples in self.groups]
        other = np.setdiff1d(np.arange(rows.size), np.concatenate(member))
        column = np.full(rows.size, -1)
        dealt = np.sort(np.concatenate(member))
        column[dealt] = rng.permutation(self.factor[0].shape[1])[: dealt.size]
        counts = np.empty_like(mean)
        for own, factor in sorted(
            zip(member, self.factor, strict=True), key=lambda pair: pair[0].min(initial=rows.size)
        ):
            if own.size:
                level = np.take(mean, own, axis=1)
                low = level.mean(axis=1) < POISSON_BELOW
                level *= np.take(factor, column[own], axis=1)
                noisy = rng.poisson(level[low])
                np.rint(level, out=level)
                level[low] = noisy
                counts[:, own] = level
        if other.size:
            shape = 1.0 / dispersion[:, other]
            counts[:, other] = rng.poisson(mean[:, other] * rng.gamma(shape, 1.0 / shape))
        return counts
