"""Measures of agreement against scipy and the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dediag.stats import agreement


@pytest.fixture
def pair():
    rng = np.random.default_rng(2)
    x = rng.normal(size=200).round(1)
    return x, 0.8 * x + rng.normal(0.2, 0.3, 200)


def test_correlations(pair):
    assert agreement.pearson(*pair) == pytest.approx(stats.pearsonr(*pair).statistic)
    assert agreement.spearman(*pair) == pytest.approx(stats.spearmanr(*pair).statistic)


def test_concordance_is_one_only_on_the_line(pair):
    x, y = pair
    assert agreement.concordance(x, x) == pytest.approx(1)
    assert agreement.concordance(x, x + 1) < 1
    assert agreement.concordance(x, y) <= agreement.pearson(x, y)
    assert agreement.concordance(x, y) == pytest.approx(
        2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    )


def test_explained(pair):
    x, _ = pair
    assert agreement.explained(x, x) == 1
    assert agreement.explained(x, np.full(len(x), x.mean())) == pytest.approx(0)
    assert agreement.explained(x, x + 10) < 0


def test_limits(pair):
    x, y = pair
    limits = agreement.limits_of_agreement(x, y)
    assert limits.bias == pytest.approx((x - y).mean())
    assert ((x - y > limits.low) & (x - y < limits.high)).mean() == pytest.approx(0.95, abs=0.03)


def test_sets():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert agreement.jaccard(a, b) == pytest.approx(1 / 3)
    assert agreement.jaccard(a & ~a, b & ~b) is None
    assert agreement.concordance_at_top(np.arange(6.0), np.array([1.0, 0, 2, 5, 4, 3]), [1, 2, 4, 9]) == [
        0,
        1,
        0.75,
        None,
    ]


def test_missing_values_and_too_few(pair):
    x, y = pair
    holed = x.copy()
    holed[3] = np.nan
    assert agreement.pearson(holed, y) == pytest.approx(agreement.pearson(np.delete(x, 3), np.delete(y, 3)))
    for measure in (agreement.pearson, agreement.spearman, agreement.concordance, agreement.limits_of_agreement):
        assert measure(np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0, np.nan])) is None
    assert agreement.pearson(np.ones(5), np.arange(5.0)) is None


def test_everything_at_once(pair):
    row = agreement.against(*pair)
    assert row["pairs"] == 200
    assert row["pearson"] == agreement.pearson(*pair)
    assert row["limit_low"] < row["bias"] < row["limit_high"]


def test_histogram():
    counted = agreement.histogram(np.array([1.0, 2, np.nan, 5]), np.array([1.0, 0, 1, 0]), [-np.inf, 0.5, 3, np.inf])
    assert counted == [1, 1, 1]
