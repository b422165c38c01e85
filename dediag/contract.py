"""What a diagnostic's file exports, and the list of those that are there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dediag.finding import Figure, Metric, Table, Verdict
    from dediag.resample.plans import Plan
    from dediag.study import Study

SECTIONS = ("design", "direction", "floors", "variance", "methods")  # the order of the report
NEEDS = frozenset({"cohort", "results", "lengths", "spike_ins"})


class NotAssessable(Exception):  # noqa: N818 - it is an answer, not an error
    """Raised by `plan` or `compute` with the reason why the question cannot be answered on this study."""


@dataclass(frozen=True)
class Fault:
    """The fault of `simulation` that this diagnostic must see: its keyword, a strength, the statuses it may give."""

    name: str
    strength: float
    expects: frozenset[str]


@dataclass(frozen=True)
class Diagnostic:
    """One question, answered by plain functions. The docstring of its module is its only documentation.

    `result` stands for the frozen dataclass that `compute` returns; only the diagnostic's own functions look into it.
    """

    section: str  # one of SECTIONS
    metric_names: tuple[str, ...]  # every one is always present in report.json
    compute: Callable[[Study], Any]
    judge: Callable[[Any], Verdict]
    metrics: Callable[[Any], list[Metric]]
    tables: Callable[[Any], list[Table]]
    draw: Callable[[Any], list[Figure]]
    needs: frozenset[str] = frozenset({"cohort"})
    plan: Callable[[Study], Mapping[str, Plan]] | None = None
    fault: Fault | None = None
    no_fault_reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the report could not place."""
        if self.section not in SECTIONS or not self.needs <= NEEDS:
            raise ValueError(f"unknown section or needs: {self.section}, {sorted(self.needs)}")
        if (self.fault is None) == (self.no_fault_reason is None):
            raise ValueError("a diagnostic has either a fault or a no_fault_reason")


@dataclass(frozen=True)
class Registered:
    """A diagnostic with what its file says about it."""

    id: str
    diagnostic: Diagnostic
    question: str
    explanation: str
    references: tuple[str, ...]


@cache
def registered() -> Mapping[str, Registered]:
    """Every diagnostic in `dediag.diagnostics`, by id, in the order of the report."""
    package = importlib.import_module("dediag.diagnostics")
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        question, explanation, references = read_docstring(module.__doc__ or "")
        found.append(Registered(info.name, module.DIAGNOSTIC, question, explanation, references))
    found.sort(key=lambda r: (SECTIONS.index(r.diagnostic.section), r.id))
    return {r.id: r for r in found}


def read_docstring(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Split a diagnostic's docstring into question (first line), explanation, and the items under "References:"."""
    question, _, body = inspect.cleandoc(text).partition("\n")
    explanation, _, listed = body.partition("\nReferences:\n")
    items: list[str] = []
    for line in listed.splitlines():
        if line.startswith("- "):
            items.append(line[2:].strip())
        elif line.strip() and items:
            items[-1] += " " + line.strip()
    return question.strip(), explanation.strip(), tuple(items)
