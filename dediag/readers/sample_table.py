"""A sample table: text to typed columns, indexed by sample name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import InputError
from dediag.readers.validation import check_unique

if TYPE_CHECKING:
    from dediag.readers.text_table import TextTable

MISSING = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "<NA>", "NULL", "null"})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LABEL = re.compile(r"[+-]?0\d+")  # 007 is a label
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def typed(text: TextTable) -> pd.DataFrame:
    """The table, indexed by its first column; numbers as int64 or float64, all else as strings, missing as NaN."""
    frame = text.columns(text=True)
    header = list(text.header)
    while len(header) > 1 and header[-1] == "" and (frame[len(header) - 1] == "").all():
        header.pop()  # lines end in a delimiter
    if len(header) < 2:
        raise InputError(
            f"{text.path}: the sample table has one column; it needs the names and a variable, such as the group"
        )
    if "" in header[1:]:
        raise InputError(f"{text.path}: column {header.index('', 1) + 1} has no name; give it one in the header")
    check_unique(header[1:], "column", text.path)
    names = frame[0].tolist()
    if not names:
        raise InputError(f"{text.path}: there is a header but no line below it; was the file written completely?")
    if "" in names:
        raise InputError(f"{text.path}: row {names.index('') + 1} below the header has no sample name; give it one")
    check_unique(names, "sample", text.path)
    columns = {name: _typed(frame[i].fillna("").str.strip(), name, text.path) for i, name in enumerate(header[1:], 1)}
    table = pd.DataFrame(columns)
    table.index = pd.Index(names, name="sample")
    return table


def _typed(column: pd.Series[str], name: str, path: str) -> pd.Series:
    """One column as numbers where every value is one, else as strings."""
    missing = column.isin(MISSING)
    present = column[~missing]
    if len(present) and all(NUMBER.fullmatch(value) and not LABEL.fullmatch(value) for value in present):
        numbers = pd.to_numeric(column.mask(missing))
        if np.isfinite(numbers[~missing]).all():
            return numbers
    comma = [value for value in present if DECIMAL_COMMA.fullmatch(value)]
    if comma and all(DECIMAL_COMMA.fullmatch(value) or NUMBER.fullmatch(value) for value in present):
        raise InputError(
            f"{path}: column '{name}' writes numbers with a decimal comma ({comma[0]})\n"
            f"write them with a point ({comma[0].replace(',', '.')})"
        )
    return column.mask(missing)
