"""Many draws fitted at once are what each would be by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dediag.cohort import InputError
from dediag.model.design import build
from dediag.model.draw_fits import Draw, fit_draws
from dediag.model.fit import Options, fit
from dediag.model.kernels import draw_medians, set_threads
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
NEWTON = Options(search="newton")
SAME = ("size_factors", "base_mean", "dispersion", "lfc", "lfc_se", "pvalue", "padj")


def subsets(n_test, n_reference, sizes, n, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.sort(
            np.r_[
                rng.choice(n_test, sizes[0], replace=False), n_test + rng.choice(n_reference, sizes[1], replace=False)
            ]
        )
        for _ in range(n)
    ]


def both(cohort, formula, rows, **options):
    """Each draw in the batch and as a cohort of its own."""
    design = build(formula, cohort.samples, {"group": "control"})
    main = fit(cohort, design, CONTRAST)
    draws = [Draw(part, design.take(part)) for part in rows]
    size_factors = options.pop("size_factors", "ratio")
    batch = fit_draws(
        cohort.counts, draws, main.contrast, replace(NEWTON, **options), size_factors=size_factors,
        guess=main.size_factors,
    )  # fmt: skip
    for part, draw, found in zip(rows, draws, batch, strict=True):
        given_sizes = size_factors if isinstance(size_factors, str) else size_factors[part]
        alone = fit(
            cohort.take_samples(part), draw.design, main.contrast, search="newton", size_factors=given_sizes, **options
        )
        yield found, alone


def assert_same(found, alone):
    """LFC and log dispersion to 1e-6, identical calls."""
    for name in SAME:
        a, b = getattr(found, name), getattr(alone, name)
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(found.padj < 0.1, alone.padj < 0.1)


@pytest.mark.parametrize(
    ("sizes", "faults"),
    [
        ((4, 4), {}),
        ((8, 9), {"outliers": 0.1}),  # replaced and refitted
        ((3, 8), {"outliers": 0.1, "zero_inflation": 0.1}),  # one group too small for replacement
        ((2, 2), {}),
    ],
)
def test_a_draw_in_a_batch_equals_its_own_fit(sizes, faults):
    cohort, _ = simulate(n_genes=400, n_test=9, n_reference=12, seed=3, **faults)
    for found, alone in both(cohort, "~ group", subsets(9, 12, sizes, 3)):
        assert_same(found, alone)


@pytest.mark.parametrize("formula", ["~ batch + group", "~ depth + group", "~ batch + depth + group", "~ 0 + group"])
def test_so_do_draws_with_covariates(formula):
    cohort, _ = simulate(n_genes=300, n_test=9, n_reference=12, seed=4, confounded_covariate=0.2, outliers=0.05)
    depth = np.random.default_rng(1).normal(7e4, 1e4, 21)
    cohort = replace(cohort, samples=cohort.samples.assign(depth=depth))
    rows = subsets(9, 12, (7, 8), 3, seed=2)
    design = build(formula, cohort.samples, {"group": "control"})
    full = [part for part in rows if np.linalg.matrix_rank(design.matrix[part]) == design.matrix.shape[1]]
    for found, alone in both(cohort, formula, full):
        assert_same(found, alone)


@pytest.mark.parametrize(
    "options",
    [
        {"size_factors": "poscounts"},
        {"size_factors": np.linspace(0.5, 2.0, 18)},
        {"lfc_threshold": 0.5, "alternative": "greater"},
        {"cooks": False, "replace_outliers": False},
        {"filtering": False, "prior_variance": 0.7},
    ],
)
def test_the_options_of_a_fit_hold(options):
    cohort, _ = simulate(n_genes=250, n_test=8, n_reference=10, seed=5, outliers=0.05)
    for found, alone in both(cohort, "~ group", subsets(8, 10, (7, 7), 2), **options):
        assert_same(found, alone)


def test_draws_of_several_sizes_and_the_number_of_threads_make_no_difference():
    cohort, _ = simulate(n_genes=300, n_test=8, n_reference=8, seed=6)
    design = build("~ group", cohort.samples, {"group": "control"})
    main = fit(cohort, design, CONTRAST)
    rows = [*subsets(8, 8, (4, 4), 3), *subsets(8, 8, (6, 3), 2), np.arange(16)]
    draws = [Draw(part, design.take(part)) for part in rows]

    def all_results(order):
        return fit_draws(cohort.counts, [draws[k] for k in order], main.contrast, NEWTON)

    try:
        set_threads(1)
        one = all_results(range(6))
        set_threads(3)
        three = all_results([5, 4, 3, 2, 1, 0])
    finally:
        set_threads(0)
    for a, b in zip(one, three[::-1], strict=True):
        for name in SAME:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_what_cannot_be_fitted_is_named_and_the_rest_comes():
    cohort, _ = simulate(n_genes=60, n_test=3, n_reference=5, seed=1)
    counts = cohort.counts.copy()
    counts[:30, 0] = 0.0
    counts[30:, 1] = 0.0  # no gene is free of zeros once both are taken
    design = build("~ group", cohort.samples, {"group": "control"})
    contrast = fit(cohort, design, CONTRAST).contrast
    rows = [np.arange(6), np.array([0, 2, 3, 4, 5, 6])]
    first, second = fit_draws(counts, [Draw(part, design.take(part)) for part in rows], contrast, NEWTON)
    assert isinstance(first, InputError)
    assert "poscounts" in str(first)
    assert np.isfinite(second.lfc).any()


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), n_genes=st.integers(1, 60), wrong=st.floats(-30, 30), share=st.floats(0.05, 1.0))
def test_a_median_is_that_of_the_sorted_values_wherever_it_is_looked_for_first(seed, n_genes, wrong, share):
    rng = np.random.default_rng(seed)
    logs, centres = np.round(rng.normal(0, 2, (3, n_genes)), 1), np.round(rng.normal(0, 1, (1, n_genes)), 1)
    used = rng.random((1, n_genes)) < share
    got = draw_medians(logs, centres, used, np.array([[2, 0]]), np.full(3, wrong))[0]
    if not used.any():
        assert np.isnan(got).all()
        return
    expected = [np.median((logs[j] - centres[0])[used[0]]) for j in (2, 0)]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("formula", ["~ group", "~ batch + group"])
def test_weights_of_the_samples_are_taken_as_they_are(formula):
    cohort, _ = simulate(n_genes=250, n_test=8, n_reference=12, seed=7, confounded_covariate=0.2, outliers=0.05)
    design = build(formula, cohort.samples, {"group": "control"})
    contrast = fit(cohort, design, CONTRAST).contrast
    weights = np.r_[np.full(8, 1.25), np.full(12, 20 / 24)]
    found = fit_draws(cohort.counts, [Draw(np.arange(20), design)], contrast, NEWTON, weights=weights)[0]
    alone = fit(
        cohort, design, contrast, search="newton", scale_weights=False,
        weights=np.broadcast_to(weights, cohort.counts.shape),
    )  # fmt: skip
    assert_same(found, alone)
