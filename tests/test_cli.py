"""The command line: every command, its exit code, and output that appears whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest

import dediag
from dediag import contract, reporting
from dediag.cli import arguments, bar, main
from dediag.cohort import InputError
from dediag.finding import Status
from dediag.model import contrasts, fit, size_factors

FEW = ["--draws", "3", "--permutations", "3", "--bootstraps", "3"]
DESIGN = ["--design", "~ group", "--contrast", "group", "case", "control"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a small study that `dediag simulate` wrote."""
    folder = tmp_path_factory.mktemp("simulated") / "study"
    words = ["simulate", "-o", str(folder), "--genes", "150", "--n-test", "4", "--n-reference", "7", "--seed", "5"]
    assert main([*words, "--fault", "group_dispersion_ratio=4", "depth_ratio=2"]) == 0
    return folder


@pytest.fixture
def inputs(study):
    return [str(study / "counts.tsv.gz"), str(study / "samples.tsv")]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# simulate


def test_simulated_study_is_the_one_of_python(study, inputs):
    assert names(study) == ["counts.tsv.gz", "samples.tsv", "truth.tsv.gz"]
    cohort, truth = dediag.simulate(
        n_genes=150, n_test=4, n_reference=7, seed=5, group_dispersion_ratio=4.0, depth_ratio=2.0
    )
    read = dediag.read_cohort(*inputs)
    np.testing.assert_array_equal(read.counts, cohort.counts)
    pd.testing.assert_frame_equal(read.samples, cohort.samples)
    written = pd.read_csv(study / "truth.tsv.gz", sep="\t", index_col=0, float_precision=None)
    pd.testing.assert_frame_equal(written, truth, check_names=False)


def test_same_bytes(study, tmp_path):
    words = ["simulate", "-o", str(tmp_path / "again"), "--genes", "150", "--n-test", "4", "--n-reference", "7"]
    assert main([*words, "--seed", "5", "--fault", "group_dispersion_ratio=4", "--fault", "depth_ratio=2"]) == 0
    for name in names(study):
        assert (tmp_path / "again" / name).read_bytes() == (study / name).read_bytes()


def test_simulate_overwrites_only_on_request(tmp_path, capsys):
    words = ["simulate", "-o", str(tmp_path / "s"), "--genes", "20"]
    assert main(words) == 0
    (tmp_path / "s" / "notes.txt").write_text("mine")
    first = (tmp_path / "s" / "counts.tsv.gz").read_bytes()
    assert main([*words, "--seed", "9"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "s" / "counts.tsv.gz").read_bytes() == first
    assert main([*words, "--seed", "9", "--overwrite"]) == 0
    assert (tmp_path / "s" / "counts.tsv.gz").read_bytes() != first
    assert (tmp_path / "s" / "notes.txt").read_text() == "mine"
    assert names(tmp_path) == ["s"]


def test_unknown_fault_is_listed(tmp_path, capsys):
    assert main(["simulate", "-o", str(tmp_path / "s"), "--fault", "magic=3"]) == 2
    assert "group_dispersion_ratio" in capsys.readouterr().err
    assert names(tmp_path) == []


# fit


@pytest.mark.parametrize("name", ["r.tsv", "r.tsv.gz", "r.csv"])
def test_fit_writes_the_table(tmp_path, inputs, capsys, name):
    assert main(["fit", *inputs, *DESIGN, "-o", str(tmp_path / name), "--threads", "1"]) == 0
    err = capsys.readouterr().err
    assert "group case vs control\nout of " in err
    assert "LFC > 0 (up)" in err
    cohort = dediag.read_cohort(*inputs)
    expected = dediag.fit(cohort, "~ group", ("group", "case", "control")).results
    table = pd.read_csv(tmp_path / name, sep="," if "csv" in name else "\t", index_col="gene_id")
    pd.testing.assert_frame_equal(table, expected, rtol=1e-12)
    assert names(tmp_path) == [name]
    if name.endswith(".gz"):
        assert (tmp_path / name).read_bytes()[4:8] == bytes(4)  # no time stamp: same table, same bytes


def test_fit_writes_the_corrected_analysis(tmp_path, inputs, capsys):
    corrected = ["--dispersion", "group", "--recentre", "-o", str(tmp_path / "r.tsv")]
    assert main(["fit", *inputs, *DESIGN, *corrected]) == 0
    err = capsys.readouterr().err
    assert "note: size factors recentred: " in err
    assert "note: tests have each group's own dispersion" in err
    table = pd.read_csv(tmp_path / "r.tsv", sep="\t", index_col="gene_id")
    assert {"dispTest", "dispReference", "df"} <= set(table)


def test_fit_to_stdout(inputs, capsys):
    assert main(["fit", *inputs, *DESIGN, "--quiet", "--search", "newton"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("gene_id\tbaseMean\tlog2FoldChange\tlfcSE\tstat\tpvalue\tpadj\t")
    assert len(out.splitlines()) == 151
    assert err == ""


def test_fit_options_reach_the_engine(monkeypatch, inputs):
    seen = {}

    def fitted(cohort, design, contrast, **options):
        seen.update(options, design=design, contrast=contrast)
        raise InputError("enough")

    monkeypatch.setattr(fit, "fit", fitted)
    words = ["--contrast", "group", "case", "--search", "newton", "--test", "lrt", "--reduced", "~ 1", "--alpha", ".05"]
    words += ["--lfc-threshold", ".5", "--alternative", "less", "--size-factors", "TMM", "--prior-variance", "2"]
    words += ["--dispersion", "group", "--recentre"]
    assert main(["fit", *inputs, "--design", "~ group", *words]) == 2
    seen.pop("progress")
    assert seen == {
        "design": "~ group", "contrast": ("group", "case"), "search": "newton", "test": "lrt", "reduced": "~ 1",
        "alpha": 0.05, "lfc_threshold": 0.5, "alternative": "less", "size_factors": "TMM", "prior_variance": 2.0,
        "dispersion": "group", "recentre": True,
    }  # fmt: skip


@pytest.fixture(scope="module")
def annotation(study, tmp_path_factory):
    """Options that name lengths by sample, control genes and spike-ins with their fold changes, all in files."""
    folder = tmp_path_factory.mktemp("annotation")
    genes = pd.read_csv(study / "counts.tsv.gz", sep="\t", index_col=0).index
    samples = pd.read_csv(study / "samples.tsv", sep="\t")["sample"]
    length = np.arange(len(genes))[:, None] + np.linspace(400.0, 600.0, len(samples))
    pd.DataFrame(length, genes, samples).to_csv(folder / "lengths.tsv", sep="\t")
    (folder / "control.txt").write_text("\n".join(genes[:120]) + "\n")
    (folder / "spikes.tsv").write_text("id\tlog2_fold_change\n" + "".join(f"{g}\t1\n" for g in genes[130:]) + "X\t0\n")
    named = {"gene-lengths": "lengths.tsv", "control-genes": "control.txt", "spike-ins": "spikes.tsv"}
    return [word for option, name in named.items() for word in (f"--{option}", str(folder / name))]


def test_gene_annotation_reaches_the_fit(tmp_path, inputs, annotation, capsys):
    assert main(["fit", *inputs, *DESIGN, *annotation, "-o", str(tmp_path / "r.tsv")]) == 0
    err = capsys.readouterr().err
    assert "note: gene lengths are the mean over 11 samples of " in err
    assert "note: spike-ins: 20 genes; 1 more of " in err
    assert "20 with a known fold change" in err
    assert "note: size factors are estimated from 120 control genes" in err
    cohort = dediag.read_cohort(*inputs, control_genes=annotation[3], spike_ins=annotation[5])
    expected = dediag.fit(cohort, "~ group", ("group", "case", "control")).results
    table = pd.read_csv(tmp_path / "r.tsv", sep="\t", index_col="gene_id")
    pd.testing.assert_frame_equal(table, expected, rtol=1e-12)


def test_gene_annotation_reaches_the_report(tmp_path, inputs, annotation, capsys):
    words = ["audit", *inputs, *DESIGN, "--only", "noise_floor,log_scale_tests", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "without")]) == 0
    assert main([*words, *annotation, "-o", str(tmp_path / "with")]) == 0
    without, with_all = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("without", "with"))
    named = ("No gene lengths", "No spike-ins")
    assert sum(sentence.startswith(named) for sentence in without["inputs"]["absent"]) == 2
    assert not any(sentence.startswith(named) for sentence in with_all["inputs"]["absent"])
    assert "--gene-lengths" in with_all["command"]
    assert any("120 control genes" in notice for notice in with_all["fit"]["notices"])
    scales = [f["tables"] for report in (without, with_all) for f in report["findings"] if f["id"] == "log_scale_tests"]
    texts = [
        "".join(gzip.decompress((tmp_path / name / table["file"]).read_bytes()).decode() for table in tables)
        for name, tables in zip(("without", "with"), scales, strict=True)
    ]
    assert "log FPKM" not in texts[0]
    assert "log FPKM" in texts[1]
    capsys.readouterr()


def test_results_replace_no_annotation(inputs, annotation, capsys):
    for path in annotation[1::2]:
        assert main(["fit", *inputs, *DESIGN, *annotation, "-o", path, "--overwrite"]) == 2
        assert "would replace an input" in capsys.readouterr().err


def test_a_long_list_of_ids_is_no_file_name(inputs, tmp_path, capsys):
    genes = ",".join(f"gene{i:03d}" for i in range(1, 120))
    assert main(["fit", *inputs, *DESIGN, "--control-genes", genes, "-o", str(tmp_path / "r.tsv")]) == 0
    assert "note: control genes: 119 genes" in capsys.readouterr().err


def test_choices_are_those_of_the_engine():
    assert arguments.SEARCHES == fit.SEARCHES
    assert arguments.TESTS == fit.TESTS
    assert arguments.ALTERNATIVES == contrasts.ALTERNATIVES
    assert arguments.SIZE_FACTORS == size_factors.METHODS


def test_first_use_says_that_it_compiles(monkeypatch, inputs, capsys):
    from dediag.model import kernels

    monkeypatch.setattr(kernels, "compiled", lambda: False)
    threads = []
    monkeypatch.setattr(kernels, "set_threads", threads.append)
    for quiet in ([], ["--quiet"]):
        assert main(["fit", *inputs, *DESIGN, *quiet, "--threads", "2"]) == 0
        assert ("first use: compiling" in capsys.readouterr().err) == (not quiet)
    assert threads == [2, 2]


def test_whole_number_covariate_gets_a_notice(tmp_path, inputs, capsys):
    samples = pd.read_csv(inputs[1], sep="\t")
    samples.assign(batch=[4, 6, 7] * 3 + [4, 6]).to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    words = ["fit", inputs[0], str(tmp_path / "s.tsv"), "--design", "~ batch + group", "-o", str(tmp_path / "r.tsv")]
    assert main([*words, "--contrast", "group", "case", "control"]) == 0
    assert "write C(batch)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "audit"])
def test_a_reference_level_that_nobody_named_is_said(monkeypatch, tmp_path, inputs, capsys, command):
    samples = pd.read_csv(inputs[1], sep="\t")
    samples.assign(dose=["low", "mid", "high"] * 3 + ["low", "mid"]).to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    monkeypatch.setattr(reporting, "audit", lambda *_, **__: (_ for _ in ()).throw(InputError("enough")))
    words = [command, inputs[0], str(tmp_path / "s.tsv"), "--design", "~ dose", "--contrast", "dose", "mid", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "out")]) == (0 if command == "fit" else 2)
    assert "note: the contrast names no reference level of 'dose': 'high' was chosen of high, low" in (
        capsys.readouterr().err
    )


def test_output_is_refused_before_anything_is_computed(monkeypatch, tmp_path, inputs, capsys):
    from dediag import simulation

    for module, name in ((fit, "fit"), (reporting, "audit"), (simulation, "simulate"), (simulation, "demo_study")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    folders, long = ("audit", "simulate", "demo"), "x" * 250  # a name, but with no room for that of the partial output
    refused = {
        "does not exist": [("fit", "nowhere/r.tsv"), *((command, "nowhere/report") for command in folders)],
        "this is a folder": [("fit", "full")],
        "replace an input": [("fit", inputs[0]), ("fit", inputs[1])],
        "give --overwrite": [("fit", "full/mine.txt"), *((command, "full") for command in folders)],
        "is a file": [(command, "full/mine.txt") for command in folders],
        "File name too long": [(command, name) for command in ("fit", *folders) for name in (long, long * 2)],
        "mounted": [(command, tmp_path.anchor) for command in folders],
    }
    monkeypatch.chdir(tmp_path)
    for said, cases in refused.items():
        for command, output in cases:
            words = [*inputs, *DESIGN] if command in ("fit", "audit") else []
            overwrite = ["--overwrite"] if said == "mounted" else []
            assert main([command, *words, "-o", output, *overwrite]) == 2
            err = capsys.readouterr().err
            assert said in err, (command, output, err)
            assert len(err.splitlines()) == 1
    assert names(tmp_path) == ["full"]
    assert names(tmp_path / "full") == ["mine.txt"]


@pytest.mark.parametrize("command", ["fit", "audit", "simulate", "demo"])
def test_a_place_that_cannot_be_written_is_found_by_trying(monkeypatch, tmp_path, inputs, capsys, command):
    from dediag import simulation

    for module, name in ((fit, "fit"), (reporting, "audit"), (simulation, "simulate"), (simulation, "demo_study")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed"))

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(tmp_path), "mkdir", refuse)
    words = [*inputs, *DESIGN] if command in ("fit", "audit") else []
    assert main([command, *words, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "cannot be written (Read-only file system)" in err
    assert len(err.splitlines()) == 1


def test_fit_overwrites_only_on_request(tmp_path, inputs, capsys):
    target = tmp_path / "r.tsv"
    target.write_text("precious")
    words = ["fit", *inputs, *DESIGN, "--quiet", "-o", str(target)]
    assert main(words) == 2
    assert capsys.readouterr().err == f"{target} exists and is not empty; choose another name or give --overwrite\n"
    assert target.read_text() == "precious"
    assert main([*words, "--overwrite"]) == 0
    assert target.read_text().startswith("gene_id\t")
    assert names(tmp_path) == ["r.tsv"]


def test_fit_writes_where_nothing_can_be_lost(tmp_path, inputs):
    """An empty file, as mktemp makes it, and a device: neither needs --overwrite."""
    (tmp_path / "empty.tsv").touch()
    for output in (str(tmp_path / "empty.tsv"), os.devnull):
        assert main(["fit", *inputs, *DESIGN, "--quiet", "-o", output]) == 0
    assert (tmp_path / "empty.tsv").read_text().startswith("gene_id\t")


def test_failed_writing_leaves_the_old_file(monkeypatch, tmp_path, inputs, capsys):
    (tmp_path / "r.tsv").write_text("old")

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    assert main(["fit", *inputs, *DESIGN, "-o", str(tmp_path / "r.tsv"), "--overwrite"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert names(tmp_path) == ["r.tsv"]
    assert (tmp_path / "r.tsv").read_text() == "old"


# audit, render, explain, list


@pytest.fixture(scope="module")
def audited(study, tmp_path_factory):
    """A report folder made on the command line, its exit code, and what was printed."""
    folder = tmp_path_factory.mktemp("audited") / "report"
    inputs = [str(study / "counts.tsv.gz"), str(study / "samples.tsv")]
    only = ["--only", "heteroskedasticity,noise_floor", "--skip", "noise_floor", "--fail-on", "fail"]
    command = ["audit", *inputs, *DESIGN, "-o", str(folder), *FEW, *only, "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "dediag", *command], capture_output=True, text=True, timeout=300, check=False
    )
    return folder, done, command


def test_audit_writes_a_report(audited, study):
    folder, done, command = audited
    report = json.loads((folder / "report.json").read_text())
    assert {"report.html", "report.md", "report.json", "tables", "figures"} == set(names(folder))
    assert done.stdout == f"{folder / 'report.html'}\n"
    assert f"overall: {report['status']}" in done.stderr
    assert report["seed"] == 3
    assert report["command"].startswith("dediag audit ")
    assert str(folder) in report["command"]
    assert report["inputs"]["counts"]["path"] == command[1]
    assert report["inputs"]["counts"]["n_genes"] == 150
    assert len(report["inputs"]["samples"]["sha256"]) == 64
    status = {finding["id"]: finding["status"] for finding in report["findings"]}
    assert {ident for ident, value in status.items() if value != "skipped"} == {"heteroskedasticity"}
    assert done.returncode == (1 if report["status"] == "fail" else 0)
    assert names(folder.parent) == ["report"]


def test_audit_overwrites_only_on_request(audited, capsys):
    folder, _, command = audited
    before = (folder / "report.json").read_bytes()
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "report.json").read_bytes() == before


def test_render(audited, capsys):
    folder, _, _ = audited
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert main(["render", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("report.html\n")
    assert (folder / "report.html").read_bytes() == before


def test_render_of_no_report(tmp_path, capsys):
    assert main(["render", str(tmp_path)]) == 2
    assert "report.json" in capsys.readouterr().err


def test_an_audit_without_figures_says_the_same(tmp_path, inputs):
    words = ["audit", *inputs, *DESIGN, "--only", "noise_floor", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "with")]) == 0
    assert main([*words, "--no-figures", "-o", str(tmp_path / "without")]) == 0
    found = [json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("with", "without")]
    for one, other in zip(*found, strict=True):
        assert other["figures"] == []
        assert one["headline"] == other["headline"]
        assert one["metrics"] == other["metrics"]
    assert any(one["figures"] for one in found[0])
    assert not list((tmp_path / "without").rglob("*.svg"))


@pytest.mark.parametrize(
    ("status", "fail_on", "code"),
    [
        ("pass", "warn", 0), ("warn", "warn", 1), ("warn", "fail", 0), ("fail", "fail", 1), ("fail", "warn", 1),
        ("fail", "never", 0), ("error", "never", 3), ("error", "warn", 3),
    ],
)  # fmt: skip
def test_exit_codes_of_an_audit(monkeypatch, tmp_path, inputs, status, fail_on, code):
    from dediag import report

    made = Namespace(status=Status(status), findings=())
    monkeypatch.setattr(reporting, "audit", lambda *_, **__: made)
    monkeypatch.setattr(report, "write", lambda *_, **__: None)
    assert main(["audit", *inputs, *DESIGN, "-o", str(tmp_path / "r"), "--fail-on", fail_on]) == code


@pytest.mark.parametrize(("memory", "said"), [(10_000, True), (2**40, False), (0, False)])
def test_an_audit_that_needs_more_memory_than_there_is_says_so(monkeypatch, tmp_path, inputs, capsys, memory, said):
    from dediag import cli, report

    monkeypatch.setattr(reporting, "audit", lambda *_, **__: Namespace(status=Status.PASS, findings=()))
    monkeypatch.setattr(report, "write", lambda *_, **__: None)
    monkeypatch.setattr(cli, "_memory", lambda: memory)
    main(["audit", *inputs, *DESIGN, "-o", str(tmp_path / "r"), "--quiet"])
    assert ("GiB of memory; this machine has" in capsys.readouterr().err) == said


def test_unknown_diagnostic_is_refused_at_once(monkeypatch, tmp_path, inputs, capsys):
    monkeypatch.setattr(reporting, "audit", lambda *_, **__: pytest.fail("computed"))
    for option in ("--only", "--skip"):
        assert main(["audit", *inputs, *DESIGN, "-o", str(tmp_path / "r"), option, "imbalance,weather"]) == 2
        err = capsys.readouterr().err
        assert "'weather'" in err
        assert "heteroskedasticity" in err
    assert main(["explain", "weather"]) == 2
    assert "imbalance" in capsys.readouterr().err


def test_list_and_explain(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(contract.registered())
    for ident, entry in contract.registered().items():
        assert main(["explain", ident]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{ident}: {entry.question}\n")
        assert entry.explanation in out
        assert all(f"- {reference}" in out for reference in entry.references)


def test_console_without_unicode():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = "import sys; from dediag.cli import main; code = main(['list']); sys.stdout.write('\u2264'); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0
    assert done.stdout.endswith(b"\\u2264")


# usage, defects, interruptions


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["audit", "c", "s"], "--design, --contrast, -o/--output"),
        (["fit", "c", "s", "--design", "~ g", "--contrast", "g"], "FACTOR TEST"),
        (["fit", "--design", "~ g", "--contrast", "g", "a", "b", "c", "s"], "COUNTS and SAMPLES before"),
        (["fit", "c", "s", "--design", "~ g", "--alpha", "small"], "'small' is not a number"),
        (["fit", "c", "s", "--design", "~ g", "--alpha", "nan"], "'nan' is not a number"),
        (["fit", "c", "s", "--design", "~ g", "--threads", "0"], "at least 1"),
        (["fit", "c", "s", "--design", "~ g", "--search", "binary"], "binary"),
        (["simulate", "-o", "x", "--fault", "depth_ratio"], "NAME=STRENGTH"),
        (["simulate", "-o", "x", "--genes", "1.5"], "'1.5' is not a whole number"),
        (["demo", "--only", ","], "no name"),
    ],
)
def test_usage(words, said, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dediag {dediag.__version__}\n"


def test_defect_of_ours(monkeypatch, tmp_path, inputs, capsys):
    monkeypatch.setattr(fit, "fit", lambda *_, **__: 1 / 0)
    words = ["fit", *inputs, *DESIGN, "--quiet", "-o", str(tmp_path / "r.tsv")]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "defect of dediag" in err
    assert "Traceback" not in err
    assert names(tmp_path) == []
    monkeypatch.setenv("DEDIAG_TRACEBACK", "1")
    assert main(words) == 3
    assert "Traceback" in capsys.readouterr().err


def test_interruption(monkeypatch, tmp_path, inputs, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "fit", interrupted)
    assert main(["fit", *inputs, *DESIGN, "--quiet", "-o", str(tmp_path / "r.tsv")]) == 130
    assert capsys.readouterr().err == "dediag: interrupted\n"
    assert names(tmp_path) == []


def test_termination_cleans_up(monkeypatch, tmp_path):
    from dediag import simulation

    def slow():
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("not terminated")

    monkeypatch.setattr(simulation, "demo_study", slow)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 143
    assert names(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_broken_pipe(inputs):
    """The reader leaves after one line: no message, exit code 0."""
    command = [sys.executable, "-m", "dediag", "fit", *inputs, *DESIGN, "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 0


# demo and progress


def test_demo_replaces_its_own_folder_only(monkeypatch, tmp_path, capsys):
    from dediag import simulation

    monkeypatch.setattr(simulation, "demo_study", lambda: dediag.simulate(n_genes=120, n_test=5, n_reference=3, seed=1))
    monkeypatch.chdir(tmp_path)
    words = ["demo", *FEW, "--only", "noise_floor", "--quiet"]
    for _ in range(2):
        assert main(words) == 0
        assert capsys.readouterr().out == "dediag-demo/report.html\n"
        assert names(tmp_path) == ["dediag-demo"]
    present = {"counts.tsv.gz", "samples.tsv", "truth.tsv.gz", "report.html", "report.md", "report.json"}
    assert set(names(tmp_path / "dediag-demo")) == present | {"tables", "figures"}
    read = json.loads((tmp_path / "dediag-demo" / "report.json").read_text())["inputs"]
    assert read["counts"]["path"] == "dediag-demo/counts.tsv.gz"
    assert gzip.decompress((tmp_path / "dediag-demo" / "counts.tsv.gz").read_bytes()).startswith(b"gene_id\tcase01\t")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").write_text('{"command": "something else"}')
    assert main([*words, "-o", "other"]) == 2
    assert names(tmp_path / "other") == ["report.json"]


def test_progress_without_a_terminal_is_a_line_for_each_step():
    said = []
    with bar.shown(said.append, quiet=False) as progress:
        for done in range(3):
            progress("refits", done, 3)
        progress("refits", 3, 3)
        progress("checks", 0, 0)
    assert said == ["dediag: refits", "dediag: checks"]


def test_long_work_without_a_terminal_tells_how_far_it_is(monkeypatch):
    said, clock = [], iter([100.0, 110.0, 121.0, 130.0, 142.0])
    monkeypatch.setattr(bar.time, "monotonic", lambda: next(clock))
    with bar.shown(said.append, quiet=False) as progress:
        for done in range(1, 6):
            progress("refits", 100 * done, 1000)
    assert said == ["dediag: refits", "dediag: refits, 300 of 1,000", "dediag: refits, 500 of 1,000"]


def test_progress_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with bar.shown(pytest.fail, quiet=False) as progress:
        progress("refits [of] draws", 0, 4)
        progress("refits [of] draws", 4, 4)
        progress("other work", 0, 4)
        progress("uncounted", 0, 0)
    assert capsys.readouterr().out == ""
