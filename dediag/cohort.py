"""A cohort: validated counts with their sample table. A leaf: imports nothing of dediag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

LARGEST_COUNT = 2.0**53  # above it a float64 no longer holds every whole number


class InputError(ValueError):
    """Something only the user can mend: file, row or column, what is wrong, how to mend it; 1 to 3 lines."""


@dataclass(frozen=True)
class Cohort:
    """Counts (genes x samples) with a sample table in the same order; made by `read_cohort` or `Cohort.from_frames`.

    `counts` is float64, C-contiguous and read-only, so that every whole number up to 2^53 is exact. `offsets`, when
    given, are gene-by-sample normalisation factors (natural scale, positive) that take the place of size factors.
    """

    counts: NDArray[np.float64]  # (n_genes, n_samples)
    genes: pd.Index  # (n_genes,)
    samples: pd.DataFrame  # (n_samples, n_columns), indexed by sample name
    gene_lengths: NDArray[np.float64] | None = None  # (n_genes,) base pairs
    offsets: NDArray[np.float64] | None = None  # (n_genes, n_samples)
    control_genes: NDArray[np.bool_] | None = None  # (n_genes,)
    spike_ins: NDArray[np.bool_] | None = None  # (n_genes,)

    @property
    def n_genes(self) -> int:
        """Number of genes, all-zero ones included."""
        return int(self.counts.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[1])

    @classmethod
    def from_frames(cls, counts: pd.DataFrame, samples: pd.DataFrame) -> Cohort:
        """Make a cohort of a count table (genes x samples) and a sample table indexed by sample name.

        Columns are matched by name; the order of `counts` is kept. Raises InputError as `read_cohort` does.
        """
        from dediag.readers.validation import validated  # the checks live with the readers

        return validated(counts, samples)

    def with_counts(self, counts: ArrayLike) -> Cohort:
        """The same genes and samples with other counts (n_genes, n_samples), as in a simulation."""
        return replace(self, counts=frozen(counts))

    def take_samples(self, index: Sequence[int] | NDArray[np.intp]) -> Cohort:
        """The cohort of these samples, in this order."""
        index = np.asarray(index, dtype=np.intp)
        offsets = None if self.offsets is None else frozen(self.offsets[:, index])
        return replace(self, counts=frozen(self.counts[:, index]), samples=self.samples.iloc[index], offsets=offsets)

    def take_genes(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Cohort:
        """The cohort of these genes (positions or a mask), in this order."""

        def pick(values: NDArray[Scalar] | None) -> NDArray[Scalar] | None:
            return None if values is None else frozen(values[index], values.dtype)

        return replace(
            self,
            counts=frozen(self.counts[index]),
            genes=self.genes[index],
            gene_lengths=pick(self.gene_lengths),
            offsets=pick(self.offsets),
            control_genes=pick(self.control_genes),
            spike_ins=pick(self.spike_ins),
        )


@overload
def frozen(values: ArrayLike) -> NDArray[np.float64]: ...
@overload
def frozen(values: ArrayLike, dtype: type[Scalar] | np.dtype[Scalar]) -> NDArray[Scalar]: ...
def frozen(
    values: ArrayLike, dtype: type[np.generic] | np.dtype[np.generic] = np.float64
) -> NDArray[np.float64] | NDArray[np.generic]:
    """A read-only C-contiguous array of these values; copied unless the caller's array is read-only already."""
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable and (array is values or array.base is not None):
        array = array.copy()
    array.flags.writeable = False
    return array
