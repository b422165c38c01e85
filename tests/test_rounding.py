"""Rounded numbers stay on their side of a limit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.rounding import apart, counted, fixed, listed, settled, span

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def side(a: float, b: float) -> int:
    return (a > b) - (a < b)


@pytest.mark.parametrize(
    ("value", "limits", "text"),
    [
        (2.5021, (2.5,), "2.502"), (2.4999, (2.5,), "2.4999"), (2.5, (2.5,), "2.5"), (3.14159, (2.5,), "3.14"),
        (9.96e-5, (1e-4,), "9.96e-05"), (9.9996e-5, (1e-4,), "9.9996e-05"), (1.04, (), "1.04"),
        (float("nan"), (1.0,), "nan"),
    ],
)  # fmt: skip
def test_settled(value, limits, text) -> None:
    assert settled(value, *limits) == text


def test_apart() -> None:
    assert apart(51.2, 44.1, 53.9) == ["51", "44", "54"]
    assert apart(53.84, 44.1, 53.78) == ["53.84", "44.10", "53.78"]
    assert apart(5.0, 5.0) == ["5", "5"]


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [(-0.0004, True, "0.000"), (0.0004, True, "0.000"), (-0.0004, False, "0.000"), (0.0006, True, "+0.001"),
     (-0.0006, True, "-0.001"), (math.inf, True, "+inf")],
)  # fmt: skip
def test_no_negative_zero(value, sign, text) -> None:
    assert fixed(value, 3, sign=sign) == text


def test_listed():
    assert [listed(list("abc")[:k]) for k in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_counted() -> None:
    found = [counted(1, "gene"), counted(2500, "gene"), counted(2, "pass", "passes")]
    assert found == ["1 gene", "2,500 genes", "2 passes"]


def test_stretches_of_expression() -> None:
    ends = [(0.0, 10.0), (None, 10), (10, 50.5), (500, None), (1000.0, math.inf), (0, None), (None, None)]
    assert [span(*pair) for pair in ends] == [
        "below 10", "below 10", "10 to 50.5", "500 and more", "1000 and more", "all", "all",
    ]  # fmt: skip


@given(NUMBERS, NUMBERS)
def test_a_text_is_on_the_side_that_the_number_is_on(value, limit) -> None:
    assert side(float(settled(value, limit)), limit) == side(value, limit)
    one, other = map(float, apart(value, limit))
    assert side(one, other) == side(value, limit)
