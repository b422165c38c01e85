"""Calls on either side of a level."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.call_sides import Sides


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
