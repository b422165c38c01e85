"""sign_asymmetry: the split that a design gives by itself, found by simulation, and what the verdict makes of it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dediag.auditing import open_study
from dediag.cohort import Cohort, frozen
from dediag.contract import NotAssessable
from dediag.diagnostics import sign_asymmetry
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.settings import AuditSettings
from dediag.simulation import draw_counts, simulate
from dediag.stats.call_split import Calls

SETTINGS = AuditSettings(bootstraps=16)


def study_of(cohort, contrast=("group", "case", "control"), design="~ group", settings=SETTINGS):
    return open_study(cohort, design, contrast, seed=3, settings=settings)


def simulated(n_test, n_reference, **faults):
    return simulate(n_genes=800, n_test=n_test, n_reference=n_reference, seed=4, effect_share=0.2, **faults)[0]


@pytest.fixture(scope="module")
def healthy():
    return sign_asymmetry.compute(study_of(simulated(8, 14)))


def flipped_cohort(n_test, n_reference, midpoint, n_genes=3000):
    """Half of the genes two-fold up, half down, about one midpoint, dispersion .2."""
    up = np.arange(n_genes) % 2 == 0
    step = np.where(up, 0.5, -0.5)[:, None] * np.where(np.arange(n_test + n_reference) < n_test, 1, -1)
    counts = draw_counts(np.random.default_rng(3), midpoint * 2.0**step, np.array(0.2))
    samples = pd.DataFrame(
        {"group": ["case"] * n_test + ["control"] * n_reference}, index=[f"s{i}" for i in range(n_test + n_reference)]
    )
    return Cohort(frozen(counts), pd.Index([f"g{i}" for i in range(n_genes)]), samples), up


@pytest.mark.parametrize(
    ("sizes", "midpoint", "low", "high"),
    [
        (
            (5, 20),
            2.0,
            2.0,
            4.5,
        ),  # 2.9 where fitted means are at least .5, 3.9 without that floor, both at known dispersion
        ((5, 20), 50.0, 0.9, 1.1),  # .97
        ((20, 5), 2.0, 0.22, 0.5),  # the inverse
        ((10, 10), 2.0, 0.75, 1.35),  # 1
    ],
)
def test_power_by_direction_is_that_of_the_docstring(sizes, midpoint, low, high):
    cohort, up = flipped_cohort(*sizes, midpoint)
    found = fit(
        cohort, "~ group", ("group", "case", "control"), search="newton", size_factors=np.ones(sum(sizes)), cooks=False,
        replace_outliers=False, trend="mean",
    )  # fmt: skip
    hit = found.pvalue < 0.01
    assert low < (hit & up & (found.lfc > 0)).sum() / (hit & ~up & (found.lfc < 0)).sum() < high


def test_exchanging_the_labels_gives_one_minus_the_share(healthy):
    other = sign_asymmetry.compute(study_of(simulated(8, 14), ("group", "control", "case")))
    assert (other.whole.n_up, other.whole.n_down) == (healthy.whole.n_down, healthy.whole.n_up)
    # same random numbers: what differs are last digits of the fit, which may move a call
    assert other.whole.expected == pytest.approx(1 - healthy.whole.expected, abs=0.002)
    assert other.whole.expected_low == pytest.approx(1 - healthy.whole.expected_high, abs=0.002)
    assert other.trend_with_mean == pytest.approx(-healthy.trend_with_mean)
    for mine, theirs in zip(healthy.strata, other.strata, strict=True):
        assert (mine.n_up, mine.n_down) == (theirs.n_down, theirs.n_up)


def test_expects_what_unequal_sizes_do_at_low_counts():
    low, _ = flipped_cohort(5, 20, 6.0, 600)
    samples = low.samples
    carriers = draw_counts(np.random.default_rng(1), np.full((600, 25), 100.0), np.array(0.2))  # of the normalisation
    counts = pd.DataFrame(np.vstack([low.counts, carriers]), columns=samples.index)
    cohort = Cohort(frozen(counts.to_numpy()), pd.Index([f"g{i}" for i in range(1200)]), samples)
    result = sign_asymmetry.compute(study_of(cohort))
    assert result.whole.expected > 0.51  # more power upward in the smaller group
    assert result.whole.expected_low < result.whole.up_share < result.whole.expected_high


def test_healthy_passes_and_counts_add_up(healthy):
    verdict = sign_asymmetry.judge(healthy)
    assert verdict.status is Status.PASS
    assert f"{healthy.whole.n_up} up, {healthy.whole.n_down} down" in verdict.headline
    assert healthy.whole.p_value > 0.01
    assert sum(s.n_up for s in healthy.strata) == healthy.whole.n_up
    assert sum(s.n_genes for s in healthy.strata) == healthy.whole.n_genes
    assert healthy.own_dispersions
    assert 0.2 < healthy.whole.expected < 0.8
    assert healthy.whole.expected_high - healthy.whole.expected_low < 0.6


def test_one_sided_effects_warn_and_never_fail():
    result = sign_asymmetry.compute(study_of(simulated(8, 14, one_sided=1.0)))
    verdict = sign_asymmetry.judge(result)
    assert verdict.status is Status.WARN
    assert result.whole.up_share < result.whole.expected_low
    assert result.whole.p_value is not None
    assert result.whole.p_value < 0.01


@pytest.mark.parametrize("n_up", [3, 8, 12, 18, 22, 29, 33])
def test_sentence_interval_p_value_and_status_agree(healthy, n_up):
    """Whatever was observed: the status, the numbers in the sentence and the p-value say the same."""
    rng = np.random.default_rng(5)
    calls = rng.random((40, 60)) < 0.6
    up = calls & (rng.random((40, 60)) < 0.5)
    lfc = np.where(np.arange(60) < n_up, 1.0, -1.0)
    called = np.arange(60) < 36
    whole = Calls(np.ones(60), lfc, called, up, calls & ~up, sign_asymmetry.LEVEL).between(0.0, np.inf)
    verdict = sign_asymmetry.judge(replace(healthy, whole=whole))
    share, low, high = map(float, re.search(r"\(([\d.]+) % up\).*, ([\d.]+) to ([\d.]+) %", verdict.headline).groups())
    assert (verdict.status is Status.PASS) == (low <= share <= high) == (whole.p_value >= 0.01)


def test_genes_that_vary_together_widen_the_interval():
    cohort = simulate(n_genes=800, n_test=8, n_reference=8, seed=4, effect_share=0.5)[0]
    counts = cohort.counts.copy()
    counts[::4] = np.round(counts[::4] * np.exp(0.6 * np.random.default_rng(2).normal(size=16)))
    study = study_of(cohort.with_counts(counts), settings=AuditSettings(bootstraps=40))
    kept = sign_asymmetry.plan(study)["swapped"]
    spread = {}
    for residuals in ("permuted", "independent"):
        drawn = study.ensemble(replace(kept, residuals=residuals))
        spread[residuals] = (drawn.n_up / (drawn.n_up + drawn.n_down)).std()
    assert kept.residuals == "permuted"
    assert spread["permuted"] > 1.2 * spread["independent"]


def test_few_calls_ask_for_nothing():
    cohort = simulate(n_genes=300, n_test=4, n_reference=4, seed=1, effect_share=0.0)[0]
    study = study_of(cohort)
    assert sign_asymmetry.plan(study) == {}
    result = sign_asymmetry.compute(study)
    verdict = sign_asymmetry.judge(result)
    assert verdict.status is Status.NOT_ASSESSABLE
    assert "fewer than" in str(verdict.reason)
    assert {m.name: m.value for m in sign_asymmetry.metrics(result)}["expected_up_fraction"] is None
    assert len(sign_asymmetry.draw(result)) == 1


def test_shared_dispersions_stand_in_below_three_degrees_of_freedom():
    study = study_of(simulate(n_genes=500, n_test=3, n_reference=6, seed=2, effect_share=0.3, effect_sd=2.0)[0])
    assert sign_asymmetry.plan(study)["swapped"].dispersion == "shared"
    result = sign_asymmetry.compute(study)
    assert not result.own_dispersions
    assert result.whole.expected is not None


def test_interaction_is_not_assessable():
    cohort = simulated(8, 8)
    samples = cohort.samples.assign(batch=["a", "b"] * 8)
    with pytest.raises(NotAssessable):
        sign_asymmetry.compute(study_of(replace(cohort, samples=samples), design="~ batch * group"))


def test_tables_and_figures(healthy):
    (table,) = sign_asymmetry.tables(healthy)
    assert table.columns["n_up"][-1] == healthy.whole.n_up
    figures = sign_asymmetry.draw(healthy)
    assert [f.name for f in figures] == ["expected", "by_expression"]
    assert figures[0].svg == sign_asymmetry.draw(healthy)[0].svg
