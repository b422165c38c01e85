"""report.json: strict, true to its schema, and back."""

import copy
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dediag.finding import Figure, Finding, Metric, Status, Table
from dediag.report import from_json, schema, timestamp, to_json
from dediag.report.plain import plain
from dediag.report.report import to_document


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(schema.load())
    return jsonschema.Draft202012Validator(schema.load())


def bare(report):
    """The report without the contents that JSON does not hold."""
    findings = tuple(
        replace(
            finding,
            tables=tuple(Table(t.name, t.caption, {}) for t in finding.tables),
            figures=tuple(Figure(f.name, "", f.caption, f.alt) for f in finding.figures),
        )
        for finding in report.findings
    )
    return replace(report, findings=findings, tables=())


def refuse(word):
    raise AssertionError(word)


def test_json_is_strict_and_satisfies_the_schema(report, validator) -> None:
    document = json.loads(to_json(report), parse_constant=refuse)
    validator.validate(document)
    assert document["schema_version"] == "1.0"
    assert document["status"] == "error"
    assert [f["id"] for f in document["findings"]] == [f.id for f in report.findings]
    assert document["findings"][0]["metrics"][1]["value"] == pytest.approx(0.0041234567891)
    assert document["findings"][0]["tables"][0]["file"] == "tables/imbalance_draws.tsv.gz"
    assert document["findings"][0]["figures"][0]["file"] == "figures/imbalance_shift.svg"


def test_keys_are_those_of_the_contract(report) -> None:
    document = to_document(report)
    assert set(document) == {
        "schema_version", "dediag_version", "created", "seed", "command", "inputs", "design", "fit", "strata", "status",
        "explanations", "findings",
    }  # fmt: skip
    assert set(document["inputs"]) == {"counts", "samples", "results", "absent"}
    assert set(document["inputs"]["counts"]) == {"path", "sha256", "n_genes", "n_samples", "format"}
    assert set(document["fit"]) == {
        "alpha", "n_tested", "n_up", "n_down", "n_outliers", "n_low_counts", "filter_threshold", "trend",
        "prior_variance", "notices",
    }  # fmt: skip
    assert set(document["strata"][0]) == {"low", "high", "n_genes", "n_de", "up_share", "median_lfc"}
    assert set(document["findings"][0]) == {
        "id", "question", "status", "headline", "reason", "advice", "calls_at_risk", "metrics", "tables", "figures",
        "explanation", "references", "seconds",
    }  # fmt: skip
    assert set(document["findings"][0]["metrics"][0]) == {"name", "value", "low", "high", "limit", "unit"}


def test_json_and_back(report) -> None:
    text = to_json(report)
    again = from_json(text)
    assert to_json(again) == text
    assert to_document(again) == to_document(bare(report))


def test_a_report_without_notices_is_still_one(report, validator) -> None:
    """They came after schema version 1.0 was published, which they do not break: optional."""
    document = to_document(report)
    del document["fit"]["notices"]
    validator.validate(document)
    assert from_json(json.dumps(document)).fit.notices == ()


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.integers(-(2**60), 2**60),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.integers(-(2**60), 2**60).map(np.int64),
    st.booleans().map(np.bool_),
)


@settings(max_examples=40, deadline=None)
@given(value=scalars, number=st.one_of(st.none(), st.floats()), text=st.text(max_size=30), risk=st.integers(0, 10**6))
def test_any_finding_survives_json(make, value, number, text, risk) -> None:
    metric = Metric("m", value, number, number, number, text)
    finding = Finding("own", text, Status.WARN, text, text, text, risk, (metric,), explanation=text, references=(text,))
    report = replace(make(only=frozenset()), findings=(finding,))
    written = to_json(report)
    json.loads(written, parse_constant=refuse)
    again = from_json(written)
    assert to_json(again) == written
    assert again.findings[0].headline == text
    assert again.findings[0].metrics[0].value == plain(value)


def test_not_a_number_becomes_null(make) -> None:
    finding = Finding("own", "?", Status.PASS, "", metrics=(Metric("m", np.nan, low=-np.inf, high=np.inf),))
    metric = to_document(replace(make(only=frozenset()), findings=(finding,)))["findings"][0]["metrics"][0]
    assert (metric["value"], metric["low"], metric["high"]) == (None, None, None)


def test_what_json_cannot_hold_is_refused(make) -> None:
    finding = Finding("own", "?", Status.PASS, "", metrics=(Metric("m", {1, 2}),))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="set"):
        to_json(replace(make(only=frozenset()), findings=(finding,)))


def test_a_name_that_is_no_file_name_is_refused(make) -> None:
    finding = Finding("own", "?", Status.PASS, "", tables=(Table("../../x", "", {}),))
    with pytest.raises(ValueError, match="own schema"):
        to_json(replace(make(only=frozenset()), findings=(finding,)))


def test_overall_status_ignores_what_does_not_count(make) -> None:
    assert make(only=frozenset({"glm_agreement", "my_own"})).status is Status.PASS
    assert make(only=frozenset({"glm_agreement", "imbalance", "noise_floor"})).status is Status.WARN


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(document, path, change):
    changed = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if change == "delete":
        del parent[path[-1]]
    elif change == "add" and isinstance(parent[path[-1]], dict):
        parent[path[-1]]["surplus"] = 1
    else:
        parent[path[-1]] = change
    return changed


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_our_check_and_the_published_schema_agree(report, validator, data) -> None:
    """Whatever is changed in a report, `schema.violation` says what a full JSON Schema validator says."""
    document = to_document(report)
    path = data.draw(st.sampled_from([place for place in places(document) if place]))
    change = data.draw(st.sampled_from(["delete", "add", None, True, -1, 0.5, 1.0, "text", "pass", [], {}, ["text"]]))
    changed = mutated(document, path, change)
    assert (schema.violation(changed) is None) == validator.is_valid(changed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("[]", "not object"),
        ('{"schema_version": NaN}', "not strict JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema_version": "2.0"}', "no 'dediag_version'"),
    ],
)
def test_foreign_json_is_named(text, says) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(text)


def test_wrong_status_is_named_with_its_place(report) -> None:
    document = to_document(report)
    document["findings"][1]["status"] = "great"
    with pytest.raises(ValueError, match=r'findings\[1\]\.status is "great", not pass or warn'):
        from_json(json.dumps(document))


def test_source_date_epoch_is_honoured(monkeypatch, make) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert timestamp() == "1970-01-02T00:00:00Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert timestamp() > "2024"
