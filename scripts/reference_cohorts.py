"""The reference cohorts: counts, samples, and what DESeq2, edgeR and limma made of them, read in one place.

Used by scripts/agreement.py and by the tests. The simulated cohorts lie in tests/reference, the real ones in the folder
that the environment variable DEDIAG_DATA names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dediag.cohort import Cohort, frozen

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FEW_DF = 3  # residual degrees of freedom up to which the reference takes the prior variance from draws
PRIOR_FLOOR = 0.25  # smallest prior variance that DESeq2 uses


@dataclass(frozen=True)
class Reference:
    """A cohort with its stored results: `data` has counts.tsv.gz and samples.tsv, `expected` what R made of them."""

    name: str
    data: Path
    expected: Path
    design: str
    factors: tuple[str, ...]
    contrast: tuple[str, str, str]  # factor, test level, reference level

    @cached_property
    def cohort(self) -> Cohort:
        """The counts with every factor as text, so that a batch named 4, 6, 7 is not taken for a covariate."""
        counts = pd.read_csv(self.data / "counts.tsv.gz", sep="\t", index_col=0)
        samples = pd.read_csv(self.data / "samples.tsv", sep="\t", index_col=0).loc[counts.columns]
        for factor in self.factors:
            samples[factor] = samples[factor].astype(str)
        return Cohort(counts=frozen(counts.to_numpy()), genes=counts.index, samples=samples)

    @cached_property
    def info(self) -> dict[str, Any]:
        """Trend coefficients, prior variance, coefficient names, versions and times of the R run."""
        return json.loads((self.expected / "info.json").read_text())  # type: ignore[no-any-return]  # JSON

    @property
    def reduced(self) -> str:
        """The reduced formula of the likelihood ratio test: the design without the contrast's factor."""
        terms = [t.strip() for t in self.design.removeprefix("~").split("+")]
        return "~ " + (" + ".join(t for t in terms if t != self.contrast[0]) or "1")

    @property
    def residual_df(self) -> int:
        """Samples minus coefficients."""
        return int(self.info["n_samples"]) - len(self.info["coefficients"])

    @property
    def prior_needs_draws(self) -> bool:
        """Whether the reference's prior variance comes from its simulated draws and lies above the floor."""
        return self.residual_df <= FEW_DF and float(self.info["disp_prior_var"]) > PRIOR_FLOOR

    @property
    def prior_variance(self) -> float:
        """The reference's dispersion prior variance."""
        return float(self.info["disp_prior_var"])

    def has(self, table: str) -> bool:
        """Whether this table was stored for this cohort."""
        return (self.expected / f"{table}.tsv.gz").exists()

    def table(self, name: str) -> pd.DataFrame:
        """A stored table in the cohort's order of genes (or of samples).

        Some tables leave out the genes without counts, which become missing values. Raises KeyError for other gaps.
        """
        stored = pd.read_csv(self.expected / f"{name}.tsv.gz", sep="\t", index_col=0)
        if name == "samples":
            return stored.loc[self.cohort.samples.index]
        stored.loc[self.cohort.genes[self.seen]]
        return stored.reindex(self.cohort.genes)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:  # (n_genes,)
        """Genes with a count."""
        return np.asarray(self.cohort.counts.any(axis=1))

    @cached_property
    def group_all_zero(self) -> NDArray[np.bool_]:  # (n_genes,)
        """Genes without a count in one of the contrast's two levels."""
        levels = self.cohort.samples[self.contrast[0]].to_numpy()
        zero = [~self.cohort.counts[:, levels == level].any(axis=1) for level in self.contrast[1:]]
        return np.asarray(zero[0] | zero[1])


def references(table: Path, data: Path, expected: str) -> list[Reference]:
    """The cohorts listed in real.tsv or simulated.tsv.

    data: folder with one folder per cohort. expected: where the results lie beside `table`, with NAME for the cohort.
    """
    listed = pd.read_csv(table, sep="\t", dtype=str)
    return [
        Reference(
            row.dataset,
            data / row.dataset,
            table.parent / expected.replace("NAME", row.dataset),
            row.design,
            tuple(row.factors.split(",")),
            (row.factor, row.test, row.reference),
        )
        for row in listed.itertuples()
    ]


def simulated_references(reference_folder: Path) -> list[Reference]:
    """The simulated cohorts of a folder that holds simulated.tsv (tests/reference)."""
    return references(reference_folder / "simulated.tsv", reference_folder / "simulated", "simulated/NAME/expected")


def real_references(dediag_data: Path) -> list[Reference]:
    """The real cohorts of the folder that DEDIAG_DATA names (with data/ and reference/)."""
    return references(dediag_data / "reference" / "real.tsv", dediag_data / "data", "real/NAME")
