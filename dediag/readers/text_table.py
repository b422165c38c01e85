"""Delimited text, as programs and people write it, to columns of strings and numbers.

Plain or compressed; tab, comma, semicolon or blanks; with or without quotes, byte order mark, comment lines on top,
Windows line ends, a delimiter too many at the end of lines, or a header that lacks the cell above the row names, as
R writes it. What the bytes are is read from the bytes, not from the file's name.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import lzma
import os
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dediag.cohort import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLANKS = " "  # stands for any run of blanks
DELIMITERS = {"\t": "tsv", ";": "csv with semicolons", ",": "csv", BLANKS: "text with blanks"}
LOOK_AT = 20  # lines from which the delimiter and the number of columns are read
EXPORT = "save it as tab- or comma-separated text"
NOT_TEXT = (  # first bytes -> what the file is, and the way out
    (b"PAR1", "a Parquet file", EXPORT),
    (b"\x89HDF", "an HDF5 file (h5ad, loom)", "unpack it; .h5ad is read as it is"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", EXPORT),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it, or compress it with gzip"),
    (b"%PDF", "a PDF document", EXPORT),
    (b"BAM\x01", "a BAM file", "count its reads per gene first, for example with featureCounts"),
    (b"RDX", "an R data file", 'write the table from R: write.table(x, "counts.tsv", sep="\\t", quote=FALSE)'),
    (b"X\n\x00", "an R data file", 'write the table from R: write.table(x, "counts.tsv", sep="\\t", quote=FALSE)'),
    (b"<", "a web page or XML", "download the table itself"),
)


@dataclass(frozen=True)
class TextTable:
    """A text file with one name per column; the cells are parsed on demand."""

    path: str
    content: bytes  # UTF-8
    delimiter: str
    header: tuple[str, ...]  # (n_columns,)
    skip: int  # lines above the first data line
    sha256: str  # of the file as it is on disk
    packed: str  # how it was compressed, or ""

    @property
    def format(self) -> str:
        """Delimiter and compression in words."""
        return DELIMITERS[self.delimiter] + (f", {self.packed}" if self.packed else "")

    def columns(self, positions: list[int] | None = None, *, text: bool = False) -> pd.DataFrame:
        """These columns (all by default), labelled by position; the first as strings, others as numbers where they are.

        text: all as strings. A cell without a value is an empty string. Rows without any value are left out.
        """
        first = 0 if positions is None else positions[0]
        try:
            frame = pd.read_csv(
                io.BytesIO(self.content),
                sep=r"\s+" if self.delimiter == BLANKS else self.delimiter,
                header=None,
                names=range(len(self.header)),
                usecols=positions,
                skiprows=self.skip,
                dtype=str if text else {first: str},
                keep_default_na=False,
                low_memory=False,
                engine="c",
            )
        except pd.errors.ParserError as error:
            raise InputError(self._uneven(str(error))) from error
        names = frame[first].fillna("").str.strip()
        frame[first] = names
        empty = names == ""
        if empty.any():
            empty &= (frame.loc[empty].astype(str) == "").all(axis=1).reindex(frame.index, fill_value=False)
            frame = frame.loc[~empty].reset_index(drop=True)
        return frame

    def turned(self) -> TextTable:
        """The table with rows and columns exchanged; short lines are filled with empty cells."""
        rows = [list(self.header)]
        for number, line in _numbered(self.content):
            if number <= self.skip:
                continue
            cells = _cells(line, self.delimiter)
            if len(cells) > len(self.header):
                raise InputError(self._too_long(len(self.header), number, len(cells)))
            rows.append(cells + [""] * (len(self.header) - len(cells)))
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows(zip(*rows, strict=True))
        names = tuple(row[0] for row in rows)
        return replace(self, content=text.getvalue().encode(), delimiter="\t", header=names, skip=1)

    def _too_long(self, expected: int, line: int, seen: int) -> str:
        return (
            f"{self.path}: line {line} has {seen} columns where the lines above it have {expected}\n"
            "mend this line; text that holds the delimiter needs quotes"
        )

    def _uneven(self, said: str) -> str:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said)
        if found:
            return self._too_long(*map(int, found.groups()))
        found = re.search(r"EOF inside string starting at row (\d+)", said)
        if found:
            line = int(found[1]) + 1
            return f'{self.path}: a quote (") opened in line {line} is never closed\nremove it, or double it'
        return f"{self.path}: not a table that can be read ({said.strip().splitlines()[-1]})"


def read(path: str | os.PathLike[str]) -> TextTable:
    """Read a file, find out how it is written, and read its header; InputError when it is not a table."""
    name = os.fspath(path)
    raw = _bytes(name)
    content, packed = _unpacked(raw, name)
    content = _utf8(content, name)
    delimiter, header, skip = _layout(content, name)
    return TextTable(name, content, delimiter, header, skip, hashlib.sha256(raw).hexdigest(), packed)


def lines(path: str | os.PathLike[str]) -> list[list[str]]:
    """The cells of every line that is neither blank nor a comment, also of a file of one column, such as a list of ids.

    Divided at tabs, else at semicolons or commas; blanks belong to a name. Raises InputError when it is not text.
    """
    name = os.fspath(path)
    content, _ = _unpacked(_bytes(name), name)
    found = [line for _, line in _numbered(_utf8(content, name)) if not line.startswith("#")]
    delimiter = next((d for d in "\t;," if any(d in line for line in found)), "\t")
    return [_cells(line, delimiter) for line in found]


def _bytes(name: str) -> bytes:
    try:
        raw = Path(name).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{name}: there is no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: this is a folder; name the file in it that holds the table") from error
    except PermissionError as error:
        raise InputError(f"{name}: you may not read this file; change its permissions or make a copy") from error
    except OSError as error:
        raise InputError(f"{name}: the file cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{name!r}: this cannot be the name of a file") from error
    if not raw.strip():
        raise InputError(f"{name}: the file is empty; was it written completely?")
    return raw


def _unpacked(raw: bytes, name: str) -> tuple[bytes, str]:
    """The content, and how it was compressed."""
    try:
        if raw.startswith(b"\x1f\x8b"):
            return gzip.decompress(raw), "gzip"
        if raw.startswith(b"BZh"):
            return bz2.decompress(raw), "bzip2"
        if raw.startswith(b"\xfd7zXZ"):
            return lzma.decompress(raw), "xz"
        if raw.startswith(b"PK\x03\x04"):
            return _unzipped(raw, name), "zip"
    except (EOFError, OSError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name}: the compressed file is damaged or incomplete ({error})\ncopy or download it again"
        ) from error
    return raw, ""


def _unzipped(raw: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [member for member in archive.namelist() if not member.endswith("/")]
        if "[Content_Types].xml" in members:
            raise InputError(f"{name}: this is an Excel workbook, not text; {EXPORT}")
        members = [member for member in members if not member.startswith("__MACOSX/")]
        if len(members) != 1:
            raise InputError(f"{name}: the zip archive holds {len(members)} files; unpack it and name the table itself")
        return archive.read(members[0])


def _utf8(content: bytes, name: str) -> bytes:
    """The content as UTF-8 without byte order mark; InputError for what is not text."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: not text that can be read (damaged UTF-16); save it as UTF-8") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    for start, what, way_out in NOT_TEXT:
        if content.startswith(start):
            raise InputError(f"{name}: this is {what}, not a table of text; {way_out}")
    nul = content.find(b"\0")
    if nul >= 0:
        raise InputError(f"{name}: this is a binary file (line {_line(content, nul)}), not a table of text; {EXPORT}")
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line, byte = _line(content, error.start), content[error.start]
            raise InputError(
                f"{name}: line {line} holds a letter (byte 0x{byte:02x}) that is not UTF-8; save the file as UTF-8"
            ) from error
    if not content.strip():
        raise InputError(f"{name}: the file is empty; was it written completely?")
    return content


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def _layout(content: bytes, name: str) -> tuple[str, tuple[str, ...], int]:
    """Delimiter, header, and number of lines above the data."""
    lines = _numbered(content)
    comments = []
    for number, line in lines:
        if not line.startswith("#"):
            top = (number, line)
            break
        comments.append((number, line))
    else:
        top = comments.pop()
    data = list(islice(lines, LOOK_AT))
    if not data and comments:  # the header itself begins with the comment sign, and one line follows it
        data, top = [top], comments.pop()
    elif comments and data and _same_width(comments[-1][1], top[1]):
        data, top = [top, *data], comments[-1]
    if not data:
        if not any(delimiter in top[1] for delimiter in "\t;,"):
            raise InputError(f"{name}: not a table: one line without tab, comma or semicolon")
        raise InputError(f"{name}: there is a header but no line below it; was the file written completely?")
    delimiter = _delimiter(top[1], [line for _, line in data], name)
    rows = [(number, _cells(line, delimiter)) for number, line in data]
    return delimiter, _header(_cells(top[1], delimiter), rows, f"{name}: the header (line {top[0]})"), top[0]


def _numbered(content: bytes) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, counted from 1."""
    for number, line in enumerate(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"), 1):
        stripped = line.rstrip("\n")
        if stripped.strip():
            yield number, stripped


def _same_width(comment: str, line: str) -> bool:
    """Whether a line that begins like a comment has as many cells as the one below it: then it is the header."""
    return any(line.count(d) == comment.count(d) > 0 for d in "\t;,")


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == BLANKS:
        line = re.sub(r"\s+", BLANKS, line.strip())
    limit = csv.field_size_limit(max(len(line), 131072))
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    finally:
        csv.field_size_limit(limit)


def _delimiter(header: str, data: Sequence[str], name: str) -> str:
    for delimiter in DELIMITERS:
        widths = {len(_cells(line, delimiter)) for line in data}
        top = len(_cells(header, delimiter))
        if len(widths) == 1 and (width := widths.pop()) >= 2 and width in (top, top + 1):
            return delimiter
    for delimiter in "\t;,":  # lines differ in length: said later, with the line
        if delimiter in header and 2 * sum(delimiter in line for line in data) > len(data):
            return delimiter
    raise InputError(
        f"{name}: not a table: no tab, comma or semicolon divides the first lines into columns\n"
        "it needs a header and the same number of columns in every line"
    )


def _header(header: list[str], rows: Sequence[tuple[int, list[str]]], it: str) -> tuple[str, ...]:
    """One name per column of the data; `it` names the header in an error."""
    width = max(len(cells) for _, cells in rows)
    while len(header) > width and header[-1] == "":
        header.pop()
    if width > len(header) and not any(any(cells[len(header) :]) for _, cells in rows):
        header += [""] * (width - len(header))  # lines end in a delimiter, the header does not
    elif width == len(header) + 1 and all(len(cells) == width for _, cells in rows):
        header = ["", *header]  # R leaves out the cell above the row names
    else:
        for number, cells in rows:
            if len(cells) > len(header) or width < len(header):
                raise InputError(
                    f"{it} has {len(header)} columns, line {number} has {len(cells)}\n"
                    "every column needs a name; text that holds the delimiter needs quotes"
                )
    return tuple(header)
