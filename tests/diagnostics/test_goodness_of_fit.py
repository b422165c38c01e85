"""Counts that are negative binomial pass whatever the design; lost, outlying and mixed counts are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import dediag
from dediag.auditing import open_study
from dediag.cohort import frozen
from dediag.contract import NotAssessable
from dediag.diagnostics import goodness_of_fit as checked
from dediag.diagnostics.goodness_of_fit import DIAGNOSTIC, compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.simulation import simulate
from dediag.stats.residual_shape import Calibrated
from dediag.study import AuditSettings, Study

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=500, seed=1, design="~ group", bootstraps=10, **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    return open_study(cohort, design, CONTRAST, settings=AuditSettings(bootstraps=bootstraps))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def healthy():
    return compute(study(6, 15))


@pytest.fixture(scope="module")
def lost():
    return compute(study(5, 20, n_genes=800, zero_inflation=0.02))


@pytest.fixture(scope="module")
def outlying():
    return compute(study(10, 10, n_genes=800, outliers=0.05, effect_share=0.3, effect_sd=1.5))


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ((3, 3), {}),
        ((3, 3), {"group_dispersion_ratio": 4}),  # heteroskedasticity's matter, also where it cannot tell
        ((4, 4), {"depth_ratio": 3}),
        ((5, 20), {"group_dispersion_ratio": 4}),
        ((20, 8), {"group_dispersion_ratio": 0.25}),
        ((6, 60), {}),
        ((10, 10), {"effect_share": 0.5, "effect_sd": 2.0}),
    ],
)
def test_negative_binomial_counts_pass(sizes, more):
    verdict = judge(compute(study(*sizes, **more)))
    assert verdict.status is Status.PASS, verdict.headline
    assert verdict.calls_at_risk == 0


def test_residuals_are_judged_against_those_of_fitted_cohorts(healthy):
    """About fitted means they are far from standard normal, and no misfit at all."""
    small = compute(study(3, 3))
    value = numbers(small)
    assert value["residual_sd"] < 0.85
    assert value["ks_from_uniform"] > 0.05
    assert value["ks_distance"] < 0.03
    assert abs(small.found.whole["sd"].excess) < 0.03
    assert numbers(healthy)["residual_sd"] > 0.9


@pytest.mark.parametrize("sizes", [(5, 20), (6, 15), (10, 10), (20, 8), (4, 4)])
def test_lost_counts_are_found_and_their_share_is_told(sizes):
    result = compute(study(*sizes, n_genes=800, seed=3, zero_inflation=0.05))
    verdict = judge(result)
    assert verdict.status in (Status.WARN, Status.FAIL)
    assert "are zero (limit" in verdict.headline
    assert verdict.calls_at_risk is None
    if min(sizes) > 4:
        assert verdict.status is Status.FAIL
        assert result.found.well[0]["excess_zeros"].excess == pytest.approx(0.05, abs=0.01)


def test_what_lost_counts_do_to_the_numbers(lost):
    value, verdict = numbers(lost), judge(lost)
    assert verdict.status is Status.WARN
    assert value["excess_zeros"] == pytest.approx(0.02, abs=0.004)
    assert value["zero_ratio"] > 1.7
    assert value["zero_ratio_expected"] < 1.2
    assert "count again" in verdict.advice


def test_counts_lost_in_one_group_name_it():
    result = compute(study(20, 8, n_genes=800, group_zero_inflation=0.05))
    verdict = judge(result)
    assert result.zeros_in == "case"
    assert "in case are zero (limit" in verdict.headline
    assert "Find out why case lost counts" in verdict.advice


def test_original_counts_are_judged_where_the_fit_replaced_outliers(outlying):
    verdict, value = judge(outlying), numbers(outlying)
    assert verdict.status is Status.WARN
    assert value["outlier_share"] == pytest.approx(0.05 / 20, rel=0.2)  # all of them
    assert "4 standard deviations out or more" in verdict.headline
    assert "table of samples" in verdict.advice
    assert value["calls_with_outlier"] > 3 * value["calls_with_outlier_expected"]


def test_a_bad_sample_has_the_outliers():
    result = compute(study(10, 10, n_genes=800, bad_sample=1.5))
    verdict, value = judge(result), numbers(result)
    assert verdict.status is Status.WARN
    assert value["worst_sample"] == result.samples[0]
    assert f"of them in {result.samples[0]}" in verdict.headline
    assert f"See what influence says of {result.samples[0]}" in verdict.advice
    assert value["worst_sample_rms"] > 1.5


def test_a_strong_hidden_batch_shows_in_the_distribution_and_a_weak_one_is_absorbed():
    strong, weak = (compute(study(10, 10, n_genes=800, hidden_batch=size)) for size in (2.5, 0.5))
    assert judge(strong).status is not Status.PASS
    assert "distribution" in judge(strong).headline
    assert judge(weak).status is Status.PASS


def test_a_covariate_is_part_of_the_model():
    opened = study(6, 12, n_genes=400, design="~ batch + group", confounded_covariate=0.3)
    assert judge(compute(opened)).status is Status.PASS


def test_samples_of_other_levels_are_judged_too():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=15, seed=2)
    samples = cohort.samples.assign(group=["case"] * 5 + ["other"] * 6 + ["control"] * 9)
    result = compute(open_study(replace(cohort, samples=samples), "~ group", CONTRAST))
    assert judge(result).status is Status.PASS
    assert tables(result)[2].columns["group"].count("other") == 6
    assert all(part.observed.n for part in result.found.by_sample)
    assert draw(result)


def test_few_counts_are_no_obstacle():
    cohort, _ = simulate(n_genes=400, n_test=5, n_reference=6, seed=2)
    thin = cohort.with_counts(np.random.default_rng(1).binomial(cohort.counts.astype(int), 0.004).astype(float))
    result = compute(open_study(thin, "~ group", CONTRAST, size_factors="poscounts"))
    assert judge(result).status is Status.PASS
    assert draw(result)


def test_what_cannot_be_answered_says_why():
    with pytest.raises(NotAssessable, match="fewer than 50 genes"):
        compute(study(5, 5, n_genes=40))
    with pytest.raises(NotAssessable, match="fewer than 3 residual degrees of freedom"):
        compute(study(2, 2, n_genes=100))
    with pytest.raises(NotAssessable, match="simulated cohorts are allowed"):
        compute(study(5, 5, n_genes=100, bootstraps=2))
    cohort, _ = simulate(n_genes=100, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))
    weights = np.full(cohort.counts.shape, 0.5)
    with pytest.raises(NotAssessable, match="weights"):
        compute(Study(cohort, fit(cohort, "~ group", CONTRAST, weights=weights)))


def test_offsets_take_the_place_of_size_factors():
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=8, seed=2)
    opened = open_study(replace(cohort, offsets=frozen(np.ones(cohort.counts.shape))), "~ group", CONTRAST)
    assert judge(compute(opened)).status is Status.PASS


# The verdict ---------------------------------------------------------------------------------------------------------


def changed(result, *, bins=None, **values):
    """The result with a statistic that is surely this large: distance, excess_zeros, outliers, or sd of a bin."""

    def put(part, name, value):
        shapes = [part.observed, *part.simulated]
        if name == "excess_zeros":
            shapes = [s._replace(zeros=s.zero_probability + (value if k == 0 else 0.0)) for k, s in enumerate(shapes)]
        else:
            expected = {"outliers": 0.0, "sd": 1.0}[name]
            shapes = [s._replace(**{name: expected + (value if k == 0 else 0.0)}) for k, s in enumerate(shapes)]
        return replace(part, observed=shapes[0], simulated=tuple(shapes[1:]))

    found = result.found
    if "excess_zeros" in values:
        found = replace(found, well=tuple(put(part, "excess_zeros", values["excess_zeros"]) for part in found.well))
    if "outliers" in values:
        found = replace(found, whole=put(found.whole, "outliers", values["outliers"]))
    if "sd" in values:
        found = replace(found, by_bin=tuple(put(part, "sd", values["sd"]) for part in found.by_bin))
    made = replace(found)
    if "distance" in values:
        made.__dict__["distance"] = Calibrated(values["distance"], 0.0, 0.0)
    return replace(result, found=made)


@pytest.mark.parametrize(
    ("name", "limit", "status", "words"),
    [
        ("excess_zeros", checked.WARN_ZEROS, Status.WARN, "in all samples are zero (limit 1 %)"),
        ("excess_zeros", checked.FAIL_ZEROS, Status.FAIL, "in all samples are zero (limit 3 %)"),
        ("outliers", checked.WARN_OUTLIERS, Status.WARN, "4 standard deviations out or more (limit 0.1 %;"),
        ("outliers", 100 * checked.WARN_OUTLIERS, Status.WARN, "4 standard deviations out or more (limit 0.1 %;"),
        ("distance", checked.WARN_DISTANCE, Status.WARN, "(limit 0.04)"),
        ("distance", checked.FAIL_DISTANCE, Status.FAIL, "(limit 0.08)"),
        ("sd", checked.WARN_SPREAD, Status.WARN, "too wide (limit 10 %): their dispersion is understated"),
        ("sd", -checked.WARN_SPREAD, Status.WARN, "too narrow (limit 10 %): their dispersion is overstated"),
    ],
)
def test_each_limit_decides_alone(healthy, name, limit, status, words):
    over, under = (judge(changed(healthy, **{name: share * limit})) for share in (1.001, 0.999))
    assert over.status is status
    assert words in over.headline
    if limit in (checked.FAIL_ZEROS, checked.FAIL_DISTANCE):
        assert under.status is Status.WARN
    elif limit != 100 * checked.WARN_OUTLIERS:
        assert under.status is Status.PASS


def test_an_expression_bin_of_few_genes_is_not_judged():
    result = compute(study(6, 6, n_genes=60))
    assert result.bin is None
    assert numbers(result)["worst_expression"] is None
    assert judge(result).status is Status.PASS


def test_metrics_tables_and_figures(healthy):
    value = numbers(healthy)
    assert set(DIAGNOSTIC.metric_names) <= value.keys()
    assert 0.0 <= value["ks_distance"] <= 1.0
    assert value["zero_ratio"] == pytest.approx(value["zero_ratio_expected"], abs=0.15)
    groups, expression, samples = tables(healthy)
    assert groups.columns["group"] == ["case", "control"]
    assert sum(expression.columns["genes"]) == value["genes"]
    assert len(samples.columns["sample"]) == 21
    first, second = draw(healthy)
    assert first.svg == draw(healthy)[0].svg
    assert value["worst_sample"] in second.svg


def test_same_seed_same_result_and_genes_are_a_sample(monkeypatch):
    monkeypatch.setattr(checked, "MOST_GENES", 120)
    first, second = (numbers(compute(study(5, 8, n_genes=300))) for _ in range(2))
    assert first == second
    assert first["genes"] == 120


@pytest.mark.slow
def test_false_alarms_are_rare_and_lost_counts_are_found():
    sizes = [(3, 3), (4, 4), (5, 20), (10, 10), (20, 8)]
    faults = ({}, {"group_dispersion_ratio": 4}, {"depth_ratio": 3})
    sound = [judge(compute(study(*n, seed=s, **more))).status for n in sizes for s in range(4) for more in faults]
    assert set(sound) == {Status.PASS}
    bad = [judge(compute(study(*n, seed=s, zero_inflation=0.02))).status for n in sizes[2:] for s in range(6)]
    assert np.mean([status is not Status.PASS for status in bad]) >= 0.9


def test_real_outliers_lie_in_the_replicates_that_their_authors_left_out(real_data):
    """Gierlinski et al. (2015): Snf2 replicate 6 and wild-type replicate 21 are among those left out."""
    folder = real_data / "data" / "schurch2016"
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    opened = open_study(cohort, "~ group", ("group", "Snf2", "WT"), settings=AuditSettings(bootstraps=5))
    result = compute(opened)
    assert judge(result).status is Status.WARN
    assert result.samples[result.found.outliers_in[0]] == "Snf2_rep06"
    rms = np.array([part["rms"].observed for part in result.found.by_sample])
    assert {result.samples[i] for i in np.argsort(-rms)[:2]} == {"Snf2_rep06", "WT_rep21"}


def test_no_group_is_blamed_for_what_a_third_level_lost():
    cohort, _ = simulate(n_genes=500, n_test=6, n_reference=12, seed=4)
    group = cohort.samples["group"].to_numpy().copy()
    group[12:] = "third"
    counts = cohort.counts.copy()
    counts[:, 12:] *= np.random.default_rng(1).random((500, 6)) > 0.1
    changed = replace(cohort, counts=frozen(counts), samples=cohort.samples.assign(group=group))
    verdict = judge(compute(open_study(changed, "~ group", CONTRAST, settings=AuditSettings(bootstraps=10))))
    assert verdict.status is not Status.PASS
    assert "Find out why case" not in verdict.advice
