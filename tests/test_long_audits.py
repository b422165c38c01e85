"""Long audits on the command line: killed and resumed, interrupted, on worker processes and on a dask scheduler."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from rich import console, progress
from test_clean_clone import without_run

import dediag
from dediag.auditing import open_study
from dediag.cli import bar, main
from dediag.diagnostics import imbalance
from dediag.report.report import to_json
from dediag.resample.ensemble import partition
from dediag.settings import AuditSettings

DESIGN = ["--design", "~ group", "--contrast", "group", "case", "control"]
MANY = ["--only", "imbalance", "--draws", "150"]  # many blocks, which take seconds


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "study"
    assert main(["simulate", "-o", str(folder), "--genes", "800", "--n-test", "6", "--n-reference", "18"]) == 0
    return folder


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The folder of the refits of one test."""
    monkeypatch.setenv("DEDIAG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dediag" / "refits"


def words(study, output, *more):
    return ["audit", str(study / "counts.tsv.gz"), str(study / "samples.tsv"), *DESIGN, "-o", str(output), *more]


def started(study, output, *more):
    """An audit in a process (and a terminal) of its own."""
    command = [sys.executable, "-m", "dediag", *words(study, output, "--quiet", *more)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=dict(os.environ)
    )


def finished(study, output, *more):
    """The report of an audit, without what belongs to one run only."""
    with started(study, output, *more) as running:
        out, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    assert errors == ""
    assert out == f"{output / 'report.html'}\n"
    return without_run(json.loads((output / "report.json").read_text("utf-8")))


def blocks(folder):
    """The file of each block that was computed; one that is computed again has another number."""
    return {path.name: path.stat().st_ino for path in folder.glob("*.npz")} if folder.exists() else {}


def wanted_blocks(study):
    """How many blocks the audit of MANY comes in."""
    cohort = dediag.read_cohort(study / "counts.tsv.gz", study / "samples.tsv")
    opened = open_study(cohort, "~ group", ("group", "case", "control"), settings=AuditSettings(draws=150))
    return sum(len(partition(plan, cohort.n_genes)) for plan in imbalance.plan(opened).values())


def wait_for_blocks(folder, n, process):
    deadline = time.monotonic() + 120.0
    while len(blocks(folder)) < n:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["in-process", "workers"])
def test_a_killed_audit_resumes(study, tmp_path, cached, more):
    output = tmp_path / "out" / "report"
    output.parent.mkdir()
    with started(study, output, *MANY, *more) as running:
        wait_for_blocks(cached, 3, running)
        running.kill()
    before = blocks(cached)
    assert len(before) >= 3
    assert list(output.parent.iterdir()) == []
    resumed = finished(study, output, *MANY, *more)
    after = blocks(cached)
    assert len(after) == wanted_blocks(study) > len(before)
    assert after.items() >= before.items()  # none of them was computed again
    assert [path.name for path in output.parent.iterdir()] == ["report"]
    assert resumed == finished(study, tmp_path / "uninterrupted", *MANY, "--no-cache")
    assert resumed == finished(study, tmp_path / "repeated", *MANY)
    assert blocks(cached) == after


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["in-process", "workers"])
def test_ctrl_c_ends_at_once_and_keeps_what_is_finished(study, tmp_path, cached, more):
    output = tmp_path / "out" / "report"
    output.parent.mkdir()
    with started(study, output, "--only", "imbalance", "--draws", "3000", *more) as running:
        wait_for_blocks(cached, 2, running)
        children = psutil.Process(running.pid).children(recursive=True)
        pressed = time.monotonic()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        _, errors = running.communicate(timeout=60)
    assert time.monotonic() - pressed < 10.0
    assert running.returncode == 130
    assert errors == "dediag: interrupted\n"
    assert list(output.parent.iterdir()) == []
    assert len(blocks(cached)) >= 2
    assert [path for path in cached.iterdir() if path.suffix != ".npz"] == []
    assert psutil.wait_procs(children, timeout=10.0)[1] == []


STUCK = """
import os, signal, sys, time
from dediag.cli import main
from dediag.resample import workers

def stuck(*_):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    time.sleep(60)

workers.compute = stuck
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_what_cannot_be_stopped_is_not_waited_for(study, tmp_path, cached, name, code):
    output = tmp_path / "out" / "report"
    output.parent.mkdir()
    more = [name, *words(study, output, "--quiet", "--only", "imbalance")]
    started = time.monotonic()
    run = subprocess.run([sys.executable, "-c", STUCK, *more], capture_output=True, text=True, check=False)
    assert time.monotonic() - started < 50.0  # a minute if the refits were waited for
    assert (run.returncode, run.stderr) == (code, "dediag: interrupted\n" if code == 130 else "")
    assert list(output.parent.iterdir()) == []


@pytest.mark.slow
def test_an_audit_on_a_scheduler_is_the_same(study, tmp_path, cached):
    distributed = pytest.importorskip("distributed")
    few = ["--only", "imbalance", "--draws", "30", "--no-cache"]
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    )
    with local as found:
        there = finished(study, tmp_path / "there", *few, "--scheduler", found.scheduler_address)
        output = tmp_path / "interrupted"
        many = ["--only", "imbalance", "--draws", "3000", "--scheduler", found.scheduler_address]
        with started(study, output, *many) as running:
            wait_for_blocks(cached, 2, running)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=30)
        assert (running.returncode, errors) == (130, "dediag: interrupted\n")
    assert there == finished(study, tmp_path / "here", *few)
    assert not output.exists()


def test_a_scheduler_that_does_not_answer(study, tmp_path, capsys):
    pytest.importorskip("distributed")
    pressed = time.monotonic()
    assert main(words(study, tmp_path / "report", "--quiet", "--scheduler", "tcp://127.0.0.1:9")) == 2
    assert time.monotonic() - pressed < 20.0
    err = capsys.readouterr().err
    assert err.startswith("scheduler: no dask scheduler answers at tcp://127.0.0.1:9 within 5 seconds")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--workers", "0"), "'0' is not a whole number of at least 1"),
        (("--workers", "2", "--scheduler", "tcp://a:1"), "give one of the two"),
        (("--scheduler", "nowhere"), "is no address such as tcp://host:8786"),
    ],
)
def test_usage(study, tmp_path, capsys, more, said):
    assert main(words(study, tmp_path / "report", "--quiet", *more)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_flags_reach_the_audit(study, tmp_path, monkeypatch):
    from dediag import reporting

    seen = []

    def audit(*_, workers, scheduler, cache, **__):
        seen.append((workers, scheduler, cache))
        raise KeyboardInterrupt

    monkeypatch.setattr(reporting, "audit", audit)
    for more in ((), ("--workers", "3", "--no-cache"), ("--scheduler", "tcp://a:1")):
        assert main(words(study, tmp_path / "report", *more)) == 130
        assert main(["demo", "-o", str(tmp_path / "demo"), *more]) == 130
    assert seen == [x for x in ((None, None, True), (3, None, False), (None, "tcp://a:1", True)) for _ in range(2)]


def test_in_python_refits_are_kept_unless_they_are_not_to_be(cached):
    cohort, _ = dediag.simulate(n_genes=150, n_test=5, n_reference=9, seed=1)
    ask = {"draws": 3, "only": ["imbalance"]}
    contrast = ("group", "case", "control")
    reports = [dediag.audit(cohort, "~ group", contrast, cache=False, **ask)]
    assert blocks(cached) == {}
    plans = imbalance.plan(open_study(cohort, "~ group", contrast, settings=AuditSettings(draws=3))).values()
    wanted = sum(len(partition(plan, cohort.n_genes)) for plan in plans)
    for _ in range(2):
        reports.append(dediag.audit(cohort, "~ group", contrast, **ask))
        assert len(blocks(cached)) == wanted >= 2
    assert len({json.dumps(without_run(json.loads(to_json(report)))) for report in reports}) == 1


# the time left


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests turn, and the bars that were drawn."""
    now, bars = [0.0], []
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")

    class Seen(progress.Progress):
        def __init__(self, *columns, **options):
            super().__init__(*columns, auto_refresh=False, **options)
            bars.append(self)

    monkeypatch.setattr(progress, "Progress", Seen)
    return now, bars


def test_cached_refits_say_nothing_about_the_time_left(clock):
    now, bars = clock
    with bar.shown(pytest.fail, quiet=False) as told:
        told("other work", 3, 3)
        told("refits", 900, 1000)  # at once, from the cache
        (task,) = bars[0].tasks
        assert task.time_remaining is None
        now[0] += 20.0
        told("refits", 925, 1000)
        assert task.time_remaining == pytest.approx(60.0)
        now[0] += 40.0  # slower than the average of half a minute would forget
        told("refits", 950, 1000)
        assert task.time_remaining == pytest.approx(60.0)
        told("other work", 0, 1000)
        assert task.time_remaining is None
