"""The reference cohorts: eight simulated ones beside the tests, eight real ones where DEDIAG_DATA says they are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

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


@dataclass(frozen=True)
class ReferenceCohort:
    """A cohort with what the R packages say about it."""

    name: str
    data: Path  # folder of counts.tsv.gz and samples.tsv
    results: Path  # folder of the expected tables
    design: str
    factors: tuple[str, ...]  # columns that are factors
    contrast: tuple[str, str, str]  # factor, test, reference

    @cached_property
    def counts(self) -> pd.DataFrame:
        return read(self.data / "counts.tsv.gz")

    @cached_property
    def matrix(self) -> np.ndarray:
        """Counts (n_genes, n_samples), float64."""
        return np.ascontiguousarray(self.counts.to_numpy(dtype=float))

    @cached_property
    def samples(self) -> pd.DataFrame:
        return read(self.data / "samples.tsv").loc[self.counts.columns]

    @cached_property
    def info(self) -> dict:
        return json.loads((self.results / "info.json").read_text())

    @cached_property
    def expected_samples(self) -> pd.DataFrame:
        return read(self.results / "samples.tsv.gz").loc[self.counts.columns]

    def has(self, table: str) -> bool:
        return (self.results / f"{table}.tsv.gz").exists()

    def expected(self, table: str) -> pd.DataFrame:
        """An expected table for all genes in the order of the counts; NaN (base mean 0) for all-zero genes."""
        found = read(self.results / f"{table}.tsv.gz").reindex(self.counts.index)
        if "baseMean" in found:
            found["baseMean"] = found["baseMean"].fillna(0.0)
        return found


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", index_col=0)


@cache
def reference_cohort(name: str) -> ReferenceCohort:
    if name in SIMULATED:
        table, data = HERE / "simulated.tsv", HERE / "simulated" / name
        results = data / "expected"
    else:
        if not DATA:
            pytest.skip("real data: DEDIAG_DATA does not name the folder that holds data/ and reference/")
        table, data = Path(DATA) / "reference" / "real.tsv", Path(DATA) / "data" / name
        results = Path(DATA) / "reference" / "real" / name
    row = read(table).loc[name]
    return ReferenceCohort(
        name, data, results, row.design, tuple(row.factors.split(",")), (row.factor, row.test, row.reference)
    )


@pytest.fixture(scope="session", params=SIMULATED)
def simulated(request: pytest.FixtureRequest) -> ReferenceCohort:
    """Each simulated reference cohort in turn."""
    return reference_cohort(request.param)


@pytest.fixture(scope="session", params=SIMULATED + REAL)
def reference(request: pytest.FixtureRequest) -> ReferenceCohort:
    """Each reference cohort in turn, simulated and (with DEDIAG_DATA) real."""
    return reference_cohort(request.param)


@pytest.fixture(scope="session")
def cohorts() -> Callable[[str], ReferenceCohort]:
    """A reference cohort by name."""
    return reference_cohort


@pytest.fixture(scope="session")
def truth() -> Callable[[str], pd.DataFrame]:
    """The true parameters of a simulated cohort by name."""
    return lambda name: read(HERE / "simulated" / name / "truth.tsv.gz")


@pytest.fixture(scope="session")
def shrinkage_folder() -> Path:
    """DESeq2's normal-prior shrinkage of some simulated cohorts."""
    return HERE / "lfc_shrinkage"
