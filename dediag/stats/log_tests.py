"""Tests of two groups on logs of counts, side by side: Student, Welch, Wilcoxon, moderated t with voom weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats import agreement, moderated_t
from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.two_samples import two_sample_tests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LogTest:
    """One test on one scale."""

    scale: str
    test: str
    pvalue: Array  # (n_genes,)
    padj: Array  # (n_genes,) over the genes that count as tested, NaN elsewhere

    @classmethod
    def of(cls, scale: str, test: str, pvalue: Array, tested: Mask) -> LogTest:
        """The test with its p-values adjusted over the genes `tested` (n_genes,)."""
        return cls(scale, test, pvalue, benjamini_hochberg(np.where(tested, pvalue, np.nan)))


def columns(
    tests: Sequence[LogTest], pvalue: Array, called: Mask, alpha: float, top: Sequence[int]
) -> dict[str, list[object]]:
    """All tests beside another with these p-values and calls (n_genes,), as a table."""
    rows = [beside(test, pvalue, called, alpha, top) for test in tests]
    return {name: [row[name] for row in rows] for name in rows[0]}


def beside(test: LogTest, pvalue: Array, called: Mask, alpha: float, top: Sequence[int]) -> dict[str, object]:
    """A test beside another with these p-values and calls (n_genes,): numbers of calls, overlap, ranks, shared tops."""
    own = test.padj < alpha
    shared = agreement.concordance_at_top(test.pvalue, pvalue, top)
    return {
        "scale": test.scale,
        "test": test.test,
        "calls": int(own.sum()),
        "shared": int((own & called).sum()),
        "jaccard": agreement.jaccard(own, called),
        "spearman_p": agreement.spearman(test.pvalue, pvalue),
        **{f"top_{size}": share for size, share in zip(top, shared, strict=True)},
    }


def simple(scales: Mapping[str, Array], first: Mask, second: Mask, tested: Mask) -> list[LogTest]:
    """Student, Welch and Wilcoxon of first against second samples, on values (n_genes, n_samples) of each scale."""
    found = []
    for scale, values in scales.items():
        tests = two_sample_tests(values[:, first], values[:, second])
        named = {"Student": tests.student, "Welch": tests.welch, "Wilcoxon": tests.wilcoxon}
        found += [LogTest.of(scale, name, pvalue, tested) for name, pvalue in named.items()]
    return found


def moderated(scale: str, counts: Array, library_size: Array, design: Array, contrast: Array, tested: Mask) -> LogTest:
    """Moderated t-test with voom weights on counts (n_genes, n_samples); NaN for genes without counts."""
    present = counts.any(axis=1)
    made = moderated_t.voom(counts[present], design, library_size)
    linear = moderated_t.linear_fit(made.log_cpm, design, made.weights)
    pvalue = np.full(len(counts), np.nan)
    pvalue[present] = moderated_t.moderated_t(linear, contrast).pvalue
    return LogTest.of(scale, "moderated t", pvalue, tested)
