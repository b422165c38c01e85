"""Definitions of the fold change, the predicted gap against simulation, and when it warns."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from dediag.contract import NotAssessable
from dediag.diagnostics import log_scale_tests
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.readers import read_cohort
from dediag.simulation import simulate
from dediag.stats import agreement
from dediag.study import Study


def compute(**arguments):
    cohort, _ = simulate(**{"n_genes": 400, "seed": 1, **arguments})
    study = Study(cohort, fit(cohort, "~ group", ("group", "case", "control")), 1)
    return study, log_scale_tests.compute(study)


@pytest.fixture(scope="module")
def healthy():
    return compute()


def test_three_definitions(healthy):
    """By hand, from counts: case.md's mistake is log2(mean log of cases / mean log of controls)."""
    study, result = healthy
    depth = np.exp(np.log(study.cohort.counts.sum(axis=0) / study.fit.size_factors).mean())
    gene = int(np.argmax(study.fit.base_mean))
    cpm = study.cohort.counts[gene] / study.fit.size_factors / depth * 1e6
    case, control = cpm[:10], cpm[10:]
    prior = 2 / depth * 1e6
    assert result.fold.difference[gene] == pytest.approx(np.log2(case + prior).mean() - np.log2(control + prior).mean())
    assert result.fold.ratio[gene] == pytest.approx(np.log2(case.mean() / control.mean()))
    assert result.fold.mistake[gene] == pytest.approx(np.log2(np.log2(case + 1).mean() / np.log2(control + 1).mean()))


def test_mistake_flattens_effects(healthy):
    _, result = healthy
    strong = result.steady & (np.abs(result.lfc) > 1) & (result.base_mean > 50)
    assert strong.any()
    assert (np.abs(result.fold.mistake[strong]) < 0.5 * np.abs(result.lfc[strong])).all()
    fair = agreement.concordance(result.fold.difference[result.steady], result.lfc[result.steady])
    assert agreement.concordance(result.fold.mistake[result.steady], result.lfc[result.steady]) < fair


@pytest.mark.parametrize(("n_test", "n_reference"), [(10, 10), (5, 20), (3, 30)])
def test_healthy_gap_is_predicted(n_test, n_reference):
    """What is left over is small even at 3 v 30, where the log of a mean of three is biased by -.03."""
    _, result = compute(n_test=n_test, n_reference=n_reference, n_genes=600, effect_share=0.0)
    assert abs(result.gap.left_over) < 0.02
    assert result.gap.strays < 0.02
    assert log_scale_tests.judge(result).status is Status.PASS


def test_unequal_dispersion_is_explained_not_bias():
    _, result = compute(group_dispersion_ratio=4.0, n_test=15, n_reference=15)
    gap = float(np.nanmedian(result.gap.seen))
    assert gap < -0.1
    assert abs(result.gap.left_over) < 0.25 * abs(gap)
    assert result.gap.r2 > 0.6
    assert log_scale_tests.judge(result).status is Status.PASS


def test_lost_counts_in_one_group_warn():
    _, result = compute(group_zero_inflation=0.2)
    verdict = log_scale_tests.judge(result)
    assert verdict.status is Status.WARN
    assert "concordance" in verdict.headline


def test_outliers_that_the_fit_replaced_warn():
    _, result = compute(outliers=0.2)
    verdict = log_scale_tests.judge(result)
    assert verdict.status is Status.WARN
    assert "replaced" in verdict.advice


def test_lengths_add_a_scale(healthy):
    study, without = healthy
    lengths = np.random.default_rng(1).integers(300, 9000, study.cohort.n_genes).astype(float)
    given = Study(replace(study.cohort, gene_lengths=lengths), study.fit, 1)
    result = log_scale_tests.compute(given)
    assert {t.scale for t in result.tests} - {t.scale for t in without.tests} == {"log FPKM"}
    # FPKM + 1 / length is CPM + 1 up to a factor per gene, so no test changes
    np.testing.assert_allclose(
        result.test_named("log FPKM", "Student").pvalue, result.test_named("log CPM", "Student").pvalue, rtol=1e-6
    )


def test_exchanging_the_groups_turns_the_signs():
    cohort, _ = simulate(n_genes=200, n_test=4, n_reference=8, seed=3)
    one, other = (
        log_scale_tests.compute(Study(cohort, fit(cohort, "~ group", ("group", *levels))))
        for levels in (("case", "control"), ("control", "case"))
    )
    np.testing.assert_allclose(one.fold.difference, -other.fold.difference, atol=1e-9)
    np.testing.assert_allclose(one.gap.predicted, -other.gap.predicted, atol=2e-3)


def test_covariates_and_absent_groups():
    cohort, _ = simulate(n_genes=150, n_test=6, n_reference=6, seed=4)
    counts = cohort.counts.copy()
    counts[0, :6], counts[1] = 0, 0  # absent in one group; absent
    cohort = cohort.with_counts(counts)
    cohort.samples["batch"] = ["a", "b"] * 6
    study = Study(cohort, fit(cohort, "~ batch + group", ("group", "case", "control")))
    result = log_scale_tests.compute(study)
    assert not result.seen[:2].any()
    assert np.isnan(result.gap.seen[:2]).all()
    assert len(log_scale_tests.tables(result)) == 5
    assert np.isfinite(result.gap.left_over)


def test_a_group_of_identical_copies_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[:, 6:] = counts[:, 6:7]  # six copies of one sample: no more than Poisson variance
    copies = cohort.with_counts(counts)
    with pytest.raises(NotAssessable, match="no dispersion of its own: no gene's dispersion"):
        log_scale_tests.compute(Study(copies, fit(copies, "~ group", ("group", "case", "control")), 1))


@pytest.mark.parametrize("shift", [0.1 - 1e-5, 0.1 + 1e-5, -0.1 - 1e-5, -1e-7])
def test_the_sentence_never_contradicts_the_status(healthy, shift):
    """The shift in the sentence is on the side of its limit that the status says, and never -0."""
    result = healthy[1]
    moved = replace(result.gap, seen=result.gap.seen - result.gap.left_over + shift)
    verdict = log_scale_tests.judge(replace(result, gap=moved))
    said = re.search(r"([-+][\d.e-]+) log2 left over", verdict.headline).group(1)
    assert (abs(float(said)) > 0.1) == (verdict.status is Status.WARN) == (abs(shift) > 0.1)


def test_a_shift_that_is_not_judged_is_not_set_beside_a_limit(healthy):
    result = healthy[1]
    moved = replace(result.gap, seen=result.gap.seen + 0.15, limit=np.full(len(result.genes), 9.0))  # no strays
    verdict = log_scale_tests.judge(replace(result, gap=moved, group_dispersions=False))
    assert verdict.status is Status.PASS
    assert "not judged" in verdict.headline
    assert "limit" not in verdict.headline


def test_lengths_from_a_file_reach_the_log_scales(real_data):
    """SEQC with the lengths of its genes: log FPKM is log CPM less log2 of the length, so no test of a gene changes."""
    folder = real_data / "data" / "seqc_coh"
    cohort = read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv", gene_lengths=folder / "genes.tsv.gz")
    few = cohort.take_genes(np.arange(0, cohort.n_genes, 20))
    result = log_scale_tests.compute(Study(few, fit(few, "~ group", ("group", "A", "B"), search="newton"), 1))
    assert "log FPKM" in {t.scale for t in result.tests}
    for test in ("Student", "Welch", "Wilcoxon"):
        np.testing.assert_allclose(
            result.test_named("log FPKM", test).pvalue, result.test_named("log CPM", test).pvalue, rtol=1e-6
        )
