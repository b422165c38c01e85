"""AnnData in a .h5ad file or a zarr store: observations (obs) are the samples, variables (var) the genes.

Read with h5py or zarr by the published layout of the store (AnnData, "On-disk format", encoding versions 0.1 and 0.2,
files since AnnData 0.7), because the library anndata itself would bind the version of pandas. Which matrix is taken: X
if it holds whole numbers, else the first of the layers named in RAW_LAYERS, else raw/X; the source says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dediag.cohort import BLOCK, InputError
from dediag.readers.sample_table import MISSING
from dediag.readers.stored import Stored, upright
from dediag.readers.validation import check_unique

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

HDF5 = b"\x89HDF\r\n\x1a\n"
RAW_LAYERS = ("counts", "raw_counts", "raw")
SIDES = ("the observations (obs)", "the variables (var)")
SPARSE = {"csr_matrix": "CSR", "csc_matrix": "CSC"}


class AnnData:
    """An opened store; `group` is its root in h5py or zarr, which are asked in the same words."""

    def __init__(self, path: str, group: Any, kind: str) -> None:
        """`kind`: h5ad or zarr."""
        self.path, self.group, self.kind = path, group, kind
        missing = [name for name in ("obs", "var") if name not in group]
        if missing:
            raise InputError(
                f"{path}: there is no {' and no '.join(missing)} in it, so it is not an AnnData store\n"
                "write it with AnnData, or save counts and sample table as text"
            )

    def sample_table(self, side: str = "obs") -> pd.DataFrame:
        """The table of the samples, indexed by name; numbers as int64 or float64, all else as text, missing as NaN."""
        group = self.group[side]
        names = self._names(side)
        check_unique(names, "sample", f"{self.path} ({side})")
        order = [str(name) for name in group.attrs.get("column-order", ())]
        found = {name: _column(group, name) for name in order if name in group}
        columns = {name: column for name, column in found.items() if column is not None}
        if not columns:
            raise InputError(
                f"{self.path}: {side} has no column beside the names; the design needs a variable, such as the group\n"
                "add one, or give a sample table as text"
            )
        return pd.DataFrame(columns).set_axis(pd.Index(names, name="sample"))

    def counts(self, known: Collection[str], *, transpose: bool) -> Stored:
        """The matrix of raw counts; known: names of samples. InputError where it does not lie as is said."""
        matrices = list(self._candidates())
        if not matrices:
            raise InputError(
                f"{self.path}: there is neither X nor a layer named {', '.join(RAW_LAYERS)}\nadd the raw counts as X"
            )
        chosen = matrices[0]
        if len(matrices) > 1 and not chosen.whole_numbers():
            chosen = matrices[1]
        return upright(chosen, known, transpose=transpose, sides=SIDES)

    def _candidates(self) -> Iterator[Stored]:
        """Matrices that may hold the counts, the preferred one first."""
        obs, found = self._names("obs"), False
        places = [("X", "X"), *((f"layers/{name}", f"layer '{name}'") for name in RAW_LAYERS), ("raw/X", "raw.X")]
        for place, words in places:
            if place in self.group and _is_matrix(self.group[place]):
                why = "; X does not hold whole numbers" if found else ""
                found = found or place == "X"
                genes = self._names("raw/var" if place == "raw/X" else "var")
                yield self._matrix(self.group[place], obs, genes, words, why)

    def _matrix(self, found: Any, obs: list[str], var: list[str], words: str, why: str) -> Stored:
        sparse = SPARSE.get(_text(found.attrs.get("encoding-type", "")))
        shape = tuple(int(n) for n in (found.attrs["shape"] if sparse else found.shape))
        if shape != (len(obs), len(var)):
            raise InputError(
                f"{self.path}: {words} is {shape[0]} x {shape[1]}, but obs has {len(obs)} names and var {len(var)}\n"
                "the store is damaged; write it again"
            )
        by_gene = sparse == "CSC"
        together, read = 1, None
        if sparse:
            read = _sparse_reader(self.path, found, *(shape[::-1] if by_gene else shape))
        else:
            chunks = found.chunks or (1, 1)
            by_gene = chunks[0] * shape[1] > BLOCK >= chunks[1] * shape[0]  # tall chunks
            together = int(chunks[1] if by_gene else chunks[0])

            def read(first: int, last: int) -> NDArray[Any]:
                return np.asarray(found[:, first:last]).T if by_gene else np.asarray(found[first:last])

        rows, columns = (var, obs) if by_gene else (obs, var)
        text = f"AnnData ({self.kind}), {words}, {sparse or 'dense'}{why}"
        called = self.path if words == "X" else f"{self.path}, {words}"
        return Stored(called, text, rows, columns, by_gene, read, together)

    def _names(self, side: str) -> list[str]:
        """The index of obs or var."""
        group = self.group[side]
        if not hasattr(group, "keys"):
            raise InputError(
                f"{self.path}: {side} is stored as AnnData did before version 0.7\n"
                "read it with a newer AnnData and write it again"
            )
        index = _text(group.attrs.get("_index", "_index"))
        if index not in group:
            raise InputError(f"{self.path}: {side} has no index with names; the store is damaged; write it again")
        found = group[index]
        if hasattr(found, "keys"):  # names kept as a factor
            return [str(name) for name in _values(found["categories"])[np.asarray(found["codes"][:])]]
        return [str(name) for name in _values(found)]


def from_hdf5(path: str) -> AnnData:
    """Open a .h5ad file; it is closed with the object."""
    try:
        import h5py
    except ImportError as error:
        raise _not_installed(path, "h5py") from error
    try:
        return AnnData(path, h5py.File(path, "r"), "h5ad")
    except OSError as error:
        raise InputError(
            f"{path}: this HDF5 file is damaged or incomplete ({error})\ncopy or download it again"
        ) from error


def open_zarr(path: str) -> Any:
    """The zarr array or group in a folder."""
    try:
        import zarr
    except ImportError as error:
        raise _not_installed(path, "zarr") from error
    try:
        return zarr.open(path, mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: this zarr store is damaged or incomplete ({error})\ncopy it again") from error


def _not_installed(path: str, library: str) -> InputError:
    return InputError(
        f"{path}: reading this needs the library {library}, which is not installed\n"
        "install dediag with its extra: pip install 'dediag[anndata]'"
    )


def _is_matrix(found: Any) -> bool:
    """A dense array with two sides, or a sparse one (a store writes null where there is none)."""
    return len(getattr(found, "shape", ())) == 2 or _text(found.attrs.get("encoding-type", "")) in SPARSE


def _sparse_reader(path: str, group: Any, n_rows: int, n_columns: int) -> Any:
    """read(i, j) of a compressed matrix along its compressed side: dense rows (j - i, n_columns)."""
    pointers = np.asarray(group["indptr"][:], dtype=np.int64)
    stored = group["data"].shape[0], group["indices"].shape[0]
    damaged = InputError(f"{path}: the sparse matrix is damaged: its parts do not fit together\nwrite the store again")
    if len(pointers) != n_rows + 1 or pointers[0] or (np.diff(pointers) < 0).any() or stored != (pointers[-1],) * 2:
        raise damaged

    def read(first: int, last: int) -> NDArray[Any]:
        from scipy.sparse import csr_array

        start, stop = int(pointers[first]), int(pointers[last])
        indices = np.asarray(group["indices"][start:stop])
        if indices.size and not 0 <= indices.min() <= indices.max() < n_columns:  # scipy would write out of bounds
            raise damaged
        parts = group["data"][start:stop], indices, pointers[first : last + 1] - start
        return csr_array(parts, shape=(last - first, n_columns)).toarray()

    return read


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _column(table: Any, name: str) -> pd.Series | None:
    """A column of obs or var as numbers, or as text with NaN where there is nothing; None where it is neither."""
    if name not in table:
        return None
    found = table[name]
    if hasattr(found, "keys"):
        if "codes" in found:
            return _labels(found["codes"][:], _values(found["categories"]))
        if "values" in found and "mask" in found:
            values, mask = _values(found["values"]), np.asarray(found["mask"][:], dtype=bool)
            return _typed(pd.Series(values)).mask(mask) if mask.any() else _typed(pd.Series(values))
        return None
    if "__categories" in table and name in table["__categories"]:  # AnnData 0.7
        return _labels(found[:], _values(table["__categories"][name]))
    return _typed(pd.Series(_values(found))) if len(found.shape) == 1 else None


def _labels(codes: NDArray[Any], categories: NDArray[Any]) -> pd.Series:
    """A factor's values as text."""
    names = np.append(np.asarray([str(value) for value in categories], dtype=object), np.nan)  # code -1: missing
    return _typed(pd.Series(names[np.asarray(codes, dtype=np.int64)], dtype=object))


def _typed(column: pd.Series) -> pd.Series:
    """Whole numbers as int64, others as float64, all else as text with NaN where it says that it is missing."""
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.astype(np.int64)
    if pd.api.types.is_float_dtype(column.dtype):
        return column.astype(np.float64)
    text = column.where(column.isna(), column.map(str)).astype(pd.Series(["a"]).dtype)
    return text.mask(text.isin(MISSING))


def _values(array: Any) -> NDArray[Any]:
    """A one-dimensional array, text as str."""
    if hasattr(array, "asstr") and array.dtype.kind in "OS":
        return np.asarray(array.asstr()[:], dtype=object)
    values = np.asarray(array[:])
    if values.dtype.kind == "S":
        values = np.strings.decode(values, "utf-8")
    return values.astype(object) if values.dtype.kind in "TUO" else values
