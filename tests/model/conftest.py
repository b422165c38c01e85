"""The reference cohorts: eight simulated ones beside the tests, eight real ones where DEDIAG_DATA says they are."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from reference_cohorts import Reference, real_references, simulated_references

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent.parent / "reference"
DATA = os.environ.get("DEDIAG_DATA")
SIMULATED = (
    "small_5v5",
    "imbalanced_71v29",
    "tiny_3v2",
    "factors_8v8",
    "outliers_8v8",
    "outliers_4v4",
    "separated_6v6",
    "unequal_dispersion_5v20",
)
REAL = (
    "airway",
    "pasilla",
    "bottomly",
    "covid_thair2021",
    "pickrell2010_sex",
    "schurch2016",
    "seqc_coh",
    "hapmap_ceu_depth",
)


@cache
def reference_cohort(name: str) -> Reference:
    if name in REAL and not DATA:
        pytest.skip("real data: DEDIAG_DATA does not name the folder that holds data/ and reference/")
    listed = real_references(Path(str(DATA))) if name in REAL else simulated_references(HERE)
    return next(reference for reference in listed if reference.name == name)


@pytest.fixture(scope="session", params=SIMULATED)
def simulated(request: pytest.FixtureRequest) -> Reference:
    """Each simulated reference cohort in turn."""
    return reference_cohort(request.param)


@pytest.fixture(scope="session", params=SIMULATED + REAL)
def reference(request: pytest.FixtureRequest) -> Reference:
    """Each reference cohort in turn, simulated and (with DEDIAG_DATA) real."""
    return reference_cohort(request.param)


@pytest.fixture(scope="session")
def cohorts() -> Callable[[str], Reference]:
    """A reference cohort by name."""
    return reference_cohort


@pytest.fixture(scope="session")
def truth() -> Callable[[str], pd.DataFrame]:
    """The true parameters of a simulated cohort by name."""
    return lambda name: pd.read_csv(HERE / "simulated" / name / "truth.tsv.gz", sep="\t", index_col=0)


@pytest.fixture(scope="session")
def shrinkage_folder() -> Path:
    """DESeq2's normal-prior shrinkage of some simulated cohorts."""
    return HERE / "lfc_shrinkage"
