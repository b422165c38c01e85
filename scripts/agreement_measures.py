"""How close a dediag fit is to the stored results of DESeq2 and edgeR, one row per quantity.

Used by scripts/agreement.py (the table in reports/) and by the tests, so that both apply the same rules. A row of the
table is a `Measure`: a quantity, its value, the bar that it has to meet, and the number of genes or samples compared.
Rules that hold everywhere:

- Shares are of the genes that the reference has a number for; where dediag has none, the gene counts as a miss.
- The reference is written with nine significant digits, which is far inside every bar.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

LARGEST_LOG10_P = 300.0  # above it p-values come near the end of float64
FEW_CALLS = 200  # below it one gene moves the Jaccard index by more than the usual bar allows
CALL = 0.1  # adjusted p below which a gene is called
JACCARD = "padj < 0.1: Jaccard index"


@dataclass(frozen=True)
class Measure:
    """One row of the agreement table; `at_most` says on which side of the bar the value has to be."""

    quantity: str
    value: float
    bar: float | None  # None: shown, not judged
    at_most: bool
    compared: int  # genes or samples

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar. A value that is not a number meets nothing."""
        if self.bar is None:
            return None
        return bool(self.value <= self.bar if self.at_most else self.value >= self.bar)


def _both(ours: ArrayLike, theirs: ArrayLike) -> tuple[Array, Array]:
    """The values where the reference has one; a missing one of ours becomes infinitely wrong."""
    mine, ref = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    known = np.isfinite(ref)
    return np.where(np.isfinite(mine[known]), mine[known], np.inf), ref[known]


def relative(ours: ArrayLike, theirs: ArrayLike) -> Array:
    """|ours - theirs| / |theirs| where the reference has a value; 0 where both are 0."""
    mine, ref = _both(ours, theirs)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(mine == ref, 0.0, np.abs(mine - ref) / np.abs(ref)))


def absolute(ours: ArrayLike, theirs: ArrayLike) -> Array:
    """|ours - theirs| where the reference has a value."""
    mine, ref = _both(ours, theirs)
    return np.asarray(np.abs(mine - ref))


def largest(quantity: str, difference: Array, bar: float | None) -> Measure:
    """The largest difference."""
    return Measure(quantity, float(difference.max(initial=0.0)), bar, True, len(difference))


def middle(quantity: str, difference: Array, bar: float | None) -> Measure:
    """The median difference."""
    return Measure(quantity, float(np.median(difference)) if len(difference) else 0.0, bar, True, len(difference))


def share(quantity: str, good: NDArray[np.bool_], bar: float | None) -> Measure:
    """The share of genes for which something holds."""
    return Measure(quantity, float(good.mean()) if len(good) else 1.0, bar, False, len(good))


def dispersion_rows(label: str, ours: ArrayLike, theirs: ArrayLike, limit: float = 1e-2) -> list[Measure]:
    """Median and share of the relative differences of dispersions, genes with counts only."""
    difference = relative(ours, theirs)
    return [
        middle(f"{label}: median relative difference", difference, 1e-5),
        share(f"{label}: share within {limit:g}", difference <= limit, 0.995),
    ]


def lfc_rows(ours: ArrayLike, theirs: ArrayLike, judged: NDArray[np.bool_]) -> list[Measure]:
    """Log2 fold changes of the genes in `judged` (converged, counts in both groups)."""
    difference = absolute(np.asarray(ours)[judged], np.asarray(theirs)[judged])
    return [
        middle("log2 fold change: median absolute difference", difference, 1e-6),
        share("log2 fold change: share within 1e-3", difference <= 1e-3, 0.995),
    ]


def call_rows(results: pd.DataFrame, table: pd.DataFrame, seen: NDArray[np.bool_]) -> list[Measure]:
    """What every test table has: p-values, patterns of missing values, the set of calls at 0.1.

    seen: (n_genes,) genes with counts; the others are missing on both sides and would only flatter the shares.
    """
    results, table = results[seen], table[seen]
    rows = [log_p_row(results.pvalue, table.pvalue)]
    for column in ("pvalue", "padj"):
        same = results[column].isna().to_numpy() == table[column].isna().to_numpy()
        rows.append(share(f"NA pattern of {column}: share identical", same, 0.999))
    return [*rows, jaccard_row(results.padj, table.padj)]


def log_p_row(ours: ArrayLike, theirs: ArrayLike) -> Measure:
    """-log10 p within 0.01 or 1 %, where the reference's is below 300."""
    with np.errstate(divide="ignore"):
        mine, ref = -np.log10(np.asarray(ours, dtype=float)), -np.log10(np.asarray(theirs, dtype=float))
    below = ref < LARGEST_LOG10_P
    good = absolute(mine[below], ref[below]) <= np.maximum(0.01, 0.01 * ref[below])
    return share("-log10 p: share within 0.01 or 1 %", good, 0.995)


def jaccard_row(ours: ArrayLike, theirs: ArrayLike) -> Measure:
    """Jaccard index of the sets with padj < 0.1; two empty sets agree."""
    mine, ref = np.asarray(ours, dtype=float) < CALL, np.asarray(theirs, dtype=float) < CALL
    either = int((mine | ref).sum())
    value = float((mine & ref).sum() / either) if either else 1.0
    return Measure(JACCARD, value, 0.98 if ref.sum() < FEW_CALLS else 0.995, False, int(ref.sum()))


def with_bars(measures: Sequence[Measure], bars: dict[str, float], keep: Sequence[str] = ()) -> list[Measure]:
    """The same values under other bars: those of `bars`, the usual one for quantities that start as `keep` says."""
    return [
        m if m.quantity.startswith(tuple(keep)) and m.quantity not in bars else replace(m, bar=bars.get(m.quantity))
        for m in measures
    ]
