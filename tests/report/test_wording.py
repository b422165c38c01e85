"""Numbers, names and prose as they are put into words."""

from dataclasses import replace

import numpy as np
import pytest

from dediag.finding import Finding, Status
from dediag.report.digest import base_mean_range, by_importance, risk, summary_lines, tally, times
from dediag.report.report import Stratum
from dediag.report.wording import blocks, cell, interval, label, number, percent, spans, tied


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not available"), (True, "yes"), (False, "no"), (0, "0"), (12029, "12,029"), (0.0, "0"), (1.0, "1"),
        (0.04567, "0.0457"), (0.000123456, "0.000123"), (2.13e-5, "2.13e-05"), (-1234.5, "-1,234"),
        (12345.678, "12,346"), (1.5e7, "1.50e+07"), (float("inf"), "inf"), ("sample_7", "sample_7"), (123.456, "123"),
    ],
)  # fmt: skip
def test_number(value, text) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [(2.502, 2.5, "2.502"), (2.498, 2.5, "2.498"), (2.6, 2.5, "2.6"), (0.06004, 0.06, "0.06004"), (2.5, 2.5, "2.5"),
     (1234.4, 1234.0, "1234.4"), (7, 7.5, "7"), (None, 1.0, "not available"), (-0.0, 0.05, "0"), ("s1", 1.0, "s1")],
)  # fmt: skip
def test_a_number_stays_on_its_side_of_its_limit(value, limit, text) -> None:
    assert number(value, limit) == text


def test_ends_of_an_interval_stay_on_their_side_of_the_limit() -> None:
    assert interval(0.0599991, 0.0600004, 0.06) == "0.059999 to 0.0600004"


def test_cells_can_be_copied() -> None:
    assert [cell(v) for v in (12029, 12345.6, None, "a,b", True)] == ["12029", "12346", "NA", "a,b", "yes"]


def test_words() -> None:
    assert label("lfc_bias_ci_low") == "LFC bias CI low"
    assert label("n_de_below") == "Number of DE below"
    assert (interval(None, None), interval(0.1, None), interval(None, 2)) == ("", "from 0.1", "up to 2")
    assert [percent(72, 12029), percent(114, 12029), percent(700, 12029), percent(0, 0)] == [
        "0.6%",
        "0.95%",
        "5.8%",
        "0%",
    ]


def test_prose() -> None:
    text = "One `code` word\nand more.\n\nA list:\n- first\n  goes on\n- second\n\n    verbatim  text\n\n"
    paragraph, lead, items, verbatim = blocks(text)
    assert paragraph.lines == ((("One ", False), ("code", True), (" word and more.", False)),)
    assert lead.lines == ((("A list:", False),),)
    assert (items.kind, items.lines) == ("list", ((("first goes on", False),), (("second", False),)))
    assert (verbatim.kind, verbatim.lines[0][0][0]) == ("verbatim", "verbatim  text")
    assert blocks("") == []


def test_a_number_and_its_per_cent_sign_stay_on_one_line() -> None:
    assert tied("5 % of 10 %, % of") == "5\u00a0% of 10\u00a0%, % of"


def test_strata() -> None:
    ranges = [(None, 10), (0.0, 10.0), (10, 50), (500, None), (None, None), (None, np.float64(2.5))]
    assert [base_mean_range(Stratum(low, high, 1, 0, None, None)) for low, high in ranges] == [
        "below 10", "below 10", "10 to 50", "500 and more", "all", "below 2.5",
    ]  # fmt: skip


def test_worst_first_then_the_lean_then_most_calls_at_risk(report) -> None:
    assert [f.id for f in by_importance(report.findings)] == [
        "log_scale_tests", "heteroskedasticity", "sign_asymmetry", "noise_floor",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "n", "text"),
    [
        (Status.PASS, 0, ""), (Status.PASS, None, ""), (Status.PASS, 3, "3 calls at risk"), (Status.SKIPPED, 0, ""),
        (Status.WARN, 0, "0 calls at risk"), (Status.FAIL, 1, "1 call at risk"), (Status.WARN, None, ""),
    ],
)  # fmt: skip
def test_calls_at_risk_where_they_say_something(status, n, text) -> None:
    assert risk(Finding("own", "?", status, "", calls_at_risk=n)) == text


def test_where_the_time_went(report, make) -> None:
    assert times(report) == "3 s for the checks and their refits: imbalance 3 s"
    slow = tuple(replace(f, seconds=float(i)) for i, f in enumerate(report.findings[:3]))
    listed = "3 s for the checks and their refits: noise_floor 2 s, sign_asymmetry 1 s"
    assert times(replace(report, findings=slow)) == listed
    assert times(make(only=frozenset({"noise_floor"}))) == ""


def test_tally(report) -> None:
    assert tally(report.findings) == "1 error of ours, 1 fail, 2 warnings, 1 passed, 1 not assessable, 1 skipped"
    assert tally(()) == "no checks"


def test_summary_is_that_of_the_field(report) -> None:
    assert summary_lines(report) == [
        "out of 12029 with nonzero total read count",
        "adjusted p-value < 0.1",
        "LFC > 0 (up)       : 72, 0.6%",
        "LFC < 0 (down)     : 114, 0.95%",
        "outliers           : 0, 0%",
        "low counts         : 700, 5.8%",
        "(mean count < 33)",
    ]


def test_code_in_a_sentence():
    assert spans("see `a b` and `c`.") == (("see ", False), ("a b", True), (" and ", False), ("c", True), (".", False))
    assert spans("a lone ` stays") == (("a lone ` stays", False),)
    assert spans("") == ()
