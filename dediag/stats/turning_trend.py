"""Where voom's trend turns: below its peak, discreteness makes low counts look precise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats import moderated_t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SPAN = 0.2  # of the lowess; voom's half of the genes smooths the peak away
TURN = 0.02  # share of its peak by which a trend must fall on the left to have turned


@dataclass(frozen=True)
class TurningTrend:
    """Trend of the square-root residual standard deviation over expression."""

    cpm: Array  # (n_genes with counts,) mean expression, counts per million, rising
    root_sd: Array  # (n_genes with counts,)
    trend: Array  # (n_genes with counts,)
    floor: float | None  # CPM at the peak; None: the trend does not turn

    @classmethod
    def of(cls, counts: Array, design: Array) -> TurningTrend:
        """The trend of counts (n_genes, n_samples) about a design (n_samples, n_coefficients)."""
        library = counts.sum(axis=0)
        found = moderated_t.unweighted_trend(counts, design, library, SPAN)
        to_cpm = 1e6 / float(np.exp(np.log(library + 1).mean()))
        turn = turning_point(found.mean, found.trend)
        return cls(2.0**found.mean * to_cpm, found.root_sd, found.trend, None if turn is None else 2.0**turn * to_cpm)


def turning_point(mean: Array, trend: Array) -> float | None:
    """Mean (n,) at which a trend (n,) peaks before it falls toward low means; None if it does not."""
    peak = int(np.argmax(trend))
    return None if trend[: peak + 1].min() > (1 - TURN) * trend[peak] else float(mean[peak])
