"""Every command and every Python example of the README runs as it stands, and its table of questions is complete.

Blocks run in one folder, in the order of the README. The scripts and pip are left to the clean clone's test. Where the
README names a scheduler, there is one of two worker processes, started here in place of the block that starts one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dediag.contract import registered

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
LEFT_TO_THE_CLEAN_CLONE = ("scripts/demo", "scripts/test", "pip install")
STARTS_A_SCHEDULER = "dask scheduler"
SCHEDULER = "tcp://host:8786"
RUN = {"sh": ["sh", "-eu", "-c"], "python": [sys.executable, "-W", "error", "-c"]}


def test_there_is_nothing_in_a_language_that_is_not_run():
    assert {language for language, _ in BLOCKS} == RUN.keys()


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler."""
    distributed = pytest.importorskip("distributed")
    local = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    )
    with local as found:
        yield found.scheduler_address


def test_every_example_runs(tmp_path, scheduler):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for language, block in BLOCKS:
        if block.startswith((*LEFT_TO_THE_CLEAN_CLONE, STARTS_A_SCHEDULER)):
            continue
        done = subprocess.run(
            [*RUN[language], block.replace(SCHEDULER, scheduler)],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    assert {p.name for p in (tmp_path / "example").iterdir()} >= {
        "counts.tsv.gz",
        "samples.tsv",
        "report",
        "results.tsv",
    }
    assert {p.name for p in (tmp_path / "example" / "report").iterdir()} >= {
        "report.html",
        "report.md",
        "report.json",
        "tables",
        "figures",
    }


def test_schedulers_and_workers_start_as_shown():
    """As far as their options go: they would run until they are stopped."""
    (block,) = (block for _, block in BLOCKS if block.startswith(STARTS_A_SCHEDULER))
    for line in block.splitlines():
        dask, command, *arguments = line.split()
        options = [word for word in arguments if word.startswith("--")]
        done = subprocess.run(
            [str(Path(sys.executable).with_name(dask)), command, "--help"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert [option for option in options if option not in done.stdout] == []
    assert SCHEDULER in block
    assert TEXT.count(SCHEDULER) == 2


def test_both_scripts_are_shown():
    for script in ("scripts/demo", "scripts/test"):
        assert script in TEXT
        assert os.access(README.parent / script, os.X_OK)


def test_table_of_questions_is_that_of_the_registry():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT, flags=re.MULTILINE))
    assert rows == {name: entry.question for name, entry in registered().items()}


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))
def test_link_into_the_repository_leads_somewhere(target):
    assert (README.parent / target).exists()
