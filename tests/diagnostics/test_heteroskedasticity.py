"""heteroskedasticity: the predicted error rate against that of the package's own test on cohorts without effect."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import heteroskedasticity
from dediag.finding import Status
from dediag.settings import AuditSettings
from dediag.simulation import Population, simulate
from dediag.stats.error_model import Estimate

PLAIN = Population(asymptote=0.1, extra=0.0, dispersion_sd=0.0, size_factor_sd=0.2, log_mean=5.5, log_mean_sd=1.0)


def study_of(cohort, design="~ group", **options):
    return open_study(cohort, design, ("group", "case", "control"), seed=3, **options)


@cache
def result_of(n_test, n_reference, ratio, n_genes=500, effect_share=0.0):
    """The result and the share of p < .05, nothing being different, on genes with nearly one dispersion."""
    cohort, _ = simulate(
        n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=5, population=PLAIN,
        effect_share=effect_share, group_dispersion_ratio=ratio,
    )  # fmt: skip
    study = study_of(cohort)
    tested = np.isfinite(study.fit.pvalue)
    return heteroskedasticity.compute(study), float((study.fit.pvalue[tested] < 0.05).mean())


@pytest.mark.parametrize(
    ("n_test", "n_reference", "ratio", "known"),
    [
        (5, 20, 4.0, 0.21),  # .22 with DESeq2 at dispersion .4 v .1
        (20, 5, 4.0, 0.015),  # .012
        (12, 12, 4.0, 0.083),  # .086 with estimated size factors, .060 with true ones
        (10, 10, 1.0, 0.05),
    ],
)
def test_predicted_error_rate_is_the_real_one(n_test, n_reference, ratio, known):
    result, real = result_of(n_test, n_reference, ratio, 1500)
    assert result.size.value == pytest.approx(known, abs=0.02)
    assert result.size.value == pytest.approx(real, abs=max(0.02, 0.15 * real))
    assert result.ratio.low <= np.log2(ratio) <= result.ratio.high


def test_shift_makes_a_large_balanced_study_liberal():
    result, real = result_of(30, 30, 4.0)
    assert result.size_without_shift == pytest.approx(0.05, abs=0.005)
    assert real > 0.08
    assert result.size.value == pytest.approx(real, abs=0.035)
    assert result.shift is not None
    assert result.shift.value == pytest.approx(result.observed_median_lfc, abs=0.03)  # nothing else moves the median


def test_direction_of_shift_follows_the_more_dispersed_group():
    up, down = result_of(12, 12, 4.0, 1500)[0].shift, result_of(12, 12, 0.25)[0].shift
    assert up is not None
    assert down is not None
    assert up.value > 0.1
    assert down.value < -0.02


def test_statuses():
    assert heteroskedasticity.judge(result_of(5, 20, 4.0, 1500)[0]).status is Status.FAIL
    conservative = result_of(20, 5, 4.0, 1500)[0]
    assert heteroskedasticity.judge(conservative).status is Status.WARN
    healthy = heteroskedasticity.judge(result_of(10, 10, 1.0, 1500)[0])
    assert healthy.status is Status.PASS
    assert healthy.calls_at_risk == 0


@pytest.mark.parametrize(
    ("size", "shift", "status"),
    [
        (Estimate(0.07, 0.055, 0.09), Estimate(0.0, -0.02, 0.02), Status.PASS),  # perhaps above the limit, not surely
        (Estimate(0.08, 0.065, 0.09), None, Status.WARN),
        (Estimate(0.16, 0.11, 0.2), None, Status.FAIL),
        (Estimate(0.02, 0.01, 0.025), None, Status.WARN),
        (Estimate(0.055, 0.051, 0.059), Estimate(-0.1, -0.12, -0.06), Status.WARN),
    ],
)
def test_limits_are_on_the_end_of_the_interval_nearer_to_health(size, shift, status):
    result = replace(result_of(10, 10, 1.0, 1500)[0], size=size, shift=shift)
    assert heteroskedasticity.judge(result).status is status


def test_remedies_find_fewer_false_calls():
    result, _ = result_of(5, 20, 4.0, 1500)
    published, both = result.n_calls, result.remedies[heteroskedasticity.BOTH]
    assert published > 20
    assert both.n_up + both.n_down < published / 4
    verdict = heteroskedasticity.judge(result)
    assert verdict.calls_at_risk == both.to_difference
    assert f"{both.to_difference} calls would vanish with both remedies because the groups differ" in verdict.advice
    assert f"({both.to_caution} more from caution)" in verdict.advice
    assert "--dispersion group --recentre" in verdict.advice


def test_what_a_more_cautious_test_loses_is_not_at_risk():
    """A pass whose remedy would lose calls says that this is the remedy's price, and puts no call at risk."""
    result = replace(result_of(10, 10, 1.0, 1500)[0], n_calls=2472)
    remedy = replace(result.remedies[0], vanish=984, to_caution=950, to_difference=34)
    verdict = heteroskedasticity.judge(replace(result, remedies=(remedy, *result.remedies[1:])))
    assert verdict.status is Status.PASS
    assert verdict.calls_at_risk == 0
    assert "984 of 2,472 calls would be lost, 950 of them because that test is more cautious" in verdict.advice


@pytest.mark.parametrize("limit", [0.03, 0.06, 0.10])
@pytest.mark.parametrize("off", [-1e-5, 0.0, 1e-5])
def test_the_sentence_never_contradicts_the_status(limit, off):
    """However close the judged end of the interval is to a limit, its text is on the side that the status says."""
    low = limit + off if limit > 0.05 else limit / 2
    high = limit + off if limit < 0.05 else 2 * limit
    result = replace(result_of(10, 10, 1.0, 1500)[0], size=Estimate((low + high) / 2, low, high), shift=None)
    verdict = heteroskedasticity.judge(result)
    side, said, named = re.search(r"at (least|most) ([\d.]+) %, limit (\d+) %", verdict.headline).groups()
    alarmed = float(said) >= float(named) if side == "least" else float(said) <= float(named)
    assert alarmed == (verdict.status is not Status.PASS)
    assert (named == "10") == (verdict.status is Status.FAIL)


def test_metrics_tables_and_figures():
    result = result_of(10, 10, 1.0, 1500)[0]
    values = {m.name: m.value for m in heteroskedasticity.metrics(result)}
    assert (values["expected_fdp"] is None) == (result.n_calls == 0)
    assert values["ratio_ci_low"] < values["log2_dispersion_ratio"] < values["ratio_ci_high"]
    expression, error_map, remedies, genes = heteroskedasticity.tables(result)
    assert error_map.columns["log2_ratio"][6] == 0.0
    assert error_map.columns["size_at_100 to 300"][6] == pytest.approx(0.05, abs=0.005)
    assert None in expression.columns["log2_ratio"]  # no genes of low mean here
    assert list(remedies.columns["analysis"])[:3] == ["group dispersions", "recentred size factors", "both"]
    assert len(genes.columns["gene_id"]) == len(set(genes.columns["gene_id"])) > 1000
    assert np.mean(genes.columns["predicted_size"]) == pytest.approx(result.size.value, abs=0.02)
    assert genes.columns["padj"][0] == np.nanmin([v for v in genes.columns["padj"] if v is not None])
    assert (result.trend_factors > 1.0).all()
    figures = heteroskedasticity.draw(result)
    assert [f.name for f in figures] == ["dispersions", "error_rate"]
    assert figures[1].svg == heteroskedasticity.draw(result)[1].svg


@pytest.mark.parametrize(("sizes", "ratio"), [((5, 20), 4.0), ((10, 10), 1.0)])
def test_expected_false_discoveries_are_the_true_ones(sizes, ratio):
    """A tenth of the genes has an effect of 2 log2 (sd); the rest of the calls are false."""
    told, true = [], []
    for seed in range(3):
        cohort, truth = simulate(
            n_genes=1500, n_test=sizes[0], n_reference=sizes[1], seed=seed, effect_share=0.1, effect_sd=2.0,
            group_dispersion_ratio=ratio,
        )  # fmt: skip
        study = study_of(cohort, settings=AuditSettings(bootstraps=10))
        told.append(heteroskedasticity.compute(study).fdp)
        true.append((truth["lfc"].to_numpy()[study.significant] == 0).mean())
    assert np.mean(true) > (0.5 if ratio > 1 else 0.03)
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.06)


def test_simulated_cohorts_are_quoted_where_they_contradict_the_formula():
    result = result_of(10, 10, 1.0, 1500)[0]
    size = result.size.value
    assert "simulated cohorts" not in heteroskedasticity.judge(replace(result, simulated_size=size + 0.01)).headline
    assert "8.0 % in simulated cohorts" in heteroskedasticity.judge(replace(result, simulated_size=0.08)).headline


def test_a_true_global_change_at_given_size_factors_is_not_laid_to_the_dispersions():
    """All genes are twofold up and the factors, as of spike-ins, say so: nothing is recentred, and no call blamed."""
    cohort, truth = simulate(
        n_genes=600, n_test=5, n_reference=15, seed=1, effect_share=0.0, group_dispersion_ratio=4.0
    )
    case = (cohort.samples["group"] == "case").to_numpy()
    counts = np.random.default_rng(1).poisson(cohort.counts * np.where(case, 2.0, 1.0)).astype(float)
    factors = np.array(truth.attrs["size_factors"])
    result = heteroskedasticity.compute(study_of(cohort.with_counts(counts), size_factors=factors))
    assert result.observed_median_lfc == pytest.approx(1.0, abs=0.15)
    assert result.shift is None
    assert result.remedies[1].vanish == 0
    assert result.remedies[2].vanish == result.remedies[0].vanish
    verdict = heteroskedasticity.judge(result)
    assert "--recentre" not in verdict.advice
    assert "`dediag fit --dispersion group`" in verdict.advice


def test_what_recentring_takes_beyond_the_explained_shift_is_not_at_risk():
    """Most effects are up: the median moves for a reason of its own."""
    cohort, _ = simulate(
        n_genes=800, n_test=5, n_reference=15, seed=1, effect_share=0.6, effect_sd=1.5, one_sided=1.0,
        group_dispersion_ratio=4.0,
    )  # fmt: skip
    result = heteroskedasticity.compute(study_of(cohort))
    both = result.remedies[heteroskedasticity.BOTH]
    assert both.to_difference + both.to_caution < both.vanish


def test_pairs_have_no_group_dispersions():
    cohort, _ = simulate(n_genes=300, n_test=8, n_reference=8, seed=1, group_dispersion_ratio=4.0)
    pairs = cohort.samples.assign(pair=[f"p{k}" for k in [*range(8), *range(8)]])
    with pytest.raises(NotAssessable, match="as in pairs"):
        heteroskedasticity.compute(study_of(replace(cohort, samples=pairs), "~ pair + group"))


def test_a_sample_alone_in_a_level_does_not_bias_the_ratio():
    cohort, _ = simulate(n_genes=600, n_test=5, n_reference=12, seed=2, population=PLAIN, effect_share=0.0)
    one = np.where(np.arange(17) == 0, "alone", "rest")
    result = heteroskedasticity.compute(
        study_of(replace(cohort, samples=cohort.samples.assign(one=one)), "~ one + group")
    )
    assert result.ratio.low < 0.0 < result.ratio.high
    assert heteroskedasticity.judge(result).status is Status.PASS


def test_few_control_genes_are_no_error():
    cohort, _ = simulate(n_genes=300, n_test=6, n_reference=8, seed=1)
    control = np.zeros(300, np.bool_)
    control[np.argsort(-cohort.counts.mean(axis=1))[:25]] = True
    result = heteroskedasticity.compute(study_of(replace(cohort, control_genes=control)))
    assert result.remedies[1].vanish == 0


def test_given_size_factors_have_no_shift():
    cohort, truth = simulate(n_genes=300, n_test=6, n_reference=6, seed=1, group_dispersion_ratio=4.0)
    result = heteroskedasticity.compute(study_of(cohort, size_factors=np.array(truth.attrs["size_factors"])))
    assert result.shift is None
    assert result.size.value == pytest.approx(result.size_without_shift)
    assert {m.name: m.value for m in heteroskedasticity.metrics(result)}["shift_log2"] is None


@pytest.mark.parametrize(
    ("n_test", "n_reference", "word"), [(3, 8, "degrees of freedom"), (8, 3, "degrees of freedom")]
)
def test_small_groups_are_not_assessable(n_test, n_reference, word):
    cohort, _ = simulate(n_genes=200, n_test=n_test, n_reference=n_reference, seed=1)
    with pytest.raises(NotAssessable, match=word):
        heteroskedasticity.compute(study_of(cohort))


def test_interaction_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=8, n_reference=8, seed=1)
    samples = cohort.samples.assign(batch=["a", "b"] * 8)
    with pytest.raises(NotAssessable, match="interaction"):
        heteroskedasticity.compute(study_of(replace(cohort, samples=samples), "~ batch * group"))


def test_group_without_extra_variance_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[:, 6:] = counts[:, 6:7]  # six copies of one sample
    with pytest.raises(NotAssessable, match="no dispersion of its own: no gene's dispersion"):
        heteroskedasticity.compute(study_of(cohort.with_counts(counts)))
