"""Whether values are raw counts, seen all at once or piece by piece, and the error that says where they are not.

Each error names the input, the gene and sample, and the way out, in at most three lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dediag.cohort import ALL, LARGEST_COUNT, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SHOWN = 4  # names listed in an error
MILLION_WITHIN = 0.01  # how close to a million a sample's sum is when the values are TPM or CPM
LARGEST_LOG = 30.0  # no log2 of a count is larger
AT_ONCE = 2**18  # values that are looked at together: they stay in the processor's cache


class Gene(NamedTuple):
    """A place in the matrix."""

    gene: str
    sample: str

    def __str__(self) -> str:
        """As it stands in an error."""
        return f"gene '{self.gene}' in sample '{self.sample}'"


class RawCounts:
    """What has been seen of a matrix (n_genes, n_samples) that should hold whole numbers from 0 to 2^53."""

    def __init__(self, genes: Sequence[str] | pd.Index, samples: Sequence[str], where: str) -> None:
        """`where` names the input in an error."""
        self.genes, self.samples, self.where = genes, samples, where
        self.first: dict[str, tuple[int, int, float]] = {}  # fault -> gene, sample, value: the first by gene
        self.n_fractional = 0
        self.largest = 0.0
        self.totals = np.zeros(len(samples))  # (n_samples,)

    def see(self, values: NDArray[np.float64], genes: slice = ALL, samples: slice = ALL) -> None:
        """Look at the values (genes, samples) of this part of the matrix."""
        top, left = genes.start or 0, samples.start or 0
        height = max(1, AT_ONCE // max(values.shape[1], 1))
        for row in range(0, values.shape[0], height):
            part = values[row : row + height]
            low, high = float(part.min()), float(part.max())  # NaN where there is one
            if not (np.isfinite(low) and np.isfinite(high)):
                self._note("not finite", part, ~np.isfinite(part), top + row, left)
                continue
            if low < 0.0:
                self._note("negative", part, part < 0.0, top + row, left)
            if high > LARGEST_COUNT:
                self._note("too large", part, part > LARGEST_COUNT, top + row, left)
            fractional = part != np.floor(part)
            if fractional.any():
                self._note("fractional", part, fractional, top + row, left)
                self.n_fractional += int(fractional.sum())
            self.largest = max(self.largest, high)
            self.totals[samples] += part.sum(axis=0)

    def _note(self, fault: str, part: NDArray[np.float64], mask: Mask, top: int, left: int) -> None:
        row = int(mask.any(axis=1).argmax())
        column = int(mask[row].argmax())
        found = top + row, left + column, float(part[row, column])
        self.first[fault] = min(self.first.get(fault, found), found, key=lambda place: place[:2])

    def conclude(self) -> None:
        """Raise InputError unless all that was seen are raw counts, with at least one in every sample."""
        if "not finite" in self.first:
            place, value = self._place("not finite")
            what = "has no count (NaN)" if np.isnan(value) else "is infinite"
            raise InputError(f"{self.where}: {place} {what}\nfill it in, or remove the gene or the sample")
        if "negative" in self.first:
            place, value = self._place("negative")
            hint = "it looks like log values or fold changes; " if self.n_fractional else ""
            raise InputError(
                f"{self.where}: {place} is {value:g}; counts are not negative\n{hint}dediag needs raw counts"
            )
        if "fractional" in self.first:
            place, value = self._place("fractional")
            share = 100.0 * self.n_fractional / (len(self.genes) * len(self.samples))
            what = f"{place} is {value:g}, not a whole number; {share:.3g} % of all values are fractional"
            raise InputError(f"{self.where}: {what}\n{self._unit()}")
        if "too large" in self.first:
            raise too_large(self.where, *self._place("too large"))
        empty = [self.samples[int(j)] for j in np.flatnonzero(self.totals == 0.0)]
        if empty:
            what = "sample" if len(empty) == 1 else "samples"
            raise InputError(
                f"{self.where}: {what} {shortened(empty)} without a single count\n"
                f"leave out with --drop-samples {','.join(empty[:SHOWN])} (in Python: drop_samples)"
            )

    def _place(self, fault: str) -> tuple[Gene, float]:
        gene, sample, value = self.first[fault]
        return Gene(str(self.genes[gene]), self.samples[sample]), value

    def _unit(self) -> str:
        """What fractional values probably are, and the way out."""
        if np.allclose(self.totals, 1e6, rtol=MILLION_WITHIN):
            return "every sample adds up to a million: this looks like TPM or CPM; dediag needs raw counts"
        if self.largest <= LARGEST_LOG:
            return f"no value is above {self.largest:.3g}: this looks like log values; dediag needs raw counts"
        return (
            "if these are FPKM or normalised counts: dediag needs raw counts\n"
            "if they are estimated counts of salmon, kallisto or RSEM: round them to whole numbers"
        )


def exact(raw: NDArray[np.integer], place: Callable[[int], Gene], where: str) -> NDArray[np.float64]:
    """Whole numbers as float64; InputError, with the place of a position in the flat array, where that is another."""
    if raw.size and raw.max() > int(LARGEST_COUNT):  # compared as whole numbers
        raise too_large(where, place(int(raw.argmax())), float(raw.max()))
    return raw.astype(np.float64)


def too_large(where: str, place: Gene, value: float) -> InputError:
    """The error for a number that no sequencer gives."""
    return InputError(
        f"{where}: {place} is {value:.6g}, above 2^53, where whole numbers are no longer exact\n"
        "this cannot be a read count"
    )


def shortened(names: Collection[str] | Iterable[str], shown: int = SHOWN) -> str:
    """The first few names, and how many more there are."""
    listed = [str(name) for name in names]
    rest = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + rest
