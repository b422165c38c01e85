"""Splits of calls: counted by the definition, beside the simulated studies that have calls."""

import numpy as np
import pytest

from dediag.stats.call_split import Calls, columns

EXPRESSION = np.array([0.0, 5.0, 10.0, 20.0, 60.0])
LFC = np.array([np.nan, 1.0, -1.0, 2.0, 0.5])
CALLED = np.array([False, True, True, True, False])


def simulated(n_studies=8):
    rng = np.random.default_rng(1)
    direction = rng.integers(-1, 2, (n_studies, 5))
    return direction > 0, direction < 0


def test_counts_by_the_definition() -> None:
    up, down = simulated()
    calls = Calls(EXPRESSION, LFC, CALLED, up, down, 0.95)
    whole = calls.between(0.0, np.inf)
    assert (whole.n_genes, whole.n_up, whole.n_down) == (4, 2, 1)  # a gene without expression is none
    assert whole.up_share == pytest.approx(2 / 3)
    assert whole.median_lfc == pytest.approx(0.75)
    assert whole.expected == pytest.approx(up[:, 1:].sum() / (up | down)[:, 1:].sum())
    assert whole.expected_low < whole.expected < whole.expected_high
    parts = [calls.between(low, high) for low, high in ((0.0, 10.0), (10.0, 50.0), (50.0, np.inf))]
    assert [p.n_genes for p in parts] == [1, 2, 1]  # edges belong to the stratum above
    assert sum(p.n_up for p in parts) == whole.n_up
    assert parts[2].up_share is None
    assert parts[2].p_value is None
    assert columns(parts)["up_share"] == [1.0, 0.5, None]


def test_studies_without_calls_say_nothing() -> None:
    up, down = simulated(9)
    up[5:], down[5:] = False, False
    whole = Calls(EXPRESSION, LFC, CALLED, up, down, 0.95).between(0.0, np.inf)
    assert len(whole.shares) == 5
    fewer = Calls(EXPRESSION, LFC, CALLED, up[1:], down[1:], 0.95).between(0.0, np.inf)
    assert len(fewer.shares) == 4
    assert fewer.expected is None
    assert fewer.p_value is None


def test_nothing_simulated_nothing_expected() -> None:
    whole = Calls(EXPRESSION, LFC, CALLED, None, None, 0.95).between(0.0, np.inf)
    assert whole.n_up == 2
    assert whole.expected is None
    assert whole.shares.size == 0
