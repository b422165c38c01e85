"""Write reports/validation_variance.md and .json: error rates told and true where the groups differ in dispersion.

usage: python scripts/validation_variance.py [--genes N] [--splits N] [--workers N] [--out DIR]

1. The grid: cohorts without effect, group sizes and dispersion ratios crossed, normalised anew: the error rate that the
   package predicts, that of cohorts simulated from its fit, and the true one; and size and power of the corrected
   analysis (group dispersions, recentred).
2. schurch2016 (where DEDIAG_DATA names the data): splits of the wild type's clean replicates in which nothing is to be
   found, and the same with four times the dispersion in the smaller side.
3. pickrell2010_sex: the genes known to differ between the sexes among the calls of either analysis.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import dediag
from dediag.auditing import open_study
from dediag.cohort import Cohort, frozen
from dediag.contract import registered
from dediag.model.fit import fit
from dediag.resample.dispersion_ratio import shift_at
from dediag.settings import AuditSettings
from dediag.simulation import draw_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dediag.study import Study

    Array = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
FIRST_SEED = 70_000  # away from the seeds that limits were chosen on
CONTRAST = ("group", "case", "control")
SIZES = (3, 5, 10, 20, 50)
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
MEANS = (5.0, 50.0, 500.0)
MEAN_SD = 0.35  # of the natural log of the base means about each of MEANS
EFFECT = 1.0  # log2, of the genes in which power is measured
EFFECT_SHARE = 0.1
LEVEL = 0.05
SPLIT = (6, 18)  # mock test and reference side
PLANTED = 4.0  # times the dispersion, in the mock test side
SECTION = ("heteroskedasticity", "null_calibration", "p_value_shape", "goodness_of_fit", "sample_quality")
SPLIT_GENES = 2000


def cohort_of(n_test: int, n_reference: int, ratio: float, n_genes: int, seed: int, effect: float) -> tuple[Any, ...]:
    """Counts, each gene's place in MEANS and its effect (log2): lognormal means and dispersions, depths that differ."""
    rng = np.random.default_rng([seed, n_test, n_reference, int(100 * ratio)])
    where = np.arange(n_genes) % len(MEANS)
    base = np.exp(np.log(np.array(MEANS))[where] + rng.normal(0.0, MEAN_SD, n_genes))
    dispersion = (0.08 + 2.0 / base) * np.exp(rng.normal(0.0, 0.5, n_genes))
    lfc = np.zeros(n_genes)
    if effect:
        lfc[: round(EFFECT_SHARE * n_genes)] = effect
        lfc[: round(EFFECT_SHARE * n_genes) : 2] *= -1.0  # as many down as up
    order = rng.permutation(n_genes)
    where, base, dispersion = where[order], base[order], dispersion[order]
    case = np.arange(n_test + n_reference) < n_test
    depth = np.exp(rng.normal(0.0, 0.3, case.size))
    mean = base[:, None] * 2.0 ** (np.where(case, 0.5, -0.5) * lfc[:, None]) * depth
    counts = draw_counts(rng, mean, dispersion[:, None] * np.where(case, ratio, 1.0))
    samples = pd.DataFrame({"group": np.where(case, "case", "control")}, index=[f"s{k}" for k in range(case.size)])
    genes = pd.Index([f"gene{k}" for k in range(n_genes)], name="gene_id")
    return Cohort(frozen(counts), genes, samples), where, lfc


def by_mean(p: Array, where: NDArray[np.intp], chosen: NDArray[np.bool_]) -> list[float | None]:
    """Share of the chosen genes with p < .05 at each of MEANS."""
    found = []
    for k in range(len(MEANS)):
        own = p[chosen & (where == k)]
        own = own[np.isfinite(own)]
        found.append(float((own < LEVEL).mean()) if own.size else None)
    return found


def cell(n_test: int, n_reference: int, ratio: float, n_genes: int) -> dict[str, Any]:
    """One cell of the grid."""
    from dediag.model import kernels

    kernels.set_threads(1)
    started = time.process_time()
    cohort, where, _ = cohort_of(n_test, n_reference, ratio, n_genes, FIRST_SEED, 0.0)
    study = open_study(cohort, "~ group", CONTRAST, seed=1, settings=AuditSettings(bootstraps=8))
    everything = np.ones(n_genes, np.bool_)
    row: dict[str, Any] = {
        "n_test": n_test, "n_reference": n_reference, "ratio": ratio,
        "true": by_mean(study.fit.pvalue, where, everything),
        "predicted": predicted(study, where, ratio),
    }  # fmt: skip
    study_tests = {"usual": study.fit.pvalue}
    if study.has_group_dispersions:
        null = study.ensemble(study.without_effect).pvalue
        parts = np.array([by_mean(p, where, everything) for p in null], np.float64)
        row["simulated"] = parts.mean(axis=0).tolist()
        study_tests["corrected"] = corrected(cohort)
        row["corrected"] = by_mean(study_tests["corrected"], where, everything)
    cohort, where, lfc = cohort_of(n_test, n_reference, ratio, n_genes, FIRST_SEED + 1, EFFECT)
    usual = fit(cohort, "~ group", CONTRAST, search="newton")
    row["power"] = by_mean(usual.pvalue, where, lfc != 0.0)
    row["corrected_power"] = by_mean(corrected(cohort), where, lfc != 0.0) if "corrected" in row else None
    row["cpu_seconds"] = time.process_time() - started
    return row


def predicted(study: Study, where: NDArray[np.intp], ratio: float) -> list[float]:
    """Error rate by formula at each of MEANS: with the ratio as estimated, or below 4 samples a group the true one."""
    if study.has_group_dispersions:
        log2_ratio, model = study.dispersion_ratio.estimates()[0].value, study.error_model
        shift = float(model.shift(log2_ratio))
    else:
        log2_ratio, model = float(np.log2(ratio)), study.error_model
        shifts = shift_at(study.fit, "ratio", np.array([log2_ratio]), np.random.default_rng(1))
        shift = 0.0 if shifts is None else float(shifts[0])
    tested = np.isfinite(study.fit.pvalue) & np.isfinite(study.fit.dispersion)
    return [float(model.take(tested & (where == k)).sizes(log2_ratio, shift).mean()) for k in range(len(MEANS))]


def corrected(cohort: Cohort) -> Array:
    """p-values of the corrected analysis (n_genes,)."""
    return fit(cohort, "~ group", CONTRAST, search="newton", dispersion="group", recentre=True).pvalue


def split(number: int, planted: bool, data: str) -> dict[str, str]:
    """Statuses of the variance section on a split of the wild type, with or without a planted fault."""
    from dediag.model import kernels

    kernels.set_threads(1)
    whole = dediag.read_cohort(f"{data}/schurch2016/counts.tsv.gz", f"{data}/schurch2016/samples.tsv")
    clean = (whole.samples["group"] == "WT") & (whole.samples["clean"] == "yes")
    rng = np.random.default_rng([FIRST_SEED, number])
    rows = rng.choice(np.flatnonzero(clean.to_numpy()), sum(SPLIT), replace=False)
    genes = np.sort(rng.choice(np.flatnonzero(whole.counts[:, rows].any(axis=1)), SPLIT_GENES, replace=False))
    cohort = whole.take_genes(genes).take_samples(rows)
    case = np.arange(rows.size) < SPLIT[0]
    names = pd.Index([f"s{k}" for k in range(rows.size)], name="sample")
    cohort = Cohort(
        cohort.counts, cohort.genes, pd.DataFrame({"group": np.where(case, "case", "control")}, index=names)
    )
    if planted:
        plain = fit(cohort, "~ group", CONTRAST, search="newton")
        phi = np.nan_to_num(plain.dispersion, nan=0.01)
        noise = (PLANTED - 1.0) * phi / (1.0 + phi)  # (1 + phi) (1 + noise) = 1 + 4 phi
        counts = cohort.counts.copy()
        counts[:, case] = np.rint(
            counts[:, case] * rng.gamma(1.0 / noise[:, None], noise[:, None], (phi.size, case.sum()))
        )
        cohort = cohort.with_counts(frozen(counts))
    report = dediag.audit(
        cohort, "~ group", CONTRAST, seed=number, permutations=40, bootstraps=20, only=SECTION, cache=False
    )
    return {f.id: str(f.status) for f in report.findings if f.status != "skipped"}


def sexes(data: str) -> dict[str, Any]:
    """Genes known to differ between the sexes among the calls of pickrell2010_sex."""
    folder = Path(data) / "pickrell2010_sex"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    genes = pd.read_csv(folder / "genes.tsv.gz", sep="\t", index_col=0).reindex(cohort.genes)
    male = genes["msY"].fillna(False).astype(bool).to_numpy()
    escapes = genes["X_escape"].fillna(False).astype(bool).to_numpy()
    rows = {}
    contrast = ("group", "female", "male")
    fits = {
        "usual": fit(cohort, "~ group", contrast),
        "corrected": fit(cohort, "~ group", contrast, dispersion="group", recentre=True),
    }
    for name, found in fits.items():
        called = found.significant
        rows[name] = {
            "calls": int(called.sum()),
            "Y genes tested": int((male & np.isfinite(found.padj)).sum()),
            "Y genes called down": int((male & called & (found.lfc < 0)).sum()),
            "Y genes called up": int((male & called & (found.lfc > 0)).sum()),
            "X escape genes tested": int((escapes & np.isfinite(found.padj)).sum()),
            "X escape genes called up": int((escapes & called & (found.lfc > 0)).sum()),
            "X escape genes called down": int((escapes & called & (found.lfc < 0)).sum()),
        }
    return rows


def main(argv: list[str] | None = None) -> int:
    """Simulate, fit, audit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="of the groups; one of 5 or more")
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "reports")
    options = parser.parse_args(argv)
    if max(options.sizes) < 5:
        parser.error("--sizes: name one of 5 or more, from where on the prediction is judged")
    data = os.environ.get("DEDIAG_DATA")
    data = None if data is None else str(Path(data) / "data")
    started = time.time()
    results: dict[str, Any] = {"genes": options.genes}
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        grid = list(product(options.sizes, options.sizes, RATIOS))
        results["grid"] = list(pool.map(partial(_call, cell), [(*at, options.genes) for at in grid]))
        if data is not None and options.splits:
            jobs = [(k, planted, data) for planted in (False, True) for k in range(options.splits)]
            found = list(pool.map(partial(_call, split), jobs, chunksize=2))
            results["splits"] = {"healthy": found[: options.splits], "planted": found[options.splits :]}
            results["sexes"] = sexes(data)
    results["minutes"] = (time.time() - started) / 60.0
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "validation_variance.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "validation_variance.md").write_text(as_markdown(results))
    return 0


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def close(predicted: float, true: float) -> bool:
    """Within .015 or 15 % of the prediction, whichever is larger."""
    return abs(predicted - true) <= max(0.015, 0.15 * predicted)


def as_markdown(results: dict[str, Any]) -> str:
    """The tables, for people."""
    grid = results["grid"]
    asked = [r for r in grid if min(r["n_test"], r["n_reference"]) >= 5]
    judged = [(r, k) for r in asked for k, mean in enumerate(MEANS) if mean >= 50]
    near = sum(close(r["predicted"][k], r["true"][k]) for r, k in judged)
    either = sum(close(r["predicted"][k], r["true"][k]) or close(r["simulated"][k], r["true"][k]) for r, k in judged)
    holds = [r["corrected"][k] for r, k in judged]
    low = [r["corrected"][0] for r in asked]
    inside = sum(0.03 <= size <= 0.065 for size in holds)
    lines = [
        "# Groups that differ in dispersion",
        "",
        "Written by `scripts/validation_variance.py`; not edited by hand.",
        f"{len(grid)} cells of {results['genes']:,} genes without effect: a third each of mean {MEANS[0]:g},",
        f"{MEANS[1]:g} and {MEANS[2]:g} (lognormal), dispersion .08 + 2 / mean with a lognormal spread of .5,",
        "not that of a fitted cohort; size factors estimated; one cohort a cell, so that a share of .05 has an",
        f"standard error of {(0.05 * 0.95 * len(MEANS) / results['genes']) ** 0.5:.4f}, without what its genes share.",
        f"The whole page took {results['minutes']:.0f} minutes.",
        "",
        "Share of genes with p < .05. *predicted*: by the formula of `heteroskedasticity`, the ratio estimated from",
        "the data (at 3 samples a group, where it gives no answer: the true one). *simulated*: in cohorts drawn",
        "from the fit with each group's own dispersions. *corrected*: group dispersions and recentred size factors",
        "(`dediag fit --dispersion group --recentre`); power for fold changes of 2, both ways.",
        "",
        f"- Prediction within .015 or 15 % at mean 50 and 500, 5 and more a group: {near} of {len(judged)};",
        f"  it or the simulated cohorts: {either} of {len(judged)}.",
        f"- Size of the corrected test there: {min(holds):.3f} to {max(holds):.3f}, within .03 to .065 in {inside} of",
        f"  {len(holds)}; at mean 5: {min(low):.3f} to {max(low):.3f}. At 3 samples a group there is none:",
        "  a dispersion of its own takes 3 residual degrees of freedom.",
        "",
    ]
    for k, mean in enumerate(MEANS):
        lines += [
            f"## Mean {mean:g}",
            "",
            "| sizes | ratio | true | predicted | simulated | corrected | power | corrected power |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for r in grid:
            values = [
                r.get(name) for name in ("true", "predicted", "simulated", "corrected", "power", "corrected_power")
            ]
            shown = ["" if value is None or value[k] is None else f"{value[k]:.3f}" for value in values]
            mark = "" if close(r["predicted"][k], r["true"][k]) else " *"
            shown[1] += mark
            lines.append(f"| {r['n_test']} v {r['n_reference']} | {r['ratio']:g} | {' | '.join(shown)} |")
        lines.append("")
    lines += ["\\* further from the true rate than .015 and 15 %.", ""]
    if "splits" in results:
        lines += _splits(results["splits"]) + _sexes(results["sexes"])
    return "\n".join(lines)


def _splits(found: dict[str, Sequence[dict[str, str]]]) -> list[str]:
    n = len(found["healthy"])
    lines = [
        "## schurch2016: the wild type against itself",
        "",
        f"{n} random splits, {SPLIT[0]} v {SPLIT[1]} of the replicates that the authors call clean,",
        f"{SPLIT_GENES:,} genes; and the same splits with {PLANTED:g} times the dispersion in the smaller side.",
        "",
        "| diagnostic | warn | fail | warn, planted | fail, planted |",
        "|---|---|---|---|---|",
    ]
    for ident in registered():
        if ident in SECTION:
            counts = [sum(s.get(ident) == status for s in found[kind]) for kind in found for status in ("warn", "fail")]
            lines.append(f"| `{ident}` | {' | '.join(map(str, counts))} |")
    passed = [{s.get(ident) for ident in SECTION} for s in found["healthy"]]
    alarmed, failed = sum(bool(s & {"warn", "fail"}) for s in passed), sum("fail" in s for s in passed)
    return [
        *lines,
        "",
        f"Of the {n} splits without a planted fault {alarmed} have a warning or a fail of some of these, {failed} a",
        "fail: real replicates share causes that no column names.",
        "",
    ]


def _sexes(rows: dict[str, dict[str, int]]) -> list[str]:
    return [
        "## pickrell2010_sex: genes that are known to differ",
        "",
        "Female over male at adjusted p < .1: Y genes should be down, genes that escape X inactivation up.",
        "",
        f"| | {' | '.join(rows)} |",
        f"|---|{'---|' * len(rows)}",
        *(f"| {name} | {' | '.join(str(row[name]) for row in rows.values())} |" for name in rows["usual"]),
        "",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
