"""The shape of quantile residuals in sets of counts: are they as the model says, and are there too many zeros?

All that a set needs is a sum over its counts. So counts are tallied once by expression bin and sample, and every set of
bins and samples adds up its own part. What the model says about residuals of a FITTED model is no standard normal
distribution (the fit follows the counts), so it is taken from tallies of simulated cohorts that were fitted alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]
    Chosen = slice | Index | Mask

CELLS = 200  # of equal probability, in which residuals are counted
EVERY = slice(None)
FEWEST_ZEROS = 10.0  # expected, for a ratio
NOISE = 2.0  # standard deviations over simulated cohorts that a difference may be by chance


class Shape(NamedTuple):
    """Of one set of counts; NaN without counts."""

    n: float  # counts
    mean: float  # of the residuals
    sd: float
    outliers: float  # share of residuals beyond a limit, on either side
    zeros: float  # share of counts that are zero
    zero_probability: float  # mean probability of a zero under the model

    @property
    def rms(self) -> float:
        """Root mean square of the residuals: 1 or less where mean and dispersion fit."""
        return float(np.hypot(self.mean, self.sd))

    @property
    def zero_ratio(self) -> float:
        """Zeros over those the model gives; NaN where it gives fewer than FEWEST_ZEROS."""
        few = self.n * self.zero_probability < FEWEST_ZEROS
        return np.nan if few or np.isnan(self.zeros) else self.zeros / self.zero_probability

    @property
    def excess_zeros(self) -> float:
        """Share of counts that are zero beyond the model's own zeros."""
        return self.zeros - self.zero_probability


@dataclass(frozen=True)
class Tally:
    """Residuals of genes x samples, summed up."""

    sums: Array  # (n_bins, n_samples, 6) numbers, residuals, their squares, outliers, zeros, zero probabilities
    histogram: Array  # (n_bins, n_groups, CELLS) numbers of residuals by probability
    outlying: Mask  # (n_genes,) genes with an outlier

    @classmethod
    def of(
        cls, residual: Array, zero: Mask, zero_probability: Array, *, bins: Index, n_bins: int, groups: Index,
        limit: float,
    ) -> Tally:  # fmt: skip
        """Sum up what is known of each count: residual, zero, zero_probability (n_genes, n_samples).

        bins: (n_genes,) numbers below n_bins; genes with a negative one, or without residuals, are left out.
        groups: (n_samples,) numbers from 0. limit: size of a residual beyond which it is an outlier.
        """
        known = (bins >= 0) & np.isfinite(residual).all(axis=1)
        r, bins, n_groups = residual[known], bins[known], int(groups.max()) + 1
        beyond = np.abs(r) > limit
        each = (np.ones_like(r), r, r * r, beyond, zero[known], zero_probability[known])
        sums = np.zeros((n_bins, r.shape[1], len(each)))
        for b in np.unique(bins):
            for k, values in enumerate(each):
                sums[b, :, k] = values[bins == b].sum(axis=0)
        cell = np.minimum((ndtr(r) * CELLS).astype(np.intp), CELLS - 1)
        place = (bins[:, None] * n_groups + groups) * CELLS + cell
        histogram = np.bincount(place.ravel(), minlength=n_bins * n_groups * CELLS).astype(np.float64)
        outlying = np.zeros(known.size, np.bool_)
        outlying[known] = beyond.any(axis=1)
        return cls(sums, histogram.reshape(n_bins, n_groups, CELLS), outlying)

    def shape(self, bins: Chosen = EVERY, samples: Chosen = EVERY) -> Shape:
        """The shape of the residuals in these bins and samples."""
        sums = self.sums[bins][:, samples].sum(axis=(0, 1))
        if not sums[0]:
            return Shape(0.0, *[np.nan] * 5)
        _, mean, square, outliers, zeros, probability = map(float, sums / sums[0])
        return Shape(float(sums[0]), mean, max(square - mean * mean, 0.0) ** 0.5, outliers, zeros, probability)

    def cumulative(self, bins: Chosen = EVERY) -> Array:
        """Share of the residuals in these bins below each 1 / CELLS of probability: (CELLS,); uniform: k / CELLS."""
        numbers = self.histogram[bins].sum(axis=(0, 1))
        return np.asarray(np.cumsum(numbers) / max(numbers.sum(), 1.0))


class Calibrated(NamedTuple):
    """A statistic beside what it is in simulated cohorts that were fitted alike."""

    observed: float
    expected: float  # mean over simulated cohorts
    sd: float  # over simulated cohorts

    @classmethod
    def of(cls, observed: float, simulated: Sequence[float]) -> Calibrated:
        """From the values of the simulated cohorts (NaN: none in that cohort)."""
        values = np.asarray(simulated, np.float64)
        values = values[np.isfinite(values)]
        if values.size < 2:
            return cls(observed, np.nan, np.nan)
        return cls(observed, float(values.mean()), float(values.std(ddof=1)))

    @property
    def excess(self) -> float:
        """Observed minus expected."""
        return self.observed - self.expected

    @property
    def sure(self) -> float:
        """The part of the difference that simulated cohorts do not show by chance, with its sign."""
        return float(np.sign(self.excess) * max(abs(self.excess) - NOISE * self.sd, 0.0))

    @property
    def relative(self) -> float:
        """`sure` over what is expected."""
        return self.sure / self.expected

    @property
    def low(self) -> float:
        """Lower end of what simulated cohorts show."""
        return self.expected - NOISE * self.sd

    @property
    def high(self) -> float:
        """Upper end of what simulated cohorts show."""
        return self.expected + NOISE * self.sd


def distance(observed: Array, simulated: Array) -> Calibrated:
    """Kolmogorov distance of a cumulative distribution from the mean of the simulated ones.

    observed: (CELLS,); simulated: (n_cohorts, CELLS), each of which is compared with the mean of the others.
    """
    total, n = simulated.sum(axis=0), len(simulated)
    others = (total - simulated) / max(n - 1, 1)
    return Calibrated.of(float(np.abs(observed - total / n).max()), np.abs(simulated - others).max(axis=1).tolist())
