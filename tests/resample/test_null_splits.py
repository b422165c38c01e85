"""Splits with nothing to find: which there are, that each is new, and that strata keep their numbers."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dediag.model.fit import fit
from dediag.resample.ensemble import run
from dediag.resample.null_splits import distinct_permutations, mock_splits, permutations
from dediag.resample.plans import Relabelled
from dediag.resample.winsorised import winsorised
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


def main_fit(n_test, n_reference, *, batch=None, n_genes=60, seed=1):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed)
    if batch is None:
        return fit(cohort, "~ group", CONTRAST, search="newton")
    cohort = type(cohort)(cohort.counts, cohort.genes, cohort.samples.assign(batch=list(batch)))
    return fit(cohort, "~ batch + group", CONTRAST, search="newton")


def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize(
    ("sizes", "batch", "distinct"),
    [
        ((3, 3), None, 10),  # 20 labellings, of which a split and its mirror image are one
        ((2, 4), None, 15),
        ((4, 4), "ababaabb", 18),  # 6 x 6, mirrored
        ((3, 5), "aabbbbaa", 24),  # 4 x 6
    ],
)
def test_how_many_distinct_splits_there_are(sizes, batch, distinct):
    main = main_fit(*sizes, batch=batch)
    assert distinct_permutations(main) == distinct
    plan = permutations(main, 1000, rng())
    assert len(plan.test) == distinct - 1  # all but the observed one


def test_permutations_against_their_definition():
    """3 v 3: every labelling but the observed and its mirror image, each pair of mirror images once."""
    found = permutations(main_fit(3, 3), 100, rng()).test
    expected = {frozenset((c, tuple(sorted(set(range(6)) - set(c))))) for c in combinations(range(6), 3)}
    expected -= {frozenset(((0, 1, 2), (3, 4, 5)))}
    assert {frozenset((t, tuple(sorted(set(range(6)) - set(t))))) for t in found} == expected
    assert len(found) == len(expected)


@given(st.integers(2, 6), st.integers(2, 8), st.integers(1, 30), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_permutations_are_new_and_keep_the_numbers(n_test, n_reference, n, seed):
    main = main_fit(n_test, n_reference)
    plan = permutations(main, n, np.random.default_rng(seed))
    assert len(plan.test) == min(n, distinct_permutations(main) - 1)
    assert len(set(plan.test)) == len(plan.test)
    assert tuple(range(n_test)) not in plan.test
    assert all(len(test) == n_test for test in plan.test)


def test_strata_keep_their_numbers():
    batch = np.array(list("aaabbbaaaabbbb"))
    plan = permutations(main_fit(6, 8, batch=batch), 40, rng())
    for test in plan.test:
        assert (batch[list(test)] == "a").sum() == 3


@pytest.mark.parametrize(("sizes", "larger", "side"), [((5, 20), range(5, 25), 4), ((20, 5), range(20), 4)])
def test_mock_splits_divide_the_larger_group_at_the_ratio_of_the_study(sizes, larger, side):
    plan = mock_splits(main_fit(*sizes), 30, rng())
    assert len(set(plan.test)) == 30
    for rows, test in zip(plan.rows, plan.test, strict=True):
        assert rows == tuple(larger)
        assert set(test) <= set(rows)
        smaller = len(test) if sizes[0] < sizes[1] else len(rows) - len(test)
        assert smaller == side


def test_small_groups_have_no_mock_splits_and_few_have_all():
    assert mock_splits(main_fit(4, 5), 30, rng()) is None
    assert len(mock_splits(main_fit(3, 6), 100, rng()).test) == math.comb(6, 3) / 2


def test_winsorised_counts_against_their_definition():
    generator = rng()
    counts = generator.poisson(20, (5, 40)).astype(float)
    counts[0, 3] = 10_000
    size = generator.uniform(0.5, 2, (1, 40))
    inside = np.arange(40) < 30
    found = winsorised(counts, size, inside, 0.9)
    for gene in range(5):
        cap = np.quantile((counts[gene] / size[0])[inside], 0.9)
        for k in range(40):
            over = inside[k] and counts[gene, k] / size[0, k] > cap
            assert found[gene, k] == (round(cap * size[0, k]) if over else counts[gene, k])
    assert found[0, 3] < 100


def test_a_winsorised_plan_refits_winsorised_counts():
    main = main_fit(4, 6)
    rows, test = (tuple(range(10)),), ((0, 1, 5, 6),)
    cut = winsorised(main.cohort.counts, main.normalisation, np.ones(10, np.bool_), 0.8)
    other = fit(main.cohort.with_counts(cut), "~ group", CONTRAST, search="newton", size_factors=main.size_factors)
    found = run(Relabelled(rows, test, keep=("lfc",), winsorised=0.8), main, size_factors=main.size_factors)
    expected = run(Relabelled(rows, test, keep=("lfc",)), other, size_factors=main.size_factors)
    np.testing.assert_array_equal(found.lfc, expected.lfc)
