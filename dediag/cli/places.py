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


def for_table(path: Path, inputs: Sequence[Path]) -> Path:
    """The absolute path of a file that may be written; InputError where it may not, or would replace an input."""
    target = writable(path)
    if target.is_dir():
        raise InputError(f"{path}: this is a folder; name a file for the results")
    if target.exists() and any(name.exists() and target.samefile(name) for name in inputs):
        raise InputError(f"{path}: the results would replace an input file; choose another name")
    return target


def for_folder(path: Path, *, overwrite: bool) -> Path:
    """The absolute path of a folder that may be made or, with overwrite, replaced; InputError where it may not."""
    target = writable(path)
    if target.exists() and not target.is_dir():
        raise InputError(f"{path}: this is a file; name a folder")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise InputError(f"{path} exists and is not empty; choose another folder or give --overwrite")
    return target


def writable(path: Path) -> Path:
    """The absolute path of a place in a folder that exists and may be written into; InputError otherwise."""
    target = path.resolve()
    if not target.parent.is_dir():
        raise InputError(f"{path}: its folder {target.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: you may not write into {target.parent}; choose another place")
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
