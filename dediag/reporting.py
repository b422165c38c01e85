"""From an audit to a report: the one place that sees both a Study and a Report.

imports: cli -> reporting -> auditing, synthesis, report. `dediag.audit` is `audit` of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag import auditing
from dediag.finding import Table
from dediag.progress import Progress, silent
from dediag.report.report import Design, FitSummary, InputFile, Inputs, Report, Stratum
from dediag.resample.workers import execution
from dediag.settings import AuditSettings
from dediag.synthesis import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.size_factors import Method
    from dediag.study import Study

    Array = NDArray[np.float64]

IN_MEMORY = "in memory"
ABSENT = {
    "results": "No finished results table: whether a published table follows from these counts is not checked.",
    "lengths": "No gene lengths: floors and fold changes are given in CPM, not in TPM or FPKM.",
    "spike_ins": "No spike-ins: a shift of all genes together cannot be seen, nor limits of detection be checked.",
}
NO_COVARIATES = "No covariates in the sample table: nothing can be said about batches or other confounders."


def audit(
    cohort: Cohort,
    design: str,
    contrast: Sequence[str] | str | None,
    *,
    seed: int = 1,
    draws: int = AuditSettings.draws,
    draw_size: int | None = AuditSettings.draw_size,
    permutations: int = AuditSettings.permutations,
    bootstraps: int = AuditSettings.bootstraps,
    alpha: float = AuditSettings.alpha,
    all_genes: bool = AuditSettings.all_genes,
    figures: bool = AuditSettings.figures,
    size_factors: Method | Array = "ratio",
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    cache: bool = True,
    progress: Progress = silent,
    command: str = "",
    sources: tuple[InputFile, InputFile] | None = None,
) -> Report:
    """Audit a cohort: fit it, put every selected diagnostic's question to it, and report.

    design: a formula over the sample table. contrast: (factor, test[, reference]). `only`, `skip`: ids of diagnostics.
    `command` and `sources` (counts file, samples file) are quoted in the report. The same seed gives the same report,
    wherever refits are computed: by this process, by so many `workers` (processes of joblib, in the backend that
    `joblib.parallel_config` names), or by those of a dask `scheduler` ("tcp://host:port"). `cache`: keep finished
    refits in the user's cache folder, and take them from there. `figures`: draw them. Raises InputError for
    what only the user can mend.
    """
    settings = AuditSettings(draws, draw_size, permutations, bootstraps, alpha, all_genes, figures)
    with execution(workers=workers, scheduler=scheduler, cache=cache) as how:
        done = auditing.audit(
            cohort, design, contrast, seed=seed, settings=settings, size_factors=size_factors, only=only, skip=skip,
            execution=how, progress=progress,
        )  # fmt: skip
    return compose(done, command, sources)


def compose(done: auditing.Audit, command: str = "", sources: tuple[InputFile, InputFile] | None = None) -> Report:
    """The report of an audit."""
    study = done.study
    return Report(
        seed=study.seed,
        command=command,
        inputs=_inputs(study, sources),
        design=_design(study),
        fit=_fit_summary(study),
        strata=tuple(Stratum(s.low, s.high, s.n_genes, s.n_de, s.up_share, s.median_lfc) for s in study.strata),
        explanations=tuple(explain(done.findings)),
        findings=done.findings,
        tables=(_fit_table(study), _sample_table(study)),
    )


def _inputs(study: Study, sources: tuple[InputFile, InputFile] | None) -> Inputs:
    cohort = study.cohort
    if sources is None:
        counts = InputFile(IN_MEMORY, None, cohort.n_genes, cohort.n_samples, "matrix")
        sources = counts, InputFile(IN_MEMORY, None, None, cohort.n_samples, "table")
    absent = [sentence for need, sentence in ABSENT.items() if need not in study.inputs]
    if len(cohort.samples.columns) < 2:
        absent.append(NO_COVARIATES)
    return Inputs(*sources, results=None, absent=tuple(absent))


def _design(study: Study) -> Design:
    goal = study.fit.contrast
    return Design(
        study.fit.design.formula, str(goal.factor), str(goal.test), str(goal.reference), study.n_test, study.n_reference
    )


def _fit_summary(study: Study) -> FitSummary:
    fit = study.fit
    seen = fit.base_mean > 0.0
    return FitSummary(
        alpha=study.settings.alpha,
        n_tested=int(seen.sum()),
        n_up=int((study.significant & (fit.lfc > 0.0)).sum()),
        n_down=int((study.significant & (fit.lfc < 0.0)).sum()),
        n_outliers=int((seen & np.isnan(fit.pvalue)).sum()),
        n_low_counts=int((np.isfinite(fit.pvalue) & np.isnan(fit.padj)).sum()),
        filter_threshold=fit.filter_threshold,
        trend=fit.trend.kind,
        prior_variance=fit.prior_variance,
        notices=fit.notices,
    )


def _fit_table(study: Study) -> Table:
    results = study.fit.results
    columns: dict[str, Sequence[object]] = {
        "gene": list(map(str, results.index)),
        **{str(name): results[name].tolist() for name in results.columns},
    }
    return Table("fit", "The main fit: one row per gene, columns as in DESeq2.", columns)


def _sample_table(study: Study) -> Table:
    counts = study.cohort.counts
    cooks = np.nan_to_num(study.fit.cooks(), posinf=0.0)  # (n_genes, n_samples)
    columns: dict[str, Sequence[object]] = {
        "sample": list(map(str, study.cohort.samples.index)),
        "group": study.fit.design.frame[study.fit.contrast.factor].astype(str).tolist(),
        "size_factor": study.fit.size_factors.tolist(),
        "depth": counts.sum(axis=0).tolist(),
        "detected_genes": (counts > 0).sum(axis=0).tolist(),
        "cooks_share": (cooks.sum(axis=0) / max(float(cooks.sum()), np.finfo(float).tiny)).tolist(),
    }
    return Table(
        "samples", "One row per sample: normalisation, depth, genes seen, share of all Cook's distances.", columns
    )
