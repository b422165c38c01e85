"""What a study's noise floors are, and which genes and calls lie below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.call_sides import Sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.stats.sample_floors import SampleFloors, TwoFloors
    from dediag.stats.turning_trend import TurningTrend

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


DRIFT = 0.1  # difference of the up shares of uncalled genes below and above the floor: said, not judged
LEAN_P = 0.001  # of Fisher's exact test of a difference of up shares, so that a few genes do not make a lean


@dataclass(frozen=True)
class NoiseFloor:
    """Floors per sample and group, and the calls about them."""

    names: tuple[str, ...]  # (n_samples,) of the two groups
    samples: SampleFloors
    dispersion: float  # common, at the floor
    common_count: float  # mean count at the measurement floor
    floors: TwoFloors
    mean_cpm: Array  # (n_genes,) over the samples of both groups
    lfc: Array  # (n_genes,) log2
    called: Mask  # (n_genes,)
    trend: TurningTrend
    others: dict[str, Mask]  # what other filters keep (n_genes,) each

    @property
    def expression(self) -> Array:
        """Mean over the samples of both groups in the unit of the biological floor: (n_genes,)."""
        return self.mean_cpm if self.samples.mean_tpm is None else self.samples.mean_tpm

    @property
    def kept(self) -> Mask:
        """Genes that the group-blind filter keeps: (n_genes,)."""
        return self.floors.passed(self.mean_cpm, self.expression)

    @property
    def sides(self) -> Sides:
        """The calls on either side of the filter."""
        return Sides.split(~self.kept, self.lfc, self.called)

    @property
    def uncalled(self) -> Sides:
        """The other genes on either side of it."""
        return Sides.split(~self.kept, self.lfc, ~self.called & np.isfinite(self.lfc))

    @property
    def drifts(self) -> bool:
        """Whether the uncalled genes below the filter lean, and those above do not or less."""
        low, high = self.uncalled.up_fraction_below, self.uncalled.up_fraction_above
        if low is None or high is None or abs(low - 0.5) <= abs(high - 0.5):
            return False
        return self.uncalled.differ(DRIFT, LEAN_P)

    @property
    def threshold(self) -> str:
        """What the filter asks for: one expression, or two where their units differ."""
        if self.samples.unit == "CPM":
            return amount(self.floors.highest)
        biological = self.floors.highest_of("biological")
        also = f" and {amount(biological, 'TPM')}" if biological else ""
        return amount(self.floors.highest_of("measurement")) + also


def amount(value: float | None, unit: str = "CPM") -> str:
    """`0.59 CPM`, `12 TPM`, `none`."""
    return "none" if value is None else f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"
