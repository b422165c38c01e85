"""Predicted error rates of a study and its balanced draws: the formula of each, at the sizes of each."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.draw_sizes import Sizes
from dediag.stats.error_model import UNKNOWN, ErrorModel, Estimate
from dediag.stats.error_rate import predicted_size

N = 40
EVERY = np.ones(N, bool)


def model(n_test=5, n_reference=20, shift=0.0):
    return ErrorModel(
        np.full(N, 100.0), np.full(N, 100.0), np.full(N, 0.148), n_test, n_reference, np.array([-3.0, 3.0]),
        np.array([-shift, shift]),
    )  # fmt: skip


def sizes(ratio=4.0, draw_size=5, called=EVERY, lfc=1.0, se=0.3, **more):
    log2 = float(np.log2(ratio))
    return Sizes.of(
        model(**more), Estimate(log2, log2 - 0.5, log2 + 0.5), draw_size, EVERY, np.full(N, lfc), np.full(N, se), called
    )  # fmt: skip


def test_each_has_the_size_of_its_numbers():
    """Dispersions .4 and .1 pool to about .148 at 5 v 20."""
    found = sizes()
    assert found.ratio == pytest.approx(4.0)
    assert found.full.value == pytest.approx(float(predicted_size(100.0, 100.0, 0.4, 0.1, 5, 20)), abs=0.003)
    assert found.balanced == pytest.approx(float(predicted_size(100.0, 100.0, 0.4, 0.1, 5, 5)), abs=0.003)
    assert found.full.low < found.full.value < found.full.high
    assert found.full.value > 0.15
    assert found.balanced < 0.07


def test_equal_dispersions_have_the_nominal_size_in_both():
    found = sizes(ratio=1.0)
    assert found.full.value == pytest.approx(0.05)
    assert found.balanced == pytest.approx(0.05)


def test_the_shift_of_the_normalisation_is_in_both():
    still, moved = sizes(), sizes(shift=0.3)
    assert moved.full.value > still.full.value
    assert moved.balanced > still.balanced


def test_calls_that_need_the_too_small_standard_error_are_lost():
    lfc = np.concatenate([np.full(10, 0.8), np.full(30, 3.0)])
    log2 = Estimate(2.0, 1.5, 2.5)
    found = Sizes.of(model(), log2, 5, EVERY, lfc, np.full(N, 0.3), EVERY)
    assert found.n_lost == 10
    assert Sizes.of(model(), log2, 5, EVERY, lfc, np.full(N, 0.3), ~EVERY).n_lost == 0


def test_without_draws_or_ratio_there_is_less_to_say():
    assert sizes(draw_size=None).balanced is None
    assert Sizes.of(model(), UNKNOWN, 5, EVERY, np.ones(N), np.ones(N), EVERY) is None
