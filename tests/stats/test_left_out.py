"""Refits beside the full fit, on numbers small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.left_out import compare

LFC = np.array([1.0, -1.0, 0.5, 2.0, 0.1])
SE = np.array([0.5, 0.5, 0.25, 1.0, 0.1])
CALLED = np.array([0, 1, 3])
UP = np.array([[1, 0, 0, 1, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 1, 0]], bool)
DOWN = np.array([[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
REFITTED = np.array([[1, -1, 0.5, 2, 0.1], [1.5, -1, 0.5, 1, 0.1], [np.nan, -0.5, 0.5, -2, 0.1], [1, 0.5, 0.5, 2, 0.1]])


@pytest.fixture
def found():
    return compare(LFC, SE, CALLED, (REFITTED, UP, DOWN), np.array([0, 3]), np.array([0, 0, 0, 0]))


def test_calls_are_counted(found):
    assert found.calls.tolist() == [3, 3, 0, 3]
    assert found.lost.tolist() == [0, 1, 3, 0]
    assert found.gained.tolist() == [0, 1, 0, 0]
    assert found.flipped.tolist() == [0, 0, 1, 1]
    assert found.times_lost.tolist() == [1, 1, 2]
    np.testing.assert_allclose(found.up_share, [2 / 3, 2 / 3, np.nan, 1])


def test_shift_is_in_standard_errors_over_the_chosen_genes(found):
    np.testing.assert_allclose(found.shift, [0, 1, 4, 0])


def test_the_refit_that_moves_a_call_most_is_named(found):
    assert found.by.tolist() == [1, 3, 2]
    np.testing.assert_allclose(found.furthest, [1.5, 0.5, -2])


def test_change_in_calls_is_judged_beside_the_fellows(found):
    assert found.beyond.tolist() == [0, 0, -3, 0]
    assert found.relative[2] == 1
    assert found.spreads[2] == pytest.approx(3 / np.sqrt(3))  # the fellows have no spread, so that of counting


def test_a_group_without_fellows_is_not_judged():
    found = compare(LFC, SE, CALLED, (REFITTED, UP, DOWN), np.array([0, 3]), np.array([-1, 0, 0, 0]))
    assert np.isnan(found.beyond[0])
    assert np.isfinite(found.beyond[1:]).all()


def test_without_calls_there_is_nothing_to_lose():
    none = np.zeros_like(UP)
    found = compare(LFC, SE, np.empty(0, np.intp), (REFITTED, none, none), np.array([1]), np.zeros(4, np.intp))
    assert found.lost.tolist() == found.gained.tolist() == found.spreads.tolist() == [0, 0, 0, 0]
    assert found.times_lost.size == found.by.size == 0
