"""The table that featureCounts writes: where each gene lies, its length, and a column of counts for each BAM file.

Geneid Chr Start End Strand Length, what --extraAttributes asked for, then the files. The length is that of all exons
of a gene together, in base pairs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import Cohort, InputError, frozen
from dediag.readers import matrix
from dediag.readers.validation import assemble, check_unique, common_samples

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dediag.readers.text_table import TextTable
    from dediag.readers.validation import Drop, Labels

ABOUT_GENES = ("Chr", "Start", "End", "Strand", "Length")
ENDINGS = (".bam", ".sam", ".cram", ".sorted", ".markdup", ".sorted")  # of files, taken off in this order


def recognised(text: TextTable) -> bool:
    """Whether featureCounts wrote this table."""
    return text.header[1 : 1 + len(ABOUT_GENES)] == ABOUT_GENES


def read(text: TextTable, table: pd.DataFrame, labels: Labels, *, transpose: bool, drop: Drop) -> Cohort:
    """The cohort with its gene lengths; the files are matched with the sample table (indexed by name).

    Raises InputError as for any other matrix, and for a gene without a length.
    """
    if transpose:
        raise InputError(f"{text.path}: featureCounts writes the genes as rows\nleave out --transpose")
    files = matrix.sample_names(text)[len(ABOUT_GENES) :]
    while files and files[0] not in table.index and _is_text(text, len(text.header) - len(files)):
        files.pop(0)  # an attribute of the genes
    names = sample_names(files, table.index)
    check_unique(names, "sample", labels.counts)
    kept = common_samples(names, table, drop, labels)
    about = [f"\t{name}" for name in matrix.sample_names(text)[: -len(files) or None]]  # called as no sample can be
    genes, values = matrix.counts(text, [*about, *names], kept)
    cohort = assemble(values, genes, table.loc[kept], labels)
    lengths = pd.to_numeric(text.columns()[len(ABOUT_GENES)], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~((lengths > 0.0) & np.isfinite(lengths))
    if bad.any():
        raise InputError(
            f"{text.path}: gene '{genes[int(bad.argmax())]}' has no positive number as its Length\nmend this line"
        )
    return replace(cohort, gene_lengths=frozen(lengths))


def _is_text(text: TextTable, position: int) -> bool:
    """Whether no cell of this column is a number."""
    cells = text.columns([0, position])[position]
    return bool(pd.to_numeric(cells, errors="coerce").isna().all())


def sample_names(files: Sequence[str], known: Collection[str]) -> list[str]:
    """What the sample table calls each file: its name as it stands, else without folder and endings where unique."""
    names = []
    for file in files:
        forms = [file, file.replace("\\", "/").rsplit("/", 1)[-1]]
        for ending in ENDINGS:
            if forms[-1].endswith(ending):
                forms.append(forms[-1].removesuffix(ending))
        names.append(next((form for form in forms if form in known), forms[-1]))
    often = Counter(names)
    return [name if often[name] == 1 else file for name, file in zip(names, files, strict=True)]
