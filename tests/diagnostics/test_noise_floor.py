"""Noise floors: depth in proportion, the classes of genes, the calls about the floor, and when it warns."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dediag.cohort import Cohort, frozen
from dediag.contract import NotAssessable
from dediag.diagnostics import noise_floor
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.simulation import draw_counts, simulate
from dediag.stats.sample_floors import Median, TwoFloors
from dediag.study import Study


def study(cohort, seed=1):
    return Study(cohort, fit(cohort, "~ group", ("group", "case", "control")), seed)


@pytest.fixture(scope="module")
def healthy():
    return noise_floor.compute(study(simulate(n_genes=500, seed=1)[0]))


def two_classes(extra=0.0, n=8, n_genes=1200):
    """Silent (about 8 reads) and expressed (about 1,000) genes; `extra` reads in every gene of the cases."""
    rng = np.random.default_rng(8)
    silent = np.arange(n_genes) < 0.4 * n_genes
    mean = 2 ** np.where(silent, rng.normal(3, 0.7, n_genes), rng.normal(10, 1.5, n_genes))
    is_case = np.arange(2 * n) < n
    counts = draw_counts(rng, np.repeat(mean[:, None], 2 * n, axis=1), np.full((n_genes, 1), 0.05))
    counts += rng.poisson(extra * is_case, counts.shape)
    samples = pd.DataFrame({"group": np.where(is_case, "case", "control")}, index=[f"s{j:02d}" for j in range(2 * n)])
    return Cohort(frozen(counts), pd.Index([f"g{i}" for i in range(n_genes)]), samples)


def test_healthy_passes(healthy):
    verdict = noise_floor.judge(healthy)
    assert verdict.status is Status.PASS
    assert healthy.floors.test.biological.value is None  # one lognormal population of genes: no silent class
    assert (
        healthy.floors.test.measurement.low
        <= healthy.floors.test.measurement.value
        <= healthy.floors.test.measurement.high
    )


def test_measurement_floor_is_what_it_says(healthy):
    """At the floor a gene is seen in 95 % of samples, by simulation."""
    rng = np.random.default_rng(4)
    counts = draw_counts(rng, np.full((40_000, 1), healthy.common_count), np.full((1, 1), healthy.dispersion))
    assert (counts > 0).mean() == pytest.approx(0.95, abs=0.005)
    np.testing.assert_allclose(healthy.samples.measurement * healthy.samples.library_size / 1e6, healthy.common_count)


@pytest.mark.parametrize("depth_ratio", [0.25, 4.0])
def test_measurement_floors_follow_depth(depth_ratio):
    result = noise_floor.compute(study(simulate(n_genes=400, seed=2, depth_ratio=depth_ratio)[0]))
    depth = np.median(result.samples.library_size[:10]) / np.median(result.samples.library_size[10:])
    ratio = result.floors.test.measurement.value / result.floors.reference.measurement.value
    assert ratio * depth == pytest.approx(1, rel=0.1)
    assert result.floors.ratio == pytest.approx(ratio)


def test_own_dispersion_moves_the_floor():
    result = noise_floor.compute(study(simulate(n_genes=500, seed=3, group_dispersion_ratio=4.0)[0]))
    assert result.floors.test.own_dispersion > 1.5 * result.floors.reference.own_dispersion
    common = result.floors.test.measurement.value / result.floors.reference.measurement.value
    assert result.floors.test.measurement_own / result.floors.reference.measurement_own > 1.3 * common


def test_biological_floor_and_contamination_of_one_group():
    clean = noise_floor.compute(study(two_classes()))
    dirty = noise_floor.compute(study(two_classes(extra=15.0)))
    assert clean.floors.test.biological.value is not None
    assert clean.floors.test.biological.value == pytest.approx(clean.floors.reference.biological.value, rel=0.2)
    assert dirty.floors.test.biological.value > 1.3 * clean.floors.test.biological.value
    assert dirty.floors.reference.biological.value == pytest.approx(clean.floors.reference.biological.value, rel=1e-6)


def test_calls_below_that_run_one_way_warn(healthy):
    """1,000 calls, those below the floor all up, those above half and half."""
    mean_cpm = np.r_[np.full(100, healthy.floors.highest / 2), np.full(900, healthy.floors.highest * 2)]
    lfc = np.where(np.arange(1000) < 100, 1.0, (-1.0) ** np.arange(1000))
    lean = replace(healthy, mean_cpm=mean_cpm, lfc=lfc, called=np.ones(1000, bool))
    verdict = noise_floor.judge(lean)
    assert verdict.status is Status.WARN
    assert verdict.calls_at_risk == 100
    metrics = {m.name: m.value for m in noise_floor.metrics(lean)}
    assert metrics["up_fraction_below"] == 1
    assert metrics["up_fraction_above"] == 0.5
    even = replace(lean, lfc=(-1.0) ** np.arange(1000))
    assert noise_floor.judge(even).status is Status.PASS


def floors_apart(healthy, factor, share_between):
    """The measurement floors this far apart, with 1,000 genes and no call, some of the genes between the two."""
    low = healthy.floors.reference.measurement.value
    test = replace(healthy.floors.test, measurement=Median(low * factor), biological=Median(None))
    reference = replace(healthy.floors.reference, biological=Median(None))
    n = round(1000 * share_between)
    return replace(
        healthy, floors=TwoFloors(test, reference), mean_cpm=np.r_[np.full(n, low * 1.1), np.full(1000 - n, low * 99)],
        lfc=np.ones(1000), called=np.zeros(1000, bool),
    )  # fmt: skip


@pytest.mark.parametrize("off", [-1e-4, 1e-4])
def test_the_sentence_never_contradicts_the_status(healthy, off):
    """However close to a limit, the number in the sentence is on the side that the status says."""
    verdict = noise_floor.judge(floors_apart(healthy, noise_floor.RATIO_LIMIT + off, 0.2))
    said = float(re.search(r"(?:is|factor of) ([\d.]+)", verdict.headline).group(1))
    assert (said >= noise_floor.RATIO_LIMIT) == (verdict.status is Status.WARN) == (off > 0)


def test_floors_far_apart_with_nothing_at_stake_pass_and_say_why(healthy):
    verdict = noise_floor.judge(floors_apart(healthy, 4.0, 0.02))
    assert verdict.status is Status.PASS
    assert "factor of 4 (limit 2.5)" in verdict.headline
    assert "only 2 % of the genes lie between the two (limit 5 %); 0 of 0 calls" in verdict.headline
    assert verdict.advice == "Nothing to do."


def test_few_calls_below_do_not_make_a_lean(healthy):
    mean_cpm = np.r_[np.full(4, healthy.floors.highest / 2), np.full(96, healthy.floors.highest * 2)]
    lfc = np.where(np.arange(100) < 4, 1.0, (-1.0) ** np.arange(100))
    few = replace(healthy, mean_cpm=mean_cpm, lfc=lfc, called=np.ones(100, bool))
    assert noise_floor.judge(few).status is Status.PASS


def test_exchanging_the_groups_inverts_the_ratio():
    cohort = simulate(n_genes=400, seed=5, depth_ratio=0.3)[0]
    one = noise_floor.compute(Study(cohort, fit(cohort, "~ group", ("group", "case", "control"))))
    other = noise_floor.compute(Study(cohort, fit(cohort, "~ group", ("group", "control", "case"))))
    assert one.floors.ratio * other.floors.ratio == pytest.approx(1)


def test_interaction_is_not_assessable():
    cohort = simulate(n_genes=100, seed=1)[0]
    frame = cohort.samples.assign(batch=["a", "b"] * 10)
    cohort = replace(cohort, samples=frame)
    with pytest.raises(NotAssessable, match="interaction"):
        noise_floor.compute(Study(cohort, fit(cohort, "~ batch * group", ("group", "case", "control"))))


def test_a_group_of_identical_copies_is_not_assessable():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[:, 6:] = counts[:, 6:7]  # six copies of one sample: no more than Poisson variance
    copies = cohort.with_counts(counts)
    with pytest.raises(NotAssessable, match="no dispersion of its own: no gene's dispersion"):
        noise_floor.compute(Study(copies, fit(copies, "~ group", ("group", "case", "control")), 1))
