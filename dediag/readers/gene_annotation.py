"""What is known of the genes beside their counts: lengths, control genes, spike-ins; from files, ids or a prefix.

Ids that are not among the counts are errors where they were typed; of a file, which is often a list for all purposes,
one must match, and a note says how many do not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dediag.cohort import InputError, frozen
from dediag.readers import text_table
from dediag.readers.raw_counts import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dediag.cohort import Cohort

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Named = str | os.PathLike[str]
    Lengths = Named | Mapping[str, float] | pd.Series
    Genes = Named | Sequence[str]
    SpikeIns = Genes | Mapping[str, float] | pd.Series

LENGTH_COLUMNS = (
    "effectivelength",
    "effective_length",
    "eff_length",
    "length",
)  # of salmon, tximport, kallisto, others
ID_HEADER = re.compile(
    r"((ensembl_?)?gene|feature|target|spike[_-]?in|ercc)?[ _.]?(ids?|names?|symbols?|genes?)?", re.I
)
LOG2_HEADER = re.compile(r"log[ _]?2|l(og[ _]?)?fc", re.I)
RATIO_HEADER = re.compile(r"fold[ _.-]?change|ratio|expected|\bfc\b", re.I)
AMOUNT_HEADER = re.compile(r"conc|amol|attomol|amount|molecule|count|expr|mean|[cfrt]pk?m|length", re.I)
FILE_NAME = re.compile(r".*[/\\].*|.*\.(txt|tsv|csv|tab|list)(\.(gz|bz2|xz|zip))?", re.I)
VERSION = re.compile(r"\.\d+$")
CONTROL_GENES = "control genes"
NO_NUMBER = frozenset({"", "na", "nan", "n/a"})
FEW_GENES = 10  # of which size factors are a median that one gene can move far
LARGEST_LOG2 = 30.0  # no known fold change is larger; what is, is a concentration


class Listed(NamedTuple):
    """Genes that somebody named: the mask (n_genes,), log2 fold changes where told, and what is to be said of it."""

    mask: Mask
    log2: Array | None
    notes: tuple[str, ...]


def is_file(named: Named) -> bool:
    """Whether this names a file that is there; a list of ids may be longer than any name, which `Path` would raise."""
    return os.path.isfile(named)  # noqa: PTH113 - says False of a name that is too long


def annotated(
    cohort: Cohort,
    gene_lengths: Lengths | None = None,
    control_genes: Genes | None = None,
    spike_ins: SpikeIns | None = None,
) -> tuple[Cohort, tuple[str, ...]]:
    """The cohort with what is known of its genes, and sentences on how it was understood; as for `read_cohort`."""
    notes: list[str] = []
    if gene_lengths is not None:
        lengths, how = _lengths(gene_lengths, cohort)
        cohort = replace(cohort, gene_lengths=frozen(lengths))
        notes.extend(how)
    if control_genes is not None:
        found = _listed(control_genes, cohort, CONTROL_GENES)
        cohort = replace(cohort, control_genes=frozen(found.mask, np.bool_))
        notes.extend(found.notes)
        if (n := int(found.mask.sum())) < FEW_GENES:
            notes.append(f"size factors rest on {_genes(n)} alone: too few to be sure of")
    if spike_ins is not None:
        found = _listed(spike_ins, cohort, "spike-ins", prefix=True)
        if found.mask.all():
            raise InputError("spike-ins: these are all genes of the counts\nname only those that were added")
        log2 = None if found.log2 is None else frozen(found.log2)
        cohort = replace(cohort, spike_ins=frozen(found.mask, np.bool_), spike_in_log2=log2)
        notes.extend(found.notes)
        if log2 is None:
            notes.append(
                "spike-ins are taken to be added in equal amounts: where groups got different mixes, give a file"
                " with the known log2 ratios"
            )
    return cohort, tuple(notes)


def _lengths(given: Lengths, cohort: Cohort) -> tuple[Array, tuple[str, ...]]:
    """Base pairs of each gene (n_genes,)."""
    where, how = "gene lengths", ""
    if isinstance(given, (Mapping, pd.Series)):
        pairs = list(given.items())  # a Series may have an id twice
        table = pd.DataFrame({"length": [value for _, value in pairs]}, index=[str(name) for name, _ in pairs])
    else:
        where = os.fspath(given)
        table = _length_table(where, cohort)
        how = f"the mean over {table.shape[1]} samples" if table.shape[1] > 1 else f"column {table.columns[0]}"
    present = table.index.intersection(cohort.genes)
    missing = cohort.genes.difference(present, sort=False)
    if len(missing):
        way_out = "add them, or remove the genes from the counts"
        raise InputError(
            f"{where}: {len(missing):,} of the {cohort.n_genes:,} genes of the counts have no length there, such as "
            f"'{missing[0]}'\n{way_out if len(present) else _why_apart(table.index, cohort.genes)}"
        )
    table = table[table.index.isin(cohort.genes)]
    values = table.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~((values > 0.0) & np.isfinite(values))
    if bad.any():
        row, column = (int(k[0]) for k in np.nonzero(bad))
        gene, cell = str(table.index[row]), str(table.iloc[row, column])
        of = f" in sample '{table.columns[column]}'" if len(table.columns) > 1 else ""
        raise InputError(
            f"{where}: gene '{gene}' has the length '{cell}'{of}\n"
            "a length is a positive number of base pairs: mend it, or remove the gene from the counts"
        )
    lengths = pd.Series(values.mean(axis=1), index=table.index)
    first = lengths[~lengths.index.duplicated()]
    differ = first.reindex(lengths.index) != lengths
    if differ.any():
        raise InputError(f"{where}: gene '{differ.idxmax()}' has more than one length\nleave one line for each gene")
    return first.reindex(cohort.genes).to_numpy(), (f"gene lengths are {how} of {where}",) if how else ()


def _length_table(path: str, cohort: Cohort) -> pd.DataFrame:
    """The column, or the columns by sample, that hold lengths, as text and indexed by gene."""
    text = text_table.read(path)
    frame = text.columns(text=True).fillna("")
    header = list(text.header)
    low = [name.casefold() for name in header]
    samples = set(cohort.samples.index)
    positions = [low.index(name) for name in LENGTH_COLUMNS if name in low[1:]][:1]
    if not positions:
        positions = [j for j, name in enumerate(header) if j and name in samples]
    if not positions:
        numbers = [j for j, cell in enumerate(frame.iloc[0]) if j and _is_number(cell)]
        if len(numbers) != 1:
            raise InputError(
                f"{path}: no column is called 'length', and none has the name of a sample; there are: "
                f"{shortened(header, 8)}\n"
                "call the column with the lengths (base pairs) 'length'"
            )
        positions = numbers
        if _is_number(header[numbers[0]]):  # there is no header
            frame.loc[-1], header = header, [str(j + 1) for j in range(len(header))]
    return frame.set_index(0)[positions].set_axis([header[j] for j in positions], axis=1)


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _listed(given: SpikeIns, cohort: Cohort, what: str, *, prefix: bool = False) -> Listed:
    """The genes that were named; prefix: one name that is no gene's may be what many begin with."""
    if isinstance(given, (Mapping, pd.Series)):
        rows = [(str(name), "NA" if value is None else str(value)) for name, value in given.items()]
        return _found([name for name, _ in rows], _log2(rows, 1, what), cohort, what, what)
    if not isinstance(given, (str, os.PathLike)):
        return _found([str(name) for name in given], None, cohort, what, what)
    named = os.fspath(given)
    if is_file(named) or FILE_NAME.fullmatch(named):
        return _from_file(named, cohort, what)
    ids = [name.strip() for name in named.split(",") if name.strip()]
    if prefix and len(ids) == 1 and ids[0] not in cohort.genes:
        mask = np.array([gene.startswith(ids[0]) for gene in cohort.genes])
        if not mask.any():
            raise InputError(
                f"{what}: '{named}' is no file, no gene of the counts, and no gene begins with it\n"
                f"the counts have {shortened(cohort.genes)}; give ids, what they begin with (ERCC-), or a file of them"
            )
        return Listed(mask, None, (f"{what}: {int(mask.sum()):,} genes begin with {named}",))
    return _found(ids, None, cohort, what, what)


def _from_file(path: str, cohort: Cohort, what: str) -> Listed:
    """The genes of a file: one a line, or the first column of a table."""
    rows = text_table.lines(path)
    if not rows:
        raise InputError(f"{path}: the file holds no gene; write one id a line")
    top = rows[0]
    column = None if what == CONTROL_GENES or len(rows) == 1 else _log2_column(path, top)
    titled = top[0] not in cohort.genes and (column is not None or bool(ID_HEADER.fullmatch(top[0])))
    if len(rows) == 1 and all(not _is_number(cell) for cell in top[1:]):  # all in one line
        return _found([cell for cell in top if cell], None, cohort, what, path, strict=False)
    body = rows[1:] if titled else rows
    if what != CONTROL_GENES and not titled and len(top) > 1 and all(_value(row, 1) is not None for row in body):
        column = 1
    log2 = None if column is None else _log2(body, column, path)
    return _found([row[0] for row in body], log2, cohort, what, path, strict=False)


def _log2(rows: Sequence[Sequence[str]], column: int, where: str) -> list[float]:
    """The log2 fold changes of a column, NaN where there is none."""
    values = [_value(row, column) for row in rows]
    if None in values:
        row = rows[values.index(None)]
        raise InputError(
            f"{where}: the log2 fold change of '{row[0]}' is '{row[column]}', which is not one\n"
            f"write log2 of test over reference, between -{LARGEST_LOG2:g} and {LARGEST_LOG2:g}, or NA"
        )
    return [value for value in values if value is not None]


def _log2_column(path: str, header: Sequence[str]) -> int | None:
    """The column of a table's header that holds log2 fold changes; None: none does."""
    changes = [j for j, name in enumerate(header) if j and not AMOUNT_HEADER.search(name)]
    log2 = [j for j in changes if LOG2_HEADER.search(header[j])]
    others = [header[j] for j in changes if RATIO_HEADER.search(header[j])]
    if len(log2) == 1:
        return log2[0]
    if log2:
        raise InputError(
            f"{path}: the columns {shortened([header[j] for j in log2])} may all hold log2 fold changes\n"
            "keep the one with log2 of test over reference"
        )
    if others:
        raise InputError(
            f"{path}: column '{others[0]}' looks like a fold change, and its name does not say that it is log2\n"
            "write log2 of test over reference, in a column 'log2_fold_change', or leave the column out"
        )
    return None


def _value(row: Sequence[str], column: int) -> float | None:
    """A log2 fold change, NaN where there is none; None for what is not one."""
    cell = row[column] if column < len(row) else ""
    if cell.casefold() in NO_NUMBER:
        return float("nan")
    return float(cell) if _is_number(cell) and abs(float(cell)) <= LARGEST_LOG2 else None


def _found(
    ids: Sequence[str], log2: Sequence[float] | None, cohort: Cohort, what: str, where: str, *, strict: bool = True
) -> Listed:
    """The genes of these ids; strict: all of them must be among the counts, else one."""
    position = cohort.genes.get_indexer(pd.Index(ids, dtype=object))
    known = position >= 0
    absent = [name for name, there in zip(ids, known, strict=True) if not there]
    if (strict and absent) or not known.any():
        if not ids:
            raise InputError(f"{what}: no gene is named; give ids, comma-separated, or a file of them")
        of = "ids" if where == what else what
        raise InputError(
            f"{where}: {len(absent):,} of {len(ids):,} {of} are not among the genes of the counts, such as "
            f"'{absent[0]}'\n{_why_apart(ids, cohort.genes)}"
        )
    mask = np.zeros(cohort.n_genes, np.bool_)
    mask[position[known]] = True
    note = f"{what}: {_genes(int(mask.sum()))}"
    if absent:
        note += f"; {len(absent):,} more of {where} are not in the counts ({shortened(absent)})"
    ratios = None
    if log2 is not None and np.isfinite(np.asarray(log2)[known]).any():
        ratios = np.full(cohort.n_genes, np.nan)
        ratios[position[known]] = np.asarray(log2, dtype=np.float64)[known]
        note += f"; {int(np.isfinite(ratios).sum()):,} with a known fold change"
    return Listed(mask, ratios, (note,))


def _genes(n: int) -> str:
    return f"{n:,} gene" if n == 1 else f"{n:,} genes"


def _why_apart(ids: Iterable[str], genes: pd.Index) -> str:
    """Why ids are not those of the counts, where that can be seen, and the way out."""
    listed = list(ids)
    mine, theirs = {VERSION.sub("", gene) for gene in genes}, {VERSION.sub("", name) for name in listed}
    if len(mine & theirs) > len(set(genes) & set(listed)):
        return "some ids differ in the version after the point alone: write them alike"
    if {gene.casefold() for gene in genes} & {name.casefold() for name in listed} and not set(genes) & set(listed):
        return "they differ in capital letters: write them alike"
    if set(genes) & set(listed):
        return "mend the ids, or leave these out"
    return f"the counts have {shortened(genes)}; given are {shortened(listed)}: write the same ids in both"
