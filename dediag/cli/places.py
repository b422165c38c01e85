"""Where output goes: refused before anything is computed, written beside its place, moved there when complete."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from dediag.cohort import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from dediag.cohort import Cohort


def for_table(path: Path, inputs: Sequence[Path], *, overwrite: bool) -> Path:
    """The absolute path of a file that may be made or, with overwrite, replaced; InputError where it may not.

    An input is never replaced. An empty file, a pipe or a device has nothing to lose and needs no overwrite.
    """
    with _explained(path):
        if path.is_dir():
            raise InputError(f"{path}: this is a folder; name a file for the results")
        if path.suffix in (".xlsx", ".xls", ".ods"):
            raise InputError(f"{path}: spreadsheets are not written; name a file that ends in .tsv or .csv (or .gz)")
        if path.exists() and any(name.exists() and path.samefile(name) for name in inputs):
            raise InputError(f"{path}: the results would replace an input file; choose another name")
        if path.exists() and not path.is_file():
            if not os.access(path, os.W_OK):
                raise InputError(f"{path}: you may not write there; choose another place")
            return path.absolute()
        if path.exists() and path.stat().st_size and not overwrite:
            raise InputError(f"{path} exists and is not empty; choose another name or give --overwrite")
    return writable(path)


def for_folder(path: Path, *, overwrite: bool) -> Path:
    """The absolute path of a folder that may be made or, with overwrite, replaced; InputError where it may not."""
    with _explained(path):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: this is a file; name a folder")
        if path.exists() and any(path.iterdir()) and not overwrite:
            raise InputError(f"{path} exists and is not empty; choose another folder or give --overwrite")
    return writable(path)


def writable(path: Path) -> Path:
    """The absolute path of a place that can be written, which is tried; InputError otherwise.

    Permissions alone do not tell: names can be too long, file systems read-only, and root is allowed what fails.
    """
    with _explained(path):
        target = path.resolve()
        if not target.parent.is_dir():
            raise InputError(f"{path}: its folder {target.parent} does not exist; make it first")
        if target.is_dir() and os.path.ismount(target):
            raise InputError(f"{path}: a mounted folder cannot be replaced in one piece; name a folder within it")
        for stage in (_beside(target, "partial"), *([_beside(target / "in", "partial")] if target.is_dir() else [])):
            stage.mkdir()
            stage.rmdir()
    return target


@contextlib.contextmanager
def folder_in_one_piece(target: Path) -> Iterator[Path]:
    """A new folder beside the target that takes its place when the block ends well; other files in the old one stay."""
    stage, old = _beside(target, "partial"), _beside(target, "old")
    try:
        with _explained(target):
            stage.mkdir()
        yield stage
        with _explained(target):
            if target.exists():
                target.rename(old)
            try:
                stage.rename(target)
            except BaseException:
                if old.exists():
                    old.rename(target)
                raise
            for entry in old.iterdir() if old.exists() else ():
                if not (target / entry.name).exists():
                    entry.rename(target / entry.name)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def write_table(table: pd.DataFrame, target: Path, name: str) -> None:
    """Write tab- or (.csv) comma-separated text, compressed if the file's name ends in .gz: same table, same bytes.

    name: of the column that holds the table's index. A file that is there is replaced only by the complete new one.
    """
    separator = "," if target.name.removesuffix(".gz").endswith(".csv") else "\t"
    content = table.to_csv(sep=separator, na_rep="NA", lineterminator="\n", index_label=name).encode()
    if target.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    with _explained(target):
        if target.exists() and not target.is_file():  # a pipe or a device cannot be replaced
            target.write_bytes(content)
            return
        stage = _beside(target, "partial")
        try:
            stage.write_bytes(content)
            stage.replace(target)
        finally:
            stage.unlink(missing_ok=True)


def write_study(cohort: Cohort, truth: pd.DataFrame, folder: Path) -> None:
    """Write a simulated study as counts.tsv.gz, samples.tsv and truth.tsv.gz."""
    import pandas as pd

    counts = pd.DataFrame(cohort.counts.astype("int64"), index=cohort.genes, columns=cohort.samples.index)
    write_table(counts, folder / "counts.tsv.gz", "gene_id")
    write_table(cohort.samples, folder / "samples.tsv", "sample")
    write_table(truth, folder / "truth.tsv.gz", "gene_id")


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}-{secrets.token_hex(4)}")


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from error
