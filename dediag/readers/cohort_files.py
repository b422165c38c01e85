"""Counts and a sample table in files of any kind to a Cohort; what a file is, is read from its bytes, not its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dediag.cohort import InputError
from dediag.readers import anndata, array, feature_counts, matrix, sample_table, text_table
from dediag.readers.anndata import AnnData
from dediag.readers.gene_annotation import annotated
from dediag.readers.stored import read_counts, sha256
from dediag.readers.validation import Labels, assemble, check_unique, common_samples

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from dediag.cohort import Cohort
    from dediag.readers.gene_annotation import Genes, Lengths, SpikeIns
    from dediag.readers.validation import Drop

ZARR = ("zarr.json", ".zgroup", ".zarray")  # one of them is in the folder of a store


class Source(NamedTuple):
    """A file that was read: its path as given, the hash of its bytes, and what it was taken for."""

    path: str
    sha256: str
    format: str


def read_cohort(
    counts: str | PathLike[str],
    samples: str | PathLike[str] | None = None,
    *,
    transpose: bool = False,
    drop_samples: Drop = None,
    gene_lengths: Lengths | None = None,
    control_genes: Genes | None = None,
    spike_ins: SpikeIns | None = None,
) -> Cohort:
    """Read raw counts (genes x samples) and a sample table (sample names first), matched by name.

    Text with a header, delimited by tab, comma, semicolon or blanks, plain or compressed (gzip, bzip2, xz, zip). Counts
    may also be AnnData (.h5ad, .zarr; obs are the samples, and the sample table when `samples` is the same store or
    None), or an array (.npy, .zarr) with the names in files beside it; counts too large for memory then stay on disk.
    transpose: the matrix is samples x genes. drop_samples: "unmatched" leaves out what is in one file only; names are
    left out of both files. The order of the counts' columns is kept. A table of featureCounts gives gene lengths too.

    gene_lengths: a file (id, then a column called length, or lengths by sample), or a mapping from id to base pairs.
    control_genes: the genes that size factors are estimated from: ids, or a file of them. spike_ins: ids, what their
    ids begin with, a file of them (with the known log2 fold changes, test over reference, in a column
    log2_fold_change), or a mapping from id to log2 fold change. Raises InputError for what only the user can mend.
    """
    cohort = read_with_sources(counts, samples, transpose=transpose, drop_samples=drop_samples)[0]
    return annotated(cohort, gene_lengths, control_genes, spike_ins)[0]


def read_with_sources(
    counts: str | PathLike[str],
    samples: str | PathLike[str] | None = None,
    *,
    transpose: bool = False,
    drop_samples: Drop = None,
) -> tuple[Cohort, Source, Source]:
    """As `read_cohort` without what else is known of the genes, and with what a report says of the two files."""
    path = os.fspath(counts)
    table_path = path if samples is None else os.fspath(samples)
    store = _store(path)
    if store is None and samples is None:
        raise InputError(f"{path}: a text file holds counts or samples; name the sample table too")
    table, table_source = _sample_table(table_path, store if table_path == path else _store(table_path), transpose)
    labels = Labels(path, table_path)
    if store is None:
        return *_from_text(path, table, labels, transpose=transpose, drop=drop_samples), table_source
    if isinstance(store, AnnData):
        found = store.counts(table.index, transpose=transpose)
    else:
        found = array.matrix(path, store, transpose=transpose)
    cohort = read_counts(found, table, drop_samples, Labels(found.path, table_path))
    return cohort, Source(path, sha256(path), found.format), table_source


def _sample_table(path: str, store: Any, transpose: bool) -> tuple[pd.DataFrame, Source]:
    """The sample table in this file, whose store (None: text) is open."""
    if store is None:
        text = text_table.read(path)
        return sample_table.typed(text), Source(text.path, text.sha256, f"table, {text.format}")
    if not isinstance(store, AnnData):
        raise InputError(
            f"{path}: an array holds no sample table; give one as text, with the names of the samples first"
        )
    side = "var" if transpose else "obs"
    return store.sample_table(side), Source(path, sha256(path), f"{side} of AnnData ({store.kind})")


def _from_text(
    path: str, table: pd.DataFrame, labels: Labels, *, transpose: bool, drop: Drop
) -> tuple[Cohort, Source]:  # fmt: skip
    text = text_table.read(path)
    if feature_counts.recognised(text):
        cohort = feature_counts.read(text, table, labels, transpose=transpose, drop=drop)
        return cohort, Source(text.path, text.sha256, f"featureCounts with gene lengths, {text.format}")
    upright = matrix.upright(text, table.index, transpose=transpose)
    names = matrix.sample_names(upright)
    check_unique(names, "sample", labels.counts)
    kept = common_samples(names, table, drop, labels)
    genes, values = matrix.counts(upright, names, kept)
    source = Source(text.path, text.sha256, f"matrix, {text.format}")
    return assemble(values, genes, table.loc[kept], labels), source


def _store(path: str) -> Any:
    """An AnnData store or an array, opened; None for text and for what cannot be opened."""
    folder = Path(path)
    if any((folder / name).is_file() for name in ZARR):
        found = anndata.open_zarr(path)
        return AnnData(path, found, "zarr") if hasattr(found, "members") else found
    try:
        with folder.open("rb") as file:
            start = file.read(8)
    except (OSError, ValueError):
        return None  # the reader of text says why
    if start == anndata.HDF5:
        return anndata.from_hdf5(path)
    return array.npy(path) if start.startswith(array.MAGIC) else None
