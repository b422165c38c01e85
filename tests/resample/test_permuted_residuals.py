"""Dealing out residual columns keeps what genes share, keeps variances, and takes the group effect away."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.resample.permuted_residuals import PermutedResiduals

SIZES = (8, 12)
N_GENES, N_MODULE = 400, 100


@pytest.fixture(scope="module")
def cohort():
    """Counts of mean 200 or 3 with dispersion .1 (first group) or .2; genes of a module share a factor per sample."""
    rng = np.random.default_rng(1)
    n = sum(SIZES)
    test = np.arange(n) < SIZES[0]
    mean = np.repeat(np.where(np.arange(N_GENES) % 4 == 0, 3.0, 200.0)[:, None], n, axis=1)
    mean[:, test] *= np.exp(rng.normal(0, 1, N_GENES))[:, None]  # a group effect
    dispersion = np.where(test, 0.1, 0.2) * np.ones((N_GENES, 1))
    common = np.sqrt(dispersion[0]) * rng.normal(size=n)
    factor = rng.gamma(1 / dispersion, dispersion)
    factor[:N_MODULE] = np.exp(common - dispersion[0] / 2)
    return rng.poisson(mean * factor).astype(float), mean, dispersion, test


def simulated(cohort, replicates):
    counts, mean, dispersion, test = cohort
    flat = np.repeat(mean[:, -1:], len(test), axis=1)
    columns = PermutedResiduals.of(counts, mean, flat, dispersion, test, ~test, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    return np.array([columns.draw(flat, dispersion, rng, np.arange(len(test))) for _ in range(replicates)])


def test_whole_numbers_of_the_right_mean(cohort):
    drawn = simulated(cohort, 40)
    assert np.array_equal(drawn, np.round(drawn))
    assert (drawn >= 0).all()
    # the module's mean is that of its few residual columns, so it is left out
    expected = cohort[1][N_MODULE:, -1]
    assert np.median(drawn[:, N_MODULE:].mean(axis=(0, 2)) / expected) == pytest.approx(1, abs=0.05)


def test_group_effect_is_gone_and_its_variance_is_that_of_independent_samples(cohort):
    test = cohort[3]
    log_ratio = np.log(simulated(cohort, 60)[:, N_MODULE:, :] + 0.5)
    high = np.arange(N_MODULE, N_GENES) % 4 != 0
    difference = (log_ratio[:, high][:, :, test].mean(axis=2)) - (log_ratio[:, high][:, :, ~test].mean(axis=2))
    assert abs(np.median(difference)) < 0.07
    assert difference.var(axis=0).mean() == pytest.approx(0.1 / 8 + 0.2 / 12, rel=0.15)


def test_genes_vary_together_as_in_the_data(cohort):
    counts, mean, _, test = cohort
    module = np.arange(N_MODULE)[np.arange(N_MODULE) % 4 != 0]

    def shared(y, mu):
        residual = np.log((y[module] + 0.5) / mu[module])
        centred = residual - np.where(test, residual[:, test].mean(1)[:, None], residual[:, ~test].mean(1)[:, None])
        c = np.corrcoef(centred)
        return c[np.triu_indices(len(c), 1)].mean()

    flat = np.repeat(mean[:, -1:], len(test), axis=1)
    found = np.mean([shared(y, flat) for y in simulated(cohort, 10)])
    assert found == pytest.approx(shared(counts, mean), abs=0.1)
    assert found > 0.7


def test_name_of_the_groups_does_not_matter_and_others_vary_freely(cohort):
    counts, mean, dispersion, test = cohort
    test, reference = test.copy(), ~test
    reference[-2:] = False  # samples of a third level
    rows = np.arange(len(test))
    drawn = [
        PermutedResiduals.of(counts, mean, mean, dispersion, *groups, np.random.default_rng(4)).draw(
            mean, dispersion, np.random.default_rng(5), rows
        )
        for groups in ((test, reference), (reference, test))
    ]
    assert np.array_equal(*drawn)
    assert np.isfinite(drawn[0]).all()


def test_standardised_columns_have_no_bad_sample(cohort):
    """One sample three times as noisy: dealt-out columns keep that, standardised ones do not, and genes still agree."""
    counts, mean, dispersion, test = cohort
    rng = np.random.default_rng(5)
    noisy = counts.copy()
    noisy[:, 2] = np.round(noisy[:, 2] * np.exp(rng.normal(0.0, 1.0, N_GENES)))
    flat = np.repeat(mean[:, -1:], len(test), axis=1)
    spread = {}
    for standardised in (False, True):
        columns = PermutedResiduals.of(
            noisy, mean, flat, dispersion, test, ~test, np.random.default_rng(2), standardised=standardised
        )
        log = np.log(columns.factor[1])
        well = flat[:, 0] > 100
        spread[standardised] = log[well].std(axis=0)
        module = np.corrcoef(log[:N_MODULE][well[:N_MODULE]])
        assert module[np.triu_indices(len(module), 1)].mean() > 0.5
    assert spread[False][2] > 1.8 * np.median(spread[False])
    assert spread[True].max() < 1.4 * np.median(spread[True])
