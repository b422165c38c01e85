"""The gap between a difference of mean logs and a log ratio of means, as a negative binomial model expects it.

Shapes: mean, dispersion and size (n_genes, n_samples), broadcastable; `first` and `second` are masks of samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.agreement import explained
from dediag.stats.log_expectation import mean_log2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SMALLEST_BIN = 25  # genes


@dataclass(frozen=True)
class TwoGroups:
    """Fitted counts of two groups of samples."""

    mean: Array  # (n_genes, n_samples) on the scale of the counts
    dispersion: Array  # (n_genes, n_samples)
    size: Array  # (n_genes, n_samples) size factors
    first: Mask  # (n_samples,)
    second: Mask  # (n_samples,)
    prior: float  # added to counts over size factors before the log

    def log_difference(self, counts: Array) -> Array:
        """Difference of the groups' mean log2(counts / size + prior): (n_genes,)."""
        logs = np.log2(counts / self.size + self.prior)
        return np.asarray(logs[:, self.first].mean(axis=1) - logs[:, self.second].mean(axis=1))

    def expected_difference(self) -> Array:
        """Its expectation (n_genes,), from E log2(Y / s + prior) = E log2(Y + prior s) - log2 s."""
        sides = []
        for mask in (self.first, self.second):
            size = self.size[:, mask]
            expected = mean_log2(self.mean[:, mask], self.dispersion[:, mask], self.prior * size) - np.log2(size)
            sides.append(expected.mean(axis=1))
        return np.asarray(sides[0] - sides[1])

    def ratio_bias(self) -> Array:
        """Bias of the log2 ratio of estimated means, -(v1/n1 - v2/n2) / (2 ln 2), v = 1/mean + dispersion: (n_genes,).

        With size factors, v / n is the variance of the sum of the group's counts over the square of its mean.
        """
        sides = []
        for mask in (self.first, self.second):
            mean = self.mean[:, mask]
            variance = (mean + self.dispersion[:, mask] * mean**2).sum(axis=1)
            sides.append(variance / mean.sum(axis=1) ** 2)
        return np.asarray(-(sides[0] - sides[1]) / (2 * np.log(2)))

    def expected_gap(self, log_ratio: Array) -> Array:
        """Difference of mean logs minus the estimated log2 ratio of means, as these means give it: (n_genes,).

        The estimated means go into both terms; the bias of the log ratio stays in the gap, with its sign turned.
        """
        return self.expected_difference() - log_ratio - self.ratio_bias()

    def simulated_gap(self, rng: np.random.Generator, log_ratio: Array) -> Array:
        """The gap (n_genes,) in counts drawn from the model; the ratio estimated by the sums of the groups' counts.

        NaN where a group has no counts.
        """
        counts = rng.poisson(rng.gamma(1 / self.dispersion, self.mean * self.dispersion)).astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = [np.log2(counts[:, m].sum(axis=1) / self.mean[:, m].sum(axis=1)) for m in (self.first, self.second)]
            gap = self.log_difference(counts) - (log_ratio + moved[0] - moved[1])
        return np.where(np.isfinite(gap), gap, np.nan)


def ceiling(level: Array, draws: Array, quantile: float, n_bins: int) -> Array:
    """A quantile of |draws| (n_draws, n_genes) among genes of like level (n_genes,), for each gene: (n_genes,)."""
    limit = np.full(len(level), np.nan)
    for rows in np.array_split(np.argsort(level, kind="stable"), min(n_bins, max(len(level) // SMALLEST_BIN, 1))):
        values = np.abs(draws[:, rows])
        limit[rows] = np.quantile(values[np.isfinite(values)], quantile) if np.isfinite(values).any() else np.nan
    return limit


@dataclass(frozen=True)
class Drawn:
    """How the limit of a stray is drawn from the model."""

    rng: np.random.Generator
    n_draws: int
    share: float  # of genes beyond the limit in the draws
    smallest: float  # limit in any case, log2
    n_bins: int  # of expression, among whose genes the limit is found


@dataclass(frozen=True)
class Gap:
    """The gap with its prediction (log2), NaN for genes left out."""

    seen: Array  # (n_genes,)
    predicted: Array  # (n_genes,)
    limit: Array  # (n_genes,) how far the one may lie from the other

    @classmethod
    def of(
        cls, model: TwoGroups, use: Mask, difference: Array, log_ratio: Array, expression: Array, drawn: Drawn
    ) -> Gap:
        """The gap of the genes `use` (n_genes,), to which all other arrays and the model refer."""
        predicted = model.expected_gap(log_ratio)
        draws = np.array([model.simulated_gap(drawn.rng, log_ratio) - predicted for _ in range(drawn.n_draws)])
        limit = np.maximum(ceiling(expression, draws, 1 - drawn.share, drawn.n_bins), drawn.smallest)

        def whole(part: Array) -> Array:
            values = np.full(len(use), np.nan)
            values[use] = part
            return values

        return cls(whole(difference - log_ratio), whole(predicted), whole(limit))

    @property
    def left_over(self) -> float:
        """Median of what the prediction leaves."""
        return float(np.nanmedian(self.seen - self.predicted))

    @property
    def stray(self) -> Mask:
        """Genes whose gap lies further from its prediction than the limit: (n_genes,)."""
        return np.asarray(np.abs(self.seen - self.predicted) > self.limit)

    @property
    def strays(self) -> float:
        """Their share."""
        return float(self.stray[np.isfinite(self.seen)].mean())

    @property
    def r2(self) -> float | None:
        """Share of the variation of the gap that the prediction explains."""
        return explained(self.seen, self.predicted)

    def summary(self) -> dict[str, float | None]:
        """Number of genes, medians, and how well the prediction does."""
        return {
            "genes": int(np.isfinite(self.seen).sum()),
            "median_gap": float(np.nanmedian(self.seen)),
            "median_predicted": float(np.nanmedian(self.predicted)),
            "median_left_over": self.left_over,
            "r2": self.r2,
            "strays": self.strays,
        }
