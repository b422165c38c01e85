"""The report: what an audit found, as JSON, as a page for people, and as a folder that holds both."""

from dediag.report.folder import read, refuse_occupied, render, write
from dediag.report.report import (
    Design,
    FitSummary,
    InputFile,
    Inputs,
    Report,
    Stratum,
    from_json,
    timestamp,
    to_json,
)
from dediag.synthesis import Explanation

__all__ = [
    "Design",
    "Explanation",
    "FitSummary",
    "InputFile",
    "Inputs",
    "Report",
    "Stratum",
    "from_json",
    "read",
    "refuse_occupied",
    "render",
    "timestamp",
    "to_json",
    "write",
]
