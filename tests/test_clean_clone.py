"""What a stranger does with the checkout: runs the scripts, kills a run, opens the report."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image as mpimg
import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
DEDIAG = str(Path(sys.executable).with_name("dediag"))
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PYTHON_FOLDER = Path(sys.base_prefix) / "bin"
BARE = {"PATH": f"{PYTHON_FOLDER}:/usr/bin:/bin", "HOME": str(Path.home())}  # what env -i and a login leave
THREAD = {  # questions of the support thread by their row in its table, and the words that answer them, N a number
    "1, the sizes": "Unequal group size (71 v 29) does not bias the fold changes: N balanced draws move the median "
    "fold change by N log2, predicted N (90 % interval of the difference N to N,",
    "1, the split": "N up, N down (N % up); this design gives N % up by itself, N to N % in one study",
    "9, the lean": "At the floor fold changes lean by themselves: N % of N uncalled genes are up, above it N %",
    "9, what is not seen": "With 80 % power the median gene's test finds N-fold up and N-fold down",
    "10, the floors": "measurement floors differ by a factor of N (limit 2.5): case N CPM, control N CPM",
    "10, the list above": "N of N calls lie below the working floor, N up and N down above it",
    "12, one-sided": "N % of the calls are up, and this design gives N % (N % to N %) with as many true rises as falls",
    "12, excluded": "Imbalance (none): Refits of balanced draws move the median log2 fold change by N",
}
NUMBER = r"[+-]?[\d,]*\.?\d+"
OWN_TO_A_RUN = {"created", "command", "seconds"}  # all that may differ between two runs of the same seed


def call(*command: str | Path, cwd: Path | None = None, env: dict[str, str] = BARE, limit: int = 1200):
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=limit, check=False)


def copy_of_checkout(target: Path) -> Path:
    """The files of the checkout that git does not ignore, as a clone of the next commit would have them."""
    root = HERE.parent
    listed = call("git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z", env=dict(os.environ))
    if listed.returncode != 0:
        pytest.skip("the checkout is not a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    return target


def without_run(value):
    """A report's document without what belongs to one run only."""
    if isinstance(value, dict):
        return {k: without_run(v) for k, v in value.items() if k not in OWN_TO_A_RUN}
    return [without_run(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return copy_of_checkout(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def demo(clone: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The first run of scripts/demo, from another folder, and the folder of its report."""
    done = call(clone / "scripts" / "demo", cwd=Path("/"))
    assert done.returncode == 0, done.stderr[-3000:]
    return done, clone / "dediag-demo"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A small simulated study: counts.tsv.gz and samples.tsv."""
    folder = tmp_path_factory.mktemp("simulated") / "study"
    size = ["--genes", "1500", "--n-test", "6", "--n-reference", "18"]
    done = call(DEDIAG, "simulate", "-o", folder, *size, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return folder


def audit_command(study: Path, output: Path, *more: str) -> list[str]:
    files = [str(study / "counts.tsv.gz"), str(study / "samples.tsv")]
    model = ["--design", "~ group", "--contrast", "group", "case", "control"]
    return [DEDIAG, "audit", *files, *model, "-o", str(output), *more]


@pytest.mark.slow
class TestCleanClone:
    def test_demo_audits_the_embedded_study_and_says_where(self, demo):
        done, folder = demo
        assert "dediag-demo" in done.stdout.splitlines()[-1]
        report = json.loads((folder / "report.json").read_text("utf-8"))
        assert (report["design"]["n_test"], report["design"]["n_reference"]) == (71, 29)
        assert report["inputs"]["counts"]["n_genes"] == 12_029
        assert report["status"] != "error"
        assert (folder / "report.html").stat().st_size < 5_000_000

    @pytest.mark.parametrize("question", THREAD)
    def test_demo_answers_the_thread_in_words_and_numbers(self, demo, question):
        words = re.escape(THREAD[question]).replace("N", NUMBER)
        assert re.search(words, (demo[1] / "report.md").read_text("utf-8"))

    def test_demo_again_installs_nothing_and_gives_the_same_report(self, demo, clone):
        _, folder = demo
        first = json.loads((folder / "report.json").read_text("utf-8"))
        again = call(clone / "scripts" / "demo", "--no-cache", cwd=clone)
        assert again.returncode == 0, again.stderr[-3000:]
        assert "Installing" not in again.stderr
        assert without_run(json.loads((folder / "report.json").read_text("utf-8"))) == without_run(first)

    @pytest.mark.usefixtures("demo")
    def test_test_script_passes_its_arguments_and_shares_the_environment(self, clone):
        tested = call(clone / "scripts" / "test", "tests/test_layers.py", cwd=Path("/"))
        assert tested.returncode == 0, (tested.stdout + tested.stderr)[-3000:]
        assert "passed" in tested.stdout
        again = call(clone / "scripts" / "test", "tests/test_layers.py", "--collect-only", cwd=clone)
        assert "Installing" not in again.stderr
        shown = call(clone / "scripts" / "demo", "--help", cwd=clone)
        assert shown.returncode == 0
        assert "Installing" not in shown.stderr

    def test_what_the_scripts_make_is_ignored_by_git(self):
        for name in (".venv/", "dediag-demo/"):
            assert call("git", "-C", HERE.parent, "check-ignore", name, env=dict(os.environ)).returncode == 0


@pytest.mark.parametrize("script", ["demo", "test"])
def test_scripts_say_what_is_missing_where_there_is_no_python(tmp_path, script):
    shutil.copytree(HERE.parent / "scripts", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    done = call(tmp_path / "scripts" / script, env={"PATH": str(tmp_path / "bin")}, limit=60)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
class TestKill:
    @pytest.mark.parametrize("seconds", [0.5, 4, 10])
    def test_a_killed_audit_leaves_a_whole_report_or_none(self, study, tmp_path, seconds):
        output = tmp_path / "report"
        with subprocess.Popen(audit_command(study, output, "--quiet")) as running:
            time.sleep(seconds)
            running.kill()
        if output.exists():
            assert json.loads((output / "report.json").read_text("utf-8"))
            assert (output / "report.html").is_file()
        quick = ["--only", "noise_floor", "--overwrite", "--quiet"]
        done = call(*audit_command(study, output, *quick), env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        assert (output / "report.html").is_file()

    def test_ctrl_c_ends_with_130_and_leaves_nothing(self, study, tmp_path):
        output = tmp_path / "report"
        command = audit_command(study, output, "--draws", "2000", "--quiet")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            time.sleep(6)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=60)
        assert running.returncode == 130
        assert "Traceback" not in errors
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed")
class TestInABrowser:
    def browse(self, tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Open a page without network; the browser's own messages are on stderr."""
        alone = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"]
        done = call(str(BROWSER), *alone, *offline, *options, page.as_uri(), env=dict(os.environ), limit=180)
        assert done.returncode == 0, done.stderr[-2000:]
        return done

    def test_report_needs_no_network(self, demo):
        text = (demo[1] / "report.html").read_text("utf-8")
        for attribute in ('src="http', "src='http", 'href="http', "url(http", "@import"):
            used = [text[max(i - 40, 0) : i + 80] for i in range(len(text)) if text.startswith(attribute, i)]
            assert all("<a " in place for place in used), attribute

    def test_first_screen_says_status_and_sizes(self, demo, tmp_path):
        shown = self.browse(tmp_path, demo[1] / "report.html", "--dump-dom")
        report = json.loads((demo[1] / "report.json").read_text("utf-8"))
        for words in ("71", "29", *(finding["question"] for finding in report["findings"])):
            assert words in shown.stdout
        assert "Uncaught" not in shown.stderr

    @pytest.mark.parametrize("scripts", [True, False])
    @pytest.mark.parametrize("width", [390, 1280])
    def test_report_is_a_picture_with_something_on_it(self, demo, tmp_path, width, scripts):
        page, picture = tmp_path / "report.html", tmp_path / "report.png"
        text = (demo[1] / "report.html").read_text("utf-8")
        page.write_text(text if scripts else re.sub("<script.*?</script>", "", text, flags=re.DOTALL), "utf-8")
        self.browse(tmp_path, page, f"--window-size={width},1000", f"--screenshot={picture}")
        pixels = mpimg.imread(picture)[..., :3]
        ink = np.abs(pixels - np.median(pixels, axis=(0, 1))).max(axis=2) > 0.2
        assert 0.01 < ink.mean() < 0.6
        assert ink[: len(ink) // 2].any()
        assert ink[len(ink) // 2 :].any()
