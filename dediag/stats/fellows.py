"""One sample beside its fellows: the other samples of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

TO_SD = 1.4826  # median absolute deviation to standard deviation, normal
NO_LEVERAGE_LEFT = 1e-6  # a sample that determines a coefficient alone has no residual to judge


def mean_shares(distance: Array) -> Array:
    """Each sample's share of Cook's distance, mean over genes so that each has one vote: (n_samples,).

    distance: (n_genes, n_samples), not negative; a gene without any gives no sample a share.
    """
    total = distance.sum(axis=1, keepdims=True)
    return np.asarray((distance / np.where(total > 0.0, total, 1.0)).mean(axis=0))


def fair_shares(leverage: Array) -> Array:
    """The shares that the design gives by itself, Cook's distance being proportional to h / (1 - h): (n_samples,).

    leverage: (n_genes, n_samples). NaN for a sample of leverage 1. Cook (1977), Technometrics 19:15: the expectation
    of r^2 h / (1 - h)^2 for a residual r of variance 1 - h.
    """
    left = 1.0 - leverage
    alone = (left < NO_LEVERAGE_LEFT).any(axis=0)
    expected = np.where(alone, 0.0, leverage / np.where(alone, 1.0, left))
    return np.where(alone, np.nan, mean_shares(expected))


def over_fellows(values: Array, group: Index) -> Array:
    """Each value over the mean of the other values of its group: (n_samples,); NaN without others.

    values: (n_samples,), not negative, NaN where unknown; group: (n_samples,) numbers.
    """
    ratio = np.full(values.size, np.nan)
    for g in np.unique(group):
        members = np.flatnonzero((group == g) & np.isfinite(values))
        if members.size > 1:
            others = (values[members].sum() - values[members]) / (members.size - 1)
            ratio[members] = np.divide(values[members], others, out=np.full(members.size, np.nan), where=others > 0.0)
    return ratio


def beyond_fellows(change: Array, group: Index) -> Array:
    """Each change minus the median of the other changes of its group: (n_samples,); NaN without others."""
    beyond = np.full(change.size, np.nan)
    for g in np.unique(group):
        members = np.flatnonzero((group == g) & np.isfinite(change))
        for i in members:
            others = change[members[members != i]]
            if others.size:
                beyond[i] = change[i] - np.median(others)
    return beyond


def spread_of_fellows(beyond: Array, group: Index, fewest: int = 3) -> Array:
    """Robust standard deviation of the other values of each value's group: (n_samples,); NaN without others.

    beyond: (n_samples,) as `beyond_fellows` gives them. 1.4826 times the median absolute value; where a group has fewer
    than `fewest` others, over those of all groups.
    """
    spread = np.full(beyond.size, np.nan)
    for i in np.flatnonzero(np.isfinite(beyond)):
        others = np.isfinite(beyond) & (np.arange(beyond.size) != i)
        own = others & (group == group[i])
        chosen = own if own.sum() >= fewest else others
        if chosen.any():
            spread[i] = TO_SD * np.median(np.abs(beyond[chosen]))
    return spread


def most(values: Array, group: Index, n: int, fewest: int) -> Index:
    """Positions of the n largest values, in order of position, among them the `fewest` largest of every group.

    values: (n_samples,), NaN never taken; group: (n_samples,) numbers, negative: never taken.
    """
    order = [i for i in np.argsort(-values, kind="stable") if group[i] >= 0 and np.isfinite(values[i])]
    first = [i for g in np.unique(group) for i in [j for j in order if group[j] == g][:fewest]]
    chosen = [*first, *(i for i in order if i not in first)][: max(n, len(first))]
    return np.sort(np.array(chosen, np.intp))
