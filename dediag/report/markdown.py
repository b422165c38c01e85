"""report.md: the report in short, for a repository, an issue or a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dediag.finding import Status
from dediag.report import digest
from dediag.report.html import ROWS, head
from dediag.report.report import figure_file, table_file
from dediag.report.wording import STATUS_WORDS, cell, interval, label, number, spans
from dediag.rounding import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dediag.finding import Finding, Metric, Table
    from dediag.report.report import Report


def page(report: Report) -> str:
    """The whole text; figures are linked from figures/, long tables from tables/."""
    parts = [_first_page(report)]
    for title, findings in digest.by_section(report.findings):
        parts.append(f"## {title}")
        parts += [_finding(finding) for finding in findings]
    parts.append(_provenance(report))
    return "\n\n".join(part for part in parts if part) + "\n"


def _first_page(report: Report) -> str:
    design = report.design
    overall = STATUS_WORDS[digest.overall(report)].word.lower()
    ranked = digest.by_importance(report.findings)
    test, reference = _safe(design.test), _safe(design.reference)
    groups = f"Groups: {test} (test) {design.n_test}, {reference} (reference) {design.n_reference}."
    groups += f" Design {_code(design.formula)}."
    strata = [
        (digest.base_mean_range(s), cell(s.n_genes), cell(s.n_de), cell(s.up_share), cell(s.median_lfc))
        for s in report.strata
    ]
    parts = [
        f"# {test} over {reference}: {digest.heading(report).lower()}",
        f"Overall status: **{overall}** ({digest.tally(report.findings)}). {digest.remark(report)}".rstrip(),
        "\n".join([*(_line(finding) for finding in ranked[: digest.TOP]), *_more(ranked[digest.TOP :])]),
        groups,
        "\n".join(f"- Note: {_safe(notice)}." for notice in report.fit.notices),
        "```\n" + "\n".join(digest.summary_lines(report)) + "\n```",
        _grid(("base mean", "genes", "calls", "share up", "median LFC of all genes"), strata),
        f"Not given, and what that disables: {_safe(digest.absent(report))}" if report.inputs.absent else "",
    ]
    if report.explanations:
        lines = [f"- {label(e.id)} ({e.support}): {_sentence(e.statement)}" for e in digest.explanations(report)]
        parts.append(f"## {digest.asked(report)}\n\n{digest.lead(report)}\n\n" + "\n".join(lines))
    elif digest.lead(report):
        parts.append(digest.lead(report))
    return "\n\n".join(part for part in parts if part)


def _more(findings: Sequence[Finding]) -> list[str]:
    return [f"- And below: {', '.join(_code(finding.id) for finding in findings)}."] if findings else []


def _line(finding: Finding) -> str:
    words = [f"- **{STATUS_WORDS[finding.status].word}**:", _safe(finding.question)]
    words.append(digest.DEFECT if finding.status is Status.ERROR else _safe(finding.headline))
    if finding.advice:
        words.append(f"Do: {_sentence(finding.advice)}")
    if digest.risk(finding):
        words.append(f"({digest.risk(finding)})")
    return " ".join(words)


def _finding(finding: Finding) -> str:
    words = STATUS_WORDS[finding.status]
    risk = f", {digest.risk(finding)}" if digest.risk(finding) else ""
    parts = [f"### {_safe(finding.question)}", f"{words.sign} **{words.word}**{risk} ({_code(finding.id)})"]
    if finding.status is Status.ERROR:
        parts.append(
            f"A defect of dediag, not of your data. Please report: {_safe(finding.reason or finding.headline)}"
        )
    else:
        parts += [_safe(finding.headline), f"Why: {_safe(finding.reason)}" if finding.reason else ""]
    asks = finding.advice and finding.advice != digest.NOTHING_TO_DO
    parts.append(f"What to do: {_sentence(finding.advice)}" if asks else "")
    if finding.status.severity <= 0:  # a pass is told shortly; its evidence lies beside
        parts.append(_links(finding))
        return "\n\n".join(part for part in parts if part)
    parts += [
        f"![{_safe(figure.alt)}]({figure_file(figure, finding)})\n\n*{_safe(figure.caption)}*"
        for figure in finding.figures
    ]
    parts.append(_metrics(finding.metrics))
    parts += [_table(table, finding) for table in finding.tables]
    return "\n\n".join(part for part in parts if part)


def _links(finding: Finding) -> str:
    """The known numbers of a finding in a line, and where its figures and tables lie."""
    numbers = [f"{_code(m.name)} {_safe(number(m.value, m.limit))}" for m in digest.known(finding.metrics)]
    files = [figure_file(figure, finding) for figure in finding.figures]
    files += [table_file(table, finding) for table in finding.tables]
    lines = ("Numbers: " + ", ".join(numbers) if numbers else "", ", ".join(f"[{file}]({file})" for file in files))
    return "\n\n".join(line for line in lines if line)


def _metrics(metrics: Sequence[Metric]) -> str:
    rows = [
        (
            _code(m.name),
            _safe(number(m.value, m.limit)),
            interval(m.low, m.high, m.limit),
            "" if m.limit is None else number(m.limit),
            _safe(m.unit or ""),
        )
        for m in metrics
    ]
    return _grid(("metric", "value", "interval", "limit", "unit"), rows)


def _table(table: Table, finding: Finding) -> str:
    length = len(next(iter(table.columns.values()), ()))
    link = f"[{table_file(table, finding)}]({table_file(table, finding)})"
    if length > ROWS:
        return f"{_safe(table.caption)} {counted(length, 'row')}: {link}"
    rows = [[_safe(cell(value)) for value in row] for row in head(table)]
    return f"{_safe(table.caption)}\n\n{_grid([_safe(name) for name in table.columns], rows)}"


def _provenance(report: Report) -> str:
    files = (("counts", report.inputs.counts), ("samples", report.inputs.samples), ("results", report.inputs.results))
    lines = [
        f"- command: {_code(report.command)}",
        f"- seed {report.seed}, dediag {report.dediag_version}, {report.created}",
        *([f"- time: {_safe(digest.times(report))}"] if digest.times(report) else []),
        *(f"- {name}: {_code(file.path)} sha256 {file.sha256 or 'none'}" for name, file in files if file is not None),
    ]
    return f"## Methods and provenance\n\n{_safe(digest.methods(report))}\n\n" + "\n".join(lines)


def _grid(header: Iterable[str], rows: Sequence[Iterable[str]]) -> str:
    names = list(header)
    if not rows:
        return ""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _safe(text: str) -> str:
    """Text that means itself in Markdown: on one line, no markup, no table bars."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\*_\[\]|`])", r"\\\1", flat)


def _sentence(text: str) -> str:
    """Safe text in which what stands in backticks is code."""
    return "".join(_code(piece) if is_code else _kept(piece) for piece, is_code in spans(text))


def _kept(text: str) -> str:
    """Safe text with the blanks at its ends."""
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{before}{_safe(text)}{after}" if text.strip() else text


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"
