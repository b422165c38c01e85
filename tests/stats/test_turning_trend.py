"""A trend turns where it peaks and falls on the left; counts of a few reads make it do so."""

import numpy as np
import pytest

from dediag.stats.turning_trend import TurningTrend, turning_point


@pytest.mark.parametrize(
    ("trend", "turn"),
    [
        ([0.5, 0.8, 1.0, 0.7, 0.4], 5.0),
        ([1.0, 0.9, 0.8, 0.6, 0.4], None),
        ([0.99, 1.0, 0.8, 0.6, 0.4], None),  # a fall of one hundredth is no turn
    ],
)
def test_turning_point_is_a_peak_with_a_fall_on_its_left(trend, turn) -> None:
    assert turning_point(np.linspace(0, 10, len(trend)), np.array(trend)) == (turn and pytest.approx(turn))


def counts_of(low, high, depth=1.0):
    rng = np.random.default_rng(3)
    mean = depth * 2 ** rng.uniform(low, high, 3000)[:, None]
    shape = 1 / 0.1
    return rng.poisson(mean * rng.gamma(shape, 1 / shape, (3000, 12))).astype(float)


DESIGN = np.c_[np.ones(12), np.repeat([0.0, 1.0], 6)]


def test_turns_at_counts_of_a_few_reads_and_not_above_them() -> None:
    shallow = TurningTrend.of(counts_of(-4, 10), DESIGN)
    assert shallow.floor is not None
    reads = shallow.floor * counts_of(-4, 10).sum(axis=0).mean() / 1e6
    assert 0.2 < reads < 5.0
    assert TurningTrend.of(counts_of(5, 12), DESIGN).floor is None


def test_expression_rises_along_the_trend() -> None:
    found = TurningTrend.of(counts_of(-4, 10), DESIGN)
    assert (np.diff(found.cpm) >= 0).all()
    assert found.cpm.shape == found.root_sd.shape == found.trend.shape
