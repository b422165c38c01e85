"""Every kernel against its definition, over one collection of odd inputs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numba import njit
from odd_inputs import OddGene, odd_genes
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, polygamma

from dediag.cohort import frozen
from dediag.model import likelihood
from dediag.model.coefficients import NATURAL_RIDGE, Data, Space, fit_coefficients
from dediag.model.design import Design
from dediag.model.dispersion import GeneWise, gene_wise, largest, profiles, search
from dediag.model.kernels import profile_likelihood, special, vector
from dediag.model.outliers import CooksRule, Means, distances
from dediag.model.trend import PROFILE_AT
from dediag.model.weights import NO_WEIGHTS

GENES = odd_genes()
ODD = pytest.mark.parametrize("gene", GENES, ids=[g.name for g in GENES])
COUNTS = [0, 1, 2, 7, 8, 9, 30, 1000, 123456]
SIZES = [1e-4, 0.03, 0.9, 7.9, 10.0, 250.0, 1e5, 1e8, 1e12]  # 1 / dispersion


def design_of(gene: OddGene) -> Design:
    names = tuple(f"x{k}" for k in range(gene.X.shape[1]))
    return Design("~ x", frozen(gene.X), names, pd.DataFrame(index=range(gene.y.size)), {})


def data_of(gene: OddGene, weights: np.ndarray = NO_WEIGHTS) -> Data:
    return Data(
        frozen(gene.y[None, :]), frozen([0], np.int64), frozen(gene.size[None, :]), frozen(weights), frozen(weights)
    )


@njit
def log_rising(y, r):
    table = np.empty(special.TABLE)
    special.fill_table(r, 0, table)
    return special.log_rising(y, r, table)


@njit
def derivative_gap(y, mu, r):
    table = np.empty(special.TABLE)
    special.fill_table(r, 1, table)
    return special.derivative_gap(y, mu, r, table)


@njit
def of_one_sample(y, mu, r):
    """Likelihood without lgamma(y + 1), both derivatives over log alpha and the weight, as the loops have them."""
    one, w = np.ones(1), np.empty(1)
    value = profile_likelihood.likelihood(y * one, mu * one, one, r, w)
    first, second = profile_likelihood.likelihood_slopes(y * one, mu * one, one, r, w)
    return value, first, second, w[0]


@njit
def logs(x):
    return vector.log(x), vector.log_plus(x)


@pytest.mark.parametrize("x", [1e-300, 1e-12, 0.3, 0.70710678, 0.70710679, 1.0, 1.41421356, 2.0, 1e5, 1e300])
def test_logarithms_are_those_of_the_library(x: float) -> None:
    log, log_plus = logs(x)
    assert log == pytest.approx(math.log(x), rel=4e-16, abs=0)
    assert log_plus == pytest.approx(math.log1p(x), rel=4e-16, abs=0)
    if x < 1.0:
        assert logs(-x)[1] == pytest.approx(math.log1p(-x), rel=4e-16, abs=0)


@pytest.mark.parametrize("y", COUNTS)
@pytest.mark.parametrize("r", SIZES)
def test_the_vector_loops_have_the_likelihood_and_its_derivatives(y: int, r: float) -> None:
    """Sums over k < y stand for the differences of log-gamma and its derivatives; d/d log alpha = -r d/dr."""
    k, mu = np.arange(y), y + 3.0
    value, first, second, weight = of_one_sample(float(y), mu, r)
    expected = math.fsum([*np.log1p(k / r), -(y + r) * math.log1p(mu / r)])
    assert value == pytest.approx(expected, rel=1e-11, abs=1e-15 * max(y, 100))
    slope = math.fsum([*(1.0 / (r + k)), -math.log1p(mu / r), (mu - y) / (mu + r)])
    scale = max(1.0, y / r) * 1e-15
    assert first == pytest.approx(-r * slope, rel=1e-9, abs=r * scale)
    bend = (mu / r - (mu - y) / (mu + r)) / (mu + r) - math.fsum(1.0 / (r + k) ** 2)
    rounding = r * r * 1e-15 * float(polygamma(1, r))  # the difference of two trigammas
    assert second == pytest.approx(r * slope + r * r * bend, rel=1e-8, abs=r * scale + rounding)
    assert weight == pytest.approx(mu / (1.0 + mu / r), rel=1e-12)


@pytest.mark.parametrize("y", COUNTS)
@pytest.mark.parametrize("r", SIZES)
def test_differences_of_log_gamma_and_its_derivatives_are_the_sums_they_stand_for(y: int, r: float) -> None:
    k, mu = np.arange(y), y + 3.0
    # the Stirling form subtracts y: it is right to the last digits of y
    rounding = 1e-15 * max(y, 100)
    assert log_rising(float(y), r) == pytest.approx(math.fsum(np.log1p(k / r)), rel=1e-11, abs=rounding)
    expected = math.fsum([*(1.0 / (r + k)), -math.log1p(mu / r)])
    assert derivative_gap(float(y), mu, r) == pytest.approx(expected, rel=1e-9, abs=1e-15 * max(1.0, y / r))


def definition_rounding(y: np.ndarray, alpha: float) -> float:
    """How far rounding can move the definition: it subtracts log-gammas that are huge where counts or 1/alpha are."""
    return 1e-9 + 8.0 * np.finfo(float).eps * float(np.abs(gammaln(y + 1.0 / alpha)).sum())


@ODD
def test_newton_dispersion_is_the_best_point_of_the_definition(gene: OddGene) -> None:
    design = design_of(gene)
    space, data = Space.of(design), data_of(gene)
    first = gene_wise(data, space, reference=False)
    mu = np.maximum(gene.size * first.cell_mean[0][design.cell], 0.5)
    for prior in (None, (math.log(0.1), 0.5)):
        start = np.array([0.05])
        mean, variance = (None, math.inf) if prior is None else (np.array([prior[0]]), prior[1])
        found = math.log(
            search(data, space, replace(first, start=start, dispersion=start), mean, variance, reference=False)[0][0]
        )

        def value(a: float, prior: tuple[float, float] | None = prior) -> float:
            return likelihood.adjusted_profile(a, gene.y, mu, gene.X, prior=prior)

        low, high = math.log(1e-8), math.log(largest(gene.y.size))
        grid = np.linspace(low, high, 400)
        best = grid[int(np.argmax([value(a) for a in grid]))]
        width = grid[1] - grid[0]
        refined = minimize_scalar(
            lambda a: -value(a), bounds=(max(low, best - width), min(high, best + width)), method="bounded"
        )
        points = np.array([found, best, refined.x])
        rounding = max(definition_rounding(gene.y, math.exp(a)) for a in points)
        kept = 0.0
        if prior is None and found == pytest.approx(math.log(start[0])):  # the rule of little gain kept the start
            kept = 1e-6 * abs(value(found) + float(gammaln(gene.y + 1.0).sum()))
        assert value(found) >= max(value(best), -refined.fun) - rounding - kept


@ODD
def test_profiles_are_the_definition_but_for_a_constant(gene: OddGene) -> None:
    design = design_of(gene)
    space, data = Space.of(design), data_of(gene)
    cell_mean = gene_wise(data, space, reference=False).cell_mean
    mu = np.maximum(gene.size * cell_mean[0][design.cell], 0.5)
    found = profiles(data, space, cell_mean, 1.0)[0]
    expected = np.array([likelihood.adjusted_profile(a, gene.y, mu, gene.X) for a in PROFILE_AT])
    rounding = 2.0 * definition_rounding(gene.y, float(np.exp(PROFILE_AT[0])))
    np.testing.assert_allclose(found - found[-1], expected - expected[-1], rtol=1e-7, atol=rounding)


@ODD
def test_reference_search_never_ends_below_its_start(gene: OddGene) -> None:
    design = design_of(gene)
    space, data = Space.of(design), data_of(gene)
    first = gene_wise(data, space, reference=True)
    mu = np.maximum(gene.size * first.cell_mean[0][design.cell], 0.5)
    values = [
        likelihood.adjusted_profile(math.log(a), gene.y, mu, gene.X) for a in (first.start[0], first.dispersion[0])
    ]
    assert values[1] >= values[0] - 1e-9 * max(1.0, abs(values[0]))
    assert 1e-8 <= first.dispersion[0] <= largest(gene.y.size)


@ODD
@pytest.mark.parametrize("reference", [True, False])
def test_coefficients_solve_the_ridge_score_equations(gene: OddGene, reference: bool) -> None:
    design = design_of(gene)
    space, data = Space.of(design), data_of(gene)
    contrast = np.zeros(gene.X.shape[1])
    contrast[-1] = 1.0
    label = np.zeros(design.cells.shape[0], np.int64)
    found = fit_coefficients(data, space, np.array([gene.alpha]), contrast=contrast, label=label, reference=reference)
    mu = gene.size * np.exp(gene.X @ found.beta[0])
    if (mu < 0.5).any():  # the floor of the means moves the fixed point: no identity is claimed
        return
    score = gene.X.T @ ((gene.y - mu) / (1.0 + gene.alpha * mu)) - NATURAL_RIDGE * found.beta[0]
    covariance = likelihood.covariance(gene.X, mu, gene.alpha, NATURAL_RIDGE)
    in_se = np.abs(covariance @ score) / np.sqrt(np.diag(covariance))  # how far a Newton step would still go
    assert (in_se < (1e-3 if reference else 1e-6)).all()
    np.testing.assert_allclose(found.se[0], np.sqrt(np.diag(covariance)), rtol=1e-6)
    np.testing.assert_allclose(found.contrast_se[0], math.sqrt(covariance[-1, -1]), rtol=1e-6)
    expected = likelihood.log_likelihood(gene.y, mu, gene.alpha)
    np.testing.assert_allclose(found.log_likelihood[0], expected, rtol=0, atol=definition_rounding(gene.y, gene.alpha))


@ODD
def test_cooks_distances_equal_their_definition(gene: OddGene) -> None:
    design = design_of(gene)
    space, data = Space.of(design), data_of(gene)
    zeros, label = np.zeros(gene.X.shape[1]), np.zeros(design.cells.shape[0], np.int64)
    found = fit_coefficients(data, space, np.array([gene.alpha]), contrast=zeros, label=label)
    means = Means(found.cell_means(space), found.cell_means(space))
    got = distances(data, space, means, np.array([gene.alpha]), CooksRule.of(design))[0]
    mu = gene.size * np.exp(gene.X @ found.beta[0])
    robust = likelihood.robust_dispersion(gene.y / gene.size, design.cell)
    expected = likelihood.cooks_distance(gene.y, mu, gene.X, gene.alpha, robust, NATURAL_RIDGE, 0.5)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-8)


@ODD
def test_equal_weights_change_nothing(gene: OddGene) -> None:
    design = design_of(gene)
    space = Space.of(design)
    contrast, label = np.zeros(gene.X.shape[1]), np.zeros(design.cells.shape[0], np.int64)
    plain, weighted = data_of(gene), data_of(gene, np.ones((1, gene.y.size)))
    first = replace(gene_wise(plain, space, reference=False), start=np.array([0.05]))
    a = search(plain, space, first, reference=False)[0]
    b = search(weighted, space, first, reference=False)[0]
    np.testing.assert_allclose(a, b, rtol=1e-4 if gene.name == "huge counts" else 1e-6)
    alpha = np.array([gene.alpha])
    one = fit_coefficients(plain, space, alpha, contrast=contrast, label=label)
    two = fit_coefficients(weighted, space, alpha, contrast=contrast, label=label)
    np.testing.assert_allclose(one.beta, two.beta, rtol=1e-10)


def test_weights_of_zero_are_samples_left_out() -> None:
    gene = GENES[0]
    keep = np.array([1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    left = OddGene("left", gene.y[keep], gene.size[keep], gene.X[keep], gene.alpha)
    results = []
    for one, weights in ((gene, keep.astype(float)[None, :]), (left, NO_WEIGHTS)):
        design = design_of(one)
        space, data = Space.of(design), data_of(one, weights)
        zeros, label = np.zeros(2), np.zeros(2, np.int64)
        fitted = fit_coefficients(data, space, np.array([0.2]), contrast=zeros, label=label, reference=False)
        nothing, start = np.full(1, np.nan), np.array([0.05])
        first = GeneWise(start, start, start, fitted.cell_means(space), start, np.zeros(1, np.int64), nothing, nothing)
        alpha = search(data, space, first, np.array([-2.0]), 1.0, reference=False)[0]
        results.append((fitted.beta, fitted.se, alpha))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
