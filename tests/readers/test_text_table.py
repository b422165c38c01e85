"""Every way in which programs write a table is read alike; what is no table is called by its name."""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import zipfile
from typing import TYPE_CHECKING

import pytest

from dediag.cohort import InputError
from dediag.readers import text_table

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = "gene\ts1\ts2\nNA\t1\t2\n7\t3\t4\n"
CELLS = [["NA", 1, 2], ["7", 3, 4]]


def zipped(content: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def write(folder: Path, content: bytes | str, name: str = "table.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


WRITTEN = {
    "tab": PLAIN,
    "comma": PLAIN.replace("\t", ","),
    "semicolon": PLAIN.replace("\t", ";"),
    "blanks": PLAIN.replace("\t", " "),
    "aligned": "gene  s1   s2\nNA     1    2\n7      3    4\n",
    "no line end": PLAIN[:-1],
    "windows": PLAIN.replace("\n", "\r\n"),
    "old mac": PLAIN.replace("\n", "\r"),
    "byte order mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "windows with byte order mark": codecs.BOM_UTF8 + PLAIN.replace("\n", "\r\n").encode(),
    "utf-16": PLAIN.encode("utf-16"),
    "quoted": '"gene"\t"s1"\t"s2"\n"NA"\t"1"\t2\n"7"\t3\t4\n',
    "R write.csv": '"gene","s1","s2"\n"NA",1,2\n"7",3,4\n',
    "comment lines": "# made by a program\n#a\tb\n" + PLAIN,
    "blank lines": "\n\n" + PLAIN.replace("\n", "\n\n"),
    "blank line at the end": PLAIN + "\n\n",
    "empty rows at the end": PLAIN + "\t\t\n\t\t\n",
    "spaces around": " gene\t s1 \ts2\n NA\t1 \t 2\n7 \t3\t4\n",
    "numbers as floats": "gene\ts1\ts2\nNA\t1.0\t2e0\n7\t3.0\t4\n",
    "gzip": gzip.compress(PLAIN.encode()),
    "bzip2": bz2.compress(PLAIN.encode()),
    "xz": lzma.compress(PLAIN.encode()),
    "zip": zipped(PLAIN.encode(), "counts.tsv"),
    "zip from a Mac": zipped(PLAIN.encode(), "counts.tsv", "__MACOSX/._counts.tsv"),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_same_table(tmp_path, content):
    table = text_table.read(write(tmp_path, content))
    assert table.header == ("gene", "s1", "s2")
    assert [[row[0], float(row[1]), float(row[2])] for row in table.columns().to_numpy().tolist()] == CELLS


@pytest.mark.parametrize(
    "content",
    [
        '"s1" "s2"\n"NA" 1 2\n"7" 3 4\n',  # write.table with its defaults
        "s1\ts2\nNA\t1\t2\n7\t3\t4\n",
        "s1,s2\nNA,1,2\n7,3,4\n",
    ],
)
def test_header_of_r_lacks_first_cell(tmp_path, content):
    table = text_table.read(write(tmp_path, content))
    assert table.header == ("", "s1", "s2")
    assert table.columns().to_numpy().tolist() == CELLS


@pytest.mark.parametrize(
    "content", ["gene\ts1\ts2\t\nNA\t1\t2\t\n7\t3\t4\t\n", "gene\ts1\ts2\nNA\t1\t2\t\n7\t3\t4\t\n"]
)
def test_delimiter_at_the_end_makes_an_unnamed_column(tmp_path, content):
    assert text_table.read(write(tmp_path, content)).header == ("gene", "s1", "s2", "")


def test_delimiter_at_the_end_of_the_header_alone(tmp_path):
    assert text_table.read(write(tmp_path, "gene\ts1\ts2\t\nNA\t1\t2\n7\t3\t4\n")).header == ("gene", "s1", "s2")


def test_header_that_begins_with_the_comment_sign(tmp_path):
    table = text_table.read(write(tmp_path, "#gene\ts1\ts2\nNA\t1\t2\n7\t3\t4\n"))
    assert table.header == ("#gene", "s1", "s2")
    assert table.columns().to_numpy().tolist() == CELLS


def test_delimiters_inside_quotes(tmp_path):
    table = text_table.read(write(tmp_path, 'sample,note\ns1,"a, b"\ns2,c\n'))
    assert table.columns(text=True)[1].tolist() == ["a, b", "c"]


def test_hash_is_of_the_file_as_it_lies_there(tmp_path):
    path = write(tmp_path, WRITTEN["gzip"])
    table = text_table.read(path)
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.format == "tsv, gzip"


WRONG = {
    "empty": (b"", "empty"),
    "only blanks": (b" \n\n", "empty"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "only a header": ("gene\ts1\ts2\n", "no line below"),
    "one word": ("hello\n", "not a table"),
    "prose": ("This is a letter.\nIt has no columns at all, only a few words\nand lines.\n", "not a table"),
    "workbook": (zipped(b"x", "[Content_Types].xml", "xl/workbook.xml"), "Excel workbook"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "Excel workbook"),
    "h5ad": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "rds": (gzip.compress(b"X\n\x00\x00\x00\x03"), "R data file"),
    "parquet": (b"PAR1" + bytes(20), "Parquet"),
    "web page": ("<!DOCTYPE html>\n<html><body>404</body></html>\n", "web page"),
    "binary": (bytes(range(256)), "binary"),
    "latin-1": ("gene\ts1\nM\u00fcller\t3\n".encode("latin-1"), "line 2 .*0xfc.*UTF-8"),
    "two tables in a zip": (zipped(b"x", "a.tsv", "b.tsv"), "2 files"),
    "damaged gzip": (gzip.compress(PLAIN.encode() * 50)[:40], "damaged"),
    "damaged xz": (lzma.compress(PLAIN.encode() * 50)[:40], "damaged"),
    "damaged zip": (zipped(PLAIN.encode(), "a.tsv")[:60], "damaged"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd"),
    "long line": ("gene\ts1\ts2\nA\t1\t2\nB\t1\t2\t3\n", "line 3 has 4"),
    "long line far below": ("gene\ts1\ts2\n" + "A\t1\t2\n" * 50 + "B\t1\t2\t3\n", "line 52 has 4 columns"),
    "long line below comments": ("#x\n#y\ngene\ts1\ts2\n" + "A\t1\t2\n" * 50 + "B\t1\t2\t3\n", "line 54 has 4 columns"),
    "header too short": ("gene\ts1\nA\t1\t2\t3\t4\n", "header .line 1. has 2 columns, line 2 has 5"),
    "open quote": ('gene\ts1\ts2\nA\t1\t2\n"B\t1\t2\nC\t1\t2\n', "line 3 is never closed"),
}


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_no_table(tmp_path, content, said):
    path = write(tmp_path, content)
    with pytest.raises(InputError, match=said) as raised:
        text_table.read(path).columns()
    assert str(path) in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 3


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        text_table.read(tmp_path / "nowhere.tsv")
    with pytest.raises(InputError, match="folder"):
        text_table.read(tmp_path)


def test_no_permission(tmp_path, monkeypatch):
    path = write(tmp_path, PLAIN)

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(InputError, match="may not read"):
        text_table.read(path)
