"""The table by expression, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.strata import by_expression


def test_definition():
    base_mean = np.array([0.0, 3.0, 9.9, 10.0, 600.0, 700.0])
    lfc = np.array([np.nan, -1.0, 2.0, 0.5, 1.0, -3.0])
    called = np.array([False, True, True, False, True, True])
    found = by_expression(base_mean, lfc, called)
    assert [(s.low, s.high) for s in found] == [(0.0, 10.0), (10.0, 50.0), (50.0, 500.0), (500.0, None)]
    assert [s.n_genes for s in found] == [2, 1, 0, 2]  # a gene without counts is in none
    assert [s.n_de for s in found] == [2, 0, 0, 2]
    assert [s.up_share for s in found] == [0.5, None, None, 0.5]
    assert [s.median_lfc for s in found] == [pytest.approx(0.5), 0.5, None, pytest.approx(-1.0)]
