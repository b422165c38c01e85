"""Which genes of a study could have been found, at which fold change, in which direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.detection import Genes, effective_depth, first_order_limit
from dediag.stats.detection_limits import LARGEST, limits, solve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.stats.detection import Comparison

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


TAGS = (
    "could not have been seen",
    "tested with power >= .8 for 2-fold, up only",
    "tested with power >= .8 for 2-fold, down only",
    "tested with power >= .8 for 2-fold",
    "left out by the filter",
    "called",
)  # in the order of `Reach.tags`


def genes_at(midpoint: Array, phi: Sequence[Array], depths: Sequence[Array]) -> Genes:
    """Genes (n_genes,) at these midpoints (at size factor 1) in samples of the two groups.

    phi: dispersions of test group, reference group, and test; depths: (1 or n_genes, n_k) size factors.
    """
    test, reference = (midpoint * effective_depth(midpoint, phi[2], depth) for depth in depths)
    return Genes(test, reference, *phi)


@dataclass(frozen=True)
class Reach:
    """Limits of the tested genes as log fold changes, inf where no change is found; arrays (n_tested,)."""

    up: Array
    down: Array
    equal_up: Array  # the limits if both groups had equal depth and dispersion
    equal_down: Array
    called: Mask
    filtered: Mask  # left out of the adjustment for their low mean, so that they could not be called

    @classmethod
    def of(cls, genes: Genes, comparison: Comparison, called: Mask, filtered: Mask) -> Reach:
        """The limits of these genes."""
        equal = limits(genes.alike(), comparison)
        return cls(*limits(genes, comparison), *equal, called, filtered)

    def seen(self, fold: float) -> tuple[Mask, Mask]:
        """Genes in which a change of this size would be found, up and down: (n_tested,) each."""
        return self.up <= math.log(fold), self.down <= math.log(fold)

    def tags(self, fold: float) -> NDArray[np.intp]:
        """Place in TAGS of each gene: (n_tested,)."""
        up, down = self.seen(fold)
        tag = up + 2 * down
        tag[self.filtered & (tag > 0)] = 4
        tag[self.called] = 5
        return np.asarray(tag, np.intp)

    def shares(self, fold: float) -> dict[str, float]:
        """Shares of the genes: found in both directions, only up, only down, neither, hidden by the filter."""
        up, down = self.seen(fold)
        tag = np.where(self.filtered & (up | down), 4, up + 2 * down)
        return {
            name: float((tag == k).mean()) if tag.size else math.nan
            for name, k in (("both", 3), ("up", 1), ("down", 2), ("neither", 0), ("filtered", 4))
        }

    def untestable(self, fold: float) -> float:
        """Share of the genes in which a change of this size could not have been called in either direction."""
        shares = self.shares(fold)
        return shares["neither"] + shares["filtered"]

    def take(self, index: Mask) -> Reach:
        """Some of the genes."""
        up, down, equal_up, equal_down = (x[index] for x in (self.up, self.down, self.equal_up, self.equal_down))
        return Reach(up, down, equal_up, equal_down, self.called[index], self.filtered[index])

    def lean(self, fold: float) -> float:
        """Share of genes in which only a rise is found less that of only a fall, in excess over equal groups."""
        up, down = self.seen(fold)
        size = math.log(fold)
        equal = (self.equal_up <= size).mean() - (self.equal_down <= size).mean()
        return float(up.mean() - down.mean() - equal)

    def strongest_lean(self, folds: tuple[float, ...]) -> tuple[float, float]:
        """The lean that is farthest from zero, and its fold change."""
        return max(((self.lean(fold), fold) for fold in folds), key=lambda found: abs(found[0]))

    def gene_columns(self, fold: float) -> dict[str, list[object]]:
        """Limits as fold changes (NaN: none) and tag of each gene."""
        return {
            "min_fold_change_up": folds(self.up).tolist(),
            "min_fold_change_down": folds(self.down).tolist(),
            "tag": [TAGS[k] for k in self.tags(fold)],
        }

    def columns(self, groups: Sequence[Mask], fold: float) -> dict[str, list[object]]:
        """Medians and shares of groups of genes, (n_tested,) each; one line a group."""
        parts = [self.take(group) for group in groups]
        shares = [part.shares(fold) for part in parts]
        return {
            "n_genes": [part.up.size for part in parts],
            "min_fold_change_up": [median_fold(part.up) for part in parts],
            "min_fold_change_down": [median_fold(part.down) for part in parts],
            **share_columns(shares),
        }

    @property
    def limit_ratio(self) -> float | None:
        """Median of limit up over limit down, as fold changes, of genes that have both; None without any."""
        both = np.isfinite(self.up) & np.isfinite(self.down)
        return float(np.exp(np.median(self.up[both] - self.down[both]))) if both.any() else None


def share_columns(shares: Sequence[dict[str, float]]) -> dict[str, list[object]]:
    """What `Reach.shares` gave for several groups or fold changes, as columns."""
    return {f"share_{name}": [row[name] for row in shares] for name in shares[0]}


def folds(log_limits: Array) -> Array:
    """Log limits as fold changes, NaN for none."""
    return np.asarray(np.where(np.isfinite(log_limits), np.exp(np.minimum(log_limits, 2.0 * LARGEST)), np.nan))


def median_fold(log_limits: Array) -> float | None:
    """Median limit as a fold change; None where it is none at all."""
    middle = float(np.median(log_limits)) if log_limits.size else np.inf
    return math.exp(middle) if math.isfinite(middle) else None


@dataclass(frozen=True)
class Curve:
    """The limits along expression, at the dispersions of the trend; log fold changes, inf where none is found."""

    midpoint: Array  # (n_points,) geometric mean of the two groups' means at size factor 1
    up: Array
    down: Array
    first_order_up: Array
    first_order_down: Array

    def columns(self) -> dict[str, list[object]]:
        """Limits as fold changes (NaN: none)."""
        return {
            "midpoint": self.midpoint.tolist(),
            "min_fold_change_up": folds(self.up).tolist(),
            "min_fold_change_down": folds(self.down).tolist(),
            "first_order_up": folds(self.first_order_up).tolist(),
            "first_order_down": folds(self.first_order_down).tolist(),
        }

    @classmethod
    def of(cls, genes: Genes, comparison: Comparison, midpoint: Array) -> Curve:
        """The limits of genes that stand for typical ones at these midpoints (rising)."""
        up, down = solve(genes, comparison), solve(genes.exchanged(), comparison.exchanged())
        up, down = (np.where(limit > LARGEST, np.inf, limit) for limit in (up, down))
        simple = first_order_limit(genes, comparison, LARGEST)
        return cls(midpoint, up, down, simple, first_order_limit(genes.exchanged(), comparison.exchanged(), LARGEST))

    def base_mean_of(self, log_fc: float, n_test: int, n_reference: int) -> float | None:
        """The base mean above which a change of this size and sign is found; None: not within the curve.

        A base mean averages over the samples, so that it lies above the midpoint where the larger group is higher.
        """
        found = (self.up if log_fc > 0.0 else self.down) <= abs(log_fc)
        missed = np.flatnonzero(~found)
        first = int(missed[-1]) + 1 if missed.size else 0
        if first == found.size or not missed.size:
            return None
        share = n_test / (n_test + n_reference)
        return float(self.midpoint[first] * (share * math.exp(log_fc / 2.0) + (1.0 - share) * math.exp(-log_fc / 2.0)))
