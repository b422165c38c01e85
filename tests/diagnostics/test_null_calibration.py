"""null_calibration: each null sees what it should and not what it cannot; none is alarmed without a cause."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dediag
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics.null_calibration import FAIL_SIZE, LOW_SIZE, MOCK_TAIL, compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.resample.null_replicates import FalseCalls, NullReplicates
from dediag.settings import AuditSettings
from dediag.simulation import Population, simulate
from dediag.stats.error_model import Estimate

CONTRAST = ("group", "case", "control")
UNEQUAL = Path(__file__).resolve().parents[1] / "reference" / "simulated" / "unequal_dispersion_5v20"


def study_of(cohort, design="~ group", **options):
    settings = AuditSettings(**{"permutations": 40, "bootstraps": 10} | options)
    return open_study(cohort, design, CONTRAST, seed=3, settings=settings)


@cache
def result_of(n_test, n_reference, n_genes=500, seed=2, **faults):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **faults)
    return compute(study_of(cohort))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@cache
def reference_cohort():
    cohort = dediag.read_cohort(UNEQUAL / "counts.tsv.gz", UNEQUAL / "samples.tsv")
    return compute(study_of(cohort))


def test_the_bootstrap_exposes_unequal_dispersions_and_permutation_does_not():
    """No true effect, the smaller group four times as dispersed; DESeq2 calls 238 genes."""
    result = reference_cohort()
    value, verdict = numbers(result), judge(result)
    assert result.called.sum() == 238
    assert value["bootstrap_size"] == pytest.approx(0.2, abs=0.02)
    assert value["bootstrap_hits_median"] == pytest.approx(238, rel=0.3)
    assert value["permutation_size"] < 0.07
    assert value["permutation_hits_median"] <= 2
    assert value["mock_split_size"] < 0.06
    assert verdict.status is Status.FAIL
    assert "both sides of a permuted split hold samples of both groups" in verdict.advice
    assert verdict.calls_at_risk > 80


def test_a_healthy_study_passes():
    verdict, value = judge(result_of(5, 20)), numbers(result_of(5, 20))
    assert verdict.status is Status.PASS
    assert verdict.calls_at_risk == 0
    assert 0.03 < value["permutation_size"] < 0.07
    assert 0.03 < value["mock_split_size"] < 0.07
    assert value["distinct_splits"] == 53130


def test_a_cautious_test_is_told():
    verdict = judge(result_of(20, 6, group_dispersion_ratio=4.0))
    assert verdict.status is Status.WARN
    assert f"limit {100 * LOW_SIZE:g} %" in verdict.headline
    assert "too cautious" in verdict.advice


def test_a_hidden_batch_shows_in_mock_splits():
    result = result_of(6, 20, hidden_batch=2.5)
    assert numbers(result)["mock_split_size_p90"] > MOCK_TAIL
    verdict = judge(result)
    assert verdict.status in (Status.WARN, Status.FAIL)
    assert "Within control alone something other than the groups moves many genes together" in verdict.advice
    assert "Look for a batch" in verdict.advice


def test_extreme_counts_are_told_by_winsorising_and_their_sample_is_named():
    cohort, _ = simulate(n_genes=400, n_test=5, n_reference=12, seed=3)
    counts = cohort.counts.copy()
    bad = counts[:, 7] * np.exp(np.random.default_rng(1).normal(0, 1.8, 400))
    counts[:, 7] = np.rint(bad)
    result = compute(study_of(cohort.with_counts(counts)))
    assert next(iter(result.samples)) == cohort.samples.index[7]
    assert result.nulls["mock splits, winsorised"].hits_p90 < result.nulls["mock splits"].hits_p90


def test_what_a_study_is_too_small_for_is_left_out():
    result = result_of(3, 3, n_genes=300)
    value = numbers(result)
    assert value["distinct_splits"] == 10
    assert value["mock_split_size"] is None
    assert value["bootstrap_size"] is None
    assert result.judged == "permutations"
    assert judge(result).status is Status.PASS
    assert len(result.nulls["permutations"].hits) == 9


def test_strong_true_effects_are_no_alarm():
    for seed in range(2):
        assert judge(result_of(5, 5, n_genes=300, seed=seed, effect_share=0.3, effect_sd=1.5)).status is Status.PASS


def test_covariates_keep_their_place():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=10, seed=2, confounded_covariate=0.3)
    result = compute(study_of(cohort, "~ batch + group", permutations=20))
    assert {"permutations", "mock splits", "bootstrap"} <= set(result.nulls)
    assert judge(result).status is Status.PASS


def test_interactions_are_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=8, n_reference=8, seed=1)
    samples = cohort.samples.assign(batch=["a", "b"] * 8)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(study_of(replace(cohort, samples=samples), "~ batch * group"))


def test_status_follows_the_limits():
    result = result_of(5, 20)
    mock = result.nulls["mock splits"]

    def with_mock(sizes):
        return replace(result, nulls={**result.nulls, "mock splits": replace(mock, sizes=np.array(sizes))})

    def with_bounds(low, high):
        size = result.nulls["bootstrap"].size
        return replace(result, predicted=Estimate(size, low, high))

    assert judge(with_mock([0.05] * 10)).status is Status.PASS
    assert judge(with_mock([0.05] * 8 + [0.15, 0.15])).status is Status.WARN
    assert judge(with_mock([FAIL_SIZE + 0.01] * 10)).status is Status.FAIL
    assert judge(with_bounds(0.068, 0.2)).status is Status.WARN
    assert judge(with_bounds(0.11, 0.2)).status is Status.FAIL
    assert judge(with_bounds(0.06, 0.2)).status is Status.PASS


def test_tables_and_figure():
    nulls, genes, samples = tables(reference_cohort())
    plain = ["permutations", "mock splits"]
    assert nulls.columns["null"] == [*(f"{name}{end}" for name in plain for end in ("", ", winsorised")), "bootstrap"]
    assert nulls.columns["replicates"] == [40, 10, 20, 5, 5]
    assert 5 < len(set(genes.columns["gene_id"])) <= 50
    assert set(samples.columns["sample"]) == {f"s{k:03d}" for k in range(5, 25)}
    assert sum(samples.columns["share"]) == pytest.approx(1.0)
    (figure,) = draw(reference_cohort())
    assert figure.svg == draw(reference_cohort())[0].svg


def test_false_calls_against_their_definition():
    called = np.array([0.5, 0.0, 0.25])
    null = NullReplicates(np.zeros(4), np.zeros(4), called)
    normalised = np.array([[1.0, 9.0], [9.0, 1.0], [9.0, 1.0]])
    found = FalseCalls.of([null, null], normalised, 5)
    assert found.genes.tolist() == [0, 2]  # twice and once in four replicates of each null
    assert found.holders.tolist() == [1, 0]
    assert found.samples.tolist() == [1, 0]
    assert found.shares.tolist() == pytest.approx([2 / 3, 1 / 3])


def test_low_counts_have_a_bootstrap_without_limits():
    """Too few genes are expressed for a ratio of dispersions: the size is told, and not judged."""
    cohort, _ = simulate(
        n_genes=300, n_test=5, n_reference=12, seed=1, population=Population(log_mean=1, log_mean_sd=0.4)
    )
    result = compute(study_of(cohort, permutations=8, bootstraps=4))
    assert result.bounds is None
    assert judge(result).status is Status.PASS


def test_few_splits_are_told_and_not_judged():
    cohort, _ = simulate(n_genes=300, n_test=2, n_reference=2, seed=2)
    result = compute(study_of(cohort))
    assert result.judged is None
    assert len(result.nulls["permutations"].hits) == 2
    assert "limit" not in judge(result).headline
    assert "in permutations" in tables(result)[1].caption


def test_few_genes_are_not_assessable():
    cohort, _ = simulate(n_genes=60, n_test=6, n_reference=8, seed=2)
    with pytest.raises(NotAssessable, match="fewer than 100 genes"):
        compute(study_of(cohort))
