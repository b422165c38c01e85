"""A report folder: written whole or not at all, read back, rendered again without refitting anything."""

from __future__ import annotations

import json
import secrets
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from dediag.cohort import InputError
from dediag.finding import Table
from dediag.report import html, markdown, table_files
from dediag.report.report import Report, figure_file, from_json, table_file, to_json

if TYPE_CHECKING:
    from dediag.finding import Figure, Finding

OURS = ("report.json", "report.html", "report.md", "tables", "figures")  # all that a report folder consists of
FIT_CAPTIONS = {"fit": "The main fit, one row per gene.", "samples": "One row per sample."}


def write(report: Report, directory: str | Path, *, overwrite: bool = False) -> Path:
    """Write the report's folder and return its path; raises InputError as `refuse_occupied` does.

    The folder is made beside its place and moved there when complete, so that a killed run leaves either nothing or
    the old report. Files in the folder that are not part of a report are kept.
    """
    target = refuse_occupied(directory, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    try:
        (partial / "tables").mkdir(parents=True)
        (partial / "figures").mkdir()
        _fill(report, partial)
        render(partial)
        _place(partial, target)
    except OSError as error:
        raise InputError(f"{target}: the report cannot be written there ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def refuse_occupied(directory: str | Path, *, overwrite: bool) -> Path:
    """The absolute path of a place where a report may be written; InputError where something else would be lost.

    An existing folder that is not empty needs `overwrite`, and even then must be a report or hold nothing that has
    the name of a part of one.
    """
    target = Path(directory).resolve()
    if not target.exists():
        return target
    if not target.is_dir():
        raise InputError(f"{target} is a file; name a folder for the report.")
    present = {entry.name for entry in target.iterdir()}
    if present and not overwrite:
        raise InputError(f"{target} exists and is not empty; choose another folder or give --overwrite.")
    foreign = sorted(present & set(OURS))
    if foreign and not _is_report(target):
        raise InputError(f"{target} is not a dediag report but holds {', '.join(foreign)}; choose another folder.")
    return target


def read(directory: str | Path) -> Report:
    """The report in this folder with the contents of all its tables and figures; InputError when it is not one."""
    folder = Path(directory)
    report = _load(folder)
    known = {table_file(table, finding) for finding in report.findings for table in finding.tables}
    extra = sorted(f"tables/{path.name}" for path in (folder / "tables").glob("*.tsv.gz"))
    names = [path.removeprefix("tables/").removesuffix(".tsv.gz") for path in extra if path not in known]
    tables = tuple(_table(folder, Table(name, FIT_CAPTIONS.get(name, ""), {})) for name in names)
    return replace(report, tables=tables)


def render(directory: str | Path) -> Path:
    """Make report.html and report.md anew from report.json, tables/ and figures/, and return the page's path."""
    folder = Path(directory)
    report = _load(folder)
    page = folder / "report.html"
    for path, text in ((page, html.page(report)), (folder / "report.md", markdown.page(report))):
        partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror or error}).") from error
        finally:
            partial.unlink(missing_ok=True)
    return page


def _fill(report: Report, folder: Path) -> None:
    text = to_json(report)
    written = [(table_file(table), table) for table in report.tables]
    written += [(table_file(table, finding), table) for finding in report.findings for table in finding.tables]
    if len({name for name, _ in written}) < len(written):
        raise ValueError("two tables of the report have the same name")
    for name, table in written:
        (folder / name).write_bytes(table_files.to_bytes(table))
    for finding in report.findings:
        for figure in finding.figures:
            (folder / figure_file(figure, finding)).write_text(figure.svg, encoding="utf-8")
    (folder / "report.json").write_text(text, encoding="utf-8")


def _place(partial: Path, target: Path) -> None:
    """Move the complete folder to its place; the old one stays beside it until the new one is there."""
    if not target.exists() or not any(target.iterdir()):
        partial.rename(target)
        return
    old = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
    target.rename(old)
    try:
        partial.rename(target)
    except BaseException:
        old.rename(target)
        raise
    for entry in old.iterdir():
        if entry.name not in OURS:
            entry.rename(target / entry.name)
    shutil.rmtree(old)


def _is_report(folder: Path) -> bool:
    """Whether a report of any schema version lies there."""
    try:
        document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"schema_version", "dediag_version"} <= document.keys()


def _load(folder: Path) -> Report:
    """The report without the tables that belong to no finding, which no page shows."""
    path = folder / "report.json"
    try:
        report = from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no report.json; name the folder that `dediag audit` wrote.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise InputError(f"{path} is not a dediag report of schema version 1.0: {error}.") from error
    return replace(report, findings=tuple(_with_contents(folder, finding) for finding in report.findings))


def _with_contents(folder: Path, finding: Finding) -> Finding:
    tables = tuple(_table(folder, table, finding) for table in finding.tables)
    figures = tuple(_figure(folder, figure, finding) for figure in finding.figures)
    return replace(finding, tables=tables, figures=figures)


def _table(folder: Path, table: Table, finding: Finding | None = None) -> Table:
    path = folder / table_file(table, finding)
    try:
        return table_files.from_bytes(path.read_bytes(), table.name, table.caption)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing, though report.json names it; run the audit again.") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is not a table that dediag wrote ({error}); run the audit again.") from error


def _figure(folder: Path, figure: Figure, finding: Finding) -> Figure:
    path = folder / figure_file(figure, finding)
    try:
        svg = path.read_text(encoding="utf-8")
        ElementTree.fromstring(svg)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing, though report.json names it; run the audit again.") from error
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise InputError(f"{path} is not a figure that dediag wrote ({error}); run the audit again.") from error
    return replace(figure, svg=svg)
