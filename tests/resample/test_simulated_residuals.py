"""Residuals of simulated cohorts: like those of the data where the model is right, and reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.cohort import frozen
from dediag.model.fit import fit
from dediag.resample.simulated_residuals import REFERENCE, TEST, Judging, observed, simulated
from dediag.simulation import simulate
from dediag.stats.quantile_residuals import quantile_residuals

EDGES = np.array([0.0, 10.0, np.inf])


def fitted(*, offsets=False, size_factors="ratio", **more):
    cohort, _ = simulate(n_genes=200, n_test=4, n_reference=6, seed=1, **more)
    if offsets:
        cohort = replace(cohort, offsets=frozen(np.random.default_rng(1).uniform(0.5, 2.0, cohort.counts.shape)))
    return fit(cohort, "~ group", ("group", "case", "control"), size_factors=size_factors)


def judging(study_fit):
    return Judging(EDGES, np.where(study_fit.group_mask("case"), TEST, REFERENCE), 4.0)


def seen(study_fit):
    return np.flatnonzero(study_fit.base_mean > 0.0)


def again(study_fit, genes, *, replicates=2, size_factors="ratio", seed=2):
    return simulated(
        study_fit, genes, judging(study_fit), replicates, dispersions=(study_fit.dispersion, study_fit.dispersion),
        size_factors=size_factors, rng=np.random.default_rng(seed),
    )  # fmt: skip


def test_observed_residuals_are_those_of_the_original_counts():
    found = fitted(outliers=0.2)
    genes = seen(found)[::2]
    tally = observed(found, genes, judging(found), np.random.default_rng(5))
    jitter = np.random.default_rng(5).random((genes.size, 10))
    direct = quantile_residuals(found.cohort.counts[genes], found.mu()[genes], found.dispersion[genes, None], jitter)
    assert tally.shape().sd == pytest.approx(direct.std())
    assert tally.shape(samples=found.group_mask("case")).mean == pytest.approx(direct[:, :4].mean())
    low = found.base_mean[genes] < 10.0
    assert tally.shape(np.array([0])).sd == pytest.approx(direct[low].std())
    assert tally.sums[0, 0, 0] == low.sum()


def test_simulated_cohorts_look_like_a_sound_one():
    found = fitted()
    genes = seen(found)
    data = observed(found, genes, judging(found), np.random.default_rng(3)).shape()
    for tally in again(found, genes, replicates=4):
        assert tally.shape().sd == pytest.approx(data.sd, abs=0.06)
        assert tally.shape().zero_probability == pytest.approx(data.zero_probability, abs=0.02)


@pytest.mark.parametrize("size_factors", ["ratio", "TMM", "given"])
def test_same_seed_same_tallies_with_any_size_factors(size_factors):
    method = np.linspace(0.8, 1.2, 10) if size_factors == "given" else size_factors
    found = fitted(size_factors=method)
    first, second = (again(found, seen(found)[:150], size_factors=method) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.sums, other.sums)
        np.testing.assert_array_equal(one.histogram, other.histogram)


def test_offsets_are_kept():
    found = fitted(offsets=True)
    genes = seen(found)[5:]
    data = observed(found, genes, judging(found), np.random.default_rng(3)).shape()
    assert again(found, genes)[0].shape().sd == pytest.approx(data.sd, abs=0.08)


def test_genes_full_of_zeros_are_fitted_at_the_main_size_factors():
    found = fitted()
    rare = np.argsort(found.base_mean[seen(found)])[:60]
    tallies = again(found, np.sort(seen(found)[rare]))
    assert all(tally.shape().n > 0 for tally in tallies)
