"""edgeR's rule: worked by hand, against its definition, and against edgeR itself on real counts."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.readers import read_cohort
from dediag.stats.expression_filters import filter_by_expr, smallest_group

# edgeR 3.40.2 (R 4.2.2), filterByExpr(counts, design = model.matrix(~group, samples)): genes kept, and the hash of
# their ids, one a line in the order of the counts
EDGER = {
    "hapmap_ceu_depth": (6044, "2b8dc9de15c6c497"),
    "seqc_coh": (20877, "c753d1cc61f3cab0"),
}


def groups(*sizes):
    return np.c_[np.ones(sum(sizes)), *(np.repeat(np.arange(len(sizes)), sizes) == k for k in range(1, len(sizes)))]


def counts_of(rows):
    """These rows (of one million reads a sample), and a gene that fills the libraries up."""
    rows = np.asarray(rows, dtype=np.float64)
    return np.vstack([rows, 1e6 - rows.sum(axis=0)])


@pytest.mark.parametrize(("sizes", "expected"), [((2, 3), 2), ((29, 71), 29), ((4, 4, 3), 3)])
def test_smallest_group(sizes, expected):
    assert smallest_group(groups(*sizes)) == pytest.approx(expected)


def test_smallest_group_with_a_covariate_is_edgers():
    """hat(model.matrix(~x + g)) of edgeR's default for 12 v 15 along x = 0 to 1: 1 / max = 5.479275."""
    design = np.insert(groups(12, 15), 1, np.linspace(0, 1, 27), axis=1)
    assert smallest_group(design) == pytest.approx(5.479275, abs=5e-7)


def test_ten_reads_in_as_many_samples_as_the_smallest_group():
    kept = filter_by_expr(counts_of([[10, 10, 0, 0, 0], [10, 0, 9, 9, 9], [0, 10, 0, 0, 10], [0] * 5]), groups(2, 3))
    assert kept.tolist() == [True, False, True, False, True]  # the third in a sample of either group: blind to groups


def test_fewer_than_fifteen_reads_in_all():
    rows = [[10, 4, 0], [10, 5, 0]]
    assert filter_by_expr(counts_of(rows), groups(1, 2)).tolist() == [False, True, True]


@pytest.mark.parametrize(("n", "needed"), [(10, 10), (11, 11), (20, 17), (29, 24)])
def test_beyond_ten_samples_seventy_percent(n, needed):
    """10 + 0.7 (n - 10), rounded up."""
    rows = [[10.0] * k + [0.0] * (2 * n - k) for k in (needed - 1, needed)]
    assert filter_by_expr(counts_of(rows), groups(n, n)).tolist() == [False, True, True]


@given(st.permutations(range(9)))
def test_the_order_of_samples_does_not_matter(order):
    counts = np.random.default_rng(3).negative_binomial(2, 0.1, (60, 9)).astype(float)
    design = groups(3, 6)
    np.testing.assert_array_equal(
        filter_by_expr(counts, design), filter_by_expr(counts[:, list(order)], design[list(order)])
    )


@pytest.mark.parametrize("name", EDGER)
def test_real_counts_as_in_edger(real_data, name):
    folder = real_data / "data" / name
    cohort = read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    levels = cohort.samples["group"].to_numpy()
    design = np.c_[np.ones(len(levels)), *(levels == level for level in sorted(set(levels))[1:])]
    kept = filter_by_expr(cohort.counts, design)
    n, expected = EDGER[name]
    assert int(kept.sum()) == n
    assert hashlib.sha256("".join(f"{gene}\n" for gene in cohort.genes[kept]).encode()).hexdigest()[:16] == expected
