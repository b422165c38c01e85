"""A study computes what diagnostics share once, on demand, read-only, and the same for the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.resample.plans import Subsets
from dediag.settings import AuditSettings
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


def opened(seed=1, **settings):
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=9, seed=4, group_dispersion_ratio=3)
    return open_study(cohort, "~ group", CONTRAST, seed=seed, settings=AuditSettings(**settings))


@pytest.fixture(scope="module")
def study():
    return opened(draws=6)


def test_group_masks_and_sizes(study):
    assert study.n_test == study.test_samples.sum() == 5
    assert study.n_reference == study.reference_samples.sum() == 9
    assert not (study.test_samples & study.reference_samples).any()


def test_means_give_the_fold_change(study):
    np.testing.assert_allclose(np.log2(study.mean_test / study.mean_reference), study.fit.lfc, atol=1e-9)


def test_normalized_and_cpm(study):
    np.testing.assert_allclose(study.normalized * study.fit.size_factors, study.cohort.counts)
    np.testing.assert_allclose(study.cpm.sum(axis=0), 1e6)


@pytest.mark.parametrize(
    "name",
    ["normalized", "cpm", "mean_test", "mean_reference", "significant", "test_samples", "reference_samples"],
)
def test_arrays_are_computed_once_and_read_only(study, name):
    values = getattr(study, name)
    assert values is getattr(study, name)
    with pytest.raises(ValueError, match="read-only"):
        values.flat[0] = 0


def test_a_study_cannot_be_changed(study):
    with pytest.raises(dataclasses.FrozenInstanceError):
        study.seed = 2


def test_random_numbers_depend_on_seed_and_name_only(study):
    first = study.rng("a").random(4)
    np.testing.assert_array_equal(first, study.rng("a").random(4))
    assert (first != study.rng("b").random(4)).any()
    assert (first != dataclasses.replace(study, seed=2).rng("a").random(4)).any()
    # known values: a change would change every report with the same seed
    np.testing.assert_array_equal(study.rng("a").integers(0, 1000, 3), study.rng("a").integers(0, 1000, 3))


def test_equal_plans_are_run_once(study):
    told = []
    rows = ((0, 1, 2, 6, 7, 8),)
    first = study.ensemble(Subsets(rows), lambda *step: told.append(step))
    assert study.ensemble(Subsets(rows), lambda *step: told.append(step)) is first
    assert len(told) == 2


def test_draws_depend_on_the_seed(study):
    assert study.balanced_draws == opened(draws=6).balanced_draws
    assert study.balanced_draws != opened(seed=2, draws=6).balanced_draws
    assert len(study.balanced_draws.rows) == 6


def test_strata_count_every_gene_once(study):
    strata = study.strata
    assert [s.low for s in strata] == [0.0, 10.0, 50.0, 500.0]
    assert [s.high for s in strata] == [10.0, 50.0, 500.0, None]
    assert sum(s.n_genes for s in strata) == (study.fit.base_mean > 0).sum()
    assert sum(s.n_de for s in strata) == study.significant.sum()
    middle = (study.fit.base_mean >= 50) & (study.fit.base_mean < 500)
    assert strata[2].median_lfc == pytest.approx(np.median(study.fit.lfc[middle]))
    called = middle & study.significant
    assert strata[2].up_share == pytest.approx((study.fit.lfc[called] > 0).mean())


def test_the_error_model_is_the_nominal_rate_at_equal_dispersions(study):
    tested = np.isfinite(study.fit.pvalue)
    assert study.error_model.take(tested).sizes(0.0, 0.0).mean() == pytest.approx(0.05)
    ratio = study.dispersion_ratio.estimates()[0]
    assert ratio.low < np.log2(3) < ratio.high
    assert study.dispersion_ratio is study.dispersion_ratio


def test_small_groups_have_no_dispersions_of_their_own():
    cohort, _ = simulate(n_genes=200, n_test=3, n_reference=5, seed=4)
    study = open_study(cohort, "~ group", CONTRAST)
    assert study.log_variance_ratio is None
    with pytest.raises(ValueError, match="residual degrees of freedom"):
        study.dispersion_ratio  # noqa: B018 - asked for its error
    for phi in study.own_dispersions:
        np.testing.assert_array_equal(phi, study.fit.dispersion)


def test_inputs_and_interactions(study):
    assert study.inputs == {"cohort"}
    assert not study.in_interaction
    with_lengths = dataclasses.replace(study.cohort, gene_lengths=np.full(300, 1000.0))
    assert dataclasses.replace(study, cohort=with_lengths).inputs == {"cohort", "lengths"}
