"""report.md: the same content in short; nothing in it can be mistaken for markup."""

from itertools import pairwise

import pytest

from dediag.report import markdown, write


@pytest.fixture(scope="module")
def text(report) -> str:
    return markdown.page(report)


def test_says_what_the_page_says(text, report) -> None:
    assert text.startswith("# case over control: a check of ours broke\n")
    for finding in report.findings:
        assert f"### {finding.question}" in text
    for expected in ("| `floor_ratio` | 0.55 |  | 1.5 |  |", "(112 calls at risk)",
                     "| 10 to 50 | 2301 | 31 | 0.19 | -0.034 |", "Not given, and what that disables",
                     "- Note: write C(batch), &lt;script>",
                     "a defect of dediag, not of your data", "seed 1, dediag 0.1.0"):  # fmt: skip
        assert expected in text


def test_links_lead_to_files(text, report, tmp_path) -> None:
    folder = write(report, tmp_path / "audit")
    for link in ("figures/imbalance_shift.svg", "figures/sign_asymmetry_split.svg", "tables/imbalance_draws.tsv.gz"):
        assert f"]({link})" in text
        assert (folder / link).exists()


def test_a_pass_is_told_shortly(text) -> None:
    start = text.index("### Does the unequal group size")
    told = text[start : text.index("## Direction")]
    assert "Numbers: `draws` 100, `lfc_bias_median` 0.00412, `up_fraction_full` 0.387" in told
    assert "|" not in told  # no tables
    assert "![" not in told  # no figures
    assert "![Histogram of the up share]" in text  # those of an alarm are shown


def test_hostile_names_are_escaped(text) -> None:
    assert "<script" not in text
    assert "&lt;script>alert" in text


def test_table_rows_have_as_many_cells_as_their_header(text) -> None:
    lines = text.splitlines()
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.replace("\\|", "").count("|") == line.replace("\\|", "").count("|")
