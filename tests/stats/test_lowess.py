"""lowess against R's."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.lowess import lowess

# R 4.2.2, data set cars: stopping distance on speed; the curve at rows 1, 10, 25, 40, 50.
SPEED = np.repeat(
    np.array([4.0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25]),
    [2, 2, 1, 1, 3, 2, 4, 4, 4, 3, 2, 3, 4, 3, 5, 1, 1, 4, 1],
)
DISTANCE = np.concatenate(
    [
        [2.0, 10, 4, 22, 16, 10, 18, 26, 34, 17, 28, 14, 20, 24, 28, 26, 34, 34, 46, 26, 36, 60, 80, 20, 26],
        [54.0, 32, 40, 32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85],
    ]
)
CARS = {
    (2 / 3, 3): (4.96545927718688, 24.12927714892649, 36.75772834164972, 56.49122409287715, 84.32869809683419),
    (0.2, 3): (6.03040788454055, 23.30648281969594, 37.93711795601153, 51.00191850647084, 92.72514071071825),
    (0.5, 0): (5.3126964538853, 24.9283627599512, 40.8106059811523, 56.5589047896968, 90.7283106933668),
}


@pytest.mark.parametrize(("span", "iterations"), CARS)
def test_equals_r_with_ties(span, iterations):
    found = lowess(SPEED, DISTANCE, span, iterations)
    np.testing.assert_allclose(found[[0, 9, 24, 39, 49]], CARS[span, iterations], rtol=1e-12)


def test_equals_r_on_even_steps():
    x = np.arange(1.0, 31)
    found = lowess(x, (x % 7) ** 2, span=0.3)  # R: lowess(1:30, (1:30 %% 7)^2, f = .3)$y
    expected = (2.04949617708463, 9.59770176191884, 15.03127378166980, 9.85893111657655, 1.06922041226865)
    np.testing.assert_allclose(found[[0, 2, 10, 20, 29]], expected, rtol=1e-12)


def test_a_line_stays_a_line():
    x = np.sort(np.random.default_rng(0).normal(size=300))
    np.testing.assert_allclose(lowess(x, 2 + 3 * x, 0.3), 2 + 3 * x, rtol=1e-9)


def test_an_outlier_loses_its_say():
    x = np.linspace(0, 1, 60)
    y = np.sin(3 * x) + np.random.default_rng(1).normal(0, 0.1, 60)
    moved = y.copy()
    moved[30] += 3
    np.testing.assert_allclose(lowess(x, moved, 0.3), lowess(x, y, 0.3), atol=0.06)


@pytest.mark.parametrize("x", [np.ones(12), np.r_[np.zeros(10), 1.0, 2.0], np.array([3.0]), np.array([1.0, 2.0])])
def test_many_ties_and_few_points(x):
    y = np.arange(len(x), dtype=float)
    found = lowess(x, y, 0.25)
    assert np.isfinite(found).all()
    if len(x) == 12:
        assert found[0] == found[9]


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = np.sort(rng.normal(size=400)), rng.normal(size=400)
    whole = lowess(x, y, 0.4, delta=0.0)
    monkeypatch.setattr("dediag.stats.lowess.LARGEST_BLOCK", 1000)
    np.testing.assert_array_equal(lowess(x, y, 0.4, delta=0.0), whole)
