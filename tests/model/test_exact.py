"""The exact optimum against root finding on the plain score; the stopping rule of one group against its definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

from dediag.cohort import Cohort, frozen
from dediag.model import coefficients as glm
from dediag.model import exact, likelihood
from dediag.model.exact import NEAR, exact_dispersions, floor_genes, iterations_alone, optimum
from dediag.model.fit import fit
from dediag.model.group_means import group_means, group_vectors
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
RIDGE = glm.NATURAL_RIDGE


def cohort_of(n_test=4, n_reference=9, n_genes=120, seed=1, **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    rng = np.random.default_rng(seed)
    samples = cohort.samples.assign(
        batch=["x", "y", "y"] * 4 + ["x"] * (n_test + n_reference - 12), age=rng.normal(50, 12, len(cohort.samples))
    )
    return replace(cohort, samples=samples)


@pytest.fixture(scope="module", params=["~ group", "~ batch + group", "~ age + group"])
def fitted(request):
    return fit(cohort_of(), request.param, CONTRAST)


def by_root_finding(found, g):
    """Coefficients (log2) of gene g where the penalised score is zero."""
    y, s, X, phi = found.fitted_counts[g], found.normalisation[0], found.design.matrix, found.dispersion[g]
    R = np.linalg.qr(X)[1]  # covariates on any scale

    def score(gamma):
        beta = np.linalg.solve(R, gamma)
        mu = s * np.exp(X @ beta)
        return np.linalg.solve(R.T, X.T @ ((y - mu) / (1 + phi * mu)) - RIDGE * beta)

    start = np.linalg.lstsq(X, np.log(y / s + 0.5), rcond=None)[0]
    solved = root(score, R @ start, tol=1e-13)
    return np.linalg.solve(R, solved.x) / math.log(2)


def test_it_is_where_the_penalised_score_is_zero(fitted):
    found = optimum(fitted)
    genes = np.flatnonzero(np.isfinite(found.distance))[::8]
    for g in genes:
        np.testing.assert_allclose(found.coefficients[g], by_root_finding(fitted, g), atol=1e-8, rtol=1e-8)
    assert np.nanmax(found.distance) <= NEAR


def test_covariance_is_the_definition(fitted):
    found = optimum(fitted)
    for g in np.flatnonzero(np.isfinite(found.distance))[::20]:
        mu = np.exp2(fitted.design.matrix @ found.coefficients[g]) * fitted.normalisation[0]
        plain = likelihood.covariance(fitted.design.matrix, mu, fitted.dispersion[g], RIDGE)
        np.testing.assert_allclose(found.covariance[g], plain / math.log(2) ** 2, rtol=1e-6)
        v = fitted.contrast.vector
        assert found.se(v)[g] == pytest.approx(math.sqrt(v @ plain @ v) / math.log(2))
        assert found.of(v)[g] == found.coefficients[g] @ v


def test_no_likelihood_is_higher(fitted):
    found = optimum(fitted)
    rng = np.random.default_rng(3)

    def penalised(g, coefficients):
        beta = coefficients * math.log(2)
        mu = np.exp(fitted.design.matrix @ beta) * fitted.normalisation[0]
        value = likelihood.log_likelihood(fitted.fitted_counts[g], mu, fitted.dispersion[g])
        return value - 0.5 * RIDGE * beta @ beta

    for g in np.flatnonzero(np.isfinite(found.distance))[::15]:
        best = penalised(g, found.coefficients[g])
        scale = np.sqrt(np.diag(found.covariance[g]))
        others = [fitted.coefficients[g], *(found.coefficients[g] + scale * rng.normal(0, 0.1, (5, scale.size)))]
        assert all(penalised(g, other) <= best + 1e-9 for other in others)


def test_genes_without_counts_are_missing_and_floor_genes_have_no_distance():
    cohort = cohort_of()
    counts = cohort.counts.copy()
    counts[0] = 0
    counts[1, :4] = 0
    found = fit(cohort.with_counts(counts), "~ group", CONTRAST)
    best = optimum(found)
    assert np.isnan(best.coefficients[0]).all()
    assert floor_genes(found)[1]
    assert not floor_genes(found)[0]
    assert np.isnan(best.distance[1])
    assert np.isfinite(best.coefficients[1]).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(1e-6, 8.0), st.floats(0.0, 3.0), st.booleans())
def test_newton_gets_there_from_anywhere(seed, alpha, unequal, covariate):
    """Depths over orders of magnitude, single extreme counts, starts far off."""
    rng = np.random.default_rng(seed)
    m = 9
    size = np.exp(rng.normal(0, unequal, m))
    counts = rng.poisson(50 * size * rng.gamma(1 / (alpha + 0.05), alpha + 0.05, m)).astype(float) + 1.0
    counts[rng.integers(m)] *= 100
    X = np.column_stack([np.ones(m), np.arange(m) < 3, rng.normal(size=m)])[:, : 3 if covariate else 2].astype(float)
    problem = exact._Problem(
        counts[None], size[None], np.ones((1, m)), np.array([[alpha]]), X, RIDGE * np.eye(X.shape[1])
    )
    start = rng.normal(3, 3, (1, X.shape[1]))
    _, distance = problem.climb(start)
    assert distance[0] <= NEAR


def test_blocks_of_genes_change_nothing(monkeypatch, fitted):
    whole = optimum(fitted)
    monkeypatch.setattr(exact, "BLOCK", 13 * 7)
    parts = optimum(fitted)
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-10)


def test_group_vectors_are_the_groups_log_means(fitted):
    test, reference = group_vectors(fitted)
    np.testing.assert_allclose(test - reference, fitted.contrast.vector, atol=1e-12)
    seen = np.isfinite(fitted.dispersion)
    for vector, mean in zip((test, reference), group_means(fitted), strict=True):
        np.testing.assert_allclose(np.exp2(fitted.coefficients @ vector)[seen], mean[seen])


def test_a_contrast_of_a_covariate_has_no_groups():
    with pytest.raises(ValueError, match="no two groups"):
        group_vectors(fit(cohort_of(n_genes=60), "~ group + age", "age"))


def test_exact_dispersions_are_those_of_the_newton_search(fitted):
    newton = fit(fitted.cohort, fitted.design, fitted.contrast, search="newton")
    np.testing.assert_allclose(exact_dispersions(newton), newton.dispersion, rtol=1e-6)
    found, reference = exact_dispersions(fitted), fitted.dispersion
    assert np.nanmedian(np.abs(np.log(found / reference))) < 1e-3


def stopping_alone(y, s, phi):
    """Reweighted least squares of one group's log mean, stopped by the change of the deviance."""
    eta = np.log(y / s + 0.1).mean()
    before = 0.0
    for step in range(1, 101):
        mu = np.maximum(s * np.exp(eta), 0.5)
        w = mu / (1 + phi * mu)
        z = np.log(mu / s) + (y - mu) / mu
        eta = (w * z).sum() / (w.sum() + RIDGE)
        mu = np.maximum(s * np.exp(eta), 0.5)
        deviance = -2 * likelihood.log_likelihood(y, mu, phi)
        if step > 1 and abs(deviance - before) / (abs(deviance) + 0.1) < 1e-8:
            return step
        before = deviance
    return 100


def test_iterations_of_a_group_by_itself_are_those_of_the_rule():
    found = fit(cohort_of(), "~ group", CONTRAST)
    for level in ("case", "control"):
        mask = found.group_mask(level)
        alone = iterations_alone(found, level)
        for g in range(0, 120, 5):
            y, s = found.fitted_counts[g, mask], found.normalisation[0, mask]
            if y.max() > 0:
                assert alone[g] == stopping_alone(y, s, found.dispersion[g])


def test_a_group_without_counts_iterates_not_at_all_and_a_shared_covariate_allows_no_group_alone():
    cohort = cohort_of(n_genes=60)
    counts = cohort.counts.copy()
    counts[1, :4] = 0
    found = fit(cohort.with_counts(counts), "~ group", CONTRAST)
    assert iterations_alone(found, "case")[1] == 0
    assert iterations_alone(found, "control")[1] > 0
    assert iterations_alone(fit(cohort, "~ batch + group", CONTRAST), "case") is None


def test_offsets_and_weights_are_those_of_the_fit():
    """Two copies of a sample are a weight of two; a gene's offsets are its size factors."""
    cohort = cohort_of(n_genes=40)
    size = fit(cohort, "~ group", CONTRAST).normalisation[0]
    weights = np.ones(cohort.counts.shape)
    weights[:, :] = np.where(np.arange(13) == 12, 1.0, 0.5)
    weighted = fit(cohort, "~ group", CONTRAST, size_factors=size, weights=weights, cooks=False)
    twice = np.append(np.arange(13), 12)
    samples = pd.concat([cohort.samples, cohort.samples.iloc[[12]].rename(index=lambda s: f"{s}again")])
    doubled = Cohort(frozen(cohort.counts[:, twice]), cohort.genes, samples)
    copied = fit(doubled, "~ group", CONTRAST, size_factors=size[twice], cooks=False)
    held = np.where(np.isfinite(weighted.dispersion), 0.2, np.nan)
    one, other = optimum(weighted, held), optimum(copied, held)
    seen = np.isfinite(one.distance) & np.isfinite(other.distance)
    np.testing.assert_allclose(one.coefficients[seen], other.coefficients[seen], rtol=1e-5, atol=1e-5)
    offsets = fit(replace(cohort, offsets=frozen(np.broadcast_to(size, cohort.counts.shape))), "~ group", CONTRAST)
    plain = fit(cohort, "~ group", CONTRAST, size_factors=size)
    np.testing.assert_allclose(optimum(offsets).coefficients, optimum(plain).coefficients, rtol=1e-6, atol=1e-6)
