"""Reach: tags, shares that add up, the lean, and limits along expression."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dediag.stats.detection import Comparison
from dediag.stats.reach import TAGS, Curve, Reach, folds, genes_at, median_fold

FOLD = math.log(2.0)


def reach(up, down, called=None, filtered=None, equal=None):
    up, down = np.array(up, float), np.array(down, float)
    none = np.zeros(up.size, bool)
    same = np.full(up.size, 0.5) if equal is None else np.array(equal, float)
    return Reach(up, down, same, same, none if called is None else called, none if filtered is None else filtered)


@pytest.fixture
def five():
    return reach(
        [0.5, 0.5, 1.0, np.inf, 0.5, 2.0],
        [0.6, 1.0, 0.5, 3.0, 0.5, 2.0],
        called=np.array([0, 0, 0, 0, 0, 1], bool),
        filtered=np.array([0, 0, 0, 0, 1, 0], bool),
    )


def test_tags_say_which_direction_would_have_been_found(five):
    assert [TAGS[k] for k in five.tags(2.0)] == [
        "tested with power >= .8 for 2-fold",
        "tested with power >= .8 for 2-fold, up only",
        "tested with power >= .8 for 2-fold, down only",
        "could not have been seen",
        "left out by the filter",
        "called",
    ]


def test_shares_add_up(five):
    for fold in (1.1, 1.5, 2.0, 4.0, 100.0):
        assert sum(five.shares(fold).values()) == pytest.approx(1.0)
    assert five.shares(2.0) == pytest.approx(
        {"both": 1 / 6, "up": 1 / 6, "down": 1 / 6, "neither": 2 / 6, "filtered": 1 / 6}
    )
    assert five.untestable(2.0) == pytest.approx(3 / 6)


def test_lean_is_the_excess_over_equal_groups():
    one = reach([0.5, 0.5, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    assert one.lean(2.0) == pytest.approx(0.5)
    assert one.strongest_lean((1.1, 2.0, 4.0)) == (pytest.approx(0.5), 2.0)
    up, down = one.up, one.down
    by_design = Reach(up, down, up, down, one.called, one.filtered)  # the sizes alone give as much
    assert by_design.lean(2.0) == 0.0


def test_medians_are_none_where_most_genes_have_no_limit(five):
    assert median_fold(np.array([np.inf, np.inf, 1.0])) is None
    assert median_fold(np.empty(0)) is None
    assert median_fold(np.array([FOLD, FOLD, np.inf])) == pytest.approx(2.0)
    assert five.limit_ratio == pytest.approx(math.exp(np.median([-0.1, -0.5, 0.5, 0.0, 0.0])))
    assert reach([np.inf], [1.0]).limit_ratio is None
    assert np.isnan(folds(np.array([np.inf]))).all()


def test_curve_falls_with_expression_and_gives_the_mean_of_a_ratio():
    at = np.geomspace(0.02, 5_000, 60)
    phi = np.full(at.size, 0.1)
    depths = np.ones((1, 6)), np.ones((1, 6))
    curve = Curve.of(genes_at(at, [phi, phi, phi], depths), Comparison(6, 6, 0.005, 0.8), at)
    found = np.isfinite(curve.up)
    assert (np.diff(curve.up[found]) <= 0.01).all()
    assert np.isinf(curve.up[0])
    mean = curve.base_mean_of(math.log(4.0), 6, 6)
    assert mean is not None
    midpoint = mean / ((2.0 + 0.5) / 2.0)
    assert np.exp(np.interp(np.log(midpoint), np.log(at), np.where(found, curve.up, 9.0))) == pytest.approx(
        4.0, rel=0.1
    )
    assert curve.base_mean_of(math.log(1.1), 6, 6) is None  # no depth makes up for the dispersion
    assert curve.base_mean_of(-math.log(4.0), 6, 6) == pytest.approx(mean)
