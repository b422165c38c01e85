"""The error rate of a full study and of its balanced draws, predicted from one ratio of the groups' dispersions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.error_rate import predicted_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.stats.error_model import ErrorModel, Estimate

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sizes:
    """Shares of genes without effect that would have p < .05, and what they rest on."""

    full: Estimate
    balanced: float | None  # None: nothing to balance
    ratio: float  # of the groups' dispersions, test over reference
    n_lost: int  # calls that fail at standard errors from group dispersions and without the shift

    @classmethod
    def of(
        cls,
        model: ErrorModel,
        ratio: Estimate,
        draw_size: int | None,
        tested: Mask,
        lfc: Array,
        se: Array,
        called: Mask,
    ) -> Sizes | None:
        """Mean sizes over the tested genes; None where the ratio is not known.

        ratio: log2, test over reference; draw_size: samples per group of a balanced draw, to which the groups'
        dispersions and the shift are carried over; tested, lfc (log2), se (log2), called: (n_genes,) of the full fit.
        """
        genes = model.take(tested)
        full = genes.mean_size(ratio)
        if not full.known:
            return None
        shift, balanced = float(genes.shift(ratio.value)), None
        if draw_size is not None:
            phi, means = genes.dispersions(ratio.value), (genes.mean_test, genes.mean_reference)
            balanced = float(predicted_size(*means, *phi, draw_size, draw_size, shift_log2=shift).mean())
        own_se = se[called] * np.sqrt(model.take(called).variance_ratio(ratio.value))
        weakest = np.abs(lfc[called] / se[called]).min(initial=np.inf)
        lost = np.abs(lfc[called] - shift) / own_se < weakest
        return cls(full, balanced, float(2.0**ratio.value), int(lost.sum()))
