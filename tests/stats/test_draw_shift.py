"""The shift of draws against all samples, on gamma variables whose log means are known exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dediag.stats.draw_shift import Group, draw_shift

PHI = 0.3


def data(n_genes, sizes, size, n_draws, seed):
    """Log2 ratios of means of gamma variables for all samples and for draws of `size` from each group."""
    rng = np.random.default_rng(seed)
    values = [rng.gamma(1 / PHI, PHI, (n_genes, n)) for n in sizes]
    full = np.log2(values[0].mean(axis=1) / values[1].mean(axis=1))
    included, means = [], []
    for v in values:
        n = v.shape[1]
        if n_draws is None:
            chosen = list(itertools.combinations(range(n), size))
        else:
            chosen = [rng.choice(n, size, replace=False) for _ in range(n_draws)]
        mask = np.zeros((len(chosen), n), bool)
        for row, members in zip(mask, chosen, strict=True):
            row[list(members)] = True
        included.append(mask)
        means.append(mask @ v.T / size)
    groups = tuple(
        Group(sign, np.full(n_genes, PHI), v / v.mean(axis=1, keepdims=True) - 1, mask)
        for sign, v, mask in zip((1.0, -1.0), values, included, strict=True)
    )
    return full, np.log2(means[0] / means[1]), groups


def shift(full, drawn, groups, parts=(), drift=0.0):
    return draw_shift(full, drawn + drift, groups, np.full(len(drawn), drift), np.asarray(parts))


def test_the_observed_shift_is_the_predicted_one():
    found = shift(*data(3000, (4, 40), 4, 60, 1))
    assert found.predicted == pytest.approx(PHI / (2 * np.log(2)) * (1 / 4 - 1 / 40))
    assert found.observed == pytest.approx(found.predicted, abs=0.005)
    assert found.observed > 0.03


def test_the_smaller_the_test_group_the_shift_is_the_other_way():
    found = shift(*data(2000, (40, 4), 4, 60, 1))
    assert found.predicted < 0
    assert found.observed == pytest.approx(found.predicted, abs=0.005)


def test_a_constant_added_to_the_draws_is_added_to_the_difference_alone():
    """So a true difference of any size can be made when the equivalence test is put to the test."""
    full, drawn, groups = data(500, (5, 20), 5, 20, 2)
    still, moved = shift(full, drawn, groups), shift(full, drawn + 0.05, groups)
    assert moved.difference == pytest.approx(still.difference + 0.05)
    assert moved.observed == pytest.approx(still.observed + 0.05)
    assert moved.predicted == still.predicted
    assert (moved.se, moved.df) == pytest.approx((still.se, still.df))


def test_first_order_noise_is_gone():
    full, drawn, groups = data(2000, (5, 30), 5, 20, 3)
    plain = np.median(drawn - full, axis=1).std()
    assert shift(full, drawn, groups).per_draw.std() < 0.5 * plain


def test_what_normalisation_adds_is_added_and_its_error_counted():
    draws = data(800, (5, 30), 5, 20, 3)
    plain, moved = shift(*draws), shift(*draws, parts=[0.18, 0.22, 0.2, 0.2], drift=0.2)
    assert moved.observed == pytest.approx(plain.observed + 0.2)
    assert moved.difference == pytest.approx(plain.difference + 0.2)
    assert moved.normalisation == pytest.approx(0.2)
    assert moved.se**2 == pytest.approx(plain.se**2 + np.var([0.18, 0.22, 0.2, 0.2], ddof=1) / 4)
    assert moved.df == pytest.approx(3.0, rel=0.2)


def test_when_every_draw_is_made_there_is_no_error_of_drawing():
    full, drawn, groups = data(400, (3, 6), 3, None, 5)
    every = [np.repeat(np.arange(1), 20), np.arange(20)]
    groups = tuple(Group(g.sign, g.variance, g.relative, g.included[i]) for g, i in zip(groups, every, strict=True))
    found = shift(full, drawn[:20], groups)
    assert found.se < 0.05
    assert found.observed == pytest.approx(found.predicted, abs=0.02)


@pytest.mark.parametrize("sizes", [(8, 9), (8, 20)])
def test_one_draw_has_an_infinite_standard_error(sizes):
    found = shift(*data(100, sizes, 8, 1, 5), parts=[0.1, 0.2, 0.15])
    assert found.se == np.inf
    assert found.interval() == (-np.inf, np.inf)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "size"), [((4, 12), 4), ((3, 30), 3), ((8, 8), 5)])
def test_the_interval_covers(sizes, size):
    """At least nearly as often as 90 %, and without being needlessly wide: the standard error is below 3 true ones."""
    found = [shift(*data(60, sizes, size, 30, seed)) for seed in range(300)]
    mean, sd = np.mean([f.difference for f in found]), np.std([f.difference for f in found])
    inside = np.mean([low <= mean <= high for low, high in (f.interval() for f in found)])
    assert inside > 0.86
    assert np.median([f.se for f in found]) < 3.0 * sd
