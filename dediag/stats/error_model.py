"""The error rate of a test with one dispersion as a function of how unequal two groups' dispersions are, gene by gene.

The pooled dispersion is what the fit found and stays; a ratio splits it into two. First-order formulas of `error_rate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dediag.stats.error_rate import pooled_dispersion, predicted_size, variance_ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


RATIOS_TRIED = 9  # between the limits of an interval


class Estimate(NamedTuple):
    """A number with its interval; NaN: not known."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether all three are numbers."""
        return bool(np.isfinite(self).all())


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class ErrorModel:
    """Two groups under no effect; arrays over genes. Ratios are log2, test over reference."""

    mean_test: Array  # (n_genes,) count expected in a typical sample of the test group
    mean_reference: Array  # (n_genes,)
    dispersion: Array  # (n_genes,) pooled
    n_test: int
    n_reference: int
    knots: Array  # (n_knots,) rising log2 ratios at which the shift is known
    shifts: Array  # (n_knots,) log2 shift of all fold changes there; zeros where normalisation cannot shift

    def shift(self, log2_ratio: ArrayLike) -> Array:
        """Shift of all fold changes (log2), interpolated; held constant outside the knots; broadcasts."""
        return np.asarray(np.interp(np.asarray(log2_ratio, np.float64), self.knots, self.shifts))

    def dispersions(self, log2_ratio: ArrayLike) -> tuple[Array, Array]:
        """Dispersions of test and reference group (n_genes,) with this ratio and the pooled dispersion of the fit."""
        ratio = np.exp2(np.asarray(log2_ratio, np.float64))
        reference = self.dispersion / pooled_dispersion(ratio, 1.0, self.n_test, self.n_reference)
        return ratio * reference, reference

    def variance_ratio(self, log2_ratio: ArrayLike) -> Array:
        """True variance of the log fold change over the one that the test reports: (n_genes,)."""
        phi_test, phi_reference = self.dispersions(log2_ratio)
        return variance_ratio(
            self.mean_test, self.mean_reference, phi_test, phi_reference, self.n_test, self.n_reference
        )

    def sizes(self, log2_ratio: ArrayLike, shift: ArrayLike | None = None) -> Array:
        """Probability (n_genes,) that a gene without effect has p < .05; shift (log2): default that of the ratio."""
        phi_test, phi_reference = self.dispersions(log2_ratio)
        return predicted_size(
            self.mean_test, self.mean_reference, phi_test, phi_reference, self.n_test, self.n_reference,
            self.shift(log2_ratio) if shift is None else shift,
        )  # fmt: skip

    def mean_size(self, ratio: Estimate, shift: float | None = None) -> Estimate:
        """Mean size at a ratio, with the range it takes for any ratio within its interval; unknown without genes."""
        if not len(self.dispersion) or not ratio.known:
            return UNKNOWN
        means = [float(self.sizes(r, shift).mean()) for r in _within(ratio)]
        return Estimate(float(self.sizes(ratio.value, shift).mean()), min(means), max(means))

    def shift_estimate(self, ratio: Estimate) -> Estimate:
        """Shift at a ratio, with the range it takes for any ratio within its interval."""
        shifts = self.shift(_within(ratio))
        return Estimate(float(self.shift(ratio.value)), float(shifts.min()), float(shifts.max()))

    def take(self, index: NDArray[np.bool_]) -> ErrorModel:
        """The model of these genes."""
        return ErrorModel(
            self.mean_test[index], self.mean_reference[index], self.dispersion[index], self.n_test, self.n_reference,
            self.knots, self.shifts,
        )  # fmt: skip


def _within(ratio: Estimate) -> Array:
    """Ratios from end to end of an interval, one (log2 0) among them where it is inside."""
    tried = np.linspace(ratio.low, ratio.high, RATIOS_TRIED)
    return np.append(tried, 0.0) if ratio.low < 0.0 < ratio.high else tried
