"""Quantile residuals of a cohort by group, expression and sample, each set beside the same set of simulated cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.residual_shape import CELLS, Calibrated, Shape, distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.stats.residual_shape import Chosen, Tally

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]

EVERY = slice(None)
COLUMNS = ("mean", "sd", "outliers", "excess_zeros", "zero_ratio")


@dataclass(frozen=True)
class Compared:
    """One set of counts in the data and in each simulated cohort."""

    observed: Shape
    simulated: tuple[Shape, ...]

    def __getitem__(self, name: str) -> Calibrated:
        """A statistic of `Shape` by its name."""
        return Calibrated.of(getattr(self.observed, name), [getattr(shape, name) for shape in self.simulated])


@dataclass(frozen=True)
class ResidualSets:
    """Every set of counts that is looked at; `well`: the counts of well-expressed genes."""

    whole: Compared
    well: tuple[Compared, Compared, Compared]  # all samples, test, reference
    by_group: tuple[Compared, Compared]  # test, reference
    by_bin: tuple[Compared, ...]
    by_sample: tuple[Compared, ...]
    cumulative: Array  # (CELLS,)
    cumulative_simulated: Array  # (n_cohorts, CELLS)
    outlying: Mask  # (n_genes,) with an outlier
    outlying_simulated: Mask  # (n_cohorts, n_genes)

    @classmethod
    def of(cls, data: Tally, cohorts: Sequence[Tally], test: Mask, reference: Mask, well: Index) -> ResidualSets:
        """test and reference: (n_samples,); well: the bins of well-expressed genes."""

        def compared(bins: Chosen = EVERY, samples: Chosen = EVERY) -> Compared:
            return Compared(data.shape(bins, samples), tuple(tally.shape(bins, samples) for tally in cohorts))

        n_bins, n_samples, _ = data.sums.shape
        return cls(
            whole=compared(),
            well=(compared(well), compared(well, test), compared(well, reference)),
            by_group=(compared(samples=test), compared(samples=reference)),
            by_bin=tuple(compared(np.array([b])) for b in range(n_bins)),
            by_sample=tuple(compared(samples=np.array([s])) for s in range(n_samples)),
            cumulative=data.cumulative(),
            cumulative_simulated=np.array([tally.cumulative() for tally in cohorts]),
            outlying=data.outlying,
            outlying_simulated=np.array([tally.outlying for tally in cohorts]),
        )

    @cached_property
    def distance(self) -> Calibrated:
        """Kolmogorov distance of the residuals' probabilities from those of the simulated cohorts."""
        return distance(self.cumulative, self.cumulative_simulated)

    @cached_property
    def uniform_distance(self) -> Calibrated:
        """The same from uniform ones."""
        even = np.arange(1, CELLS + 1) / CELLS
        simulated = np.abs(self.cumulative_simulated - even).max(axis=1)
        return Calibrated.of(float(np.abs(self.cumulative - even).max()), simulated.tolist())

    @cached_property
    def most_zeros(self) -> int:
        """Which of `well` surely has the largest share of zeros beyond the model's."""
        return int(np.argmax([part["excess_zeros"].sure for part in self.well]))

    @property
    def zeros(self) -> Calibrated:
        """Share of counts that are zero beyond the model's, there."""
        return self.well[self.most_zeros]["excess_zeros"]

    @cached_property
    def worst(self) -> int:
        """Position of the sample whose residuals are largest: root mean square over that expected."""
        return int(np.nanargmax([part["rms"].observed / part["rms"].expected for part in self.by_sample]))

    @cached_property
    def outliers_in(self) -> tuple[int, float]:
        """Position of the sample with most outliers, and its share of all."""
        numbers = np.array([round(part.observed.n * part.observed.outliers) for part in self.by_sample])
        return int(numbers.argmax()), float(numbers.max() / max(numbers.sum(), 1))

    def with_outlier(self, genes: Mask) -> Calibrated:
        """Share of these genes (n_genes,) with an outlier."""
        if not genes.any():
            return Calibrated.of(np.nan, [])
        return Calibrated.of(
            float(self.outlying[genes].mean()), self.outlying_simulated[:, genes].mean(axis=1).tolist()
        )

    def worst_bin(self, among: Index, fewest: int) -> int | None:
        """Of these bins with so many genes or more, the one whose residuals are surely furthest too wide or narrow."""
        off = {b: abs(self.by_bin[b]["sd"].relative) for b in among.tolist()}
        enough = [b for b in off if self.by_bin[b].observed.n >= fewest * len(self.by_sample) and np.isfinite(off[b])]
        return max(enough, key=off.__getitem__, default=None)

    def densities(self, n: int) -> tuple[Array, Array]:
        """Share of residuals in n equal stretches of probability, times n: (n,), and (n_cohorts, n) simulated."""
        step = CELLS // n
        every = np.vstack([self.cumulative, self.cumulative_simulated])[:, step - 1 :: step]
        density = n * np.diff(every, axis=1, prepend=0.0)
        return density[0], density[1:]


def known(value: float) -> float | None:
    """The number, or None where there is none."""
    return float(value) if np.isfinite(value) else None


def columns(parts: Sequence[Compared]) -> dict[str, list[float | None]]:
    """The columns of a table with a row for each set."""
    table = {}
    for name in COLUMNS:
        values = [part[name] for part in parts]
        table[name] = [known(value.observed) for value in values]
        table[f"{name}_expected"] = [known(value.expected) for value in values]
    return table
