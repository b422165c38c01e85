"""The audit asks every diagnostic, runs each plan once, and survives a diagnostic that fails."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from dediag import auditing, reporting
from dediag.auditing import audit, examine, open_study
from dediag.cohort import Cohort, InputError
from dediag.contract import Diagnostic, NotAssessable, Registered
from dediag.finding import Metric, Status, Verdict
from dediag.report.report import from_json, to_json
from dediag.resample.plans import Subsets
from dediag.resample.workers import Execution, InProcess
from dediag.settings import AuditSettings
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")
SUBSET = Subsets(((0, 1, 2, 6, 7, 8),))


def cohort(n_test=5, n_reference=7, **more) -> Cohort:
    return simulate(n_genes=200, n_test=n_test, n_reference=n_reference, seed=3, **more)[0]


def diagnostic(**changes) -> Diagnostic:
    """A diagnostic that passes, with what a test changes."""
    plain = Diagnostic(
        section="design",
        metric_names=("n", "absent"),
        compute=lambda study: study.n_test,
        judge=lambda result: Verdict(Status.PASS, f"{result} samples.", "Nothing.", 0),
        metrics=lambda result: [Metric("extra", 1), Metric("n", result)],
        tables=lambda _: [],
        draw=lambda _: [],
        no_fault_reason="a test",
    )
    return replace(plain, **changes)


def fails(study):
    raise ZeroDivisionError("two\nlines")


@pytest.fixture(scope="module")
def study():
    return open_study(cohort(), "~ group", CONTRAST)


@pytest.fixture
def register(monkeypatch):
    """Put diagnostics in the place of the registered ones."""

    def put(**diagnostics):
        entries = {i: Registered(i, d, f"Is it {i}?", "Because.", ("A paper.",)) for i, d in diagnostics.items()}
        monkeypatch.setattr(auditing, "registered", lambda: entries)

    return put


def test_a_finding_says_what_the_diagnostic_says(study, register):
    register(good=diagnostic())
    (finding,) = examine(study, {})
    assert (finding.id, finding.question, finding.status) == ("good", "Is it good?", Status.PASS)
    assert finding.headline == "5 samples."
    assert finding.explanation == "Because."
    assert finding.references == ("A paper.",)
    assert finding.metrics == (Metric("n", 5), Metric("absent", None), Metric("extra", 1))
    assert finding.seconds >= 0.0


@pytest.mark.parametrize("where", ["compute", "judge", "metrics", "tables", "draw", "plan"])
def test_a_diagnostic_that_raises_is_an_error_finding_and_the_rest_comes(study, register, where):
    register(bad=diagnostic(**{where: fails}), good=diagnostic())
    bad, good = examine(study, {})
    assert bad.status is Status.ERROR
    assert "ZeroDivisionError: two" in bad.headline
    assert "\n" not in bad.headline
    assert bad.reason.startswith("raised in dediag/auditing.py, line ")
    assert [m.value for m in bad.metrics] == [None, None]
    assert good.status is Status.PASS


def test_an_error_says_where_it_happened(study, register):
    register(bad=diagnostic(compute=lambda study: study.fit.design.take([0, 99])))
    (bad,) = examine(study, {})
    assert bad.reason.startswith("raised in dediag/model/design.py, line ")
    assert bad.reason.endswith("take")


def test_what_cannot_be_assessed_says_why(study, register):
    def refuse(study):
        raise NotAssessable("no covariates")

    register(silent=diagnostic(compute=refuse), early=diagnostic(plan=refuse), lengths=diagnostic(needs={"lengths"}))
    findings = examine(study, {})
    assert {f.status for f in findings} == {Status.NOT_ASSESSABLE}
    assert [f.reason for f in findings] == ["no covariates", "no covariates", "no gene lengths were given"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("where", ["compute", "plan"])
def test_interrupts_pass_through(study, register, stop, where):
    def interrupt(study):
        raise stop

    register(bad=diagnostic(**{where: interrupt}))
    with pytest.raises(stop):
        examine(study, {})


def test_each_plan_is_run_once_before_the_diagnostics(register, monkeypatch):
    ran = []
    study = open_study(cohort(), "~ group", CONTRAST)
    from dediag.resample import ensemble

    once = ensemble.run
    monkeypatch.setattr(ensemble, "run", lambda plan, *a, **k: ran.append(plan) or once(plan, *a, **k))
    uses = diagnostic(plan=lambda _: {"draws": SUBSET}, compute=lambda study: study.ensemble(SUBSET).n_refits)
    register(one=uses, two=uses)
    assert {f.status for f in examine(study, {})} == {Status.PASS}
    assert ran == [SUBSET]


def test_the_time_of_a_plan_is_shared_among_those_who_ask(register, monkeypatch):
    """A clock that only runs while something is done: 8 s for the shared refits, 1 s for each question of its own."""
    from dediag.resample import ensemble

    now = [0.0]
    monkeypatch.setattr(auditing.time, "perf_counter", lambda: now[0])
    once = ensemble.run

    def takes(seconds, result):
        now[0] += seconds
        return result

    class Elsewhere:  # than in this process: refits are made before any question is put
        blocks = InProcess.blocks

    study = open_study(cohort(), "~ group", CONTRAST, execution=Execution(Elsewhere()))
    monkeypatch.setattr(ensemble, "run", lambda *a, **k: takes(8.0, once(*a, **k)))
    asks = diagnostic(plan=lambda _: takes(0.5, {"a": SUBSET, "b": SUBSET}), compute=lambda s: takes(1.0, s.n_test))
    register(one=asks, two=asks, three=diagnostic(compute=lambda s: takes(1.0, s.n_test)), four=diagnostic())
    findings = examine(study, {"four": "left out"})
    assert [f.seconds for f in findings] == [5.5, 5.5, 1.0, 0.0]
    assert sum(f.seconds for f in findings) == now[0]


def test_questions_without_refits_are_put_while_refits_are_made(register):
    """The second question is put, and answered, before the refits of the first can end."""
    answered = threading.Event()
    study = open_study(cohort(), "~ group", CONTRAST)

    def wait(what, done, total):
        if what == "refits":
            assert answered.wait(60)

    register(
        one=diagnostic(plan=lambda _: {"draws": SUBSET}, compute=lambda s: s.ensemble(SUBSET).n_refits),
        two=diagnostic(compute=lambda _: answered.set()),
    )
    assert [f.status for f in examine(study, {}, wait)] == [Status.PASS, Status.PASS]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_stops_the_refits(register, stop):
    others = tuple(replace(SUBSET, what=f"plan {k}") for k in range(9))
    study, started = open_study(cohort(), "~ group", CONTRAST), threading.Event()

    def interrupt(_):
        started.wait(60)
        raise stop

    register(one=diagnostic(plan=lambda _: dict(enumerate(others))), two=diagnostic(compute=interrupt))
    with pytest.raises(stop):
        examine(study, {}, lambda *_: (started.set(), time.sleep(0.05)))
    assert sum(plan in study._ensembles for plan in others) < 9
    assert all(not thread.name.startswith("refits") for thread in threading.enumerate())


def test_an_interrupt_among_the_refits_passes_through(register):
    def interrupt(what, done, total):
        raise KeyboardInterrupt

    register(one=diagnostic(plan=lambda _: {"draws": SUBSET}))
    with pytest.raises(KeyboardInterrupt):
        examine(open_study(cohort(), "~ group", CONTRAST), {}, interrupt)


def test_a_plan_that_cannot_be_run_fails_only_those_who_ask(register):
    study = open_study(cohort(), "~ group", CONTRAST)
    register(bad=diagnostic(plan=lambda _: {"draws": Subsets(((0, 99),))}), good=diagnostic())
    bad, good = examine(study, {})
    assert (bad.status, good.status) == (Status.ERROR, Status.PASS)
    assert "IndexError" in bad.headline


def test_skipped_and_not_selected_diagnostics_are_named(register):
    register(one=diagnostic(), two=diagnostic(compute=fails), three=diagnostic(compute=fails))
    done = audit(cohort(), "~ group", CONTRAST, only=["one", "two"], skip=["two"])
    assert [f.status for f in done.findings] == [Status.PASS, Status.SKIPPED, Status.SKIPPED]
    assert "left out" in done.findings[1].reason
    with pytest.raises(InputError, match="'four'; there are: one, two, three"):
        audit(cohort(), "~ group", CONTRAST, skip=["four"])


def test_progress_names_what_is_done(study, register):
    register(one=diagnostic(), two=diagnostic())
    told = []
    examine(study, {}, lambda *step: told.append(step))
    assert told == [("one", 0, 2), ("two", 1, 2), ("done", 2, 2)]


def test_a_group_of_one_sample_is_refused(register):
    register(one=diagnostic())
    with pytest.raises(InputError, match="group 'case' of 'group' has one sample"):
        audit(cohort(n_test=1), "~ group", CONTRAST)


def test_a_contrast_of_a_measurement_is_refused(register):
    register(one=diagnostic())
    data = cohort()
    data = replace(data, samples=data.samples.assign(age=range(12)))
    with pytest.raises(InputError, match="compares two groups, but 'age' is a coefficient"):
        audit(data, "~ group + age", "age")


@pytest.mark.parametrize("size", [1, 6])
def test_a_draw_size_outside_the_smaller_group_is_refused(register, size):
    register(one=diagnostic())
    with pytest.raises(InputError, match="the size of the smaller group, 5"):
        audit(cohort(), "~ group", CONTRAST, settings=AuditSettings(draw_size=size))


def test_the_report_of_an_audit_is_valid_and_complete(register):
    register(one=diagnostic(), two=diagnostic(compute=fails), three=diagnostic())
    report = reporting.audit(cohort(), "~ group", CONTRAST, seed=5, skip=["three"], command="dediag audit")
    assert report.status is Status.ERROR
    assert (report.design.n_test, report.design.n_reference, report.design.test) == (5, 7, "case")
    assert report.seed == 5
    assert report.fit.n_tested == sum(s.n_genes for s in report.strata)
    assert report.fit.n_up + report.fit.n_down == sum(s.n_de for s in report.strata)
    assert len(report.inputs.absent) == 4
    again = from_json(to_json(report))
    assert [f.status for f in again.findings] == [Status.PASS, Status.ERROR, Status.SKIPPED]
    tables = {table.name: table.columns for table in report.tables}
    assert len(tables["fit"]["gene"]) == 200
    assert set(tables["samples"]["group"]) == {"case", "control"}
    assert sum(tables["samples"]["cooks_share"]) == pytest.approx(1.0)
    assert {len(column) for column in tables["samples"].values()} == {12}


def test_notices_of_the_fit_are_in_the_report(register):
    register(one=diagnostic())
    data = cohort()
    samples = data.samples.assign(batch=[4, 4, 6, 6] * 3, dose=["low", "mid", "high"] * 4)
    report = reporting.audit(replace(data, samples=samples), "~ batch + dose", ("dose", "mid"))
    assert len(report.fit.notices) == 2
    assert "write C(batch)" in report.fit.notices[0]
    assert "'high' was chosen of high, low" in report.fit.notices[1]
    assert from_json(to_json(report)).fit.notices == report.fit.notices
