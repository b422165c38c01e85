"""Where the iteration stopped: near the optimum at any group sizes, and found out where it was cut short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.cohort import frozen
from dediag.contract import NotAssessable
from dediag.diagnostics import convergence
from dediag.diagnostics.convergence import DIAGNOSTIC, LIMIT, compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.model import coefficients as glm
from dediag.model import exact, kernels
from dediag.model.fit import fit
from dediag.model.group_means import group_vectors
from dediag.simulation import simulate
from dediag.study import Study

CONTRAST = ("group", "case", "control")


def study(n_test, n_reference, *, n_genes=400, seed=1, design="~ group", **more):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **more)
    return open_study(cohort, design, CONTRAST)


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


@pytest.fixture(scope="module")
def opened():
    return study(3, 60, effect_share=0.2)


@pytest.fixture(scope="module")
def healthy(opened):
    return compute(opened)


def cut_short(opened, steps):
    """The study with the coefficients that so many steps of the iteration give."""
    data, space = opened.fit.data_and_space()
    found = kernels.fit_coefficients(
        data.counts, data.rows, data.size, data.weights, space.cell, space.basis, space.transform, space.penalty,
        space.projector, frozen(opened.fit.contrast.vector), np.zeros(len(space.cells), np.int64),
        frozen(opened.fit.dispersion[data.rows]), 0.0, steps, False,
    )[0]  # fmt: skip
    coefficients = opened.fit.coefficients.copy()
    coefficients[data.rows] = found * glm.LOG2_E
    return Study(opened.cohort, replace(opened.fit, coefficients=frozen(coefficients)))


def test_a_small_group_converges_beside_a_large_one(healthy):
    value = numbers(healthy)
    assert value["max_change_se_test"] < LIMIT / 20
    assert value["max_change_se_reference"] < LIMIT / 20
    assert value["n_not_converged"] == 0
    verdict = judge(healthy)
    assert verdict.status is Status.PASS
    assert verdict.headline.startswith("Both groups converged, whatever their sizes (3 v 60)")
    assert "case (3 samples)" in verdict.headline
    assert "e-" not in verdict.headline
    assert verdict.calls_at_risk == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{}, {"outliers": 0.3}, {"depth_ratio": 0.01}])
def test_three_against_five_hundred_converge(fault):
    result = compute(study(3, 500, n_genes=800, **fault))
    assert judge(result).status is Status.PASS
    assert max(result.worst) < LIMIT / 20


def test_changes_are_in_standard_errors_of_a_groups_log_mean(opened, healthy):
    """For one gene after another: the root of the group's score, and 1 / sqrt of its information."""
    found = cut_short(opened, 1)
    result = compute(found)
    mask, s = opened.test_samples, opened.fit.size_factors
    for row in np.flatnonzero(healthy.compared)[::40]:
        g = list(opened.cohort.genes.astype(str)).index(result.genes[row])
        y, phi = opened.fit.fitted_counts[g, mask], opened.fit.dispersion[g]
        eta = np.log((y / s[mask]).mean())
        for _ in range(200):
            mu = s[mask] * np.exp(eta)
            eta += ((y - mu) / (1 + phi * mu)).sum() / (mu / (1 + phi * mu)).sum()
        se = 1 / np.sqrt((mu / (1 + phi * mu)).sum())
        change = (found.fit.coefficients[g].sum() * np.log(2) - eta) / se
        assert result.by_rule[row, 0] == pytest.approx(change, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_an_iteration_that_is_cut_short_fails(opened, steps):
    result = compute(cut_short(opened, steps))
    verdict = judge(result)
    assert verdict.status is Status.FAIL
    assert max(result.worst) > 10 * LIMIT
    assert "stopped too early" in verdict.headline
    assert "--search newton" in verdict.advice


def test_one_gene_in_one_group_warns(opened, healthy):
    """The test group's log mean of one gene, two limits from its optimum; the other group stays."""
    g = int(opened.above_floor[7])
    coefficients = opened.exact.coefficients.copy()
    coefficients[g] += opened.fit.contrast.vector * 2 * LIMIT * opened.exact.se(np.array([1.0, 1.0]))[g]
    result = compute(Study(opened.cohort, replace(opened.fit, coefficients=frozen(coefficients))))
    assert judge(result).status is Status.WARN
    assert result.worst[0] == pytest.approx(2 * LIMIT, rel=1e-3)
    assert result.worst[1] < 1e-9
    assert result.beyond.sum() == 1
    assert tables(result)[2].columns["gene"][0] == str(opened.cohort.genes[g])


def test_calls_at_risk_are_those_that_the_exact_optimum_changes(opened):
    moved = opened.fit.padj.copy()
    called = np.flatnonzero(opened.significant)
    moved[called[:3]] = 0.9  # as if the fit had not called them
    short = cut_short(opened, 1)
    result = compute(Study(opened.cohort, replace(short.fit, padj=frozen(moved))))
    assert judge(result).calls_at_risk == 3


def test_rule_and_search_are_told_apart(opened, healthy):
    """Other dispersions move the optimum, which is no fault of the stopping rule."""
    off = replace(opened.fit, dispersion=frozen(opened.fit.dispersion * 1.5))
    best = exact.optimum(off)
    result = compute(Study(opened.cohort, replace(off, coefficients=best.coefficients)))
    assert max(result.worst) < 1e-6
    assert np.median(np.abs(result.by_search[result.compared, 0])) > 10 * np.median(
        np.abs(healthy.by_search[healthy.compared, 0])
    )
    assert np.median(result.log2_se_ratio[result.compared]) > 0.1
    assert judge(result).status is Status.PASS


def test_separated_and_floor_genes_are_counted_apart(opened, healthy):
    counts = opened.cohort.counts.copy()
    counts[:3, :3] = 0  # no case has a count
    counts[3, :] = 0
    counts[3, 0] = 1
    result = compute(open_study(opened.cohort.with_counts(counts), "~ group", CONTRAST))
    value, before = numbers(result), numbers(healthy)
    assert value["n_separated"] == before["n_separated"] + 4
    assert value["n_floor"] >= before["n_floor"] + 4
    assert (result.floor | ~result.separated).all()
    assert value["n_compared"] + value["n_floor"] == len(result.genes)
    assert f"{value['n_floor']} genes with a fitted mean below 0.5" in judge(result).advice
    assert judge(result).status is Status.PASS


def test_genes_that_went_to_the_optimiser_are_measured_like_any_other(monkeypatch):
    cohort, _ = simulate(n_genes=200, n_test=4, n_reference=12, seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(glm, "MAX_ITERATIONS", 3)  # so that the iteration gives most genes up
        main = open_study(cohort, "~ group", CONTRAST)
    monkeypatch.setattr(convergence, "MAX_ITERATIONS", 3)
    result = compute(main)
    assert numbers(result)["n_by_optimiser"] > 150
    assert 1e-6 < max(result.worst) < LIMIT
    assert judge(result).status is Status.PASS


def test_covariates_and_other_levels():
    with_batch = compute(study(6, 15, design="~ batch + group", confounded_covariate=0.4))
    assert judge(with_batch).status is Status.PASS
    assert with_batch.alone is None
    assert list(tables(with_batch)[1].columns) == ["iterations", "all samples"]
    cohort, _ = simulate(n_genes=300, n_test=5, n_reference=15, seed=2)
    samples = cohort.samples.assign(group=["case"] * 5 + ["other"] * 6 + ["control"] * 9)
    three = compute(open_study(replace(cohort, samples=samples), "~ group", CONTRAST))
    assert judge(three).status is Status.PASS
    assert three.alone is not None
    assert three.sizes == (5, 9)


def test_what_cannot_be_answered_says_why(opened):
    cohort, _ = simulate(n_genes=100, n_test=6, n_reference=12, seed=2, confounded_covariate=0.2)
    with pytest.raises(NotAssessable, match="interaction"):
        compute(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))
    low = replace(opened.fit, coefficients=frozen(np.full_like(opened.fit.coefficients, -9.0)))
    with pytest.raises(NotAssessable, match=r"below 0\.5"):
        compute(Study(opened.cohort, low))


def test_a_missed_optimum_is_our_error(opened, monkeypatch):
    monkeypatch.setattr(exact, "NEWTON_STEPS", 1)
    monkeypatch.setattr(exact, "TOLERANCE", 10.0)
    with pytest.raises(ArithmeticError, match="missed"):
        compute(Study(opened.cohort, opened.fit))


def test_after_a_likelihood_ratio_test_no_calls_are_counted():
    cohort, _ = simulate(n_genes=150, n_test=5, n_reference=9, seed=2)
    result = compute(Study(cohort, fit(cohort, "~ group", CONTRAST, test="lrt", reduced="~ 1")))
    assert result.calls_changed is None
    assert numbers(result)["calls_changed_by_rule"] is None


def test_metrics_tables_and_figure(healthy):
    assert set(DIAGNOSTIC.metric_names) <= numbers(healthy).keys()
    changes, iterations, genes = tables(healthy)
    assert {"stopping rule", "dispersion search", "largest last step of the rule"} == set(changes.columns["cause"])
    for name in ("all samples", "case alone", "control alone"):
        assert sum(iterations.columns[name]) == healthy.compared.sum()
    assert len(genes.columns["gene"]) == 100
    (figure,) = draw(healthy)
    assert "case (3)" in figure.svg
    assert figure.svg == draw(healthy)[0].svg


def test_the_last_step_is_within_the_reach_of_the_rule(opened, healthy):
    """The deviance falls by the square of a step in standard errors, so the rule bounds the last one."""
    seen = np.flatnonzero(np.isfinite(opened.fit.dispersion) & (opened.fit.base_mean > 0))
    for k, vector in enumerate(group_vectors(opened.fit)):
        last = opened.fit.last_step[seen, k] / np.log(2) / opened.exact.se(vector)[seen]
        assert (last[healthy.compared] < 1.2 * healthy.reach[healthy.compared]).all()
