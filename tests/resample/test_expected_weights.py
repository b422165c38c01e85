"""Sample weights beside those of the fitted model, and the calls with them."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.resample.expected_weights import beside_model, calls_with, expected_weights, weighed_genes, weights_of
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def fitted():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=8, seed=3, group_dispersion_ratio=4)
    return fit(cohort, "~ group", CONTRAST, search="newton")


def group_of(found):
    return np.where(found.group_mask("case"), 0, 1)


def test_expected_weights_are_those_of_cohorts_like_this_one(fitted):
    genes = weighed_genes(fitted)
    expected, used = expected_weights(fitted, genes, 10, 1)
    assert used == "group"
    assert expected.shape == (10, 13)
    np.testing.assert_allclose(np.log(expected).mean(axis=1), 0.0, atol=1e-9)
    observed = weights_of(fitted, genes, fitted.cohort.counts[genes])
    assert np.abs(np.log(observed) - np.log(expected).mean(axis=0)).max() < 0.5
    assert expected.mean(axis=0)[:5].max() < expected.mean(axis=0)[5:].min()


def test_the_same_seed_gives_the_same_cohorts(fitted):
    genes = weighed_genes(fitted)
    one, two, other = (expected_weights(fitted, genes, 2, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_below_three_degrees_of_freedom_dispersions_are_shared():
    cohort, _ = simulate(n_genes=200, n_test=3, n_reference=5, seed=1)
    found = fit(cohort, "~ group", CONTRAST, search="newton")
    assert expected_weights(found, weighed_genes(found), 2, 1)[1] == "shared"


def test_weights_are_set_beside_the_fellows(fitted):
    genes = weighed_genes(fitted)
    group = group_of(fitted)
    group[-1] = -1
    found = beside_model(fitted, genes, group, 4, 1)
    assert found.weight.size == 12
    np.testing.assert_array_equal(found.weight, found.everyone[:12])
    relative = found.weight / found.typical
    assert found.ratio[1] == pytest.approx(relative[1] / np.exp(np.median(np.log(relative[[0, 2, 3, 4]]))))
    assert ((found.spreads > 0) == (found.ratio < 1)).all()


def test_equal_weights_change_no_call_and_a_bad_sample_without_weight_does():
    cohort, _ = simulate(n_genes=400, n_test=5, n_reference=8, seed=3, bad_sample=1.5, effect_share=0.3, effect_sd=1.5)
    found = fit(cohort, "~ group", CONTRAST, search="newton")
    same = calls_with(found, np.full(13, 3.0), "ratio", found.significant)
    assert (same.before, same.lost, same.gained, same.changed) == (found.significant.sum(), 0, 0, 0.0)
    genes = weighed_genes(found)
    changed = calls_with(found, weights_of(found, genes, cohort.counts[genes]), "ratio", found.significant)
    assert changed.after == changed.before - changed.lost + changed.gained
    assert changed.lost + changed.gained > 10
