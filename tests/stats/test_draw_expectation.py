"""Expected means of draws: the interval covers the mean of many draws of one more study, and is no wider than it must.

A study's draws share a part (between) and have one of their own (within).
"""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.draw_expectation import expected_mean, ratio_terms


@pytest.mark.parametrize(("between", "within"), [(1.0, 1.0), (1.0, 0.2), (0.3, 1.0)])
def test_covers_the_mean_of_many_draws_of_one_more_study(between, within):
    rng = np.random.default_rng(1)
    inside, width = [], []
    for _ in range(2000):
        studies = 7.0 + between * rng.normal(size=(20, 1)) + within * rng.normal(size=(20, 2))
        found = expected_mean(studies, 100, 0.9)
        one_more = 7.0 + between * rng.normal() + within * rng.normal(size=100).mean()
        inside.append(found.low <= one_more <= found.high)
        width.append(found.high - found.low)
    assert 0.85 <= np.mean(inside) <= 0.95
    best = 2 * 1.645 * np.hypot(between, within / 10)
    assert np.mean(width) < (1.5 if between == 1.0 else 2.8) * best  # what 20 studies of 2 draws cost


def test_terms_of_a_ratio_have_its_mean():
    rng = np.random.default_rng(2)
    calls = rng.poisson(60, (20, 2)).astype(float)
    up = rng.binomial(calls.astype(int), 0.7).astype(float)
    terms = ratio_terms(up, calls)
    assert terms.mean() == pytest.approx(up.sum() / calls.sum())
    np.testing.assert_allclose(terms, up / calls, atol=0.08)


def test_one_study_expects_nothing_and_one_draw_each_is_wider():
    assert np.isnan(expected_mean(np.ones((1, 3)), 10, 0.9).value)
    rng = np.random.default_rng(3)
    values = rng.normal(size=(30, 1)) + rng.normal(size=(30, 4))
    single, several = expected_mean(values[:, :1], 100, 0.9), expected_mean(values, 100, 0.9)
    assert single.high - single.low > several.high - several.low
