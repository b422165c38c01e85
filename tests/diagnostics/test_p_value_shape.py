"""p_value_shape: the class of the histogram, the share of true nulls, and what a hill comes from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics.p_value_shape import compute, draw, judge, metrics, tables
from dediag.finding import Status
from dediag.settings import AuditSettings
from dediag.simulation import Population, simulate

CONTRAST = ("group", "case", "control")
SETTINGS = AuditSettings(bootstraps=10)


@cache
def result_of(n_test=8, n_reference=8, n_genes=1500, seed=1, **faults):
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=n_reference, seed=seed, **faults)
    return compute(open_study(cohort, "~ group", CONTRAST, seed=3, settings=SETTINGS))


def numbers(result):
    return {metric.name: metric.value for metric in metrics(result)}


def test_effects_make_a_rise_near_zero_and_no_alarm():
    result = result_of(effect_share=0.3, effect_sd=1.5)
    assert numbers(result)["shape"] == "anti_conservative"
    assert judge(result).status is Status.PASS
    assert result.with_surrogate is None  # nothing to explain
    assert numbers(result_of(effect_share=0.0))["shape"] == "uniform"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_share_without_effect_within_five_hundredths(share):
    """Effects of 3 log2 in a known share of the genes, all of them well expressed and found."""
    found = []
    for seed in range(5):
        population = Population(log_mean=6.0, log_mean_sd=0.7)
        cohort, _ = simulate(
            n_genes=1000, n_test=10, n_reference=10, seed=seed, population=population, effect_share=share, effect_sd=6.0
        )
        result = compute(open_study(cohort, "~ group", CONTRAST, settings=AuditSettings(bootstraps=1)))
        found.append(result.pi0)
    assert np.mean(found) == pytest.approx(1 - share, abs=0.05)


def test_a_hill_of_a_hidden_batch():
    """The batch is spread evenly over both groups: it widens the variance and not the difference."""
    cohort, _ = simulate(n_genes=1500, n_test=20, n_reference=20, seed=1)
    effect = np.random.default_rng(1).normal(0, 2.0, 1500)
    late = np.arange(40) % 2
    counts = np.random.default_rng(2).poisson(cohort.counts * np.exp2(np.outer(effect, late - 0.5))).astype(float)
    result = compute(open_study(cohort.with_counts(counts), "~ group", CONTRAST, settings=SETTINGS))
    verdict, value = judge(result), numbers(result)
    assert verdict.status is Status.WARN
    assert value["right_excess"] > 0.3
    assert value["right_excess_simulated"] < 0.15
    assert value["right_excess_surrogate"] < 0.15
    assert "A hidden batch makes this hill" in verdict.advice


def test_a_hill_of_unequal_dispersions():
    """At the true size factors, so that the normalisation moves nothing."""
    cohort, truth = simulate(
        n_genes=1500, n_test=40, n_reference=5, seed=1, group_dispersion_ratio=8.0, effect_share=0.0
    )
    factors = np.array(truth.attrs["size_factors"])
    result = compute(open_study(cohort, "~ group", CONTRAST, settings=SETTINGS, size_factors=factors))
    verdict, value = judge(result), numbers(result)
    assert verdict.status is Status.WARN
    assert value["right_excess_simulated"] > value["right_excess"] / 2
    assert "The groups' unequal dispersions make this hill" in verdict.advice


def test_a_hill_of_a_model_that_does_not_fit():
    result = result_of(zero_inflation=0.1)
    verdict = judge(result)
    assert verdict.status is Status.WARN
    assert "goodness_of_fit" in verdict.advice
    assert verdict.calls_at_risk is None


def test_without_group_dispersions_nothing_is_simulated():
    result = result_of(3, 3, zero_inflation=0.1)
    assert result.simulated is None
    assert numbers(result)["right_excess_simulated"] is None
    assert judge(result).status is Status.WARN
    assert tables(result)[1].columns["without_effect"] == [None] * 20


def test_few_genes_are_not_assessable():
    with pytest.raises(NotAssessable, match="fewer than 200"):
        result_of(n_genes=150)


def test_a_sentence_for_every_class():
    result = result_of(effect_share=0.0)
    for name in ("uniform", "anti_conservative", "conservative", "u_shaped", "spike_at_one", "other"):
        verdict = judge(replace(result, shape=replace(result.shape, name=name)))
        assert (verdict.status is Status.PASS) == (name in ("uniform", "anti_conservative", "spike_at_one"))


def test_tables_and_figure():
    result = result_of(effect_share=0.0)
    strata, histogram = tables(result)
    assert sum(histogram.columns["n_genes"]) == result.n_genes
    assert len(strata.columns["base_mean"]) == 4
    assert draw(result)[0].svg == draw(result)[0].svg
