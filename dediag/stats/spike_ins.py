"""Spike-ins beside the ratios at which they were added, and the limit of detection of each ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from dediag.stats.ratio_limit import RatioLimit, ratio_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FEWEST_ZERO = 3  # spike-ins of ratio zero whose median is an offset
DECIMALS = 3  # of known ratios: amounts are given with few digits, so that equal ratios come out unequal
SMALLEST_P = 1e-30  # smaller ones count as this: their spread, of hundreds of powers of ten, would set the bound


@dataclass(frozen=True)
class Ratio:
    """The spike-ins of one known ratio that have counts and a test; log2, test over reference."""

    known: float
    index: NDArray[np.intp]  # among all spike-ins
    median: float | None  # fold change of the well-expressed ones less the offset; None: there are none
    error: float | None  # median of |fold change less offset less known| of these
    limit: RatioLimit | None  # None: the ratio is zero, or they are too few


@dataclass(frozen=True)
class SpikeIns:
    """Spike-ins of known ratios; arrays (n_spike_ins,), fold changes log2.

    They differ from the known ratios by one offset where the samples hold unequal shares of messenger RNA.
    """

    names: tuple[str, ...]
    known: Array
    base_mean: Array
    lfc: Array
    log10_p: Array  # of the change beyond the offset, at least log10 of SMALLEST_P
    offset: float | None  # median of the well-expressed spike-ins of ratio zero; None: too few, none is taken off
    ratios: tuple[Ratio, ...]

    @classmethod
    def of(
        cls, names: Sequence[object], known: Array, base_mean: Array, lfc: Array, lfc_se: Array, *,
        cutoff: float, expressed: float,
    ) -> SpikeIns:  # fmt: skip
        """The genes whose ratio is known (log2; NaN: not told); all arrays (n_genes,). expressed: base mean."""
        used = np.isfinite(known) & np.isfinite(lfc) & (lfc_se > 0.0) & (base_mean > 0.0)
        known, base_mean, lfc, lfc_se = (part[used] for part in (known, base_mean, lfc, lfc_se))
        known = np.round(known, DECIMALS) + 0.0  # no -0
        well = base_mean >= expressed
        zero = well & (known == 0.0)
        offset = float(np.median(lfc[zero])) if zero.sum() >= FEWEST_ZERO else None
        relative = lfc - (offset or 0.0)
        tail = (math.log(2.0) + norm.logsf(np.abs(relative) / lfc_se)) / math.log(10.0)
        log10_p = np.maximum(tail, math.log10(SMALLEST_P))
        rows = []
        for ratio in np.unique(known):
            mine = known == ratio
            shown = relative[mine & well]
            rows.append(
                Ratio(
                    known=float(ratio),
                    index=np.flatnonzero(mine),
                    median=float(np.median(shown)) if shown.size else None,
                    error=float(np.median(np.abs(shown - ratio))) if shown.size else None,
                    limit=ratio_limit(base_mean[mine], log10_p[mine], cutoff) if ratio else None,
                )
            )
        kept = tuple(str(name) for name, use in zip(names, used, strict=True) if use)
        return cls(kept, known, base_mean, lfc, log10_p, offset, tuple(rows))

    @property
    def relative(self) -> Array:
        """Fold changes less the offset."""
        return self.lfc - (self.offset or 0.0)

    def columns(self) -> dict[str, list[object]]:
        """One line for each spike-in."""
        return {
            "spike_in": list(self.names),
            "base_mean": self.base_mean.tolist(),
            "known_log2": self.known.tolist(),
            "estimated_log2": self.lfc.tolist(),
            "relative_log2": self.relative.tolist(),
            "log10_p": self.log10_p.tolist(),
        }

    def ratio_columns(self) -> dict[str, list[object]]:
        """One line for each ratio."""
        limits = [row.limit for row in self.ratios]
        return {
            "known_log2": [row.known for row in self.ratios],
            "n": [row.index.size for row in self.ratios],
            "observed_log2": [row.median for row in self.ratios],
            "error_log2": [row.error for row in self.ratios],
            "lodr": [None if limit is None else limit.mean for limit in limits],
            "below_from_lowest": [None if limit is None else limit.always for limit in limits],
        }
