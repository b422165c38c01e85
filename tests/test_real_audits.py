"""What the report says of a real study whose calls go mostly up: which causes are excluded, which are weighed.

covid_thair2021 (62 v 24): .97 of the calls up below base mean 10, about .56 above 50; no conclusion is prescribed.
"""

from __future__ import annotations

import re

import pytest

import dediag
from dediag.report import write
from dediag.synthesis import ranked

ASKED = ("imbalance", "group_weights", "sign_asymmetry", "normalization", "noise_floor", "heteroskedasticity")
PERCENT = r"\d+ % "
LOG2 = r"[+-]0\.\d+"


@pytest.fixture(scope="module")
def report(real_data):
    folder = real_data / "data" / "covid_thair2021"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    return dediag.audit(
        cohort, "~ group", ("group", "covid", "healthy"), draws=20, permutations=20, bootstraps=20, only=ASKED,
        figures=False, cache=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def said(report):
    """The explanations by name."""
    return {explanation.id: explanation for explanation in report.explanations}


def share_up(report, low, high):
    """Share of the calls up among genes of these base means, from the table of sign_asymmetry."""
    split = next(finding for finding in report.findings if finding.id == "sign_asymmetry")
    columns = next(table for table in split.tables if table.name == "strata").columns
    lines = list(zip(*(columns[name] for name in ("base_mean_from", "base_mean_below", "n_up", "n_down")), strict=True))
    inside = [line for line in lines[:-1] if line[0] >= low and (line[1] or float("inf")) <= high]
    up, down = (sum(line[k] for line in inside) for k in (2, 3))
    assert up + down > 1000
    return up / (up + down)


@pytest.mark.slow
def test_group_size_is_excluded_with_numbers(said):
    assert said["imbalance"].support == "none"
    statement = said["imbalance"].statement
    assert re.search(rf"move the median log2 fold change by {LOG2}, where the sizes alone predict {LOG2}", statement)
    assert re.search(rf"Up among the calls: {PERCENT}in the full data, {PERCENT}in balanced draws", statement)


@pytest.mark.slow
def test_the_lean_sits_where_expression_is_low(report):
    assert share_up(report, 0.0, 10.0) > 0.9
    assert 0.5 < share_up(report, 50.0, float("inf")) < 0.65


@pytest.mark.slow
def test_floor_dispersions_and_biology_are_weighed_by_numbers(said):
    floor, shift, biology = (said[name].statement for name in ("noise_floor", "dispersion_shift", "biology"))
    assert re.search(rf"Up: {PERCENT}of the calls below the floor, {PERCENT}of those above it", floor)
    assert re.search(rf"By base mean, up: {PERCENT}below 10 \([\d,]+\).* {PERCENT}from 500 \([\d,]+\)", floor)
    assert re.search(rf"move all fold changes by {LOG2} log2 \((up|down)\)", shift)
    assert re.search(rf"{PERCENT}of what the list leans by \({LOG2} log2\)", shift) or "lean the other way" in shift
    assert re.search(rf"Above the floors {PERCENT}of the calls are up; the design gives {PERCENT}\(\d+ % to", biology)
    assert re.search(r"calls beyond what the design gives -?[\d,]+ have a base mean of 50 and more", biology)


@pytest.mark.slow
def test_the_report_says_what_would_settle_it(report, tmp_path):
    folder = write(report, tmp_path / "report")
    page, text = ((folder / name).read_text("utf-8") for name in ("report.html", "report.md"))
    supported = ranked(report.explanations)
    assert supported
    for explanation in supported:
        assert "To settle it: " in explanation.statement, explanation.id
    title = "What could make 68 % of the calls go up?"
    settled = sum("To settle it: " in explanation.statement for explanation in report.explanations)
    for shown in (page, text):
        assert title in shown
        assert shown.count("To settle it: ") == settled >= len(supported)
