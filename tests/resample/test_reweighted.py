"""Fits with other weights: fold changes by direct maximisation, compared genes, rates of simulated cohorts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import nbinom

from dediag.model.fit import fit
from dediag.resample.ensemble import run
from dediag.resample.plans import Simulations
from dediag.resample.reweighted import Predicted, Simulated, compare, held_fold_changes
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def cohort():
    return simulate(n_genes=200, n_test=4, n_reference=9, seed=3, confounded_covariate=0.3)[0]


@pytest.fixture(scope="module")
def main(cohort):
    return fit(cohort, "~ group", CONTRAST)


@pytest.mark.parametrize("design", ["~ group", "~ batch + group"])
def test_held_fold_changes_maximise_the_weighted_likelihood(cohort, design):
    found = fit(cohort, design, CONTRAST)
    weights = np.linspace(0.3, 2.0, 13)
    lfc = held_fold_changes(found, weights)
    for gene in np.flatnonzero(found.base_mean > 30)[:5]:

        def loss(beta, gene=gene):
            mu = np.exp(found.design.matrix @ beta) * found.size_factors
            r = 1.0 / found.dispersion[gene]
            return -float(weights @ nbinom.logpmf(found.fitted_counts[gene], r, r / (r + mu)))

        start = found.coefficients[gene] * np.log(2.0)
        best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000})
        assert lfc[gene] == pytest.approx(best.x @ found.contrast.vector / np.log(2.0), abs=1e-5)


def test_genes_at_the_floor_in_one_group_only_or_replaced_are_not_compared(cohort):
    counts = cohort.counts.copy()
    counts[0, :4] = 0.0
    counts[1] = 0.0
    counts[1, [0, 5]] = 1.0  # fitted means below one half
    counts[2, 6] = 1e6
    changed = fit(cohort.with_counts(counts), "~ group", CONTRAST)
    assert changed.replaced[2]
    genes, found = compare(changed, {"none": None, "half": np.full(13, 0.5)}, "ratio")
    assert not genes[:3].any()
    assert genes[3:].sum() > 150
    assert found["none"].held.shape == (genes.sum(),)
    np.testing.assert_array_equal(found["none"].se_ratio, 1.0)


def test_half_of_all_weights_doubles_the_variance_at_held_means(main):
    _, found = compare(main, {"none": None, "half": np.full(13, 0.5)}, "ratio")
    np.testing.assert_allclose(found["half"].held, found["none"].held, atol=1e-6)
    assert np.median(found["half"].se_ratio) > np.sqrt(2.0)  # and the dispersions come out larger
    predicted = Predicted.of(main, np.full(13, 0.5))
    assert predicted.se_held == pytest.approx(np.sqrt(2.0))
    assert predicted.se > predicted.se_held
    assert predicted.size < predicted.size_held < 0.05


def test_simulated_rates_count_calls_of_the_study_in_its_direction(main):
    null = run(Simulations(3, 1, "none", "shared", keep=()), main)
    effects = run(Simulations(3, 1, "fitted", "shared"), main)
    up = main.significant & (main.lfc > 0)
    down = main.significant & (main.lfc < 0)
    found = Simulated.of(null, (effects, effects), up, down)
    assert found.size.value == pytest.approx(null.n_small.sum() / null.n_tested.sum())
    assert found.false_calls.value == pytest.approx((null.n_up + null.n_down).mean())
    assert found.ratio.value == 1.0
    called = effects.padj < main.alpha
    expected = (called & (effects.lfc > 0))[:, up].sum() + (called & (effects.lfc < 0))[:, down].sum()
    assert found.again.value == pytest.approx(expected / (3 * (up | down).sum()))
    assert Simulated.of(null, (), up, down).ratio is None


def test_cohorts_that_could_not_be_fitted_are_left_out(main):
    null = run(Simulations(3, 1, "none", "shared", keep=()), main)
    gone = np.array([0, *null.n_tested[1:]])
    found = Simulated.of(replace(null, n_tested=gone), (), main.significant, main.significant)
    assert found.size.value == pytest.approx(null.n_small[1:].sum() / null.n_tested[1:].sum())
