"""Expected share of false calls, against its definition and against the truth of simulated tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.false_discoveries import false_discovery_proportion


def test_against_its_definition():
    p = np.array([0.001, 0.01, 0.2, 0.6, 0.9])
    null = np.array([[0.005, 0.3, 0.7, 0.8, 0.55], [0.02, 0.04, 0.06, 0.9, np.nan]])
    called = np.array([True, True, False, False, False])
    share = 2 / (4 / 2)  # large observed over large simulated per replicate
    false = 1 / 2  # of each replicate up to .01
    assert false_discovery_proportion(p, null, called) == pytest.approx(share * false / 2)


def test_nothing_called_and_nothing_known():
    p, called = np.array([0.1, 0.2]), np.array([True, False])
    assert false_discovery_proportion(p, np.full((2, 2), 0.3), ~called & called) is None
    assert false_discovery_proportion(p, np.empty((0, 2)), called) is None
    assert false_discovery_proportion(p, np.full((2, 2), np.nan), called) is None


@pytest.mark.parametrize("sd", [0.8, 1.0, 1.4])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_true_proportion_of_valid_and_invalid_tests(sd, share):
    """z-values without effect have this standard deviation, whatever the test believes."""
    told, true = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        effect = rng.random(4000) < share
        z = rng.normal(0, sd, 4000) + np.where(effect, 4.0, 0.0)
        p = 2 * norm.sf(np.abs(z))
        called = benjamini_hochberg(p) < 0.1
        null = 2 * norm.sf(np.abs(rng.normal(0, sd, (10, 4000))))
        told.append(false_discovery_proportion(p, null, called))
        true.append((called & ~effect).sum() / called.sum())
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.02)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 10**6))
def test_a_proportion(p, seed):
    null = np.random.default_rng(seed).random((3, len(p)))
    called = np.array(p) <= np.median(p)
    assert 0.0 <= false_discovery_proportion(p, null, called) <= 1.0
