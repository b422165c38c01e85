"""The tests side by side: names, adjustment over the tested genes, genes without counts."""

from __future__ import annotations

import numpy as np

from dediag.stats import log_tests
from dediag.stats.adjust import benjamini_hochberg

RNG = np.random.default_rng(9)
COUNTS = RNG.poisson(np.exp(RNG.normal(4, 1, 60))[:, None], (60, 8)).astype(float)
FIRST = np.arange(8) < 4
DESIGN = np.column_stack([np.ones(8), FIRST])
TESTED = np.arange(60) > 5


def test_simple_tests_of_each_scale():
    logs = np.log2(COUNTS + 1)
    found = log_tests.simple({"a": logs, "b": 2 * logs}, FIRST, ~FIRST, TESTED)
    assert [(t.scale, t.test) for t in found] == [(s, t) for s in "ab" for t in ("Student", "Welch", "Wilcoxon")]
    np.testing.assert_allclose(found[0].pvalue, found[3].pvalue)  # a change of unit changes no test
    assert np.isnan(found[0].padj[~TESTED]).all()
    np.testing.assert_allclose(found[0].padj[TESTED], benjamini_hochberg(found[0].pvalue[TESTED]))


def test_moderated_t_leaves_out_genes_without_counts():
    counts = COUNTS.copy()
    counts[10] = 0
    library = counts.sum(axis=0)
    found = log_tests.moderated("a", counts, library, DESIGN, np.array([0.0, 1.0]), TESTED)
    without = log_tests.moderated("a", np.delete(counts, 10, 0), library, DESIGN, np.array([0.0, 1.0]), TESTED[1:])
    assert np.isnan(found.pvalue[10])
    np.testing.assert_allclose(np.delete(found.pvalue, 10), without.pvalue)


def test_beside_itself():
    test = log_tests.simple({"a": np.log2(COUNTS + 1)}, FIRST, ~FIRST, TESTED)[0]
    row = log_tests.beside(test, test.pvalue, test.padj < 0.9, 0.9, (5, 1000))
    assert log_tests.columns([test], test.pvalue, test.padj < 0.9, 0.9, (5, 1000)) == {k: [v] for k, v in row.items()}
    assert row["calls"] == row["shared"]
    assert row["top_5"] == 1
    assert row["top_1000"] is None
    assert row["spearman_p"] == 1
