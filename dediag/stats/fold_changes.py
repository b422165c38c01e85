"""Three things that are called log2 fold change, and how each compares with a model's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats import agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

EDGES = (-np.inf, *np.round(np.arange(-1.0, 1.05, 0.1), 1), np.inf)  # log2, of the histogram of differences


def log_ratio(numerator: Array, denominator: Array) -> Array:
    """log2 of a ratio (n,), NaN where it has none."""
    usable = (numerator > 0) & (denominator > 0)
    above, below = np.where(usable, numerator, 1.0), np.where(usable, denominator, 1.0)
    return np.where(usable, np.log2(above / below), np.nan)


@dataclass(frozen=True)
class FoldChanges:
    """The three: (n_genes,) each, NaN where there is none."""

    difference: Array  # of mean logs
    ratio: Array  # log of the ratio of means
    mistake: Array  # log of the ratio of mean logs

    @classmethod
    def of(cls, values: Array, logs: Array, logs_of_mistake: Array, first: Mask, second: Mask) -> FoldChanges:
        """All three of values (n_genes, n_samples) and their logs, the last of logs that are not negative."""
        one, other = ([v[:, mask].mean(axis=1) for v in (values, logs, logs_of_mistake)] for mask in (first, second))
        return cls(one[1] - other[1], log_ratio(one[0], other[0]), log_ratio(one[2], other[2]))

    @property
    def named(self) -> dict[str, Array]:
        """The three by name."""
        names = ("difference of mean logs", "log of ratio of means", "log of ratio of mean logs (mistake)")
        return dict(zip(names, (self.difference, self.ratio, self.mistake), strict=True))

    def against(self, lfc: Array, use: Mask) -> dict[str, list[object]]:
        """Correlations and limits of agreement with fold changes (n_genes,) over the genes `use`, as a table."""
        rows = [agreement.against(values[use], lfc[use]) for values in self.named.values()]
        return {"definition": [*self.named], **{name: [row[name] for row in rows] for name in rows[0]}}

    def differences(self, lfc: Array, use: Mask) -> dict[str, list[object]]:
        """Histogram of each minus fold changes (n_genes,) over the genes `use`, as a table."""
        counts = {name: agreement.histogram(values[use], lfc[use], EDGES) for name, values in self.named.items()}
        return {"from_to": [f"{a:g} to {b:g}" for a, b in pairwise(EDGES)], **{k: [*v] for k, v in counts.items()}}
