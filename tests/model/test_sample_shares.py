"""What each sample contributes to a fit, against the plain definitions gene by gene."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model import likelihood, sample_shares
from dediag.model.coefficients import NATURAL_RIDGE
from dediag.model.exact import floor_genes, optimum
from dediag.model.fit import fit
from dediag.model.group_means import group_vectors
from dediag.model.sample_shares import cooks_shares, score_parts
from dediag.simulation import simulate
from dediag.stats.score_shares import cross_group

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module", params=["~ group", "~ batch + group"])
def fitted(request):
    cohort, _ = simulate(n_genes=80, n_test=4, n_reference=9, seed=1, confounded_covariate=0.3, outliers=0.1)
    return fit(cohort, request.param, CONTRAST)


def above(found):
    return np.flatnonzero(np.isfinite(found.dispersion) & ~floor_genes(found))


def test_cooks_shares_are_the_mean_over_genes_of_the_definition(fitted):
    X, s, genes = fitted.design.matrix, fitted.normalisation[0], above(fitted)
    shares = []
    for g in genes:
        y, mu = fitted.cohort.counts[g], fitted.mu()[g]  # as they came: outliers are not replaced
        robust = likelihood.robust_dispersion(y / s, fitted.design.cell)
        distance = likelihood.cooks_distance(y, mu, X, fitted.dispersion[g], robust, NATURAL_RIDGE, 0.5)
        shares.append(distance / distance.sum())
    np.testing.assert_allclose(cooks_shares(fitted, genes).observed, np.mean(shares, axis=0), rtol=1e-8)


def test_shares_add_up_and_blocks_change_nothing(monkeypatch, fitted):
    genes = above(fitted)
    whole, votes = cooks_shares(fitted, genes), score_parts(fitted, optimum(fitted), genes)
    assert whole.observed.sum() == pytest.approx(1.0)
    assert whole.fair.sum() == pytest.approx(1.0)
    monkeypatch.setattr(sample_shares, "BLOCK", 13 * 7)
    parts = cooks_shares(fitted, genes)
    np.testing.assert_allclose(parts.observed, whole.observed)
    np.testing.assert_allclose(parts.fair, whole.fair)
    again = score_parts(fitted, optimum(fitted), genes)
    np.testing.assert_allclose(np.array(again), np.array(votes), atol=1e-12)


def test_a_smaller_group_has_the_larger_fair_shares():
    cohort, _ = simulate(n_genes=80, n_test=4, n_reference=9, seed=1)
    found = fit(cohort, "~ group", CONTRAST)
    fair = cooks_shares(found, above(found)).fair
    assert fair[:4].min() > fair[4:].max()


def test_a_sample_that_determines_a_coefficient_alone_has_no_share():
    cohort, _ = simulate(n_genes=80, n_test=5, n_reference=8, seed=1)
    samples = cohort.samples.assign(batch=["x", *["y", "z"] * 6])
    found = fit(type(cohort)(cohort.counts, cohort.genes, samples), "~ batch + group", CONTRAST)
    shares = cooks_shares(found, above(found))
    assert np.isnan(shares.fair[0])
    assert shares.observed[0] == 0.0
    assert np.isfinite(shares.fair[1:]).all()


def test_score_parts_are_those_of_the_optimum(fitted):
    genes, best = above(fitted), optimum(fitted)
    mu = np.exp2(best.coefficients @ fitted.design.matrix.T) * fitted.normalisation
    for parts, vector, level in zip(
        score_parts(fitted, best, genes), group_vectors(fitted), ("case", "control"), strict=True
    ):
        direct = cross_group(
            fitted.fitted_counts[genes], mu[genes], fitted.dispersion[genes], fitted.design.matrix, vector,
            fitted.group_mask(level),
        )  # fmt: skip
        np.testing.assert_allclose(np.array(parts), np.array(direct), atol=1e-10)
        np.testing.assert_allclose(parts.own + parts.cross, 0.0, atol=1e-4)  # the ridge is not part of the score
        if fitted.design.saturated:
            assert parts.share.max() < 1e-12
            assert np.abs(parts.cross).max() < 1e-9
            assert np.abs(parts.own).max() < 1e-4
        else:
            assert np.median(parts.share) > 0.001
            assert np.abs(parts.cross).max() > 0.01
