"""What every reader checks before there is a Cohort: names of genes and samples; that counts are raw is RawCounts'.

Each error names the input, the gene or sample, and the way out, in at most three lines.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dediag.cohort import Cohort, InputError, frozen
from dediag.readers.raw_counts import Gene, RawCounts, exact, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Drop = str | Sequence[str] | None  # "unmatched", or names of samples

UNMATCHED = "unmatched"
SWAPPED = 20  # times as many samples in the table as in the counts: these are genes
TOTALS = re.compile(
    r"__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)|"
    r"N_(unmapped|multimapping|noFeature|ambiguous)"
)


class Labels(NamedTuple):
    """How errors call the two inputs: their paths, where they came from files."""

    counts: str = "counts"
    samples: str = "sample table"


IN_MEMORY = Labels()


def validated(
    counts: pd.DataFrame, samples: pd.DataFrame, *, drop_samples: Drop = None, labels: Labels = IN_MEMORY
) -> Cohort:
    """The cohort of a count table (genes x samples) and a sample table indexed by sample name, matched by name.

    The order of `counts` is kept. drop_samples as for `read_cohort`. Raises InputError for everything that makes them
    something else than raw counts with their samples.
    """
    names, listed, gene_names = strings(counts.columns), strings(samples.index), strings(counts.index)
    check_unique(names, "sample", labels.counts)
    check_unique(listed, "sample", labels.samples)
    check_unique(strings(samples.columns), "column", labels.samples)
    table = samples.set_axis(pd.Index(np.asarray(listed), name=str(samples.index.name or "sample")))
    kept = common_samples(names, table, drop_samples, labels)
    place = {name: j for j, name in enumerate(names)}
    values = np.empty((len(gene_names), len(kept)))
    for j, name in enumerate(kept):
        values[:, j] = _floats(counts.iloc[:, place[name]], [Gene(gene, name) for gene in gene_names], labels.counts)
    genes = pd.Index(np.asarray(gene_names), name=str(counts.index.name or "gene_id"))
    return assemble(values, genes, table.loc[kept], labels)


def _floats(column: pd.Series, places: Sequence[Gene], where: str) -> NDArray[np.float64]:
    """A column as float64, missing values as NaN; InputError for text and for what is no longer exact."""
    parsed = pd.to_numeric(column, errors="coerce")
    if pd.api.types.is_integer_dtype(parsed) and not parsed.hasnans:
        return exact(parsed.to_numpy(), places.__getitem__, where)
    numbers: NDArray[np.float64] = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    text = np.isnan(numbers) & column.notna().to_numpy()
    if text.any():
        row = int(text.argmax())
        raise InputError(f"{where}: {places[row]} is '{column.iloc[row]}', which is not a number")
    return numbers


def strings(names: Iterable[object]) -> list[str]:
    """Names as strings."""
    return [str(name) for name in names]


def assemble(values: NDArray[np.float64], genes: pd.Index, samples: pd.DataFrame, labels: Labels) -> Cohort:
    """The cohort of counts (n_genes, n_samples), which it keeps; samples stand in the order of the table."""
    check_genes(genes, labels)
    raw = RawCounts(genes, strings(samples.index), labels.counts)
    raw.see(values)
    raw.conclude()
    values.flags.writeable = False
    return Cohort(counts=frozen(values), genes=genes, samples=samples)


def check_genes(genes: pd.Index, labels: Labels) -> None:
    """Raise InputError unless these can be the names of genes."""
    if not len(genes):
        raise InputError(f"{labels.counts}: there is no gene; was the file written completely?")
    blank = genes == ""
    if blank.any():
        raise InputError(f"{labels.counts}: gene number {int(blank.argmax()) + 1} has no name; give it one")
    check_unique(genes, "gene", labels.counts)
    totals = [gene for gene in genes if TOTALS.fullmatch(gene)]
    if totals:
        raise InputError(
            f"{labels.counts}: {shortened(totals)} are totals that HTSeq or STAR add, not genes\nremove these rows"
        )


def check_unique(names: Iterable[str], what: str, where: str) -> None:
    """Raise InputError naming what stands there more than once."""
    listed = list(names)
    if len(set(listed)) == len(listed):
        return
    repeated = [name for name, n in Counter(listed).items() if n > 1]
    some = f"{len(repeated)} {what}s stand" if len(repeated) > 1 else f"{what} stands"
    way_out = "add up their counts, or make the names unique (for example by the gene ids of Ensembl)"
    raise InputError(
        f"{where}: {some} there more than once: {shortened(repeated)}\n"
        f"{way_out if what == 'gene' else 'make the names unique, or remove the surplus ones'}"
    )


def common_samples(names: Sequence[str], table: pd.DataFrame, drop: Drop, labels: Labels) -> list[str]:
    """The samples to be used, in the order of the counts; InputError where the two inputs name different ones."""
    asked = [] if drop is None else [drop] if isinstance(drop, str) else strings(drop)
    in_counts, in_table = set(names), set(table.index)
    everything = in_counts | in_table
    lenient = UNMATCHED in asked and UNMATCHED not in everything
    dropped = {name for name in asked if not (lenient and name == UNMATCHED)}
    unknown = [name for name in asked if name in dropped and name not in everything]
    if unknown:
        raise InputError(f"samples to be dropped: none is called '{unknown[0]}'; there are: {shortened(names, 12)}")
    only_counts = [name for name in names if name not in in_table and name not in dropped]
    only_table = [name for name in table.index if name not in in_counts and name not in dropped]
    kept = [name for name in names if name in in_table and name not in dropped]
    if not in_counts & in_table:
        raise InputError(
            f"{labels.counts} and {labels.samples} have no sample name in common\n"
            f"the counts have {shortened(names)}; the sample table has {shortened(table.index)}\n"
            f"{_reason(names, table)}"
        )
    if (only_counts or only_table) and not lenient:
        parts = [f"only in {where}: {shortened(some)}" for where, some in
                 ((labels.counts, only_counts), (labels.samples, only_table)) if some]  # fmt: skip
        raise InputError(
            f"{labels.counts} and {labels.samples} do not name the same samples\n{'; '.join(parts)}\n"
            "mend the names, or leave these out with --drop-samples unmatched (in Python: drop_samples)"
        )
    if len(kept) < 2:
        raise InputError(f"{labels.counts}: {len(kept)} of {len(names)} samples are left; nothing can be compared")
    return kept


def _reason(names: Sequence[str], table: pd.DataFrame) -> str:
    """Why no sample name is in common, where that can be seen, and the way out."""
    wanted = set(names)
    for column in table.columns:
        if len(wanted.intersection(table[column].astype(str))) > len(wanted) / 2:
            return f"column '{column}' of the sample table has the names of the counts: make it the first column"
    if wanted & {_as_r_names(name) for name in table.index}:
        return "R has changed the names of the counts: read them with check.names=FALSE before writing, or mend them"
    if {name.casefold() for name in names} & {name.casefold() for name in table.index}:
        return "they differ in capital letters: write them alike"
    if len(table) > SWAPPED * len(names) and table.shape[1] > 1:
        return "are the two files swapped? the counts come first, then the sample table"
    if all(re.fullmatch(r"[\d.]+", name) for name in names):
        return "the first line of the counts looks like data: add a header with the names of the samples"
    return "write the same names in both; in the sample table they stand in the first column"


def _as_r_names(name: str) -> str:
    """What R's make.names makes of a name."""
    valid = re.sub(r"[^\w.]", ".", name)
    return valid if re.match(r"[^\W\d_]|\.(?!\d)", valid) else f"X{valid}"
