"""report.html: one page that needs nothing beside itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dediag.report import digest, wording
from dediag.report.glossary import TERMS
from dediag.report.report import table_file
from dediag.rounding import counted, fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from dediag.finding import Table
    from dediag.report.report import Report

ROWS = 20  # longer tables show their first rows and a link to the file
ROWS_OPEN = 10  # longer tables are folded at first
_UNQUOTED = " !$()*+,-./:;=?@[]^_{|}~\n"


def page(report: Report) -> str:
    """The whole page; the report must hold the contents of its tables and figures."""
    return _environment().get_template("report.html.j2").render(report=report)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Path(__file__).with_name("templates")
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        digest=digest,
        terms=TERMS,
        status_words=wording.STATUS_WORDS,
        counted=counted,
        fixed=fixed,
        table_file=table_file,
        rows_shown=ROWS,
        rows_open=ROWS_OPEN,
    )
    environment.filters.update(
        number=wording.number,
        label=wording.label,
        blocks=wording.blocks,
        tied=wording.tied,
        spans=wording.spans,
        picture=picture,
        width=width,
        head=head,
        numeric=is_numeric,
        cell=wording.cell,
    )
    environment.tests["numeric_value"] = _is_number
    environment.globals["interval"] = wording.interval
    return environment


def picture(svg: str) -> str:
    """An SVG as an image address: isolated from the page, so that ids cannot collide and nothing in it can run."""
    return "data:image/svg+xml," + quote(svg, safe=_UNQUOTED)


def width(svg: str) -> int:
    """The width in CSS pixels that the SVG asks for (its root's width in points); 0 when it does not say."""
    head_of_svg = svg[: svg.find(">")]
    _, _, value = head_of_svg.partition('width="')
    points = value.partition("pt")[0]
    return round(float(points) * 4 / 3) if points.replace(".", "", 1).isdigit() else 0


def head(table: Table) -> list[tuple[object, ...]]:
    """The first rows of a table."""
    return list(zip(*(column[:ROWS] for column in table.columns.values()), strict=True))


def is_numeric(column: Sequence[object]) -> bool:
    """Whether a column is set flush right: numbers, or nothing at all."""
    return all(value is None or _is_number(value) for value in column)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
