"""The audit: main fit, the plans that the diagnostics ask for, each run once, and each diagnostic after its plans.

Study -> Findings. The result is an `Audit` (study and findings), not a report: `report` never sees a Study and this
module never sees a report. `reporting` puts the two together, and `dediag.audit` is its `audit`.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dediag.cohort import InputError
from dediag.contract import NotAssessable, Registered, registered
from dediag.finding import Finding, Metric, Status
from dediag.model import contrasts
from dediag.model.blas import ONE_BLAS_THREAD
from dediag.model.design import build
from dediag.model.fit import fit
from dediag.progress import Progress, silent
from dediag.resample.aside import Aside
from dediag.resample.workers import WorkersLost
from dediag.settings import AuditSettings
from dediag.study import Study

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.size_factors import Method
    from dediag.resample.plans import Plan
    from dediag.resample.workers import Execution

    Array = NDArray[np.float64]

SMALLEST_GROUP = 2
MISSING = {
    "results": "no finished results table was given",
    "lengths": "no gene lengths were given",
    "spike_ins": "no spike-ins were named",
}


@dataclass(frozen=True)
class Audit:
    """A study and what every registered diagnostic says about it, in the order of the report."""

    study: Study
    findings: tuple[Finding, ...]


def audit(
    cohort: Cohort,
    design: str,
    contrast: Sequence[str] | str | None,
    *,
    seed: int = 1,
    settings: AuditSettings | None = None,
    size_factors: Method | Array = "ratio",
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
    execution: Execution | None = None,
    progress: Progress = silent,
) -> Audit:
    """Fit a cohort and put every selected diagnostic's question to it.

    contrast: (factor, test[, reference]). `only` and `skip` are ids of diagnostics; those left out become skipped
    findings. execution: where refits are computed and what is kept of them. A diagnostic that raises becomes an error
    finding. Raises InputError for what only the user can mend.
    """
    left_out = _left_out(only, skip)
    settings = settings or AuditSettings()
    study = open_study(
        cohort, design, contrast, seed=seed, settings=settings, size_factors=size_factors, execution=execution,
        progress=progress,
    )  # fmt: skip
    return Audit(study, examine(study, left_out, progress))


def open_study(
    cohort: Cohort,
    design: str,
    contrast: Sequence[str] | str | None,
    *,
    seed: int = 1,
    settings: AuditSettings | None = None,
    size_factors: Method | Array = "ratio",
    execution: Execution | None = None,
    progress: Progress = silent,
) -> Study:
    """The study of a cohort: its main fit, after the checks that an audit needs and a fit does not."""
    settings = settings or AuditSettings()
    asked = contrasts.references(contrast, cohort.samples)
    full = build(design, cohort.samples, asked)
    goal = contrasts.resolve(contrast, full, asked)
    if goal.factor is None or goal.test is None or goal.reference is None:
        raise InputError(
            f"contrast: an audit compares two groups, but '{goal.label}' is a coefficient\n"
            "give the factor, the test level and the reference level"
        )
    levels = full.frame[goal.factor].astype(str)
    sizes = {level: int((levels == level).sum()) for level in (goal.test, goal.reference)}
    for level, n in sizes.items():
        if n < SMALLEST_GROUP:
            sample = ", ".join(map(str, levels.index[levels == level]))
            raise InputError(
                f"contrast: group '{level}' of '{goal.factor}' has one sample ({sample}), which says nothing about it\n"
                "add replicates, or compare other levels"
            )
    if settings.draw_size is not None and not SMALLEST_GROUP <= settings.draw_size <= min(sizes.values()):
        raise InputError(
            f"draw size: {settings.draw_size} must lie between {SMALLEST_GROUP} and the size of the smaller group, "
            f"{min(sizes.values())}"
        )
    main = fit(
        cohort, full, goal, search="reference", alpha=settings.alpha, size_factors=size_factors, progress=progress
    )
    factors = size_factors if isinstance(size_factors, str) else main.size_factors
    return Study(cohort, main, seed, settings, factors, execution)


def examine(study: Study, left_out: Mapping[str, str], progress: Progress = silent) -> tuple[Finding, ...]:
    """The findings of every registered diagnostic; `left_out` maps ids of those to be skipped to the reason."""
    # linear algebra in one thread throughout, so that its sums do not depend on what happens to run beside it
    with ONE_BLAS_THREAD:
        return _examined(study, left_out, progress)


def _examined(study: Study, left_out: Mapping[str, str], progress: Progress) -> tuple[Finding, ...]:
    findings: dict[str, Finding] = {}
    wanted: dict[str, Mapping[str, Plan]] = {}
    seconds: dict[str, float] = {}
    for entry in registered().values():
        if entry.id in left_out:
            findings[entry.id] = _plain(entry, Status.SKIPPED, "Skipped.", left_out[entry.id])
            continue
        absent = sorted(entry.diagnostic.needs - study.inputs)
        if absent:
            reason = "; ".join(MISSING.get(need, f"{need} is missing") for need in absent)
            findings[entry.id] = _plain(entry, Status.NOT_ASSESSABLE, "Not assessable on this study.", reason)
            continue
        started = time.perf_counter()
        try:
            wanted[entry.id] = entry.diagnostic.plan(study) if entry.diagnostic.plan else {}
        except Exception as raised:
            findings[entry.id] = _without_result(entry, raised)
        seconds[entry.id] = time.perf_counter() - started
    askers = Counter(plan for plans in wanted.values() for plan in set(plans.values()))
    order = {plan: at for at, plan in enumerate(dict.fromkeys(p for plans in wanted.values() for p in plans.values()))}

    def last(ident: str) -> int:
        return max((order[plan] for plan in wanted[ident].values()), default=-1)

    pending = sorted((entry for entry in registered().values() if entry.id not in findings), key=lambda e: last(e.id))
    with Aside(study.ensemble, order, study.execution, progress) as refits:
        for done, entry in enumerate(pending):
            plans = dict.fromkeys(wanted[entry.id].values())
            failures = [failure for plan in plans if (failure := refits.failure(plan)) is not None]
            if refits.finished:
                progress(entry.id, done, len(pending))
            findings[entry.id] = _without_result(entry, failures[0]) if failures else _ask(entry, study)
            seconds[entry.id] += sum(refits.seconds[plan] / askers[plan] for plan in plans)
    if pending:
        progress("done", len(pending), len(pending))
    timed = {i: replace(finding, seconds=finding.seconds + seconds.get(i, 0.0)) for i, finding in findings.items()}
    return tuple(timed[ident] for ident in registered())


def _ask(entry: Registered, study: Study) -> Finding:
    """One diagnostic's finding."""
    started = time.perf_counter()
    diagnostic = entry.diagnostic
    try:
        result = diagnostic.compute(study)
        verdict = diagnostic.judge(result)
        finding = Finding(
            id=entry.id,
            question=entry.question,
            status=verdict.status,
            headline=verdict.headline,
            reason=verdict.reason,
            advice=verdict.advice,
            calls_at_risk=verdict.calls_at_risk,
            metrics=_complete(diagnostic.metrics(result), diagnostic.metric_names),
            tables=tuple(diagnostic.tables(result)),
            figures=tuple(diagnostic.draw(result)) if study.settings.figures else (),
            explanation=entry.explanation,
            references=entry.references,
        )
    except Exception as raised:
        finding = _without_result(entry, raised)
    return replace(finding, seconds=time.perf_counter() - started)


def _complete(metrics: Iterable[Metric], names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics with those that are missing as null, in the declared order; others behind."""
    given = {metric.name: metric for metric in metrics}
    declared = [given.pop(name, Metric(name, None)) for name in names]
    return (*declared, *given.values())


def _without_result(entry: Registered, raised: Exception) -> Finding:
    """The finding of a diagnostic that could not answer: not assessable, or an error of ours and where it happened."""
    if isinstance(raised, (MemoryError, WorkersLost)):
        raise raised
    if isinstance(raised, NotAssessable):
        return _plain(entry, Status.NOT_ASSESSABLE, "Not assessable on this study.", str(raised))
    what = (str(raised).splitlines() or [""])[0]
    headline = f"This check failed by an error of dediag: {type(raised).__name__}{': ' if what else ''}{what}"
    return _plain(entry, Status.ERROR, headline, _where(raised), "Please report it with the command and the version.")


def _where(raised: Exception) -> str:
    """The innermost frame of dediag in an exception's traceback; no path of this machine."""
    frames = traceback.extract_tb(raised.__traceback__)
    ours = [frame for frame in frames if "dediag" in Path(frame.filename).parts] or list(frames)
    if not ours:
        return "place unknown"
    parts = Path(ours[-1].filename).parts
    start = len(parts) - 1 - parts[::-1].index("dediag") if "dediag" in parts else len(parts) - 1
    return f"raised in {'/'.join(parts[start:])}, line {ours[-1].lineno}, {ours[-1].name}"


def _plain(entry: Registered, status: Status, headline: str, reason: str, advice: str = "") -> Finding:
    """A finding without a result."""
    return Finding(
        id=entry.id,
        question=entry.question,
        status=status,
        headline=headline,
        reason=reason,
        advice=advice,
        metrics=_complete((), entry.diagnostic.metric_names),
        explanation=entry.explanation,
        references=entry.references,
    )


def _left_out(only: Iterable[str] | None, skip: Iterable[str]) -> dict[str, str]:
    """Which diagnostics the user left out, and why."""
    only, skip = None if only is None else set(only), set(skip)
    unknown = sorted(((only or set()) | skip) - set(registered()))
    if unknown:
        raise InputError(f"no diagnostic is called '{unknown[0]}'; there are: {', '.join(registered())}")
    reasons = {
        ident: "not among the selected diagnostics" for ident in registered() if only is not None and ident not in only
    }
    return reasons | {ident: "left out by the user" for ident in registered() if ident in skip}
