"""Refits: each equals a fit of the same samples or counts, and depends on the plan and the fit alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.model.kernels.threads import set_threads
from dediag.resample.ensemble import run
from dediag.resample.plans import Simulations, Subsets
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def main():
    cohort, _ = simulate(n_genes=300, n_test=4, n_reference=8, seed=2, group_dispersion_ratio=3)
    return fit(cohort, "~ group", CONTRAST)


def test_a_subset_is_refitted_as_a_cohort_of_its_own(main):
    rows = (0, 1, 2, 4, 6, 7, 9)
    found = run(Subsets((rows, (0, 1, 2, 3, 8, 9, 10, 11))), main)
    alone = fit(main.cohort.take_samples(rows), "~ group", CONTRAST, search="newton")
    np.testing.assert_array_equal(found.lfc[0], alone.lfc.astype(np.float32))
    np.testing.assert_array_equal(found.pvalue[0], alone.pvalue.astype(np.float32))
    np.testing.assert_array_equal(found.padj[0], alone.padj.astype(np.float32))
    np.testing.assert_allclose(found.size_factors[0, list(rows)], alone.size_factors, rtol=1e-12)
    assert np.isnan(found.size_factors[0, [3, 5]]).all()
    assert np.flatnonzero(found.included[0]).tolist() == list(rows)
    assert found.n_up[0] + found.n_down[0] == alone.significant.sum()
    assert found.failed == ()


def test_given_size_factors_are_those_of_the_samples(main):
    given = np.linspace(0.5, 2.0, 12)
    rows = (0, 1, 3, 5, 7, 11)
    found = run(Subsets((rows,)), main, size_factors=given)
    np.testing.assert_array_equal(found.size_factors[0, list(rows)], given[list(rows)])


def test_a_refit_that_cannot_be_made_is_named_and_the_rest_comes():
    cohort, _ = simulate(n_genes=60, n_test=3, n_reference=5, seed=1)
    main = fit(cohort, "~ group", CONTRAST)
    counts = cohort.counts.copy()
    counts[:30, 0] = 0.0
    counts[30:, 1] = 0.0  # no gene is free of zeros once both are taken
    broken = replace(main, cohort=cohort.with_counts(counts))
    found = run(Subsets(((0, 1, 2, 3, 4, 5), (0, 2, 3, 4, 5, 6))), broken)
    assert [k for k, _ in found.failed] == [0]
    assert "poscounts" in found.failed[0][1]
    assert np.isnan(found.lfc[0]).all()
    assert np.isfinite(found.lfc[1]).any()


@pytest.mark.parametrize("effects", ["none", "fitted", "swapped"])
def test_the_plan_alone_decides_the_result_whatever_the_threads(main, effects):
    plan = Simulations(2, 7, effects, "group")
    first = run(plan, main)
    try:
        set_threads(3)
        second = run(plan, main)
        set_threads(1)
        third = run(plan, main)
    finally:
        set_threads(0)
    for name in ("lfc", "pvalue", "padj", "size_factors"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes() == getattr(third, name).tobytes()
    other = run(replace(plan, seed=8), main)
    assert other.lfc.tobytes() != first.lfc.tobytes()


def test_a_longer_plan_begins_with_the_shorter_one(main):
    short, long = (run(Simulations(n, 1, "none", "shared"), main) for n in (1, 2))
    assert short.lfc[0].tobytes() == long.lfc[0].tobytes()


def test_arrays_are_read_only_and_progress_is_told(main):
    told = []
    found = run(Subsets(((0, 1, 4, 5, 6),)), main, progress=lambda *step: told.append(step))
    assert told[0][1:] == (0, 1)
    assert told[-1][1:] == (1, 1)
    with pytest.raises(ValueError, match="read-only"):
        found.lfc[0, 0] = 1.0


def test_a_simulated_cohort_is_refitted_with_each_set_of_weights(main):
    """Each refit of a cohort with its own weights is that of a plan which has them alone; None is no weights."""
    down = (0.5,) * 4 + (1.0,) * 8
    plan = Simulations(3, 5, "fitted", "shared", per_cohort=2, weights=(None, down))
    found = run(plan, main)
    for k, weights in enumerate(plan.weights):
        alone = run(replace(plan, per_cohort=1, weights=() if weights is None else (weights,)), main)
        part = found.every(2, k)
        assert part.n_refits == 3
        for name in ("lfc", "pvalue", "padj", "n_small", "included", "called_up", "size_factors"):
            np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))
    assert (np.abs(found.every(2, 0).lfc - found.every(2, 1).lfc) > 1e-4).any()


def test_failures_are_numbered_among_the_refits_of_their_kind(main):
    found = replace(run(Subsets(((0, 1, 4, 5),) * 6), main), failed=((1, "no"), (4, "none")))
    assert found.every(2, 0).failed == ((2, "none"),)
    assert found.every(2, 1).failed == ((0, "no"),)
