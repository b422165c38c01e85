"""Counts simulated from a fit have its means, its dispersions and the effects that were asked for."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.model.group_means import group_means
from dediag.resample.effects import Effects
from dediag.resample.parametric import CountModel
from dediag.resample.plans import Simulations
from dediag.simulation import Population, simulate

CONTRAST = ("group", "case", "control")
PLAIN = Population(asymptote=0.1, extra=0.0, dispersion_sd=0.01, log_mean_sd=1.0)


@pytest.fixture(scope="module")
def main():
    cohort, _ = simulate(n_genes=400, n_test=6, n_reference=18, seed=5, group_dispersion_ratio=4, population=PLAIN)
    return fit(cohort, "~ group", CONTRAST)


def model(main, effects, dispersion="shared"):
    return CountModel.of(main, Simulations(1, 1, effects, dispersion))


def test_group_means_differ_by_the_fold_change(main):
    test, reference = group_means(main)
    np.testing.assert_allclose(np.log2(test / reference), main.lfc, atol=1e-9)
    cases = main.group_mask("case")
    np.testing.assert_allclose(test, (main.mu() / main.size_factors)[:, cases].mean(axis=1), rtol=1e-9)


def test_group_means_with_a_covariate_differ_by_the_fold_change():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=8, seed=5, confounded_covariate=0.3)
    found = fit(cohort, "~ batch + group", CONTRAST)
    test, reference = group_means(found)
    np.testing.assert_allclose(np.log2(test / reference), found.lfc, atol=1e-9)


def test_without_effect_both_groups_have_the_common_mean(main):
    found = model(main, "none")
    per_size = found.mean / main.size_factors
    np.testing.assert_allclose(per_size, np.repeat(per_size[:, :1], 24, axis=1), rtol=1e-9)
    np.testing.assert_array_equal(found.factor_test, 1.0)
    np.testing.assert_array_equal(found.factor_reference, 1.0)


def test_effects_keep_the_common_mean(main):
    found = model(main, "fitted")
    np.testing.assert_allclose((6 * found.factor_test + 18 * found.factor_reference) / 24, 1.0, rtol=1e-12)
    assert np.std(np.log2(found.factor_test / found.factor_reference)) > 0.1


def test_swapped_effects_have_signs_by_chance_and_keep_the_midpoint(main):
    found = model(main, "swapped")
    strong = (np.abs(main.lfc) > 0.8) & (main.pvalue < 0.001) & (found.mean.mean(axis=1) > 100)
    assert strong.sum() > 5
    cases = main.group_mask("case")
    signs, middle = [], []
    for k in range(60):
        q = found.draw(np.random.default_rng(k)) / main.size_factors
        case, control = q[:, cases].mean(axis=1)[strong], q[:, ~cases].mean(axis=1)[strong]
        signs.append(np.sign(case - control))
        middle.append(np.log2(case * control) / 2.0)
    up = np.asarray(signs) > 0
    assert 0.4 < up.mean() < 0.6
    difference = [np.asarray(middle)[:, g][up[:, g]].mean() - np.asarray(middle)[:, g][~up[:, g]].mean()
                  for g in range(strong.sum())]  # fmt: skip
    assert abs(np.mean(difference)) < 0.1  # holding one group's mean would make it about 1


def test_a_group_trend_moves_shared_dispersions_to_each_groups_height(main):
    shared, own = (model(main, "none", which).dispersion for which in ("shared", "group trend"))
    cases = main.group_mask("case")
    test, reference = (own[:, mask][:, 0] / shared[:, 0] for mask in (cases, ~cases))
    assert np.median(test / reference) == pytest.approx(4.0, rel=0.15)


def test_under_a_group_trend_each_gene_keeps_its_distance_from_the_trend():
    cohort, _ = simulate(n_genes=400, n_test=10, n_reference=10, seed=5)
    found = fit(cohort, "~ group", CONTRAST)
    shared, own = (np.log(model(found, "none", which).dispersion) for which in ("shared", "group trend"))
    assert np.std(shared[:, 0]) > 0.3
    assert np.std(own - shared, axis=0).max() < 0.1  # the two trends are nearly alike
    assert np.abs(np.median(own - shared, axis=0)).max() < 0.3


def test_effects_do_not_take_a_shift_of_all_genes_for_an_effect():
    cohort, _ = simulate(n_genes=1500, n_test=8, n_reference=8, seed=1, effect_share=0.0)
    first = fit(cohort, "~ group", CONTRAST)
    moved = fit(
        cohort, "~ group", CONTRAST, size_factors=first.size_factors * np.where(first.group_mask("case"), 1.4, 1)
    )
    for found in (first, moved):
        dispersion = np.broadcast_to(np.nan_to_num(first.dispersion, nan=1.0)[:, None], cohort.counts.shape)
        drawn = Effects.by_counts(found, dispersion).draw(np.random.default_rng(1))
        assert abs(drawn.mean()) < 0.03
        assert drawn.std() < 0.25


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_effects_do_not_take_what_a_covariate_leaves_unknown_for_effects(seed):
    """Without the wider standard errors the spread would be .11 to .14."""
    cohort, _ = simulate(n_genes=1500, n_test=8, n_reference=8, seed=seed, confounded_covariate=0.6, effect_share=0.0)
    found = fit(cohort, "~ batch + group", CONTRAST)
    dispersion = np.broadcast_to(np.nan_to_num(found.dispersion, nan=1.0)[:, None], cohort.counts.shape)
    assert Effects.by_counts(found, dispersion).draw(np.random.default_rng(1)).std() < 0.08


def test_counts_have_the_means_and_each_groups_dispersion(main):
    found = model(main, "none", "group")
    cases = main.group_mask("case")
    q = np.stack([found.draw(np.random.default_rng(k)) for k in range(200)]) / found.mean  # (200, n_genes, n_samples)
    well = found.mean.min(axis=1) > 30
    assert q[:, well].mean() == pytest.approx(1.0, abs=0.005)
    excess = (q.var(axis=0) - 1.0 / found.mean)[well]
    ratio = np.median(excess[:, cases]) / np.median(excess[:, ~cases])
    assert ratio == pytest.approx(4.0, rel=0.25)


def test_some_samples_can_be_drawn_alone(main):
    counts = model(main, "fitted").draw(np.random.default_rng(1), np.array([0, 1, 20]))
    assert counts.shape == (400, 3)


def test_genes_without_counts_keep_none():
    cohort, _ = simulate(n_genes=100, n_test=4, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[7] = 0.0
    counts[8, :4] = 0.0
    main = fit(cohort.with_counts(counts), "~ group", CONTRAST)
    drawn = model(main, "none", "group").draw(np.random.default_rng(1))
    assert not drawn[7].any()
    assert np.isfinite(drawn).all()


def test_posterior_effects_are_distributed_as_the_true_ones_and_differ_between_cohorts():
    """Estimates are too spread, shrunken ones too narrow; draws from posteriors have the spread of the truth."""
    cohort, truth = simulate(n_genes=3000, n_test=5, n_reference=5, seed=2, effect_share=0.3, effect_sd=1.0)
    found = fit(cohort, "~ group", CONTRAST)
    model = CountModel.of(found, Simulations(1, 1, "posterior", "shared"))
    assert model.effects is not None
    first, second = (model.effects.draw(np.random.default_rng(seed)) for seed in (1, 2))
    seen = truth["base_mean"].to_numpy() > 20
    spread = np.mean(truth["lfc"].to_numpy()[seen] ** 2)
    for drawn in (first, second):
        assert np.mean(drawn[seen] ** 2) == pytest.approx(spread, rel=0.15)
    assert np.mean(found.lfc[seen] ** 2) > 1.25 * spread
    assert np.corrcoef(first[seen], second[seen])[0, 1] == pytest.approx(
        np.corrcoef(first[seen], truth["lfc"].to_numpy()[seen])[0, 1], abs=0.06
    )  # a draw is no closer to another than to the truth


def test_posterior_effects_reach_the_counts_and_keep_the_common_mean():
    cohort, _ = simulate(n_genes=300, n_test=10, n_reference=30, seed=2, effect_share=1.0, effect_sd=1.5)
    found = fit(cohort, "~ group", CONTRAST)
    model = CountModel.of(found, Simulations(1, 1, "posterior", "shared"))
    counts = np.mean([model.draw(np.random.default_rng(seed)) for seed in range(40)], axis=0) / found.size_factors
    cases = found.group_mask("case")
    strong = (np.abs(found.lfc) > 1.0) & (found.base_mean > 50)
    drawn = np.log2(counts[:, cases].mean(axis=1) / counts[:, ~cases].mean(axis=1))[strong]
    assert np.corrcoef(drawn, found.lfc[strong])[0, 1] > 0.95
    common = (model.mean / found.size_factors).mean(axis=1)[strong]
    np.testing.assert_allclose(np.median(counts[strong].mean(axis=1) / common), 1.0, atol=0.03)
