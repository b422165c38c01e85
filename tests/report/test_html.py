"""The page: alone, escaped, complete, with every status in words and numbers as people write them."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dediag.finding import Status
from dediag.report import html, read, write
from dediag.report.wording import STATUS_WORDS


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


@pytest.fixture(scope="module")
def text(report) -> str:
    return html.page(report)


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def words(page) -> str:
    return " ".join(" ".join(page.words).split())


def test_well_formed_with_unique_ids_and_links_that_lead_somewhere(page, report, tmp_path) -> None:
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    folder = write(report, tmp_path / "audit")
    files = [link for link in page.links if not link.startswith("#")]
    assert files == ["tables/imbalance_draws.tsv.gz"]
    assert all((folder / link).exists() for link in files)


def test_needs_nothing_beside_itself(text, page) -> None:
    assert len(text.encode()) < 5_000_000
    assert "link" not in page.tags
    assert all(image["src"].startswith("data:image/svg+xml,") for image in page.images)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert not re.search(r"@import|url\(http", text)
    assert page.tags.count("script") == 1
    assert 'name="viewport"' in text


def test_hostile_names_are_escaped(text) -> None:
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "bias &lt;shared&gt; by both" in text


def test_hostile_figures_stay_in_their_image(report) -> None:
    first = report.findings[0]
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert("x")</script></svg>'
    figure = replace(first.figures[0], svg=svg, alt='" onload="alert(1)')
    text = html.page(replace(report, findings=(replace(first, figures=(figure,)),)))
    page = Page(text)
    assert page.tags.count("script") == 1
    assert set(page.images[0]) == {"src", "alt"}


def test_every_figure_has_its_alternative_text(page, report) -> None:
    assert [image["alt"] for image in page.images] == [f.alt for finding in report.findings for f in finding.figures]


def test_first_screen(words) -> None:
    first = words[: words.index("All checks")]
    for expected in (
        "A check of ours broke", "worst of them says: conclusions change", "case test 71", "control reference 29",
        "out of 12029 with nonzero total read count", "LFC > 0 (up) : 72, 0.6%", "low counts : 700, 5.8%",
        "500 and more", "Note: write C(batch)", "Not given, and what that disables:", "112 calls at risk",
        "Use group-wise dispersions",
    ):  # fmt: skip
        assert expected in first
    order = [first.index(name) for name in ("defect of dediag", "about 19 %", "this design gives 44 %")]
    assert order == sorted(order)
    assert "below 0.9 CPM" not in first  # the fourth finding is only named


def test_every_finding_is_shown_with_its_status_in_words(words, report, page) -> None:
    for finding in report.findings:
        assert finding.id in page.ids
        assert f"{STATUS_WORDS[finding.status].sign} {STATUS_WORDS[finding.status].word}" in words
        assert finding.question in words
        if finding.reason:
            assert finding.reason in words
    assert "a defect of dediag, not of your data" in words
    assert "Further questions" in words  # where a diagnostic of somebody else's stands


def test_evidence_of_a_pass_is_folded_and_that_of_an_alarm_is_not(text) -> None:
    articles = dict(re.findall(r'<article class="finding (\w+)" id="\w+">(.*?)</article>', text, re.DOTALL))
    for status, article in articles.items():
        before = article.partition("<details")[0]
        assert ("<figure" in article and "<figure" not in before) == (status == "pass")
    assert "The evidence" in articles["pass"]
    assert "1 figure, 3 numbers, 2 tables, method" in articles["pass"]
    assert "The evidence" not in articles["fail"] + articles["warn"]
    assert articles["pass"].index("<figure") > articles["pass"].index("Keep all samples")


def test_no_negative_zero(report) -> None:
    text = html.page(replace(report, strata=(replace(report.strata[0], median_lfc=-0.0001),)))
    table = text[text.index('class="strata"') : text.index("</table>")]
    assert ">0.000<" in table
    assert "-0.000" not in table


def test_the_method_alone_is_not_folded_twice(make) -> None:
    report = make(only=frozenset({"my_own"}))
    skipped = replace(report.findings[0], explanation="How it is done.")
    text = html.page(replace(report, findings=(skipped,)))
    assert "How it is measured" in text
    assert "The evidence" not in text


def test_a_narrow_page_shows_whole_figures_and_tables_in_boxes_of_their_own(text, page) -> None:
    style = text[text.index("<style>") : text.index("</style>")]
    assert re.search(r"figure img {[^}]*max-width:100%", style)
    assert "min-width:calc" not in style
    assert ".wide { overflow-x:auto; }" in style
    for table in re.finditer(r"<table", text):
        assert text[: table.start()].endswith('<div class="wide">')
    assert {f"#{ident}" for ident in page.ids if "-" in ident} <= set(page.links)  # a tap on a figure enlarges it


def test_numbers_as_people_write_them(words) -> None:
    assert "LFC bias median 0.00412 -0.006 to 0.0135 0.05 log2" in words
    assert "2.13e-05" in words
    assert "1.23e-09" in words
    assert "Not available on this study: size_balanced ." in words
    assert not re.search(r"\d\.\d{8,}", words)


def test_long_tables_are_cut_with_a_link(words) -> None:
    assert "The first 20 of 45 rows; all of them: tables/imbalance_draws.tsv.gz" in words
    assert "ENSG00000000019" in words
    assert "ENSG00000000020" not in words


def test_explanation_and_provenance(words, report) -> None:
    for expected in ("judged against LIMIT .", "What it does not show", "eq. 3.", report.command, "0" * 64, "seed 1"):
        assert expected in words


def test_all_is_well(make) -> None:
    page = Page(html.page(make(only=frozenset({"imbalance"}))))
    words = " ".join(" ".join(page.words).split())
    assert "No problem found" in words
    assert "No check asks for action" in words


def test_nothing_assessed_is_not_called_a_pass(make) -> None:
    report = make(only=frozenset({"glm_agreement", "my_own"}))
    assert report.status is Status.PASS
    page = Page(html.page(report))
    words = " ".join(" ".join(page.words).split())
    assert "Nothing was assessed" in words
    assert "No problem found" not in words
    assert "Overall status: pass" not in words


def test_the_page_of_what_was_read_is_the_page_on_disk(report, tmp_path) -> None:
    folder = write(report, tmp_path / "audit")
    assert html.page(read(folder)) == (folder / "report.html").read_text(encoding="utf-8")


def test_figure_width() -> None:
    assert html.width('<svg xmlns="x" width="72pt" height="1pt">') == 96
    assert html.width('<svg viewBox="0 0 1 1"><rect width="9pt"/></svg>') == 0
