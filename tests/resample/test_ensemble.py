"""Ensembles: a partition that the plan alone decides, blocks gathered in any order, memory within its budget."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.resample import ensemble
from dediag.resample.ensemble import BLOCK, Gathered, partition, run
from dediag.resample.plans import Simulations, Subsets
from dediag.resample.refit import refit_block
from dediag.resample.workers import Execution, InProcess, Part
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
N_GENES = 90


@pytest.fixture(scope="module")
def main():
    cohort, _ = simulate(n_genes=N_GENES, n_test=5, n_reference=8, seed=3)
    return fit(cohort, "~ group", CONTRAST)


def subsets(n, keep=("lfc", "pvalue")):
    """Sets of four against five samples."""
    rng = np.random.default_rng(n)
    both = [(rng.permutation(5)[:4], 5 + rng.permutation(8)[:5]) for _ in range(n)]
    return Subsets(tuple(tuple(sorted(map(int, np.concatenate(pair)))) for pair in both), keep=keep)


class Backwards(InProcess):
    """Gives the last block first, and notes what was asked for."""

    def __init__(self):
        self.asked = []

    def blocks(self, plan, fit, size_factors, parts):
        self.asked += parts
        yield from super().blocks(plan, fit, size_factors, parts[::-1])


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, 111])
def test_a_partition_covers_the_plan_once_in_order(n):
    parts = partition(subsets(n), N_GENES)
    assert [k for part in parts for k in range(part.first, part.last)] == list(range(n))
    assert max(part.last - part.first for part in parts) <= BLOCK
    assert all(part.kept for part in parts)


@pytest.mark.parametrize(("per_cohort", "size"), [(1, BLOCK), (10, 20), (BLOCK, BLOCK), (40, 40)])
def test_simulated_cohorts_are_not_divided(per_cohort, size):
    parts = partition(Simulations(7, 1, "none", "shared", per_cohort=per_cohort), N_GENES)
    assert {part.first % per_cohort for part in parts} == {0}
    assert parts[0] == Part(0, min(size, 7 * per_cohort), kept=True)


def test_a_longer_plan_is_partitioned_alike():
    short, long = (partition(subsets(n), N_GENES) for n in (2 * BLOCK, 5 * BLOCK))
    assert long[:2] == short


def test_the_order_of_blocks_makes_no_difference(main):
    plan, workers = subsets(2 * BLOCK + 3), Backwards()
    found, expected = run(plan, main, execution=Execution(workers)), run(plan, main)
    assert len(workers.asked) == 3
    for name in ("included", "size_factors", "called_up", "called_down", "n_tested", "n_small", "lfc", "pvalue"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.padj.shape == (0, N_GENES)


def test_a_refit_is_the_same_whatever_block_it_is_part_of(main):
    """Nothing but rounding of one refit reaches another."""
    plan = subsets(7)
    whole = run(plan, main)
    for k in (0, 3, 6):
        alone = refit_block(plan, main, "ratio", k, k + 1)
        np.testing.assert_allclose(alone.kept["lfc"][0], whole.lfc[k], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(alone.size_factors[0], whole.size_factors[k], rtol=1e-12)


def test_beyond_the_budget_there_are_summaries_only(main, monkeypatch):
    plan = subsets(3 * BLOCK + 5)
    expected, workers = run(plan, main), Backwards()
    monkeypatch.setattr(ensemble, "KEPT_BYTES", (2 * BLOCK + 7) * 2 * 4 * N_GENES)
    found = run(plan, main, execution=Execution(workers))
    assert [part.kept for part in workers.asked] == [True, True, False, False]
    assert found.lfc.shape == found.pvalue.shape == (2 * BLOCK, N_GENES)
    np.testing.assert_array_equal(found.lfc, expected.lfc[: 2 * BLOCK])
    for name in ("included", "size_factors", "called_up", "called_down", "n_tested", "n_small"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.n_up, expected.up.sum(axis=1))


def test_a_budget_below_one_block_keeps_nothing(main, monkeypatch):
    monkeypatch.setattr(ensemble, "KEPT_BYTES", 1)
    found = run(subsets(3), main)
    assert found.lfc.shape == (0, N_GENES)
    assert found.n_refits == 3
    assert found.n_tested.min() > 0


def test_plans_that_keep_nothing(main):
    found, expected = run(subsets(4, keep=()), main), run(subsets(4), main)
    assert found.lfc.shape == found.pvalue.shape == found.padj.shape == (0, N_GENES)
    np.testing.assert_array_equal(found.called_up, expected.called_up)


def test_memory_is_that_of_the_result_and_one_block(main):
    """Gathered arrays are made once; blocks are not held."""
    plan = replace(subsets(40 * BLOCK), keep=("lfc", "pvalue", "padj"))
    template = refit_block(plan, main, "ratio", 0, BLOCK)

    class Ready(InProcess):
        def blocks(self, plan, fit, size_factors, parts):  # noqa: ARG002 - all is ready
            for part in parts:
                kept = {name: values.copy() for name, values in template.kept.items()}
                yield replace(template, first=part.first, kept=kept)

    tracemalloc.start()
    found = run(plan, main, execution=Execution(Ready()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    result = sum(v.nbytes for v in vars(found).values() if isinstance(v, np.ndarray))
    block = sum(values.nbytes for values in template.kept.values())
    assert peak < result + 4 * block
    assert found.lfc.nbytes == 40 * BLOCK * N_GENES * 4


def test_a_block_that_never_comes_is_noticed(main):
    gathered = Gathered(subsets(2 * BLOCK), main)
    gathered.put(refit_block(subsets(2 * BLOCK), main, "ratio", BLOCK, 2 * BLOCK))
    with pytest.raises(ValueError, match=f"{BLOCK} of {2 * BLOCK} refits"):
        gathered.ensemble()


def test_progress_is_told_after_each_block(main):
    told = []
    run(subsets(2 * BLOCK + 1), main, progress=lambda *step: told.append(step[1:]))
    total = 2 * BLOCK + 1
    assert told == [(0, total), (BLOCK, total), (2 * BLOCK, total), (total, total)]
