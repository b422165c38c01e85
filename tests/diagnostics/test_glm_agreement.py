"""The self-check against statsmodels: it agrees, it sees a wrong fit, and it says why other fits differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.contract import NotAssessable
from dediag.diagnostics import glm_agreement
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.settings import AuditSettings
from dediag.simulation import simulate
from dediag.study import Study


def study(cohort, formula="~ group", **settings):
    return Study(cohort, fit(cohort, formula, ("group", "case", "control")), 1, AuditSettings(**settings))


@pytest.fixture(scope="module")
def agreed():
    return glm_agreement.compute(study(simulate(n_genes=60, seed=1)[0]))


def test_same_model_same_fit(agreed):
    verdict = glm_agreement.judge(agreed)
    assert verdict.status is Status.PASS
    metrics = {m.name: m.value for m in glm_agreement.metrics(agreed)}
    assert metrics["n_compared"] == int(agreed.compared.sum()) > 50
    assert metrics["max_lfc_difference"] < 1e-4
    assert metrics["max_se_ratio"] < 1.01
    assert metrics["spearman_mle"] > 0.95


@pytest.mark.parametrize("what", ["lfc", "se"])
def test_a_wrong_engine_fails(agreed, what):
    values = getattr(agreed, what).copy()
    gene = int(np.flatnonzero(agreed.compared)[3])
    values[gene] += 0.05
    verdict = glm_agreement.judge(replace(agreed, **{what: values}))
    assert verdict.status is Status.FAIL
    assert agreed.genes[gene] in verdict.advice


def test_alpha_left_at_one_inflates_the_standard_error(agreed):
    ratio = (agreed.default.se / agreed.se)[agreed.compared]
    assert np.median(ratio) > 2
    assert np.median(np.abs(agreed.default.lfc - agreed.lfc)[agreed.compared]) < 0.02


def test_covariates_offsets_and_replaced_outliers():
    cohort, _ = simulate(n_genes=60, n_test=8, n_reference=8, seed=2, outliers=0.2)
    cohort.samples["batch"] = ["a", "b"] * 8
    cohort.samples["rin"] = np.linspace(-1, 1, 16)
    result = glm_agreement.compute(study(cohort, "~ batch + rin + group"))
    assert glm_agreement.judge(result).status is Status.PASS
    plain = glm_agreement.compute(study(simulate(n_genes=60, n_test=8, n_reference=8, seed=2, outliers=0.2)[0]))
    assert plain.replaced.any()
    assert glm_agreement.judge(plain).status is Status.PASS


def test_separated_and_floor_genes_are_counted_apart():
    cohort, _ = simulate(n_genes=60, n_test=5, n_reference=5, seed=3)
    counts = cohort.counts.copy()
    counts[0, :5] = 0  # absent in the cases
    counts[1] = 0
    counts[1, 0] = 1
    counts[2] = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]  # present in both, fitted means of 0.2
    result = glm_agreement.compute(study(cohort.with_counts(counts)))
    state = dict(zip(result.genes, result.state, strict=True))
    names = [str(g) for g in cohort.genes[:3]]
    assert [state[n] for n in names] == ["separation", "separation", "floor"]
    assert glm_agreement.judge(result).status is Status.PASS


def test_every_discordance_has_a_reason():
    result = glm_agreement.compute(study(simulate(n_genes=150, n_test=3, n_reference=3, seed=4, outliers=0.1)[0]))
    reasons = {r for r in result.reason if r}
    assert "dispersion shrinkage" in reasons
    assert list(result.reason).count("unexplained") <= 2


def test_sample_is_stratified_and_all_genes_can_be_asked_for():
    cohort = simulate(n_genes=260, n_test=3, n_reference=3, seed=5)[0]
    some = study(cohort)
    rows = glm_agreement._sampled(some)
    assert len(rows) == 200
    assert len(np.unique(rows)) == 200
    assert len(glm_agreement._sampled(study(cohort, all_genes=True))) >= 255


def test_weights_are_not_assessable():
    cohort = simulate(n_genes=80, seed=6)[0]
    weighted = fit(cohort, "~ group", ("group", "case", "control"), weights=np.full(cohort.counts.shape, 0.5))
    with pytest.raises(NotAssessable, match="weights"):
        glm_agreement.compute(Study(cohort, weighted))


def test_agreement_on_a_minority_of_the_genes_warns_and_says_why(agreed):
    state = tuple("compared" if i < len(agreed.state) // 2 - 1 else "floor" for i in range(len(agreed.state)))
    verdict = glm_agreement.judge(replace(agreed, state=state))
    assert verdict.status is Status.WARN
    assert f"(floor {state.count('floor')}; limit 50 %)" in verdict.headline


@pytest.mark.parametrize("difference", [9.6e-5, 9.9999e-5, 3e-7])
def test_the_sentence_never_contradicts_the_status(agreed, difference):
    """A difference within the limit is not rounded up to it."""
    lfc = agreed.given.lfc.copy()
    lfc[int(np.flatnonzero(agreed.compared)[3])] += difference
    verdict = glm_agreement.judge(replace(agreed, lfc=lfc))
    assert verdict.status is Status.PASS
    assert float(verdict.headline.split("within ")[1].split()[0]) < glm_agreement.LFC_LIMIT
