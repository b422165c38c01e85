"""A report: everything report.json holds, with the tables and figures it refers to; to JSON and back."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from dediag.finding import Figure, Finding, Metric, Status, Table, worst
from dediag.report import schema
from dediag.report.plain import plain
from dediag.synthesis import Explanation

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class InputFile:
    """A file that was read, or a simulated input (`sha256` None); numbers that do not apply are None."""

    path: str
    sha256: str | None
    n_genes: int | None
    n_samples: int | None
    format: str


@dataclass(frozen=True)
class Inputs:
    """What was given, and in `absent` one sentence for each optional input that was not and what that disables."""

    counts: InputFile
    samples: InputFile
    results: InputFile | None = None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """The model's formula and the contrast `test` over `reference` of `factor`, with the group sizes."""

    formula: str
    factor: str
    test: str
    reference: str
    n_test: int
    n_reference: int


@dataclass(frozen=True)
class FitSummary:
    """The main fit in DESeq2's summary terms.

    `n_tested` counts the genes with a nonzero total count (the denominator of DESeq2's percentages), `n_up` and
    `n_down` those with adjusted p below `alpha`, `n_outliers` those without p by Cook's distance, `n_low_counts`
    those without adjusted p by independent filtering at base mean `filter_threshold`. `trend` is its kind. `notices`
    say what the fit took for granted and the user may have meant otherwise; report.json may lack them.
    """

    alpha: float
    n_tested: int
    n_up: int
    n_down: int
    n_outliers: int
    n_low_counts: int
    filter_threshold: float | None
    trend: str
    prior_variance: float | None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stratum:
    """Genes with low <= base mean < high (None: open end), calls, share of calls up, median log2 fold change of all."""

    low: float | None
    high: float | None
    n_genes: int
    n_de: int
    up_share: float | None
    median_lfc: float | None


def timestamp() -> str:
    """Now in UTC to the second, ISO 8601; the time of SOURCE_DATE_EPOCH where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def installed_version() -> str:
    """The installed version of dediag."""
    try:
        return metadata.version("dediag")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


@dataclass(frozen=True)
class Report:
    """One audit, complete.

    The constructor takes plain Python or numpy scalars; NaN and infinities become null in the JSON.
    `findings` stand in the order of the report (as `contract.registered()` gives them). `tables` are those of the
    main fit and belong to no finding: `fit` (one row per gene) and `samples` (one row per sample). Only `created`,
    `command` and each finding's `seconds` may differ between two runs with the same seed and input.
    """

    seed: int
    command: str
    inputs: Inputs
    design: Design
    fit: FitSummary
    strata: tuple[Stratum, ...]
    explanations: tuple[Explanation, ...]
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    created: str = field(default_factory=timestamp)
    dediag_version: str = field(default_factory=installed_version)

    @property
    def status(self) -> Status:
        """The worst status of the findings that count."""
        return worst(finding.status for finding in self.findings)


def table_file(table: Table, finding: Finding | None = None) -> str:
    """Where a table lies in the report folder."""
    return f"tables/{finding.id + '_' if finding else ''}{table.name}.tsv.gz"


def figure_file(figure: Figure, finding: Finding) -> str:
    """Where a figure lies in the report folder."""
    return f"figures/{finding.id}_{figure.name}.svg"


def to_document(report: Report) -> dict[str, Any]:
    """The report as the plain object that report.json holds; raises TypeError on values JSON has no word for."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "dediag_version": report.dediag_version,
        "created": report.created,
        "seed": report.seed,
        "command": report.command,
        "inputs": {
            "counts": _members(report.inputs.counts),
            "samples": _members(report.inputs.samples),
            "results": None if report.inputs.results is None else _members(report.inputs.results),
            "absent": report.inputs.absent,
        },
        "design": _members(report.design),
        "fit": _members(report.fit),
        "strata": [_members(stratum) for stratum in report.strata],
        "status": report.status,
        "explanations": [_members(explanation) for explanation in report.explanations],
        "findings": [_finding_document(finding) for finding in report.findings],
    }
    converted: dict[str, Any] = plain(document)
    return converted


def _finding_document(finding: Finding) -> dict[str, Any]:
    return {
        **_members(finding),
        "metrics": [_members(metric) for metric in finding.metrics],
        "tables": [{"name": t.name, "file": table_file(t, finding), "caption": t.caption} for t in finding.tables],
        "figures": [
            {"name": f.name, "file": figure_file(f, finding), "caption": f.caption, "alt": f.alt}
            for f in finding.figures
        ],
    }


def _members(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass, not followed further (a table's columns never enter the JSON)."""
    return {f.name: getattr(thing, f.name) for f in fields(thing)}


def to_json(report: Report) -> str:
    """Strict JSON text that satisfies report.schema.json; raises ValueError when it would not (a defect of ours)."""
    document = to_document(report)
    problem = schema.violation(document)
    if problem is not None:
        raise ValueError(f"the report does not satisfy its own schema: {problem}")
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Report:
    """A report from JSON text, its tables and figures still empty; ValueError says what is wrong with the text."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    problem = schema.violation(document)
    if problem is not None:
        raise ValueError(problem)
    inputs = document["inputs"]
    return Report(
        dediag_version=document["dediag_version"],
        created=document["created"],
        seed=document["seed"],
        command=document["command"],
        inputs=Inputs(
            counts=InputFile(**inputs["counts"]),
            samples=InputFile(**inputs["samples"]),
            results=None if inputs["results"] is None else InputFile(**inputs["results"]),
            absent=tuple(inputs["absent"]),
        ),
        design=Design(**document["design"]),
        fit=FitSummary(**{**document["fit"], "notices": tuple(document["fit"].get("notices", ()))}),
        strata=tuple(Stratum(**stratum) for stratum in document["strata"]),
        explanations=tuple(Explanation(**explanation) for explanation in document["explanations"]),
        findings=tuple(_finding_from(finding) for finding in document["findings"]),
    )


def _finding_from(document: Mapping[str, Any]) -> Finding:
    members = dict(document)
    members["status"] = Status(members["status"])
    members["metrics"] = tuple(Metric(**metric) for metric in members["metrics"])
    members["tables"] = tuple(Table(t["name"], t["caption"], {}) for t in members["tables"])
    members["figures"] = tuple(Figure(f["name"], "", f["caption"], f["alt"]) for f in members["figures"])
    members["references"] = tuple(members["references"])
    return Finding(**members)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not strict JSON")
