"""What the limits of detection are compared with: simulated tests, spike-ins, and the qPCR of the SEQC study."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from dediag.cohort import Cohort, frozen
from dediag.model.coefficients import Data, Space, fit_coefficients
from dediag.model.design import build
from dediag.simulation import draw_counts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dediag.diagnostics.detection_limit import DetectionLimit
    from dediag.study import Study

    Array = NDArray[np.float64]


def power_at(
    rng: np.random.Generator, midpoint: float, log_fc: float, dispersions: tuple[float, float, float], factors: Array,
    n_test: int, level: float, draws: int,
) -> float:  # fmt: skip
    """Share of simulated genes whose Wald test has p below `level` and the right sign.

    dispersions: true ones of the test and the reference group, and the one of the test; the fit is the package's own.
    """
    case = np.arange(factors.size) < n_test
    mean = midpoint * np.exp(np.where(case, 0.5, -0.5) * log_fc) * factors
    counts = draw_counts(rng, np.tile(mean, (draws, 1)), np.where(case, dispersions[0], dispersions[1]))
    frame = pd.DataFrame({"group": np.where(case, "case", "control")}, index=[f"s{k}" for k in range(case.size)])
    design = build("~ group", frame, {"group": "control"})
    rows = np.flatnonzero(counts.any(axis=1))
    none = frozen(np.empty((1, 0)))
    data = Data(frozen(counts), frozen(rows, np.int64), frozen(factors[None, :]), none, none)
    phi, label = frozen(np.full(rows.size, dispersions[2])), np.zeros(len(design.cells), np.int64)
    found = fit_coefficients(data, Space.of(design), phi, contrast=np.array([0.0, 1.0]), label=label)
    z = found.beta[:, 1] / found.contrast_se
    return float((np.sign(log_fc) * z > norm.isf(level / 2.0)).sum() / draws)


def _cohort(folder: Path, counts: pd.DataFrame) -> Cohort:
    """Samples A and B with the spike-ins' known ratios."""
    samples = pd.read_csv(folder / "samples.tsv", sep="\t", index_col=0)
    samples = samples[samples["group"].isin(["A", "B"])]
    genes = (
        pd.read_csv(folder / "genes.tsv.gz", sep="\t", dtype={"gene_id": str}).set_index("gene_id").loc[counts.index]
    )
    cohort = Cohort.from_frames(counts[samples.index], samples)
    known = frozen(genes["ercc_log2_A_over_B"].to_numpy(float))
    return replace(cohort, spike_ins=frozen(genes["is_ercc"].to_numpy(bool), np.bool_), spike_in_log2=known)


def _counts(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype={"gene_id": str}).set_index("gene_id")


def seqc(folder: Path) -> Cohort:
    """The four libraries of A and of B, all lanes summed."""
    return _cohort(folder, _counts(folder / "counts.tsv.gz"))


def depth_titration(folder: Path, lane: str) -> Cohort:
    """The same libraries with the reads of one lane: an eighth of the depth."""
    lanes = _counts(folder / "counts_lanes_AB.tsv.gz")
    lanes = lanes[[name for name in lanes.columns if f"_{lane}_" in name]]
    lanes.columns = pd.Index(["_".join(name.split("_")[:2]) for name in lanes.columns])
    return _cohort(folder, lanes)


def spike_limits(result: DetectionLimit) -> list[dict[str, Any]]:
    """Each ratio's medians, limit of detection, and the model's mean for the same ratio."""
    spikes = result.spike_ins
    assert spikes is not None  # noqa: S101 - the cohort has them
    rows = zip(spikes.ratios, result.model_means, strict=True)
    return [
        {"known": row.known, "n": row.index.size, "observed": row.median, "error": row.error, "offset": spikes.offset,
         "lodr": row.limit and row.limit.mean, "model": model}
        for row, model in rows
    ]  # fmt: skip


def qpcr(folder: Path) -> pd.Series:
    """log2 A over B of the genes that all eight assays of A and B detect, by Entrez id: means of logs."""
    table = pd.read_csv(folder / "taqman.tsv.gz", sep="\t", dtype={"EntrezID": str}).dropna(subset=["EntrezID"])
    flags = table[[f"{sample}{k}_detection" for sample in "AB" for k in range(1, 5)]]
    table = table[flags.eq("P").all(axis=1)].drop_duplicates("EntrezID").set_index("EntrezID")
    logs = {sample: np.log2(table[[f"{sample}{k}_value" for k in range(1, 5)]]).mean(axis=1) for sample in "AB"}
    return logs["A"] - logs["B"]


def taqman(folder: Path, study: Study, result: DetectionLimit) -> dict[str, Any]:
    """Fold changes beside qPCR's, and calls by what the change and the limit are; log2.

    The median difference of the two is taken off qPCR's first: both measure relative to something else.
    """
    lfc = pd.Series(study.fit.lfc, index=study.cohort.genes.astype(str))
    reach = result.reach
    table = pd.DataFrame(
        {"up": reach.up / np.log(2.0), "down": reach.down / np.log(2.0), "called": reach.called},
        index=list(result.genes),
    )
    table = table.assign(lfc=lfc[table.index]).join(qpcr(folder).rename("qpcr"), how="inner")
    slope, _ = np.polyfit(table["qpcr"], table["lfc"], 1)
    offset = float((table["lfc"] - table["qpcr"]).median())
    true = table["qpcr"] + offset
    limit = np.where(true > 0, table["up"], table["down"])
    beyond, hidden = np.abs(true) > limit, (table["up"] > 1.0) & (table["down"] > 1.0)
    small = hidden & (np.abs(true) < 1.0)
    right = table["called"] & (np.sign(table["lfc"]) == np.sign(true))
    near = beyond & (np.abs(true) < 1.5 * limit)

    def share(of: pd.Series, among: pd.Series) -> dict[str, Any]:
        return {"genes": int(among.sum()), "called": float(of[among].mean()) if among.any() else None}

    return {
        "genes": len(table),
        "pearson": float(table["lfc"].corr(table["qpcr"])),
        "slope": float(slope),
        "offset": offset,
        "beyond": share(table["called"], beyond),
        "beyond_right_sign": share(right, beyond),
        "just_beyond": share(table["called"], near),
        "hidden_small": share(table["called"], small),
        "hidden": share(table["called"], hidden),
        "others_small": share(table["called"], ~hidden & (np.abs(true) < 1.0)),
    }
