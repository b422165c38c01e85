"""A matrix that lies in a store, read in stripes: never all of it at once, unless it is small."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dediag.cohort import ALL, Cohort, InputError, blocks, frozen, stored
from dediag.readers.raw_counts import Gene, RawCounts, exact, shortened
from dediag.readers.validation import check_genes, check_unique, common_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from dediag.cohort import Piece
    from dediag.readers.validation import Drop, Labels

    Array = NDArray[np.float64]

HASHED_AT_ONCE = 2**22  # bytes


@dataclass(frozen=True)
class Stored:
    """A matrix with the names of its two sides, of which the first is the one that stripes are read along.

    read(i, j) gives rows i to j in whole: (j - i, n_columns), numbers of any type.
    """

    path: str
    format: str  # what it is, for a report
    rows: Sequence[str]
    columns: Sequence[str]
    genes_are_rows: bool
    read: Callable[[int, int], NDArray[Any]]
    together: int = 1  # rows that are stored as one chunk
    mapped: Array | None = None  # (n_genes, n_samples) where it can be used as it lies in the file

    @property
    def genes(self) -> Sequence[str]:
        """Names of the genes."""
        return self.rows if self.genes_are_rows else self.columns

    @property
    def samples(self) -> Sequence[str]:
        """Names of the samples."""
        return self.columns if self.genes_are_rows else self.rows

    def turned(self) -> Stored:
        """The same with genes for samples and samples for genes."""
        return replace(self, genes_are_rows=not self.genes_are_rows, mapped=None)

    def stripes(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """First row and values of one stripe after the other, each of at most BLOCK values where chunks allow it."""
        fit = blocks(len(self.rows), len(self.columns))[0].stop
        height = max(fit // self.together * self.together, self.together, 1)
        for first in range(0, len(self.rows), height):
            yield first, self.read(first, min(first + height, len(self.rows)))

    def whole_numbers(self) -> bool:
        """Whether all values are whole and not negative; reads until one is not."""
        return all(
            np.issubdtype(values.dtype, np.integer) or bool(((values >= 0) & (values == np.floor(values))).all())
            for _, values in self.stripes()
        )


def read_counts(matrix: Stored, table: pd.DataFrame, drop: Drop, labels: Labels) -> Cohort:
    """The cohort of a stored matrix and a sample table indexed by sample name, after all checks.

    Counts beyond cohort.IN_MEMORY go to a temporary file. Raises InputError as for text.
    """
    genes = pd.Index(list(matrix.genes), name="gene_id")
    check_unique(matrix.samples, "sample", labels.counts)
    kept = common_samples(matrix.samples, table, drop, labels)
    check_genes(genes, labels)
    raw = RawCounts(genes, kept, labels.counts)
    if matrix.mapped is not None and len(kept) == len(matrix.samples):
        counts = matrix.mapped
        for genes_at_hand, samples, values in _pieces(matrix, kept):
            raw.see(values, genes_at_hand, samples)
    else:
        counts = stored((len(genes), len(kept)), _seen(matrix, kept, raw))
    raw.conclude()
    return Cohort(counts=counts, genes=genes, samples=table.loc[kept])


def _seen(matrix: Stored, kept: Sequence[str], raw: RawCounts) -> Iterator[Piece]:
    """The pieces of the matrix, looked at on their way."""
    for genes, samples, values in _pieces(matrix, kept):
        raw.see(values, genes, samples)
        yield genes, samples, values


def _pieces(matrix: Stored, kept: Sequence[str]) -> Iterator[Piece]:
    """Counts (genes, samples) of the samples `kept`, stripe by stripe."""
    wanted = set(kept)
    of_sample = np.array([name in wanted for name in matrix.samples])  # kept samples stand in the matrix's order
    place = np.cumsum(of_sample) - of_sample
    for first, raw in matrix.stripes():
        last = first + len(raw)
        if matrix.genes_are_rows:
            columns = np.flatnonzero(of_sample)
            values = raw if len(columns) == raw.shape[1] else raw[:, columns]
            yield slice(first, last), ALL, _floats(matrix, values, first, columns)
            continue
        rows = np.flatnonzero(of_sample[first:last])
        if rows.size:
            values = raw if len(rows) == len(raw) else raw[rows]
            start = int(place[first + rows[0]])
            samples = slice(start, start + rows.size)
            yield ALL, samples, np.ascontiguousarray(_floats(matrix, values, first + rows, None).T)


def _floats(
    matrix: Stored, values: NDArray[Any], rows: int | NDArray[np.intp], columns: NDArray[np.intp] | None
) -> Array:
    """Numbers of any type as float64; `rows` and `columns` say where in the matrix they stand."""
    if np.issubdtype(values.dtype, np.integer) or values.dtype == np.bool_:

        def place(position: int) -> Gene:
            i, j = divmod(position, values.shape[1])
            row = matrix.rows[rows + i if isinstance(rows, int) else rows[i]]
            column = matrix.columns[j if columns is None else columns[j]]
            return Gene(row, column) if matrix.genes_are_rows else Gene(column, row)

        return exact(values.astype(np.uint8) if values.dtype == np.bool_ else values, place, matrix.path)
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{matrix.path}: the matrix holds values of type '{values.dtype}', not counts")
    return values.astype(np.float64, copy=False)


def upright(matrix: Stored, known: Collection[str], *, transpose: bool, sides: tuple[str, str]) -> Stored:
    """The matrix with samples where `known` has them; InputError when they stand along the other side than is said.

    sides: what the store calls the sides of its samples and its genes.
    """
    matrix = matrix.turned() if transpose else matrix
    wanted = set(known)
    right, wrong = len(wanted.intersection(matrix.samples)), len(wanted.intersection(matrix.genes))
    if right >= wrong or 2 * wrong < len(wanted):
        return matrix
    if transpose:
        raise InputError(
            f"{matrix.path}: {sides[0]} already are the samples ({shortened(matrix.genes)})\nleave out --transpose"
        )
    raise InputError(
        f"{matrix.path}: {sides[1]} are the samples ({shortened(matrix.genes)}) and {sides[0]} the genes\n"
        "add --transpose (in Python: transpose=True)"
    )


def sha256(path: str) -> str:
    """Hash of a file; of a folder the hash of the names and hashes of its files, in order."""
    place = Path(path)
    digest = hashlib.sha256()
    if place.is_dir():
        for file in sorted(entry for entry in place.rglob("*") if entry.is_file()):
            digest.update(f"{file.relative_to(place).as_posix()}\0{sha256(str(file))}\n".encode())
        return digest.hexdigest()
    with place.open("rb") as file_read:
        while content := file_read.read(HASHED_AT_ONCE):
            digest.update(content)
    return digest.hexdigest()


def as_mapped(array: NDArray[Any]) -> Array | None:
    """A read-only array that can be fitted where it lies: float64, C-contiguous, in the machine's byte order."""
    fits = array.dtype == np.float64 and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned
    return frozen(array) if fits and not array.flags.writeable else None
