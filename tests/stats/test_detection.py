"""The power of a Wald test: against simulated sums, against a fit by the package, and what exchanging groups does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from detection_truth import power_at
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dediag.stats.detection import Comparison, Genes, effective_depth, first_order_limit, p_cutoff, power_up

LEVEL = 0.005
SIZES = ((5, 20), (10, 10), (20, 5), (3, 3), (6, 40))


def gene(mean_test=10.0, mean_reference=10.0, phi_test=0.2, phi_reference=0.2, phi=0.2):
    return Genes(*(np.atleast_1d(np.float64(x)) for x in (mean_test, mean_reference, phi_test, phi_reference, phi)))


counts = st.floats(0.5, 2_000)
dispersions = st.floats(0.01, 1.0)
sizes = st.integers(2, 40)


def test_cutoff_is_the_p_that_one_gene_more_would_have_needed():
    assert p_cutoff(0, 1_000, 0.1) == pytest.approx(0.1 / 1_000)
    assert p_cutoff(49, 1_000, 0.1) == pytest.approx(0.1 * 50 / 1_000)
    assert p_cutoff(1_000, 1_000, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(("p", "called"), [(0.0149, True), (0.0151, False)])
def test_cutoff_agrees_with_benjamini_and_hochberg(p, called):
    """Two genes of twenty are called at .1; one more needs p below .1 x 3 / 20."""
    from dediag.stats.adjust import benjamini_hochberg

    others = np.r_[1e-8, 1e-6, np.linspace(0.5, 1.0, 17)]
    assert p_cutoff(2, 20, 0.1) == pytest.approx(0.015)
    assert (benjamini_hochberg(np.append(others, p))[-1] < 0.1) == called


def test_effective_depth_lies_between_harmonic_and_arithmetic_mean():
    factors = np.array([[0.3, 1.0, 4.0]])
    few, many = effective_depth(np.array([1e-3, 1e6]), np.array([0.1, 0.1]), factors)
    assert few == pytest.approx(factors.mean(), rel=1e-3)
    assert many == pytest.approx(1.0 / np.mean(1.0 / factors), rel=1e-3)


@pytest.mark.parametrize(("n_test", "n_reference"), SIZES)
@pytest.mark.parametrize("mean", [2.0, 10.0, 500.0])
@pytest.mark.parametrize("phi", [0.05, 0.5])
def test_power_is_that_of_simulated_sums(n_test, n_reference, mean, phi):
    """Own dispersions unlike that of the test; two standard errors of 100,000 draws are .003."""
    rng = np.random.default_rng([n_test, n_reference, int(mean)])
    comparison = Comparison(n_test, n_reference, LEVEL, 0.8)
    for fold in (2.0, 4.0):
        half = math.sqrt(fold)
        own = 1.5 * phi, 0.7 * phi
        sums = [
            rng.negative_binomial(n / f, 1.0 / (1.0 + f * m), 100_000)
            for n, m, f in ((n_test, mean * half, own[0]), (n_reference, mean / half, own[1]))
        ]
        logs, variances = [], []
        for total, n in zip(sums, (n_test, n_reference), strict=True):
            seen = np.maximum(total / n, 0.5)  # the floor of the fit
            logs.append(np.log(seen) + np.minimum(total / n - 0.5, 0.0) / 0.5)
            variances.append((1.0 / seen + phi) / n)
        z = (logs[0] - logs[1]) / np.sqrt(variances[0] + variances[1])
        expected = float((z > norm.isf(LEVEL / 2)).mean())
        found = power_up(gene(mean, mean, *own, phi), comparison, math.log(fold))[0]
        assert found == pytest.approx(expected, abs=0.008)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("n_test", "n_reference", "mean"), [(5, 20, 2.0), (3, 3, 10.0), (6, 40, 5.0)])
def test_power_is_that_of_the_packages_own_fit(n_test, n_reference, mean, sign):
    """The negative binomial GLM at known dispersion, equal depths; one standard error of 4,000 draws is .006."""
    rng = np.random.default_rng(4)
    comparison = Comparison(n_test, n_reference, LEVEL, 0.8)
    g, log_fc = gene(mean, mean), 1.5
    one = (g, comparison) if sign > 0 else (g.exchanged(), comparison.exchanged())
    predicted = float(power_up(*one, log_fc)[0])
    factors = np.ones(n_test + n_reference)
    assert power_at(rng, mean, sign * log_fc, (0.2, 0.2, 0.2), factors, n_test, LEVEL, 4_000) == pytest.approx(
        predicted, abs=0.025
    )


def test_depth_alone_favours_neither_direction_of_the_estimate():
    """The test takes depth out: with many reads the groups' depths do not matter."""
    comparison = Comparison(8, 8, LEVEL, 0.8)
    deep = power_up(gene(1e6, 1e5), comparison, 0.8)
    even = power_up(gene(1e5, 1e5), comparison, 0.8)
    assert deep == pytest.approx(even, abs=1e-3)


@given(counts, dispersions, sizes, st.floats(0.0, 4.0))
@settings(max_examples=60)
def test_equal_groups_have_no_preferred_direction(mean, phi, n, log_fc):
    g, comparison = gene(mean, mean, phi, phi, phi), Comparison(n, n, LEVEL, 0.8)
    assert power_up(g, comparison, log_fc) == power_up(g.exchanged(), comparison.exchanged(), log_fc)


@given(counts, counts, dispersions, dispersions, st.integers(2, 20), st.integers(2, 20), st.floats(0.0, 6.0))
@settings(max_examples=60)
def test_power_is_a_probability_and_no_less_with_a_larger_level(mean, other, phi, other_phi, n, m, log_fc):
    g = gene(mean, other, phi, other_phi, (phi + other_phi) / 2)
    strict, lax = (float(power_up(g, Comparison(n, m, level, 0.8), log_fc)[0]) for level in (0.001, 0.05))
    assert -1e-12 <= strict <= lax <= 1.0 + 1e-12


def test_few_more_stretches_change_nothing_that_matters():
    rng = np.random.default_rng(3)
    mean, phi = np.exp(rng.uniform(-1, 8, 300)), np.exp(rng.uniform(-4, 0, 300))
    g = Genes(mean, 1.3 * mean, 2 * phi, phi, 1.4 * phi)
    for n_test, n_reference in SIZES:
        comparison = Comparison(n_test, n_reference, LEVEL, 0.8)
        coarse, fine = (power_up(g, comparison, 1.0, stretches) for stretches in (32, 128))
        assert np.abs(coarse - fine).max() < 0.02
        assert np.abs(coarse - fine).mean() < 0.002


def test_first_order_is_the_closed_form():
    """By hand: z^2 (2 / n) phi with many reads; nothing where small means make the variance outgrow the change."""
    z = norm.isf(LEVEL / 2) + norm.ppf(0.8)
    g, comparison = gene(1e9, 1e9), Comparison(6, 6, LEVEL, 0.8)
    assert first_order_limit(g, comparison, 5.0)[0] == pytest.approx(z * math.sqrt(2 * 0.2 / 6), abs=0.006)
    assert first_order_limit(gene(0.1, 0.1), Comparison(3, 3, LEVEL, 0.8), 5.0)[0] == np.inf


def test_a_pooled_dispersion_makes_the_test_more_or_less_powerful_as_the_variance_ratio_says():
    """Power P(N(ln FC / SE, R) > z) with R the true over the reported variance, for many reads."""
    n_test, n_reference, own, phi, log_fc = 5, 20, (0.4, 0.1), 0.16, 1.2
    reported = phi / n_test + phi / n_reference
    true = own[0] / n_test + own[1] / n_reference
    expected = norm.sf((norm.isf(LEVEL / 2) - log_fc / math.sqrt(reported)) / math.sqrt(true / reported))
    found = power_up(gene(1e7, 1e7, *own, phi), Comparison(n_test, n_reference, LEVEL, 0.8), log_fc)[0]
    assert found == pytest.approx(expected, abs=0.05)  # the log of a mean of 5 is a little skewed
