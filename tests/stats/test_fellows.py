"""A sample beside the other samples of its group: shares, ratios, differences, spreads, and who is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats.fellows import beyond_fellows, fair_shares, mean_shares, most, over_fellows, spread_of_fellows

TWO = np.array([0, 0, 0, 1, 1, 1, 1])


def test_each_gene_has_one_vote_and_one_without_distance_has_none():
    distance = np.array([[1.0, 1.0, 2.0], [1000.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(mean_shares(distance), np.array([0.25 + 1.0, 0.25, 0.5]) / 3)


def test_fair_shares_are_those_of_noise_alone():
    """Cook's distances of least squares with constant variance, simulated."""
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(9), np.arange(9) < 3, np.array([3.0, *np.zeros(8)]) + rng.normal(size=9)])
    hat = X @ np.linalg.solve(X.T @ X, X.T)
    h = np.diag(hat)
    residual = (np.eye(9) - hat) @ rng.normal(size=(9, 40_000))
    expected = (residual**2 * (h / (1 - h) ** 2)[:, None]).mean(axis=1)
    np.testing.assert_allclose(fair_shares(h[None]), expected / expected.sum(), rtol=0.05)


def test_a_sample_that_determines_a_coefficient_alone_has_no_fair_share():
    shares = fair_shares(np.array([[0.5, 0.5, 1.0], [0.4, 0.6, 1.0]]))
    assert np.isnan(shares[2])
    assert shares[:2].sum() == pytest.approx(1.0)


def test_ratio_and_difference_are_to_the_others_of_the_group():
    values = np.array([6.0, 1.0, 2.0, 1.0, 1.0, 1.0, 3.0])
    np.testing.assert_allclose(over_fellows(values, TWO), [4, 1 / 4, 2 / 3.5, 0.6, 0.6, 0.6, 3])
    np.testing.assert_allclose(beyond_fellows(values, TWO), [4.5, -3, -1.5, 0, 0, 0, 2])
    assert np.isnan(over_fellows(np.array([1.0]), np.array([0]))[0])
    assert np.isnan(beyond_fellows(np.array([1.0, 2.0, np.nan]), np.array([0, 1, 1]))).all()


def test_the_spread_is_that_of_the_others_and_of_all_groups_where_these_are_few():
    beyond = np.array([100.0, 1.0, -2.0, 3.0, 4.0, -5.0, 60.0])
    spread = spread_of_fellows(beyond, TWO)
    assert spread[6] == pytest.approx(1.4826 * 4.0)  # 3, 4, 5
    assert spread[0] == pytest.approx(1.4826 * 3.5)  # two others are too few: 1, 2, 3, 4, 5, 60
    assert np.isnan(spread_of_fellows(np.array([1.0, np.nan]), np.array([0, 0]))).all()


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.integers(0, 6))
def test_the_most_are_chosen_and_every_group_is_represented(seed, n_one, n_two, n, fewest):
    rng = np.random.default_rng(seed)
    values, group = rng.random(n_one + n_two + 3), np.repeat([0, 1, -1], [n_one, n_two, 3])
    values[0] = np.nan
    chosen = most(values, group, n, fewest)
    assert (np.diff(chosen) > 0).all()
    assert (group[chosen] >= 0).all()
    assert 0 not in chosen
    available = [n_one - 1, n_two]
    assert all((group[chosen] == g).sum() >= min(fewest, available[g]) for g in (0, 1))
    wanted = max(n, sum(min(fewest, k) for k in available))
    assert chosen.size == min(wanted, sum(available))
    if fewest == 0 and chosen.size:
        assert values[chosen].min() == np.sort(values[1:-3])[-chosen.size]
