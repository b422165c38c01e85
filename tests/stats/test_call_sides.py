"""Calls on either side of a level."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.call_sides import Sides, kept_calls


def test_counts_and_fractions():
    expression = np.array([1.0, 1, 1, 5, 5, 9])
    lfc = np.array([2.0, -1, 1, 1, -1, np.nan])
    called = np.array([1, 1, 0, 1, 1, 0], bool)
    assert Sides.of(expression, lfc, called, 5.0) == Sides(1, 1, 1, 1)
    assert Sides(3, 1, 0, 0).up_fraction_below == 0.75
    assert Sides(3, 1, 0, 0).up_fraction_above is None


def test_lean():
    assert Sides(30, 30, 300, 300).lean_p == pytest.approx(1)
    assert Sides(60, 0, 300, 300).lean_p < 1e-10
    assert Sides(0, 0, 3, 4).lean_p == 1


def test_a_split_by_mask_is_the_same():
    expression, lfc = np.array([1.0, 5.0, 9.0]), np.array([1.0, -1.0, 2.0])
    called = np.array([True, True, False])
    assert Sides.split(expression < 5, lfc, called) == Sides.of(expression, lfc, called, 5)
    columns = Sides.split(expression < 5, lfc, called).columns()
    assert columns == {"side": ["below", "above"], "up": [1, 0], "down": [0, 1], "up_share": [1.0, 0.0]}


def test_kept_calls():
    lfc, called = np.array([1.0, -1.0, 2.0, np.nan]), np.array([True, True, False, False])
    kept = kept_calls([np.ones(4, bool), np.array([True, False, True, True]), np.zeros(4, bool)], lfc, called)
    assert kept == {
        "genes_kept": [4, 3, 0], "calls_up": [1, 1, 0], "calls_down": [1, 0, 0], "up_share": [0.5, 1.0, None]
    }  # fmt: skip
