"""The error model: nominal at equal dispersions, liberal or conservative by which group is the noisier one."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.error_model import UNKNOWN, ErrorModel, Estimate
from dediag.stats.error_rate import pooled_dispersion


def model(n_test: int, n_reference: int, shifts: float = 0.0) -> ErrorModel:
    mean = np.full(5, 1e6)
    return ErrorModel(
        mean, mean, np.full(5, 0.15), n_test, n_reference, np.array([-2.0, 0, 2]), shifts * np.array([-1, 0, 1])
    )


def test_nominal_at_ratio_one():
    assert model(5, 20).sizes(0.0) == pytest.approx(0.05)
    assert model(5, 20).variance_ratio(0.0) == pytest.approx(1)


def test_noisier_smaller_group_is_liberal_and_the_other_conservative():
    liberal, conservative = model(5, 20), model(20, 5)
    assert liberal.sizes(2.0)[0] == pytest.approx(0.190, abs=0.001)  # R = (.4/5 + .1/20) / (.152 (1/5 + 1/20))
    assert conservative.sizes(2.0)[0] < 0.01
    assert liberal.sizes(-2.0) == pytest.approx(conservative.sizes(2.0))
    assert model(12, 12).variance_ratio(2.0) == pytest.approx(1)


def test_split_keeps_the_pooled_dispersion():
    phi_test, phi_reference = model(5, 20).dispersions(2.0)
    assert phi_test / phi_reference == pytest.approx(4)
    assert pooled_dispersion(phi_test, phi_reference, 5, 20) == pytest.approx(0.15)


def test_a_shift_makes_large_studies_liberal_at_equal_size():
    assert model(50, 50, 0.12).sizes(2.0)[0] > 2 * model(12, 12, 0.12).sizes(2.0)[0] - 0.05 > 0.05
    assert model(50, 50, 0.12).shift(1.0) == pytest.approx(0.06)


def test_interval_holds_the_lowest_point_in_between():
    size = model(12, 12, 0.12).mean_size(Estimate(0.5, -1.0, 2.0))
    assert size.low == pytest.approx(0.05)
    assert size.low < size.value < size.high
    shift = model(12, 12, 0.12).shift_estimate(Estimate(0.5, -1.0, 2.0))
    assert shift == pytest.approx((0.03, -0.06, 0.12))


def test_unknown_without_genes_or_ratio():
    assert not model(5, 5).take(np.zeros(5, np.bool_)).mean_size(Estimate(0.0, -1.0, 1.0)).known
    assert not model(5, 5).mean_size(UNKNOWN).known
