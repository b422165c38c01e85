"""States and reasons in their order of precedence; a stratified sample."""

import numpy as np
import pytest

from dediag.stats.peer_states import COMPARED, Traits, stratified


def traits(**changes):
    plain = {
        "seen": True, "lowest_mean": 5.0, "converged": True, "outlying": False, "mean": 100.0, "dispersion": 0.1,
    }  # fmt: skip
    return Traits(**{name: np.array([value]) for name, value in (plain | changes).items()})


@pytest.mark.parametrize(
    ("changes", "theirs", "apart", "from_maximum", "state"),
    [
        ({}, True, 0.0, 0.0, COMPARED),
        ({"seen": False, "lowest_mean": 0.1}, True, 9.0, 9.0, "separation"),
        ({"lowest_mean": 0.4, "converged": False}, True, 9.0, 9.0, "floor"),
        ({"converged": False}, False, 9.0, 9.0, "our search did not converge"),
        ({}, False, np.nan, np.nan, "statsmodels did not converge"),
        ({}, True, 0.2, 0.05, "stopping rule"),
        ({}, True, 0.2, 0.2, COMPARED),  # and different: a defect
        ({}, True, 0.1, 0.1, COMPARED),  # at the limit
    ],
)
def test_states(changes, theirs, apart, from_maximum, state) -> None:
    found = traits(**changes).states(np.array([theirs]), np.array([apart]), np.array([from_maximum]), 0.1)
    assert found.tolist() == [state]


@pytest.mark.parametrize(
    ("changes", "state", "alpha", "reason"),
    [
        ({"outlying": True}, "floor", 0.1, "floor"),
        ({"outlying": True, "mean": 1.0}, COMPARED, 0.5, "outlier"),
        ({"mean": 1.0}, COMPARED, 0.5, "low count"),
        ({}, COMPARED, 0.13, "dispersion shrinkage"),
        ({}, COMPARED, 0.0, "dispersion shrinkage"),
        ({}, COMPARED, 0.11, "unexplained"),
        ({}, COMPARED, np.nan, "unexplained"),
    ],
)
def test_reasons(changes, state, alpha, reason) -> None:
    assert traits(**changes).reasons(np.array([state]), np.array([alpha])).tolist() == [reason]


def test_a_stratified_sample_has_equally_many_of_each_stretch() -> None:
    rng = np.random.default_rng(1)
    values = rng.permutation(1000).astype(float)
    rows = stratified(values, 100, 10, rng)
    assert (np.diff(rows) > 0).all()
    assert np.bincount((values[rows] // 100).astype(int)).tolist() == [10] * 10
