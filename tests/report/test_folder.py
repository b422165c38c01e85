"""The report folder: whole or not at all, read back, rendered again to the same bytes, bad folders named."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dediag.cohort import InputError
from dediag.finding import Finding, Status
from dediag.report import folder as report_folder
from dediag.report import read, refuse_occupied, render, to_json, write

PAGES = ("report.html", "report.md")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(report, tmp_path_factory) -> Path:
    return write(report, tmp_path_factory.mktemp("reports") / "audit")


@pytest.fixture
def copy(report, tmp_path) -> Path:
    return write(report, tmp_path / "audit")


def test_what_is_in_a_folder(written) -> None:
    assert set(contents(written)) == {
        "report.json", "report.html", "report.md",
        "tables/fit.tsv.gz", "tables/samples.tsv.gz", "tables/imbalance_draws.tsv.gz", "tables/imbalance_arms.tsv.gz",
        "tables/heteroskedasticity_by_mean.tsv.gz", "figures/imbalance_shift.svg", "figures/sign_asymmetry_split.svg",
    }  # fmt: skip
    assert [p.name for p in written.parent.iterdir()] == ["audit"]


def test_same_report_same_bytes(written, copy) -> None:
    assert contents(copy) == contents(written)


def test_read_gives_the_report_and_writing_it_again_the_same_bytes(written, report, tmp_path) -> None:
    again = read(written)
    assert to_json(again) == to_json(report)
    assert [t.name for t in again.tables] == ["fit", "samples"]
    assert again.tables[0].columns["p"] == tuple(report.tables[0].columns["p"])
    assert again.findings[0].figures == report.findings[0].figures
    assert contents(write(again, tmp_path / "again")) == contents(written)


def test_render_restores_the_pages_byte_for_byte(copy) -> None:
    before = contents(copy)
    for page in PAGES:
        (copy / page).unlink()
    assert render(copy) == copy / "report.html"
    assert contents(copy) == before


def test_render_reads_what_lies_on_disk(copy) -> None:
    text = (copy / "report.json").read_text()
    (copy / "report.json").write_text(text.replace("Keep all samples", "Keep every sample"))
    render(copy)
    assert "Keep every sample" in (copy / "report.html").read_text()
    assert "Keep every sample" in (copy / "report.md").read_text()


def test_occupied_places(tmp_path, report) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="not empty"):
        write(report, tmp_path / "notes")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        refuse_occupied(tmp_path / "file", overwrite=True)
    (tmp_path / "empty").mkdir()
    assert (write(report, tmp_path / "empty") / "report.html").exists()
    assert (write(report, tmp_path / "deep" / "er") / "report.html").exists()


def test_overwriting_keeps_what_is_not_ours(tmp_path, report) -> None:
    target = tmp_path / "notes"
    target.mkdir()
    (target / "mine.txt").write_text("keep me")
    write(report, target, overwrite=True)
    write(report, target, overwrite=True)
    assert (target / "mine.txt").read_text() == "keep me"
    assert (target / "report.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


def test_overwriting_a_folder_of_somebody_else_is_refused(tmp_path, report) -> None:
    target = tmp_path / "thesis"
    (target / "figures").mkdir(parents=True)
    (target / "figures" / "one.svg").write_text("mine")
    with pytest.raises(InputError, match="not a dediag report but holds figures"):
        write(report, target, overwrite=True)
    assert (target / "figures" / "one.svg").read_text() == "mine"


def test_overwriting_leaves_no_stale_tables(copy, make) -> None:
    write(make(only=frozenset({"imbalance"})), copy, overwrite=True)
    assert not (copy / "tables" / "heteroskedasticity_by_mean.tsv.gz").exists()


def test_a_failing_write_leaves_the_old_report(copy, report) -> None:
    before = contents(copy)
    broken = replace(report, findings=(*report.findings, Finding("no/name", "?", Status.PASS, "")))
    with pytest.raises(ValueError, match="own schema"):
        write(broken, copy, overwrite=True)
    assert contents(copy) == before
    assert [p.name for p in copy.parent.iterdir()] == ["audit"]


def test_interrupted_while_moving_restores_the_old_report(copy, report, monkeypatch) -> None:
    before = contents(copy)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(report, copy, overwrite=True)
    monkeypatch.undo()
    assert contents(copy) == before
    assert [p.name for p in copy.parent.iterdir()] == ["audit"]


def test_a_place_that_cannot_be_written_is_named(tmp_path, report, monkeypatch) -> None:
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(report_folder, "_fill", refuse)
    with pytest.raises(InputError, match="cannot be written there \\(Permission denied\\)"):
        write(report, tmp_path / "audit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "report.json").unlink(), "holds no report.json"),
        (lambda f: (f / "report.json").write_text("{"), "is not a dediag report of schema version 1.0"),
        (lambda f: (f / "report.json").write_bytes(b"\xff\xfe"), "is not a dediag report"),
        (lambda f: (f / "report.json").write_text('{"schema_version": "1.0"}'), "there is no 'dediag_version'"),
        (lambda f: (f / "tables" / "imbalance_arms.tsv.gz").unlink(), "imbalance_arms.tsv.gz is missing"),
        (lambda f: (f / "tables" / "imbalance_arms.tsv.gz").write_bytes(b"no"), "is not a table"),
        (
            lambda f: (f / "tables" / "imbalance_arms.tsv.gz").write_bytes(
                (f / "tables" / "imbalance_arms.tsv.gz").read_bytes()[:30]
            ),
            "is not a table",
        ),
        (lambda f: (f / "figures" / "imbalance_shift.svg").unlink(), "imbalance_shift.svg is missing"),
        (lambda f: (f / "figures" / "imbalance_shift.svg").write_text("<svg"), "is not a figure"),
    ],
)
def test_broken_folders_are_named(copy, break_it, says) -> None:
    break_it(copy)
    before = contents(copy)
    with pytest.raises(InputError, match=says) as caught:
        render(copy)
    assert "\n" not in str(caught.value)
    assert contents(copy) == before


def test_a_folder_that_is_not_there(tmp_path) -> None:
    with pytest.raises(InputError, match=r"holds no report\.json"):
        render(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no report\.json"):
        read(tmp_path / "nowhere")


KILLED = """
import sys
from dediag.report import folder, read, write
report = read(sys.argv[1])
fill = folder._fill
def slow(report, partial):
    fill(report, partial)
    print("filling", flush=True)
    import time
    time.sleep(60)
folder._fill = slow
write(report, sys.argv[2], overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("existing", [True, False])
def test_killed_while_writing(written, report, tmp_path, existing) -> None:
    target = tmp_path / "audit"
    if existing:
        write(report, target)
    before = contents(target)
    run = subprocess.Popen([sys.executable, "-c", KILLED, written, target], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "filling\n"
    time.sleep(0.1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert target.exists() == existing
    assert contents(target) == before
