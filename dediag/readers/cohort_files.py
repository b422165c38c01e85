"""A count matrix and a sample table, two text files, to a Cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dediag.readers import matrix, sample_table, text_table
from dediag.readers.validation import Labels, assemble, check_unique, common_samples

if TYPE_CHECKING:
    from os import PathLike

    from dediag.cohort import Cohort
    from dediag.readers.text_table import TextTable
    from dediag.readers.validation import Drop


class Source(NamedTuple):
    """A file that was read: its path as given, the hash of its bytes, and what it was taken for."""

    path: str
    sha256: str
    format: str


def read_cohort(
    counts: str | PathLike[str], samples: str | PathLike[str], *, transpose: bool = False, drop_samples: Drop = None
) -> Cohort:
    """Read raw counts (genes x samples, gene ids first) and a sample table (sample names first), matched by name.

    Text with a header, delimited by tab, comma, semicolon or blanks, plain or compressed (gzip, bzip2, xz, zip).
    transpose: the matrix is samples x genes. drop_samples: "unmatched" leaves out what is in one file only; names are
    left out of both files. The order of the counts' columns is kept. Raises InputError for what only the user can mend.
    """
    return read_with_sources(counts, samples, transpose=transpose, drop_samples=drop_samples)[0]


def read_with_sources(
    counts: str | PathLike[str], samples: str | PathLike[str], *, transpose: bool = False, drop_samples: Drop = None
) -> tuple[Cohort, Source, Source]:
    """As `read_cohort`, with what a report says of the two files."""
    sample_text = text_table.read(samples)
    table = sample_table.typed(sample_text)
    count_text = text_table.read(counts)
    labels = Labels(count_text.path, sample_text.path)
    upright = matrix.upright(count_text, table.index, transpose=transpose)
    names = matrix.sample_names(upright)
    check_unique(names, "sample", labels.counts)
    kept = common_samples(names, table, drop_samples, labels)
    genes, values = matrix.counts(upright, names, kept)
    cohort = assemble(values, genes, table.loc[kept], labels)
    return cohort, _source(count_text, "matrix"), _source(sample_text, "table")


def _source(text: TextTable, kind: str) -> Source:
    return Source(text.path, text.sha256, f"{kind}, {text.format}")
