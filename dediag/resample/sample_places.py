"""Where each sample of two groups lies among the others: distances, correlations, components, votes of a swap check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.model.transformation import stabilize
from dediag.stats.association import principal_components
from dediag.stats.sample_distances import correlations, distances, sere, to_groups
from dediag.stats.swap_check import SwapCheck, votes_for_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]


@dataclass(frozen=True)
class Places:
    """Where the samples of the two groups lie; `measures` by name, (n_samples,) each."""

    measures: Mapping[str, Array]
    scores: Array  # (n_samples, 2) first components of the transformed counts
    shares: Array  # (2,) of the variance
    swap: SwapCheck


def places(fit: NBFit, genes: Index, group: Index) -> Places:
    """Places by these genes' transformed counts; group (n_samples,) 0 test, 1 reference, negative: left out."""
    counts, size, both = fit.cohort.counts, fit.size_factors, group >= 0
    levels = counts[genes] / (size if fit.normalisation.shape[0] == 1 else fit.normalisation[genes])
    values = stabilize(levels, fit.trend, float(np.mean(1.0 / fit.normalisation)))
    near, far = to_groups(distances(values), group)
    like, unlike = to_groups(correlations(values), group)
    measures = {
        "size_factor": size,
        "share_of_zeros": (counts == 0.0).mean(axis=0),
        "sere": sere(counts, size, group),
        "distance_own": near,
        "distance_other": far,
        "correlation_own": like,
        "correlation_other": unlike,
    }
    votes = votes_for_other(values, fit.design.matrix, fit.contrast.vector, group == 0, group == 1)
    scores, shares = principal_components(values[:, both], 2)
    swap = SwapCheck(votes[both], group[both])
    return Places({name: value[both] for name, value in measures.items()}, scores, shares, swap)
