"""What every reader checks before there is a Cohort: names, numbers, and that they are raw counts.

Each error names the input, the gene or sample, and the way out, in at most three lines.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dediag.cohort import LARGEST_COUNT, Cohort, InputError, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import NDArray

    Drop = str | Sequence[str] | None  # "unmatched", or names of samples

UNMATCHED = "unmatched"
SHOWN = 4  # names listed in an error
MILLION_WITHIN = 0.01  # how close to a million a column's sum is when the values are TPM or CPM
LARGEST_LOG = 30.0  # no log2 of a count is larger
TOTALS = re.compile(
    r"__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)|"
    r"N_(unmapped|multimapping|noFeature|ambiguous)"
)


class Labels(NamedTuple):
    """How errors call the two inputs: their paths, where they came from files."""

    counts: str = "counts"
    samples: str = "sample table"


IN_MEMORY = Labels()


class Gene(NamedTuple):
    """A place in the matrix."""

    gene: str
    sample: str

    def __str__(self) -> str:
        """As it stands in an error."""
        return f"gene '{self.gene}' in sample '{self.sample}'"


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


def exact(raw: NDArray[np.integer], place: Callable[[int], Gene], where: str) -> NDArray[np.float64]:
    """Whole numbers (n_genes,) as float64; InputError where that is not the same number."""
    if raw.size and raw.max() > int(LARGEST_COUNT):  # compared as whole numbers
        raise too_large(where, place(int(raw.argmax())), float(raw.max()))
    return raw.astype(np.float64)


def strings(names: Iterable[object]) -> list[str]:
    """Names as strings."""
    return [str(name) for name in names]


def assemble(values: NDArray[np.float64], genes: pd.Index, samples: pd.DataFrame, labels: Labels) -> Cohort:
    """The cohort of counts (n_genes, n_samples) whose samples stand in the order of the table, after all checks."""
    names = strings(samples.index)
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
    check_counts(values, genes, names, labels.counts)
    return Cohort(counts=frozen(values), genes=genes, samples=samples)


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
    if all(re.fullmatch(r"[\d.]+", name) for name in names):
        return "the first line of the counts looks like data: add a header with the names of the samples"
    return "write the same names in both; in the sample table they stand in the first column"


def _as_r_names(name: str) -> str:
    """What R's make.names makes of a name."""
    valid = re.sub(r"[^\w.]", ".", name)
    return valid if re.match(r"[^\W\d_]|\.(?!\d)", valid) else f"X{valid}"


def check_counts(
    values: NDArray[np.float64], genes: Sequence[str] | pd.Index, samples: Sequence[str], where: str
) -> None:
    """Raise InputError unless values (n_genes, n_samples) are whole numbers from 0 to 2^53, not all 0 in a sample."""

    def first(mask: NDArray[np.bool_]) -> tuple[Gene, float]:
        row = int(mask.any(axis=1).argmax())
        column = int(mask[row].argmax())
        return Gene(str(genes[row]), samples[column]), float(values[row, column])

    if not np.isfinite(values).all():
        place, value = first(~np.isfinite(values))
        what = "has no count (NaN)" if np.isnan(value) else "is infinite"
        raise InputError(f"{where}: {place} {what}\nfill it in, or remove the gene or the sample")
    fractional = values != np.floor(values)
    if values.min() < 0:
        place, value = first(values < 0)
        hint = "it looks like log values or fold changes; " if fractional.any() else ""
        raise InputError(f"{where}: {place} is {value:g}; counts are not negative\n{hint}dediag needs raw counts")
    if fractional.any():
        place, value = first(fractional)
        share = f"{100 * fractional.mean():.3g} % of all values are fractional"
        raise InputError(f"{where}: {place} is {value:g}, not a whole number; {share}\n{_unit(values)}")
    if values.max() > LARGEST_COUNT:
        raise too_large(where, *first(values > LARGEST_COUNT))
    empty = [samples[int(j)] for j in np.flatnonzero(~values.any(axis=0))]
    if empty:
        raise InputError(
            f"{where}: {'sample' if len(empty) == 1 else 'samples'} {shortened(empty)} without a single count\n"
            f"leave out with --drop-samples {','.join(empty[:SHOWN])} (in Python: drop_samples)"
        )


def _unit(values: NDArray[np.float64]) -> str:
    """What fractional values probably are, and the way out."""
    if np.allclose(values.sum(axis=0), 1e6, rtol=MILLION_WITHIN):
        return "every sample adds up to a million: this looks like TPM or CPM; dediag needs raw counts"
    if values.max() <= LARGEST_LOG:
        return f"no value is above {values.max():.3g}: this looks like log values; dediag needs raw counts"
    return (
        "if these are FPKM or normalised counts: dediag needs raw counts\n"
        "if they are estimated counts of salmon, kallisto or RSEM: round them to whole numbers"
    )


def too_large(where: str, place: Gene, value: float) -> InputError:
    """The error for a number that no sequencer gives."""
    return InputError(
        f"{where}: {place} is {value:.6g}, above 2^53, where whole numbers are no longer exact\n"
        "this cannot be a read count"
    )


def shortened(names: Collection[str] | Iterable[str], shown: int = SHOWN) -> str:
    """The first few names, and how many more there are."""
    listed = strings(names)
    rest = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + rest
