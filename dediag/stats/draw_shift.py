"""The shift between the mean of many draws of samples and the fit of all samples, with samples as the unit of error.

Draw b takes k of a group's n samples. Its fold change differs from the full fit's for three reasons: these samples are
not those (first order, zero on average over draws), the log of a mean of fewer samples is lower (second order,
predictable), and the draw is normalised anew. The first is known from each sample's influence on the full fit and is
subtracted draw by draw, which leaves the expectation where it is and takes most of the noise away. The third is read
off the size factors, so that its error, by far the larger, can be had without refits. To first order a sample moves
the full fit and the draws alike, so the error of the difference is much smaller than that of either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from dediag.stats.error_rate import mean_log_bias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

LN_2 = math.log(2.0)


@dataclass(frozen=True)
class Group:
    """One of the two groups, as seen by the draws."""

    sign: float  # +1 test, -1 reference
    variance: Array  # (n_genes,) of a sample's log count
    relative: Array  # (n_genes, n) relative residuals: influence on the group's log mean times n; at least -1
    included: Mask  # (n_draws, n)

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.included.shape[1])

    @property
    def size(self) -> int:
        """Number of samples in a draw."""
        return int(self.included[0].sum())

    def drawn_mean(self) -> Array:
        """Mean relative residual of the drawn samples: (n_draws, n_genes)."""
        return np.asarray(self.included @ self.relative.T / self.size)

    def predicted(self, n: int) -> Array:
        """Expected shift in log2 between draws of `size` and all of `n` samples: (n_genes,)."""
        unit = self.sign * mean_log_bias(np.inf, self.variance, 1.0)
        return np.asarray(unit * (1.0 / self.size - 1.0 / n))


@dataclass(frozen=True)
class Shift:
    """Shift of the mean of the draws against the full fit, log2; medians over genes."""

    observed: float
    predicted: float
    difference: float  # observed - predicted
    normalisation: float  # what normalising the draws anew adds to the observed shift
    se: float  # of the difference; the unit of error is the sample
    df: float
    per_draw: Array  # (n_draws,) difference of each draw alone

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """Confidence interval of the difference; its 90 % interval within +-limit is equivalence at 5 %."""
        half = float(student.isf((1.0 - level) / 2.0, self.df)) * self.se
        return self.difference - half, self.difference + half


def draw_shift(
    full_lfc: Array,
    draw_lfc: Array,
    groups: tuple[Group, Group],
    renormalised: Array,
    renormalised_parts: Array,
) -> Shift:
    """Observed and predicted shift of draws against the full fit.

    full_lfc: (n_genes,); draw_lfc: (n_draws, n_genes), finite; renormalised: (n_draws,) what the draws' size factors
    add to all their fold changes; renormalised_parts: (n_parts,) its mean by random parts of the genes, empty where
    nothing is normalised. The variance of the difference is the sum of that of the normalisation by random groups, a
    delete-one-sample jackknife of the rest over the draws that leave a sample out, less what the finite number of
    draws adds to it (as Wager, Hastie and Efron 2014 correct the jackknife after bootstrap), and the draws' own
    sampling error. Where one of them would rest on fewer than two values, the standard error is infinite.
    """
    means = [group.drawn_mean() for group in groups]  # (n_draws, n_genes) each
    first_order = sum(group.sign * mean for group, mean in zip(groups, means, strict=True)) / LN_2
    counts_lfc = draw_lfc - renormalised[:, None]  # as if normalised like the full fit
    excess = (counts_lfc - full_lfc - first_order).mean(axis=0)  # (n_genes,)
    predicted = groups[0].predicted(groups[0].n) + groups[1].predicted(groups[1].n)
    per_draw = np.median(counts_lfc - full_lfc - first_order - predicted, axis=1)
    # 0 when every possible draw was made: then there is no error of sampling draws
    undrawn = 1.0 - len(draw_lfc) / math.prod(math.comb(group.n, group.size) for group in groups)
    variance = _sampling(per_draw + renormalised, undrawn)
    n_parts = renormalised_parts.size
    parts = [(float(renormalised_parts.var(ddof=1)) / n_parts, n_parts - 1.0)] if n_parts > 1 else []
    for this, other in ((0, 1), (1, 0)):
        group = groups[this]
        if group.size < group.n:  # otherwise its samples act alike on draws and full fit
            held = counts_lfc - groups[other].sign * means[other] / LN_2
            rest = groups[other].predicted(groups[other].n)
            values = _left_out(full_lfc, held, group, means[this], rest)
            noise = _sampling(per_draw, undrawn) * group.n * group.size / (group.n - group.size)
            jackknife = (group.n - 1) ** 2 / group.n * float(values.var(ddof=1)) if values.size > 1 else math.inf
            parts.append((max(jackknife - noise, 0.0) if jackknife < math.inf else math.inf, group.n - 1.0))
    variance += sum(part for part, _ in parts)
    # Satterthwaite's degrees of freedom for a sum of variance estimates
    spread = sum(part**2 / df for part, df in parts)
    drift = float(renormalised.mean())
    return Shift(
        float(np.median(excess)) + drift,
        float(np.median(predicted)),
        float(np.median(excess - predicted)) + drift,
        drift,
        math.sqrt(variance),
        max(variance**2 / spread, 1.0) if 0.0 < spread < math.inf else math.inf,
        per_draw + renormalised,
    )


def _sampling(per_draw: Array, undrawn: float) -> float:
    """Variance of the mean over draws that comes from their finite number; infinite if one of several was made."""
    if undrawn <= 0.0:
        return 0.0
    return float(per_draw.var(ddof=1)) / len(per_draw) * undrawn if len(per_draw) > 1 else math.inf


def _left_out(full_lfc: Array, held: Array, group: Group, means: Array, predicted_rest: Array) -> Array:
    """The difference without each sample of the group in turn, where draws without it exist: (up to n,).

    held: (n_draws, n_genes) the draws' fold changes less the other group's first-order part.
    """
    values = []
    predicted = predicted_rest + group.predicted(group.n - 1)
    for i in range(group.n):
        without = ~group.included[:, i]
        if not without.any():
            continue
        remaining = np.maximum(1.0 - group.relative[:, i] / (group.n - 1), 1e-6)  # the group's mean over that of all
        full = full_lfc + group.sign * np.log(remaining) / LN_2
        drawn = (1.0 + means[without].mean(axis=0)) / remaining - 1.0
        shift = held[without].mean(axis=0) - full - group.sign * drawn / LN_2
        values.append(float(np.median(shift - predicted)))
    return np.asarray(values)
