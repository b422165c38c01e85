"""Score shares against the efficient score written out for one gene, in a parametrisation of its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats.score_shares import cross_group, leverages


def gene(rng, X, phi=0.3, scale=50.0):
    mu = np.exp(np.log(scale) + X @ rng.normal(0, 0.3, X.shape[1]) + rng.normal(0, 0.3, len(X)))
    counts = rng.negative_binomial(1 / phi, 1 / (1 + phi * mu)).astype(float)
    return counts, mu


def two_groups(n_test, n_reference):
    return np.column_stack([np.ones(n_test + n_reference), np.arange(n_test + n_reference) < n_test]).astype(float)


def efficient(counts, mu, phi, X, vector, own):
    """Share, own and cross score by eliminating nuisance coefficients one block at a time, sample by sample."""
    p = X.shape[1]
    # any basis of the nuisance: theta = vector' beta is the first of the new coefficients
    rest = np.linalg.svd(vector[None, :])[2][1:]  # (p - 1, p) orthogonal to vector
    new = X @ np.linalg.inv(np.vstack([vector, rest]))
    information = np.zeros((p, p))
    for j in range(len(mu)):
        information += np.outer(new[j], new[j]) * mu[j] / (1 + phi * mu[j])
    onto = np.linalg.solve(information[1:, 1:], information[1:, 0])
    everything = information[0, 0] - information[0, 1:] @ onto
    mine = sum(np.outer(new[j], new[j]) * mu[j] / (1 + phi * mu[j]) for j in np.flatnonzero(own))
    alone = mine[0, 0] - mine[0, 1:] @ np.linalg.pinv(mine[1:, 1:]) @ mine[1:, 0]
    score = np.array(
        [(new[j, 0] - new[j, 1:] @ onto) * (counts[j] - mu[j]) / (1 + phi * mu[j]) for j in range(len(mu))]
    )
    return 1 - alone / everything, score[own].sum() / everything**0.5, score[~own].sum() / everything**0.5


@pytest.mark.parametrize("columns", ["group", "batch", "age", "three levels"])
def test_parts_are_those_of_the_efficient_score(columns):
    rng = np.random.default_rng(1)
    X = two_groups(5, 9)
    more = {
        "group": np.empty((14, 0)),
        "batch": (np.arange(14) % 3 == 0).astype(float)[:, None],
        "age": np.column_stack([rng.normal(50, 10, 14), rng.normal(size=14)]),
        "three levels": (np.arange(14) > 10).astype(float)[:, None],
    }[columns]
    X, own = np.hstack([X, more]), np.arange(14) < 5
    vector = np.append([1.0, 1.0], 0.0 if columns == "three levels" else X[:, 2:].mean(axis=0))
    genes = [gene(rng, X[:, :2]) for _ in range(3)]
    counts, mu = np.array([g[0] for g in genes]), np.array([g[1] for g in genes])
    phi = np.array([0.3, 0.02, 2.0])
    found = cross_group(counts, mu, phi, X, vector, own)
    for g in range(3):
        share, inside, outside = efficient(counts[g], mu[g], phi[g], X, vector, own)
        assert found.share[g] == pytest.approx(share, abs=1e-9)
        assert (share > 1e-4) == (columns in {"batch", "age"})
        assert found.own[g] == pytest.approx(inside, abs=1e-10)
        assert found.cross[g] == pytest.approx(outside, abs=1e-10)


@pytest.mark.parametrize("sizes", [(3, 500), (29, 71), (4, 4)])
def test_nothing_comes_from_the_other_group_in_a_saturated_design_at_any_means_and_sizes(sizes):
    rng = np.random.default_rng(2)
    X = two_groups(*sizes)
    own = X[:, 1] == 1
    counts, mu = gene(rng, X)
    for vector, mask in ((np.array([1.0, 1.0]), own), (np.array([1.0, 0.0]), ~own)):
        found = cross_group(counts[None], mu[None], np.array([0.2]), X, vector, mask)
        assert found.share[0] < 1e-12
        assert abs(found.cross[0]) < 1e-9
    at_optimum = np.where(own, counts[own].mean(), counts[~own].mean())
    found = cross_group(counts[None], at_optimum[None], np.array([0.2]), X, np.array([1.0, 1.0]), own)
    assert abs(found.own[0]) < 1e-9


def test_a_shared_covariate_lets_the_larger_group_have_the_larger_vote():
    """The more samples outside, the more of the covariate's effect is theirs."""
    shares = []
    for n_reference in (4, 12, 100):
        age = np.append(np.linspace(1.0, 2.0, 6), np.linspace(0.0, 1.0, n_reference))
        X = np.column_stack([two_groups(6, n_reference), age])
        mu = np.full((1, len(X)), 80.0)
        shares.append(cross_group(mu, mu, np.array([0.1]), X, np.array([1.0, 1.0, 1.0]), X[:, 1] == 1).share[0])
    assert 0.01 < shares[0] < shares[1] < shares[2] < 1


def test_what_the_own_samples_do_not_determine_comes_from_outside():
    """All cases are of one batch: their log mean at the average batch needs the controls' batch effect."""
    X = np.column_stack([two_groups(4, 6), np.append(np.ones(4), [0, 0, 0, 1, 1, 1])])
    mu = np.full((1, 10), 80.0)
    assert cross_group(mu, mu, np.array([0.1]), X, np.array([1.0, 1.0, 0.7]), X[:, 1] == 1).share[0] == 1
    assert cross_group(mu, mu, np.array([0.1]), X, np.array([1.0, 1.0, 1.0]), X[:, 1] == 1).share[0] < 1e-12


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_further_samples_outside_only_add(seed, more):
    rng = np.random.default_rng(seed)
    X = np.column_stack([two_groups(5, 6 + more), rng.normal(size=11 + more)])
    counts, mu = gene(rng, X)
    vector = np.array([1.0, 1.0, 0.4])
    fewer, all_of_them = (
        cross_group(counts[None, :n], mu[None, :n], np.array([0.2]), X[:n], vector, X[:n, 1] == 1).share[0]
        for n in (11, 11 + more)
    )
    assert 0 <= fewer <= all_of_them + 1e-12
    assert all_of_them <= 1


@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(4, 9))
def test_the_parametrisation_of_the_design_does_not_matter(seed, n_test, n_reference):
    rng = np.random.default_rng(seed)
    X = np.column_stack([two_groups(n_test, n_reference), rng.normal(size=n_test + n_reference)])
    counts, mu = gene(rng, X)
    vector, own = np.array([1.0, 1.0, 0.3]), X[:, 1] == 1
    A = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    one = cross_group(counts[None], mu[None], np.array([0.2]), X, vector, own)
    other = cross_group(counts[None], mu[None], np.array([0.2]), X @ A, A.T @ vector, own)
    np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-6, atol=1e-9)


def test_at_the_optimum_inside_and_outside_balance_and_weights_count_as_copies():
    rng = np.random.default_rng(4)
    X = np.column_stack([two_groups(4, 6), rng.normal(size=10)])
    counts, _ = gene(rng, X[:, :2])
    beta, phi = np.array([np.log(50), 0.0, 0.0]), 0.3
    for _ in range(200):
        mu = np.exp(X @ beta)
        w = mu / (1 + phi * mu)
        beta = np.linalg.solve((X.T * w) @ X, (X.T * w) @ (X @ beta + (counts - mu) / mu))
    mu, own, vector = np.exp(X @ beta), X[:, 1] == 1, np.array([1.0, 1.0, 0.5])
    found = cross_group(counts[None], mu[None], np.array([phi]), X, vector, own)
    assert found.own[0] == pytest.approx(-found.cross[0], abs=1e-9)
    assert abs(found.cross[0]) > 1e-3
    weight = np.append(np.ones(9), 2.0)
    twice = np.append(np.arange(10), 9)
    weighted = cross_group(counts[None], mu[None], np.array([phi]), X, vector, own, weight[None])
    copied = cross_group(counts[None, twice], mu[None, twice], np.array([phi]), X[twice], vector, own[twice])
    np.testing.assert_allclose(weighted.own, copied.own, atol=1e-10)
    np.testing.assert_allclose(weighted.share, copied.share, atol=1e-12)


def test_leverages_are_the_diagonal_of_the_weighted_hat_matrix():
    rng = np.random.default_rng(5)
    X = np.column_stack([two_groups(4, 6), rng.normal(size=10)])
    _, mu = gene(rng, X)
    w = np.diag(mu / (1 + 0.2 * mu))
    hat = np.sqrt(w) @ X @ np.linalg.inv(X.T @ w @ X) @ X.T @ np.sqrt(w)
    np.testing.assert_allclose(leverages(mu[None], np.array([0.2]), X)[0], np.diag(hat), atol=1e-12)
    assert leverages(mu[None], np.array([0.2]), X).sum() == pytest.approx(3.0)
