"""What every diagnostic keeps to, asked of each one that is registered, on a small cohort with few draws.

A healthy cohort gives pass or not_assessable; the diagnostic's own fault gives a status that it names.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from dediag import auditing
from dediag.contract import NotAssessable, registered
from dediag.finding import Finding, Status
from dediag.report.plain import plain
from dediag.settings import AuditSettings
from dediag.simulation import FAULTS, simulate

if TYPE_CHECKING:
    from dediag.auditing import Audit
    from dediag.cohort import Cohort

SETTINGS = AuditSettings(draws=10, permutations=20, bootstraps=20)
COHORT = {"n_genes": 500, "n_test": 6, "n_reference": 15, "seed": 1, "effect_share": 0.2, "effect_sd": 1.2}
IDS = tuple(registered())
TESTS = Path(__file__).resolve().parent / "diagnostics"
REPORTS = Path(__file__).resolve().parents[1] / "reports"

# Other programs read these names from report.json: they change only with the schema's version.
METRICS = {
    "imbalance": "draws draw_size lfc_bias_median lfc_bias_predicted lfc_bias_ci_low lfc_bias_ci_high lfc_slope "
    "up_fraction_full up_fraction_balanced up_fraction_control size_full size_balanced",
    "group_weights": "max_lfc_change median_se_ratio size_weighted power_ratio",
    "convergence": "max_change_se_test max_change_se_reference n_not_converged n_separated n_floor",
    "influence": "worst_sample de_change_worst cooks_share_worst cross_group_score",
    "replicability": "jaccard_observed jaccard_expected exaggeration wrong_sign_rate n_stable",
    "confounding": "worst_covariate association_worst vif_contrast depth_ratio repeated_individuals",
    "sign_asymmetry": "n_up n_down up_fraction expected_up_fraction expected_low expected_high p_value trend_with_mean",
    "normalization": "max_shift_log2 dispersion_shift_log2 balancing_shift_log2 top10_share_max n_reference_genes",
    "noise_floor": "measurement_floor_test measurement_floor_reference biological_floor_test "
    "biological_floor_reference model_floor floor_ratio n_de_below up_fraction_above up_fraction_below",
    "detection_limit": "min_fold_change_up_median min_fold_change_down_median share_untestable up_down_limit_ratio",
    "heteroskedasticity": "log2_dispersion_ratio ratio_ci_low ratio_ci_high predicted_size variance_ratio shift_log2 "
    "n_de_group_dispersion expected_fdp",
    "sample_quality": "worst_sample min_weight suspected_swap",
    "goodness_of_fit": "ks_distance zero_ratio outlier_share",
    "null_calibration": "permutation_size permutation_hits_median permutation_hits_p90 mock_split_size "
    "bootstrap_size distinct_splits",
    "p_value_shape": "shape pi0 right_excess",
    "log_scale_tests": "pearson spearman concordance gap_r2 gap_median jaccard_de",
    "glm_agreement": "n_compared max_lfc_difference max_se_ratio spearman_mle",
    "table_integrity": "format reproduced_share direction bh_ok n_mangled",
}


def audit(cohort: Cohort, only: str | None = None) -> Audit:
    chosen = None if only is None else [only]
    return auditing.audit(cohort, "~ group", ("group", "case", "control"), seed=7, settings=SETTINGS, only=chosen)


@cache
def healthy() -> tuple[Audit, str, str]:
    """The audit of the healthy cohort, and the cohort's digests before and after."""
    cohort, _ = simulate(**COHORT)
    before = digest(cohort)
    done = audit(cohort)
    return done, before, digest(cohort)


def finding_of(done: Audit, name: str) -> Finding:
    return next(f for f in done.findings if f.id == name)


@cache
def validated() -> dict[str, Any]:
    """The validation study in numbers."""
    return dict(json.loads((REPORTS / "validation.json").read_text("utf-8")))


def unknown_limits(finding: Finding) -> list[str]:
    """Numbers that are judged by another limit than in the validation study, or are not in it."""
    parts = (validated()["whole"]["healthy"], validated()["single"]["healthy"], validated()["single"]["faulty"])
    studied = {row["metric"]: row["limit"] for rows in parts for row in rows if row["diagnostic"] == finding.id}
    judged = [m for m in finding.metrics if m.limit is not None and isinstance(m.value, (int, float))]
    # a limit of None depends on the cohort
    return [m.name for m in judged if m.name not in studied or studied[m.name] not in (None, m.limit)]


def digest(cohort: Cohort) -> str:
    frame = pd.DataFrame(cohort.counts, index=cohort.genes, columns=cohort.samples.index)
    text = frame.to_csv() + cohort.samples.to_csv()
    return hashlib.sha256(text.encode()).hexdigest()


def document(finding: Finding) -> str:
    """Everything a finding holds but its time, as strict JSON."""
    tables = [(t.name, t.caption, {name: list(column) for name, column in t.columns.items()}) for t in finding.tables]
    figures = [(f.name, f.svg, f.caption, f.alt) for f in finding.figures]
    metrics = [(m.name, m.value, m.low, m.high, m.limit, m.unit) for m in finding.metrics]
    words: list[Any] = [finding.id, finding.status, finding.headline, finding.reason, finding.advice]
    return json.dumps(plain([*words, finding.calls_at_risk, metrics, tables, figures]), allow_nan=False)


def test_there_are_diagnostics():
    assert IDS


@pytest.mark.parametrize("name", IDS)
class TestItsFile:
    def test_docstring_opens_with_the_question_and_ends_with_references(self, name):
        entry = registered()[name]
        assert entry.question.endswith("?")
        assert len(entry.explanation) > 300
        assert entry.references

    def test_metrics_are_those_of_the_published_contract(self, name):
        assert set(METRICS[name].split()) <= set(registered()[name].diagnostic.metric_names)

    def test_its_fault_is_one_that_can_be_simulated(self, name):
        fault = registered()[name].diagnostic.fault
        if fault is not None:
            knob = FAULTS[fault.name]
            assert knob.low <= fault.strength <= knob.high
            assert fault.strength != knob.neutral
            assert fault.expects
            assert fault.expects <= {"warn", "fail"}

    def test_it_has_a_test_file_of_its_name(self, name):
        assert (TESTS / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", IDS)
class TestOnAHealthyCohort:
    def test_passes_or_is_not_assessable(self, name):
        finding = finding_of(healthy()[0], name)
        assert finding.status in (Status.PASS, Status.NOT_ASSESSABLE), (finding.headline, finding.reason)
        assert (finding.reason is not None) == (finding.status is Status.NOT_ASSESSABLE)

    def test_every_metric_is_there_once(self, name):
        names = [m.name for m in finding_of(healthy()[0], name).metrics]
        assert len(names) == len(set(names))
        assert set(registered()[name].diagnostic.metric_names) <= set(names)

    def test_every_limit_is_in_the_validation_study(self, name):
        assert validated()["whole"]["rates"][name]["warn"]["cohorts"] >= 1000
        assert not unknown_limits(finding_of(healthy()[0], name))

    def test_is_strict_json(self, name):
        finding = finding_of(healthy()[0], name)
        assert json.loads(document(finding))
        for metric in finding.metrics:
            assert metric.value is None or isinstance(metric.value, (bool, int, float, str)), metric

    def test_tables_are_rectangular_and_figures_are_pictures_with_words(self, name):
        finding = finding_of(healthy()[0], name)
        for table in finding.tables:
            assert len({len(column) for column in table.columns.values()}) == 1, table.name
            assert table.caption
        for figure in finding.figures:
            assert ET.fromstring(figure.svg).tag.endswith("svg")
            assert figure.caption
            assert figure.alt
        for items in (finding.tables, finding.figures):
            assert len({item.name for item in items}) == len(items)

    def test_same_seed_same_result(self, name):
        again = audit(simulate(**COHORT)[0], only=name)
        assert document(finding_of(again, name)) == document(finding_of(healthy()[0], name))

    def test_result_is_a_frozen_dataclass(self, name):
        diagnostic = registered()[name].diagnostic
        study = healthy()[0].study
        if not diagnostic.needs <= study.inputs:
            pytest.skip(f"{name} needs {', '.join(sorted(diagnostic.needs - study.inputs))}")
        try:
            result = diagnostic.compute(study)
        except NotAssessable as reason:
            pytest.skip(f"not assessable on this cohort: {reason}")
        assert is_dataclass(result)
        assert type(result).__dataclass_params__.frozen


def test_inputs_are_not_changed():
    _, before, after = healthy()
    assert before == after


@pytest.mark.parametrize("name", [n for n in IDS if registered()[n].diagnostic.fault is not None])
def test_its_fault_is_found(name):
    fault = registered()[name].diagnostic.fault
    assert fault is not None
    cohort, _ = simulate(**(COHORT | {fault.name: fault.strength}))
    finding = finding_of(audit(cohort, only=name), name)
    assert finding.status.value in fault.expects, (finding.headline, finding.reason)
    assert not unknown_limits(finding)


@pytest.mark.parametrize("name", IDS)
def test_what_it_needs_and_does_not_get_makes_it_not_assessable(name):
    missing = registered()[name].diagnostic.needs - healthy()[0].study.inputs
    if missing:
        finding = finding_of(healthy()[0], name)
        assert finding.status is Status.NOT_ASSESSABLE
        assert finding.reason
