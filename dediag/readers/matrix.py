"""A count matrix as text: which names are the samples, and the numbers.

Genes are rows. A matrix with genes in columns is recognised by its names and turned only on request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import InputError
from dediag.readers.raw_counts import Gene, exact, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from dediag.readers.text_table import TextTable

THOUSANDS = re.compile(r"\d{1,3}([,' \u00a0\u202f]\d{3})+|\d{1,3}(\.\d{3}){2,}")
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "<na>", "null", "none", "-", "."})


def upright(text: TextTable, known: Collection[str], *, transpose: bool) -> TextTable:
    """The matrix with its samples in columns; InputError when they stand along the other side than is said."""
    header = sample_names(text)
    wanted = set(known)
    across = len(wanted & set(header))
    if not transpose and 2 * across >= len(wanted):
        return text
    down = text.columns([0])[0].tolist()
    hits = len(wanted.intersection(down))
    if not transpose and hits > across and 2 * hits >= len(wanted):
        raise InputError(
            f"{text.path}: the rows are the samples ({shortened(down)}) and the columns the genes\n"
            "genes must be rows: add --transpose (in Python: transpose=True)"
        )
    if transpose and across > hits and 2 * across >= len(wanted):
        raise InputError(
            f"{text.path}: the columns already are the samples ({shortened(header)}) and the rows the genes\n"
            "leave out --transpose"
        )
    return text.turned() if transpose else text


def sample_names(text: TextTable) -> list[str]:
    """The names above the numbers; unnamed columns without any value at the end are left out."""
    header = list(text.header[1:])
    while header and header[-1] == "":
        cells = text.columns([0, len(header)])[len(header)]
        if not (cells.astype(str) == "").all():
            break
        header.pop()
    if "" in header:
        raise InputError(f"{text.path}: column {header.index('') + 2} has no name; give it one in the header")
    if not header:
        raise InputError(f"{text.path}: there is no column beside the names; a count matrix has one for each sample")
    return header


def counts(text: TextTable, names: Sequence[str], kept: Sequence[str]) -> tuple[pd.Index, NDArray[np.float64]]:
    """Gene names and the counts (n_genes, n_kept) of the samples `kept`; InputError for cells that are no numbers."""
    place = {name: position for position, name in enumerate(names, 1)}
    frame = text.columns()  # all of them: with a selection, pandas lets lines pass that are too long
    genes = frame[0].tolist()
    values = np.empty((len(frame), len(kept)))
    for j, name in enumerate(kept):
        values[:, j] = _numbers(frame[place[name]], genes, name, text.path)
    return pd.Index(genes, name=text.header[0] or "gene_id"), values


def _numbers(column: pd.Series, genes: Sequence[str], sample: str, path: str) -> NDArray[np.float64]:
    """A sample's column as float64; InputError names the first cell that is not a number."""
    if pd.api.types.is_integer_dtype(column):
        return exact(column.to_numpy(), lambda row: Gene(genes[row], sample), path)
    if pd.api.types.is_float_dtype(column):
        return column.to_numpy(dtype=np.float64)
    cells = column.fillna("").astype(str).str.strip()
    numbers: NDArray[np.float64] = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.isnan(numbers)
    if bad.any():
        row = int(bad.argmax())
        raise _not_a_number(path, Gene(genes[row], sample), str(cells.iloc[row]), all_bad=bool(bad.all()))
    return numbers


def _not_a_number(path: str, where: Gene, cell: str, *, all_bad: bool) -> InputError:
    if cell.lower() in MISSING:
        what = f"no count ('{cell}')" if cell else "no count (an empty cell, or the line is too short)"
        return InputError(f"{path}: {where} has {what}\nfill it in, or remove the gene or the sample")
    if THOUSANDS.fullmatch(cell):
        return InputError(f"{path}: {where} is '{cell}', with a thousands separator\nwrite numbers without separators")
    if DECIMAL_COMMA.fullmatch(cell):
        return InputError(
            f"{path}: {where} is '{cell}', with a decimal comma\nraw counts are whole numbers; dediag needs these"
        )
    if all_bad:
        return InputError(
            f"{path}: '{where.sample}' holds text, not counts ('{cell}' for gene '{where.gene}')\n"
            "remove what annotates the genes from the matrix"
        )
    return InputError(f"{path}: {where} is '{cell}', which is not a number\nmend it, or remove the gene or the sample")
