"""statsmodels' fits of one response: closed forms, boundaries, and no warning that leaks."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.peer_glm import peer_fits

N = 12
DESIGN = np.column_stack([np.ones(N), np.arange(N) < 6])
CONTRAST = np.array([0.0, 1.0])


def fits(counts, alpha=0.2):
    return peer_fits(np.asarray(counts, float), DESIGN, np.zeros(N), CONTRAST, alpha)


def test_closed_form_of_two_groups():
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(5, 20 / 5, N))
    found = fits(counts)
    one, two = counts[:6].mean(), counts[6:].mean()
    assert found.given.effect == pytest.approx(np.log(one / two), abs=1e-8)
    assert found.given.se == pytest.approx(np.sqrt((1 / one + 0.2) / 6 + (1 / two + 0.2) / 6), rel=1e-6)
    assert found.default.se == pytest.approx(np.sqrt((1 / one + 1) / 6 + (1 / two + 1) / 6), rel=1e-6)
    mu = np.r_[np.full(6, one), np.full(6, two)]
    spread = ((counts - mu) ** 2 / mu).sum() / (N - 2)
    assert found.quasi.se == pytest.approx(np.sqrt(spread * (1 / (6 * one) + 1 / (6 * two))), rel=1e-6)
    assert found.likelihood.converged
    assert found.likelihood.alpha > 0


def test_underdispersed_counts_have_their_maximum_at_poisson():
    found = fits([10, 11, 10, 9, 10, 10, 20, 21, 19, 20, 20, 20])
    assert found.likelihood.alpha == 0
    assert found.likelihood.converged
    assert found.likelihood.se == pytest.approx(np.sqrt(1 / 60 + 1 / 120), rel=1e-6)


@pytest.mark.parametrize("counts", [[0] * 6 + [5, 9, 2, 7, 3, 4], [0] * 11 + [1], [0] * 6 + [10**9] * 6])
def test_separated_counts_do_not_raise(counts):
    found = fits(counts)
    assert not np.isfinite(found.given.effect) or abs(found.given.effect) > 3


def test_a_gene_in_one_group_alone_ends():
    """Three counts in one group: Newton steps lead to alpha < 0, from which statsmodels does not come back."""
    rng = np.random.default_rng(3)
    offset = rng.normal(0.0, 0.8, 101)
    response = np.zeros(101)
    response[rng.choice(41, 3, replace=False)] = [1.0, 1.0, 2.0]
    design = np.c_[np.ones(101), np.arange(101) < 41]
    found = peer_fits(response, design, offset, np.array([0.0, 1.0]), 101.0).likelihood
    assert not found.converged or found.alpha >= 0.0
