"""Is a sample nearer to the other group than to its own? Asked of genes that were chosen without it.

Genes chosen with all samples tell the groups apart the way the labels say, the sample's own included; a mislabelled
sample would look at home (selection bias: Ambroise and McLachlan 2002, PNAS 99:6562). Each sample is therefore taken
out of the linear model, by the identities for deleted cases (Cook and Weisberg 1982, section 2.2), the VOTERS genes
that tell the others' groups apart best are looked up, and each of them votes: is the sample nearer to the other group's
mean? Every gene has one vote, so that a few that differ by much (of the Y chromosome, say) decide nothing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.fellows import NO_LEVERAGE_LEFT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]

VOTERS = 50  # genes
TOLD_APART = 0.35  # votes of a group's typical sample for the other group: up to here the check works
AWAY, MOST_AWAY = 0.5, 0.2  # votes from which a sample is nearer to the other group, and share of a group that may be


@dataclass(frozen=True)
class SwapCheck:
    """Votes of the samples of two groups."""

    votes: Array  # (n_samples,) share for the other group; NaN: not asked
    group: Index  # (n_samples,) 0 or 1

    @property
    def told_apart(self) -> bool:
        """Whether the typical sample of each group is placed in its own by genes that were chosen without it."""
        votes = [self.votes[(self.group == k) & np.isfinite(self.votes)] for k in (0, 1)]
        return all(v.size > 0 and float(np.median(v)) <= TOLD_APART for v in votes)

    @property
    def most(self) -> int | None:
        """Position of the sample with most votes for the other group; None where none was asked."""
        return int(np.nanargmax(self.votes)) if np.isfinite(self.votes).any() else None

    def misplaced(self, limit: float) -> Index:
        """Positions of the samples with so many votes for the other group, if the groups can be told apart."""
        return np.flatnonzero((np.nan_to_num(self.votes) >= limit) & self.told_apart)

    @property
    def blurred(self) -> bool:
        """Whether more samples are nearer to the other group than mistakes would explain: a hidden factor is at work.

        A swapped sample stands alone beside others that are at home. Where an unrecorded factor splits the groups
        unevenly, samples lie all the way from one group to the other.
        """
        away = np.bincount(self.group[np.nan_to_num(self.votes) >= AWAY], minlength=2)
        return bool((away > np.maximum(1.0, MOST_AWAY * np.bincount(self.group, minlength=2))).any())


def votes_for_other(values: Array, design: Array, contrast: Array, test: Mask, reference: Mask) -> Array:
    """Share of the chosen genes in which each sample is nearer to the other group: (n_samples,).

    values (n_genes, n_samples) on a log scale; design (n_samples, n_coefficients), contrast (n_coefficients,) the
    difference of the groups in it, test over reference; test and reference (n_samples,). Covariates of the design are
    taken off. NaN for a sample of neither group, and where nothing is left without the sample.
    """
    n, p = design.shape
    inverse = np.linalg.inv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    beta = values @ design @ inverse
    residual = values - beta @ design.T
    total = (residual**2).sum(axis=1)
    difference, pull = beta @ contrast, design @ inverse @ contrast
    share = np.full(n, np.nan)
    if n - p < 2:
        return share
    for j in np.flatnonzero((test | reference) & (1.0 - leverage > NO_LEVERAGE_LEFT)):
        off = residual[:, j] / (1.0 - leverage[j])  # distance from what the others predict
        without = difference - pull[j] * off
        sd = np.sqrt(np.maximum(total - residual[:, j] * off, 0.0) / (n - p - 1))
        score = np.abs(without) / (sd + max(float(np.median(sd)), 1e-12))  # Tusher et al. 2001: no gene by luck of sd
        chosen = np.argpartition(-score, min(VOTERS, score.size) - 1)[:VOTERS]
        toward = off[chosen] * np.sign(without[chosen]) * (-1.0 if test[j] else 1.0)
        share[j] = np.mean(toward > np.abs(without[chosen]) / 2)
    return share
