"""The scripts that write reports/ run: a small cohort each, no other tool, nothing compiled anew."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def run(script: str, *arguments: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DEDIAG_DATA"}
    if data is not None:
        environment["DEDIAG_DATA"] = str(data)
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)


def test_agreement_writes_both_reports(tmp_path: Path) -> None:
    done = run("agreement.py", "--cohorts", "small_5v5", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "agreement.json").read_text())["rows"]
    assert {"Wald", "Wald, Newton search", "LRT", "observation weights"} <= {row["case"] for row in rows}
    assert all(row["met"] is not False for row in rows)
    assert "### small_5v5" in (tmp_path / "agreement.md").read_text()


def test_agreement_names_unknown_cohorts(tmp_path: Path) -> None:
    done = run("agreement.py", "--cohorts", "nowhere", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_benchmark_measures_dediag_alone(tmp_path: Path) -> None:
    options = [
        "--only",
        "dediag",
        "--skip-cold",
        "--small",
        "--study",
        "300x14",
        "--repeats",
        "1",
        "--draws",
        "3",
        "--permutations",
        "4",
    ]
    done = run("benchmark.py", *options, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "benchmark.json").read_text())
    assert found["study"] == {"genes": 300, "test": 10, "reference": 4}
    assert set(found["refits"]["seconds"]) == {"3"}
    faster = [goal for goal in found["goals"] if "faster" in goal["goal"]]
    assert len(faster) == 5
    assert all(goal["met"] is None for goal in faster)  # nothing to compare with: not measured, not met
    page = (tmp_path / "benchmark.md").read_text()
    assert "not measured" in page
    (tmp_path / "benchmark.md").unlink()
    assert run("benchmark.py", "--page", "--out", str(tmp_path)).returncode == 0
    assert (tmp_path / "benchmark.md").read_text() == page


def test_benchmark_says_what_is_not_installed(tmp_path: Path) -> None:
    pytest.importorskip("statsmodels")
    options = ["--only", "inmoose", "--study", "300x14"]
    done = run("benchmark.py", *options, "--peers-python", sys.executable, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmark.md").read_text()
    assert "not installed" in page or "inmoose (DESeq2 port)" in page


def test_reports_name_no_machine_path(tmp_path: Path) -> None:
    done = run("benchmark.py", "--only", "limma_voom", "--skip-r", "--study", "300x14", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    for report in tmp_path.iterdir():
        assert str(tmp_path) not in report.read_text()
        assert str(SCRIPTS.parent) not in report.read_text()


@pytest.mark.slow
def test_large_cohort_measures_and_renders(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("zarr")
    from large_cohort_report import goals, section

    done = run("large_cohort.py", "--small", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "large_cohort.json").read_text())
    calls = {run["calls"] for name, run in found["fits"].items() if "newton" in name and run["genes"] == 300}
    assert len(calls) == 1  # whatever the format
    assert goals(found) == []  # of the large size only
    page = "\n".join(section(found))
    assert "300 x 50" in page
    assert str(tmp_path) not in page


@pytest.mark.slow
def test_conclusions_from_refits_stand_beside_the_truth(tmp_path: Path) -> None:
    done = run("validation_refits.py", "--cohorts", "2", "--equivalence", "3", "--workers", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_refits.json").read_text())
    assert {len(found[kind]) for kind in ("71 v 29", "3 v 500", "effect 1.0", "corrupted")} == {2}
    page = (tmp_path / "validation_refits.md").read_text()
    assert "| 3 v 100 | 2 |" in page
    assert "schurch2016" not in page  # whose data `run` does not name


@pytest.mark.slow
def test_error_rates_stand_beside_the_truth(tmp_path: Path) -> None:
    options = ["--genes", "600", "--sizes", "3", "6", "--splits", "1"]
    done = run("validation_variance.py", *options, "--workers", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_variance.json").read_text())
    assert len(found["grid"]) == 20
    assert all(("corrected" in cell) == (min(cell["n_test"], cell["n_reference"]) > 3) for cell in found["grid"])
    page = (tmp_path / "validation_variance.md").read_text()
    assert "| 6 v 6 | 4 |" in page
    assert "schurch2016" not in page  # whose data `run` does not name


@pytest.mark.slow
def test_ratios_and_shifts_stand_beside_the_truth(tmp_path: Path) -> None:
    done = run("validation_dispersions.py", "--cohorts", "2", "--shifts", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_dispersions.json").read_text())
    assert all(0 <= row["held"] <= row["cohorts"] == 2 for row in found["intervals"])
    assert all(row["told"] == pytest.approx(row["ratio"], abs=0.02) for row in found["shifts"])
    assert "| 6 v 15 | 4 |" in (tmp_path / "validation_dispersions.md").read_text()


@pytest.mark.slow
def test_alarms_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    validation = importlib.import_module("validation")
    assert set(validation.whole(1, 300)[0].run().outcomes) == set(validation.registered())  # none is left out of a rate
    options = ["--whole", "2", "--single", "1", "--genes", "300", "--whole-genes", "300"]
    done = run("validation.py", *options, "--workers", "2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation.json").read_text())
    assert found["whole"]["audits"] == 2
    assert found["single"]["audits"] == sum(1 + bool(row["fault"]) for row in found["single"]["rates"].values())
    healthy, faulty = (
        {(row["diagnostic"], row["metric"]): row for row in found[part][name]}
        for part, name in (("whole", "healthy"), ("single", "faulty"))
    )
    size, association = ("heteroskedasticity", "predicted_size"), ("confounding", "association_worst")
    assert healthy[size]["quantiles"][2] < faulty[size]["quantiles"][1]
    assert association not in healthy  # without a fault no covariate is there
    assert faulty[association]["quantiles"][1] > faulty[association]["limit"]
    page = (tmp_path / "validation.md").read_text()
    assert "| audits without a fault that fail, at most (upper bound) | all | 2 % | 77.6 % | **no** |" in page  # of two
    assert "| processor minutes, at most | whole audits | 240 | 0 | yes |" in page
    assert "| `confounding` | `depth_ratio` | 2.5 |" in page
    assert "ended early" not in page


def test_an_ended_study_counts_what_is_finished_and_keeps_its_other_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    validation = importlib.import_module("validation")
    trials = validation.alone(1, 300)
    validation.write("single", trials, [], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    found = validation.Audited({"confounding": validation.Outcome("warn", {"association_worst": (0.9, 0.5)})}, 2.0)
    validation.write("single", trials, [found], tmp_path)
    broken = validation.Audited({"confounding": validation.Outcome("error", {})}, 1.0)
    healthy = validation.Audited({"confounding": validation.Outcome("pass", {})}, 1.0)
    validation.write("whole", validation.whole(2, 300), [broken, healthy], tmp_path)
    results = json.loads((tmp_path / "validation.json").read_text())
    assert results["single"]["rates"]["confounding"]["found"]["hits"] == 1
    assert results["single"]["rates"]["influence"]["alarms"]["share"] is None
    page = (tmp_path / "validation.md").read_text()
    assert f"(ended early: {len(trials)} were planned)" in page
    assert "Diagnostics that broke: 1." in page


@pytest.mark.slow
def test_directions_are_told_part_by_part(tmp_path: Path) -> None:
    few = ["--leans", "2", "--causes", "1", "--genes", "400", "--out", str(tmp_path)]
    for parts in (["module", "skewed"], ["causes"]):
        done = run("validation_direction.py", "--parts", *parts, *few)
        assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_direction.json").read_text())
    assert [len(found[part]) for part in ("expected", "module", "skewed", "causes")] == [0, 2, 2, 9]
    page = (tmp_path / "validation_direction.md").read_text()
    assert "| one-sided biology |" in page


@pytest.mark.slow
def test_expected_shares_stand_beside_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    direction = importlib.import_module("validation_direction")
    row = direction.expected_cell(direction.Cell("plus or minus 1", 10, 10, 50.0, n_genes=400, spread=1.0), 2)
    assert row["assessed"] == 2
    assert row["told"] == pytest.approx(row["true"], abs=4 * row["se"])
    unknown = row | {"told": None, "se": None, "assessed": 0, "held": 0}
    page = direction.as_markdown({"expected": [row, unknown], "module": [], "skewed": [], "causes": []}, 400)
    assert f"({row['se']:.3f}) | " in page
    assert "not assessed" in page


@pytest.mark.slow
def test_limits_of_detection_stand_beside_simulated_tests(tmp_path: Path) -> None:
    options = ["--draws", "100", "--cohorts", "1", "--healthy", "2", "--faulty", "1"]
    done = run("validation_detection.py", *options, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_detection.json").read_text())
    assert len(found["grid"]) == 300
    assert found["seqc"] is None  # whose data `run` does not name
    assert "Not measured" in (tmp_path / "validation_detection.md").read_text()


def test_real_studies_are_not_audited_without_their_data(tmp_path: Path) -> None:
    done = run("validation_real.py", "--data", "pasilla", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not audited: pasilla (DEDIAG_DATA" in done.stderr
    assert json.loads((tmp_path / "validation_real.json").read_text()) == {"studies": {}}
    page = (tmp_path / "validation_real.md").read_text()
    assert "Not audited here: covid_thair2021," in page
    assert "(real studies need DEDIAG_DATA)" in page


def test_calls_are_told_apart_by_what_is_known_of_the_genes() -> None:
    from validation_real import known_genes, known_lines

    from dediag import auditing, reporting, simulate
    from dediag.settings import AuditSettings

    cohort, _ = simulate(n_genes=300, n_test=6, n_reference=6, seed=1, effect_share=0.3, effect_sd=2.0)
    settings = AuditSettings(bootstraps=6, figures=False)
    done = auditing.audit(
        cohort, "~ group", ("group", "case", "control"), settings=settings, only=["heteroskedasticity"]
    )
    calls = cohort.genes[done.study.significant]
    assert len(calls) > 10
    genes = pd.DataFrame({"gene_id": cohort.genes, "chr": ["X", "Y", None] * 100})
    genes = genes.assign(msY=genes["gene_id"].isin(calls[:3]), X_escape=genes["gene_id"].isin(calls[3:5]))
    known = known_genes(done.study, reporting.compose(done), genes)
    sums = [part["up"] + part["down"] for part in known.values()]
    assert sums[:2] == [3, 2]
    assert sum(sums) == len(calls)
    assert sum(part["genes"] for part in known.values()) == (done.study.fit.base_mean > 0).sum()
    page = "\n".join(known_lines(known, {"noise_floor": 4}))
    assert f"Other calls: {len(calls) - 5} ({sums[2]} of chromosome Y, {sums[3]} of chromosome X," in page
    assert "count at risk: 4 (noise_floor)." in page
    assert "| genes | up | down | below the noise floor | lost with group dispersions |" in page


@pytest.mark.slow
def test_a_real_study_is_audited_in_full(tmp_path: Path, real_data: Path) -> None:
    done = run("validation_real.py", "--draws", "12", "--data", "pasilla", "--out", str(tmp_path), data=real_data)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "validation_real.json").read_text())["studies"]
    assert list(found) == ["pasilla"]
    study = found["pasilla"]
    assert (study["n_test"], study["n_reference"], study["design"]) == (3, 4, "~ type + group")
    assert {finding["status"] for finding in study["findings"]} <= {"pass", "warn", "fail", "not_assessable"}
    *layers, whole = study["strata"]
    for side in ("n_up", "n_down"):
        assert sum(layer[side] for layer in layers) == whole[side] == study[side]
    page = (tmp_path / "validation_real.md").read_text()
    assert "treated over untreated, 3 v 4 samples" in page
    for finding in study["findings"]:
        assert f"| `{finding['id']}` | {finding['status'].replace('_', ' ')} |" in page
    for explanation in study["explanations"]:
        assert explanation["statement"] in page
    assert str(real_data) not in page
