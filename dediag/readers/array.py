"""Counts as a bare array: a .npy file, which is mapped and not read, or a zarr array; the names are in files beside it.

For `counts.npy` (or `counts.zarr`), genes x samples, the names stand in `counts.genes.txt` and `counts.samples.txt`,
one a line, in the order of rows and columns. Samples x genes is read with transpose=True.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.cohort import InputError, let_go
from dediag.readers.stored import Stored, as_mapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"


def npy(path: str) -> NDArray[Any]:
    """A .npy file, mapped."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: this .npy file cannot be read as a matrix of numbers ({error})") from error
    return mapped


def matrix(path: str, found: Any, *, transpose: bool) -> Stored:
    """The matrix in a mapped .npy file or a zarr array, with the names in the files beside it."""
    genes, samples = _names(path, found.shape, transpose=transpose)
    sides = (samples, genes) if transpose else (genes, samples)
    if not isinstance(found, np.ndarray):
        return Stored(path, f"matrix, zarr, {found.dtype}", *sides, not transpose, _reader(found), found.chunks[0])
    text = f"matrix, npy, {found.dtype}"
    if found.flags.f_contiguous and not found.flags.c_contiguous:  # column after column in the file
        return Stored(path, text, *sides[::-1], transpose, _reader(found.T))
    return Stored(path, text, *sides, not transpose, _reader(found), mapped=None if transpose else as_mapped(found))


def _reader(found: Any) -> Callable[[int, int], NDArray[Any]]:
    def read(first: int, last: int) -> NDArray[Any]:
        if isinstance(found, np.ndarray):
            let_go(found)  # what the stripe before this one has touched
        return np.asarray(found[first:last])

    return read


def _names(path: str, shape: tuple[int, ...], *, transpose: bool) -> tuple[list[str], list[str]]:
    """Names of genes and samples, as many as the array has."""
    if len(shape) != 2:
        raise InputError(f"{path}: this array has {len(shape)} dimensions; a count matrix has two, genes x samples")
    files = [Path(path).with_suffix(f".{what}.txt") for what in ("genes", "samples")]
    genes, samples = (_lines(path, file) for file in files)
    expected = (len(genes), len(samples))
    if shape == (expected[::-1] if transpose else expected):
        return genes, samples
    if shape == (expected if transpose else expected[::-1]):
        way_out = "leave out --transpose" if transpose else "add --transpose (in Python: transpose=True)"
        kind = "genes x samples" if transpose else "samples x genes"
        raise InputError(f"{path}: this matrix is {kind} ({shape[0]} x {shape[1]}): {way_out}")
    raise InputError(
        f"{path}: this matrix is {shape[0]} x {shape[1]}, but {files[0].name} has {len(genes)} names "
        f"and {files[1].name} {len(samples)}\nthere must be one name for each row and each column"
    )


def _lines(path: str, file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text("utf-8-sig").rstrip("\n").split("\n")]
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no {file.name} beside it\nthe names of genes and samples stand in such files, one a line"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text ({error})") from error
