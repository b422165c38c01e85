"""Tables as gzipped tab-separated text: the same table gives the same bytes, and reading gives the table back."""

from __future__ import annotations

import gzip
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.finding import Table
from dediag.report.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MISSING = "NA"
_WORDS = {"TRUE": True, "FALSE": False}


def to_bytes(table: Table) -> bytes:
    """The table with a header line; missing values NA, numbers with every digit they need and no more."""
    names = [_text(name) for name in table.columns]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns of table {table.name} have the same name")
    columns = [_tokens(values) for values in table.columns.values()]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"the columns of table {table.name} differ in length")
    rows = ["\t".join(names), *("\t".join(row) for row in zip(*columns, strict=True))]
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=6) as stream:
        stream.write(("\n".join(rows) + "\n").encode())
    return buffer.getvalue()


def from_bytes(data: bytes, name: str, caption: str) -> Table:
    """The table in these bytes; a column is numeric when writing its numbers again would give the same text."""
    header, *rows = gzip.decompress(data).decode().removesuffix("\n").split("\n")
    names = header.split("\t")
    cells = [row.split("\t") for row in rows]
    if any(len(row) != len(names) for row in cells):
        raise ValueError(f"the rows of table {name} differ in length")
    columns = list(zip(*cells, strict=True)) if cells else [() for _ in names]
    return Table(name, caption, {key: _values(column) for key, column in zip(names, columns, strict=True)})


def _tokens(values: Sequence[object]) -> list[str]:
    array = np.asarray(values)
    if array.dtype == np.float32:  # its own shortest digits, not those of the double it would become
        return [MISSING if math.isnan(v) else str(v) for v in array]
    items: Iterable[Any] = array.tolist() if array.dtype.kind in "fiub" else values
    return [_token(item) for item in items]


def _token(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return MISSING if math.isnan(value) else repr(value)
    value = plain(value)
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return str(value).upper()
    return _text(value)


def _text(value: object) -> str:
    return " ".join(str(value).splitlines()).replace("\t", " ")


def _values(tokens: Sequence[str]) -> tuple[object, ...]:
    for read, write in ((_WORDS.__getitem__, _token), (int, str), (float, repr)):
        try:
            values = tuple(None if token == MISSING else read(token) for token in tokens)
        except (KeyError, ValueError):
            continue
        if all(v is None or write(v) == t for v, t in zip(values, tokens, strict=True)):
            return values
    return tuple(None if token == MISSING else token for token in tokens)
