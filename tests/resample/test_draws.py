"""Balanced and control draws: sizes, composition, rank, distinctness."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from dediag.model.contrasts import references, resolve
from dediag.model.design import build
from dediag.resample import draws
from dediag.resample.draws import Stratified


def fitted(samples: pd.DataFrame, formula: str = "~ group", reference: str = "b"):
    """What draws read of a fit, without fitting."""
    asked = references(("group", "a", reference), samples)
    design = build(formula, samples, asked)
    goal = resolve(("group", "a", reference), design, asked)
    levels = design.frame["group"].astype(str)
    return SimpleNamespace(
        design=design,
        contrast=goal,
        group_mask=lambda level: (levels == level).to_numpy(),
        cohort=SimpleNamespace(n_samples=len(samples)),
    )


def table(**columns: list[object]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame.set_index("s" + frame.index.astype(str))


def rng():
    return np.random.default_rng(3)


def test_balanced_draws_take_equally_many_and_never_the_same_twice():
    fit = fitted(table(group=["a"] * 4 + ["b"] * 10))
    found = draws.balanced(fit, 50, None, rng())
    assert len(found.rows) == len(set(found.rows)) == 50
    for rows in found.rows:
        assert rows[:4] == (0, 1, 2, 3)
        assert len(rows) == 8
        assert rows == tuple(sorted(set(rows)))


def test_every_draw_when_there_are_fewer_than_asked():
    fit = fitted(table(group=["a"] * 3 + ["b"] * 5))
    assert len(draws.balanced(fit, 100, None, rng()).rows) == math.comb(5, 3)


def test_a_draw_size_below_the_smaller_group_draws_from_both():
    fit = fitted(table(group=["a"] * 6 + ["b"] * 6))
    assert draws.balanced(fit, 10, None, rng()) is None
    found = draws.balanced(fit, 10, 4, rng())
    assert {(sum(r < 6 for r in rows), sum(r >= 6 for r in rows)) for rows in found.rows} == {(4, 4)}


@pytest.mark.parametrize(
    ("sizes", "drawn"), [((6, 15), (3, 7)), ((20, 8), (10, 4)), ((4, 4), (3, 3)), ((2, 8), (2, 4)), ((3, 4), (3, 3))]
)
def test_halves_take_half_of_each_group_but_three_where_there_are_three(sizes, drawn):
    fit = fitted(table(group=["a"] * sizes[0] + ["b"] * sizes[1]))
    found = draws.halves(fit, 20, rng())
    assert {(sum(r < sizes[0] for r in rows), sum(r >= sizes[0] for r in rows)) for rows in found.rows} == {drawn}


@pytest.mark.parametrize("sizes", [(3, 3), (2, 3), (1, 2)])
def test_groups_of_three_have_no_halves(sizes):
    assert draws.halves(fitted(table(group=["a"] * sizes[0] + ["b"] * sizes[1])), 20, rng()) is None


def test_samples_of_other_levels_stay_in_every_draw():
    fit = fitted(table(group=["a"] * 3 + ["c"] * 4 + ["b"] * 9))
    found = draws.balanced(fit, 20, None, rng())
    assert all(set(range(7)) <= set(rows) and len(rows) == 10 for rows in found.rows)


def test_each_factor_level_gives_its_share():
    fit = fitted(table(group=["a"] * 6 + ["b"] * 18, batch=["x", "y"] * 12), "~ batch + group")
    for rows in draws.balanced(fit, 30, None, rng()).rows:
        assert sum(r % 2 == 0 for r in rows if r >= 6) == 3


def test_labels_written_as_numbers_are_strata_and_measurements_are_not():
    samples = table(group=["a", "b"] * 6, batch=[1, 1, 2, 2] * 3, age=[float(i) for i in range(12)])
    strata = draws.strata_of(build("~ C(batch) + age + group", samples), leave_out="group")
    assert np.unique(strata).size == 2


def test_draws_that_cannot_be_estimated_are_drawn_again():
    # the batch of two samples has one coefficient, which needs both levels in a draw
    samples = table(group=["a"] * 3 + ["b"] * 9, batch=["x"] * 2 + ["y"] + ["x"] * 8 + ["y"])
    fit = fitted(samples, "~ batch + group")
    found = draws.balanced(fit, 40, None, rng())
    assert all(draws.estimable(fit.design, rows) for rows in found.rows)
    assert not draws.estimable(fit.design, (0, 1, 3, 4))


def test_a_design_that_no_draw_can_estimate_gives_none():
    # one covariate value per sample of the larger group: two samples a group never determine three coefficients
    fit = fitted(table(group=["a", "a", *["b"] * 6], batch=["x", "x", *"xyxzxy"]), "~ batch + group")
    assert draws.balanced(fit, 5, None, rng()) is None


def test_control_sizes_keep_ratio_and_precision():
    for n_test, n_reference, size, ratio in [(710, 290, 290, 1.0), (300, 1200, 300, 4.0), (400, 100, 100, 0.25)]:
        m_test, m_reference = draws.control_sizes(n_test, n_reference, size, ratio)
        assert m_test / m_reference == pytest.approx(n_test / n_reference, rel=0.01)
        assert ratio / m_test + 1 / m_reference == pytest.approx((ratio + 1) / size, rel=0.01)
    assert draws.control_sizes(71, 29, 29) == (50, 20)


def test_control_draws_need_three_samples_a_group():
    assert draws.control(fitted(table(group=["a"] * 3 + ["b"] * 50)), 10, None, 1.0, rng()) is None
    found = draws.control(fitted(table(group=["a"] * 10 + ["b"] * 30)), 10, None, 1.0, rng())
    assert {(sum(r < 10 for r in rows), sum(r >= 10 for r in rows)) for rows in found.rows} == {(7, 20)}


def test_control_draws_are_never_the_whole_study():
    assert draws.control_sizes(10, 9, 9) == (10, 9)
    assert draws.control(fitted(table(group=["a"] * 10 + ["b"] * 9)), 10, None, 1.0, rng()) is None


def test_one_sample_is_left_out_at_a_time():
    fit = fitted(table(group=["a"] * 3 + ["c"] * 2 + ["b"] * 4))
    found = draws.leave_one_out(fit, (0, 7))
    assert found.rows == (tuple(range(1, 9)), (0, 1, 2, 3, 4, 5, 6, 8))
    assert found.keep == ("lfc",)


def test_a_sample_that_the_design_needs_is_not_left_out():
    fit = fitted(table(group=["a"] * 3 + ["b"] * 4, batch=["x", "y", "y", "y", "z", "z", "y"]), "~ batch + group")
    assert [set(range(7)) - set(rows) for rows in draws.leave_one_out(fit, range(7)).rows] == [{k} for k in range(1, 7)]
    assert draws.leave_one_out(fit, (0,)) is None


def test_the_same_generator_gives_the_same_draws():
    fit = fitted(table(group=["a"] * 4 + ["b"] * 20))
    assert draws.balanced(fit, 25, None, rng()) == draws.balanced(fit, 25, None, rng())


@pytest.mark.parametrize(("sizes", "size"), [((10,), 4), ((3, 4, 5), 5), ((1, 1, 1, 1), 2), ((7, 2, 2), 10)])
def test_strata_are_counted_listed_and_drawn_alike(sizes, size):
    n = sum(sizes)
    sampler = Stratified.of(np.arange(n), np.repeat(np.arange(len(sizes)), sizes), size)
    every = {tuple(sorted(chosen)) for chosen in sampler.every()}
    assert len(every) == sampler.distinct
    generator, count = rng(), np.zeros(n)
    for _ in range(1500):
        chosen = sampler.one(generator)
        assert tuple(sorted(chosen)) in every
        count[list(chosen)] += 1
    assert np.abs(count / 1500 - size / n).max() < 5 * math.sqrt(size / n * (1 - size / n) / 1500)
