"""A cohort: validated counts with their sample table, in memory or in a file. A leaf: imports nothing of dediag.

Counts beyond `IN_MEMORY` lie in a temporary file that is mapped into the process. It has no name (the system removes it
with the last array on it, however the process ends). Whatever goes through counts does so in blocks of genes and lets
go of the pages behind it, so that the memory in use does not grow with the number of genes.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Piece = tuple[slice, slice, NDArray[np.float64]]  # genes, samples, their counts

Scalar = TypeVar("Scalar", bound=np.generic)

LARGEST_COUNT = 2.0**53  # above it a float64 no longer holds every whole number
BLOCK = 2**24  # counts that are worked on at a time (128 MiB); cohorts up to 30,000 genes x 500 samples are one block
IN_MEMORY = 2**26  # counts up to which a matrix that dediag makes is held in memory (512 MiB)
ALL = slice(None)


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
    spike_in_log2: NDArray[np.float64] | None = None  # (n_genes,) known log2 fold change; NaN: not told

    @property
    def n_genes(self) -> int:
        """Number of genes, all-zero ones included."""
        return int(self.counts.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[1])

    @property
    def normalisation_genes(self) -> NDArray[np.bool_] | None:
        """Genes that size factors are estimated from: the control genes, else all but spike-ins; None: all of them.

        Of shape (n_genes,). Spike-ins follow what was added to the samples, not what is in them.
        """
        if self.control_genes is not None or self.spike_ins is None:
            return self.control_genes
        return frozen(~self.spike_ins, np.bool_)

    def of_genes(self, pvalue: NDArray[np.float64]) -> NDArray[np.float64]:
        """p-values (n_genes,) with NaN at spike-ins, whose changes say nothing about the samples: no adjusted p."""
        return pvalue if self.spike_ins is None else np.where(self.spike_ins, np.nan, pvalue)

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
        taken = ((block, ALL, self.counts[block].take(index, axis=1)) for block in gene_blocks(self.counts))
        counts = stored((self.n_genes, index.size), taken)
        offsets = None if self.offsets is None else frozen(self.offsets[:, index])
        return replace(self, counts=counts, samples=self.samples.iloc[index], offsets=offsets)

    def take_genes(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Cohort:
        """The cohort of these genes (positions or a mask), in this order."""

        def pick(values: NDArray[Scalar] | None) -> NDArray[Scalar] | None:
            return None if values is None else frozen(values[index], values.dtype)

        position = np.arange(self.n_genes)[index]
        taken = ((block, ALL, self.counts[position[block]]) for block in blocks(position.size, self.n_samples))
        return replace(
            self,
            counts=stored((position.size, self.n_samples), taken),
            genes=self.genes[index],
            gene_lengths=pick(self.gene_lengths),
            offsets=pick(self.offsets),
            control_genes=pick(self.control_genes),
            spike_ins=pick(self.spike_ins),
            spike_in_log2=pick(self.spike_in_log2),
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


def blocks(n_genes: int, n_samples: int) -> list[slice]:
    """Slices that cover the genes, equally long but for one gene, of at most BLOCK counts where that is possible."""
    n = min(max(1, -(-n_genes * n_samples // BLOCK)), max(n_genes, 1))
    edges = [n_genes * i // n for i in range(n + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def gene_blocks(counts: NDArray[np.float64]) -> Iterator[slice]:
    """The same for counts (n_genes, n_samples) that are read block by block: their pages are let go behind each."""
    for block in blocks(*counts.shape):
        yield block
        let_go(counts)


def let_go(array: NDArray[np.float64]) -> None:
    """Take the pages of a mapped file out of this process's memory; the system reads them again when they are used."""
    base: object = array
    shared = False
    while isinstance(base, np.ndarray):
        shared |= isinstance(base, np.memmap) and base.mode in ("r", "r+")  # of others the only copy would be lost
        base = base.base
    if shared and isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)


def stored(shape: tuple[int, int], pieces: Iterable[Piece]) -> NDArray[np.float64]:
    """A read-only C-contiguous array of these pieces, which cover it; beyond IN_MEMORY counts in a temporary file.

    Raises InputError where there is no room for the file.
    """
    if shape[0] * shape[1] <= IN_MEMORY:
        array = np.empty(shape)
        for genes, samples, values in pieces:
            array[genes, samples] = values
        array.flags.writeable = False
        return array
    folder = _scratch_folder()
    with tempfile.TemporaryFile(dir=folder, prefix="dediag-") as file:
        _reserve(file, 8 * shape[0] * shape[1], folder)
        mapped = np.memmap(file, np.float64, "r+", shape=shape)
        for genes, samples, values in pieces:
            mapped[genes, samples] = values
            let_go(mapped)
        del mapped  # two mappings of a large file may be more than a process may have
        return frozen(np.memmap(file, np.float64, "r", shape=shape))


def _scratch_folder() -> Path:
    """The folder for large temporary files: as TMPDIR says, else /var/tmp, as /tmp is often held in memory."""
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    roomy = Path("/var/tmp")
    return Path(tempfile.gettempdir()) if named or not os.access(roomy, os.W_OK) else roomy


def _reserve(file: IO[bytes], size: int, folder: Path) -> None:
    """Take the room for a file before it is mapped: a write into a mapping of a full disk would end the process."""
    free = shutil.disk_usage(folder).free
    try:
        if size > free:
            raise OSError(f"{free / 2**30:.1f} GiB are free")
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        why = error.strerror or error
        raise InputError(
            f"{folder}: no room for a temporary file of {size / 2**30:.1f} GiB with the counts ({why})\n"
            "make room there, or let TMPDIR name a folder on a larger disk"
        ) from error
