"""The agreement table of the engine: every cohort, every stored table, every bar. A real cohort needs DEDIAG_DATA."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from agreement_cases import Case, cases, size_factor_rows
from reference_cohorts import Reference, real_references, simulated_references

if TYPE_CHECKING:
    from agreement_measures import Measure

HERE = Path(__file__).parent.parent / "reference"
DATA = os.environ.get("DEDIAG_DATA")
COHORTS = simulated_references(HERE) + (real_references(Path(DATA)) if DATA else [])
ALL = [(reference, case) for reference in COHORTS for case in cases(reference)]


def missed(rows: list[Measure]) -> list[str]:
    return [f"{m.quantity}: {m.value:g}, bar {m.bar:g}" for m in rows if m.met is False and m.bar is not None]


@pytest.mark.parametrize(("reference", "case"), ALL, ids=[f"{r.name}: {c.name}" for r, c in ALL])
def test_every_bar_is_met(reference: Reference, case: Case) -> None:
    rows = case.run(reference)
    assert sum(m.met is not None for m in rows) >= 2
    assert missed(rows) == []


@pytest.mark.parametrize("reference", COHORTS, ids=[r.name for r in COHORTS])
def test_size_factors_of_every_method(reference: Reference) -> None:
    assert missed(size_factor_rows(reference)) == []


@pytest.mark.skipif(not DATA, reason="real data: set DEDIAG_DATA to the folder that holds data/ and reference/")
def test_the_eight_real_cohorts_are_there() -> None:
    assert len(COHORTS) == 16
