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
from dediag.readers import read_cohort
from dediag.simulation import Population, draw_counts, simulate
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


def test_uncalled_genes_drift_where_the_low_ones_lean_more(healthy):
    """1,000 uncalled genes, a third below the floor."""
    low = np.arange(1000) < 333
    mean_cpm = np.where(low, healthy.floors.highest / 2, healthy.floors.highest * 2)
    up = (np.arange(1000) % 10) / 10.0

    def drifts(below, above):
        lfc = np.where(up < np.where(low, below, above), 1.0, -1.0)
        made = replace(healthy, mean_cpm=mean_cpm, lfc=lfc, called=np.zeros(1000, bool))
        said = "fold changes lean by themselves" in noise_floor.judge(made).headline
        assert {m.name: m.value for m in noise_floor.metrics(made)}["uncalled_genes_drift"] == said
        return said

    assert drifts(0.8, 0.5)
    assert not drifts(0.6, 0.8)  # it is the high ones that lean
    assert not drifts(0.6, 0.5)  # not surely


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


def test_a_group_of_identical_copies_has_a_poisson_floor():
    cohort, _ = simulate(n_genes=200, n_test=6, n_reference=6, seed=1)
    counts = cohort.counts.copy()
    counts[:, 6:] = counts[:, 6:7]  # six copies of one sample: no more than Poisson variance
    copies = cohort.with_counts(counts)
    control = noise_floor.compute(
        Study(copies, fit(copies, "~ group", ("group", "case", "control")), 1)
    ).floors.reference
    assert control.own_dispersion == 0.0
    assert control.measurement_own == pytest.approx(-np.log(0.05) / counts[:, 6].sum() * 1e6)


# with gene lengths


def test_with_lengths_the_filter_asks_for_both_units():
    cohort = two_classes()
    lengths = 2 ** np.random.default_rng(3).normal(11, 0.3, cohort.n_genes)
    result = noise_floor.compute(study(replace(cohort, gene_lengths=lengths)))
    units = {m.name: m.unit for m in noise_floor.metrics(result)}
    assert units["measurement_floor_test"] == units["model_floor"] == "CPM"
    assert units["biological_floor_test"] == "TPM"
    cpm, tpm = result.floors.highest_of("measurement"), result.floors.highest_of("biological")
    np.testing.assert_array_equal(result.kept, (result.mean_cpm >= cpm) & (result.samples.mean_tpm >= tpm))
    assert re.fullmatch(r"[\d.]+ CPM and [\d.]+ TPM", result.threshold)
    table = {t.name: t for t in noise_floor.tables(result)}
    assert "measurement_tpm" in table["groups"].columns
    assert "in TPM" in table["groups"].caption
    for figure in noise_floor.draw(result):
        assert figure.svg.startswith("<svg")


def test_without_lengths_everything_is_cpm(healthy):
    assert {m.unit for m in noise_floor.metrics(healthy)} == {"CPM", "log2", None}
    assert healthy.threshold.endswith(" CPM")
    np.testing.assert_array_equal(healthy.kept, healthy.mean_cpm >= healthy.floors.highest)


# other filters


def test_filters_side_by_side(healthy):
    (table,) = (t for t in noise_floor.tables(healthy) if t.name == "filters")
    columns = table.columns
    assert columns["filter"] == ["none", "noise floor", "zFPKM > -3", "filterByExpr", "independent filtering"]
    calls = np.add(columns["calls_up"], columns["calls_down"])
    assert calls[0] == calls[-1] == healthy.called.sum()  # the fit's own filter voids no call
    assert columns["genes_kept"][0] == max(columns["genes_kept"])
    sides = healthy.sides
    assert (columns["calls_up"][1], columns["calls_down"][1]) == (sides.up_above, sides.down_above)


def test_lists_above_each_groups_floor(healthy):
    (table,) = (t for t in noise_floor.tables(healthy) if t.name == "groups")
    for k, group in enumerate(healthy.floors.both):
        kept = healthy.mean_cpm >= group.working
        assert table.columns["genes_kept"][k] == kept.sum()
        assert table.columns["calls_up"][k] == (kept & healthy.called & (healthy.lfc > 0)).sum()


# contamination of one group


def floors_of(n=5, log_mean=7.0, log_mean_sd=0.5, seed=3, **faults):
    """Medians of the biological floors, and differences, of a study with two classes of genes; n_genes 1000."""
    population = Population(log_mean=log_mean, log_mean_sd=log_mean_sd, silent_share=0.4)
    cohort, _ = simulate(n_genes=1000, n_test=n, n_reference=n, seed=seed, population=population, **faults)
    result = noise_floor.compute(study(cohort))
    return result.floors, {m.name: m for m in noise_floor.metrics(result)}


@pytest.mark.parametrize("sign", [1, -1])
def test_contamination_raises_the_floor_of_the_group_that_has_it(sign):
    """15 stray reads where silent genes have about 9: seen in 26 of 30 cohorts of 5 v 5, 30 of 30 of 10 v 10."""
    clean, _ = floors_of(n=10)
    dirty, metrics = floors_of(n=10, contamination=15.0 * sign)
    hit, other = ("test", "reference") if sign > 0 else ("reference", "test")
    assert getattr(dirty, hit).biological.low > getattr(clean, hit).biological.high
    kept, before = getattr(dirty, other).biological, getattr(clean, other).biological
    assert before.low <= kept.value <= before.high
    difference = metrics["biological_floor_log2_difference"]
    assert sign * difference.value > 0.2
    assert difference.low * difference.high > 0


@pytest.mark.parametrize("sign", [1, -1])
def test_one_stray_read_per_gene_raises_the_level_of_the_silent_genes(sign):
    """In a wide class of silent genes, whose edge falls instead: 73 of 80 cohorts of 5 v 5, 79 of 80 of 10 v 10."""
    wide = {"n": 10, "log_mean": 6.5, "log_mean_sd": 1.2}
    _, clean = floors_of(**wide)
    _, dirty = floors_of(**wide, contamination=1.0 * sign)
    level = dirty["silent_level_log2_difference"]
    assert clean["silent_level_log2_difference"].low < 0 < clean["silent_level_log2_difference"].high
    assert level.low * level.high > 0
    assert sign * level.value > 0.05


# real studies


def test_floors_follow_the_depth_of_two_laboratories(real_data):
    """The same population, sequenced 3.7 times more deeply in one laboratory."""
    folder = real_data / "data" / "hapmap_ceu_depth"
    cohort = read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    found = fit(cohort, "~ group", ("group", "Cheung", "Montgomery"), search="newton")
    result = noise_floor.compute(Study(cohort, found, 1))
    library = result.samples.library_size
    depth = np.median(library[result.floors.test.mine]) / np.median(library[result.floors.reference.mine])
    assert depth == pytest.approx(3.7, rel=0.05)
    assert result.floors.ratio * depth == pytest.approx(1, rel=0.1)  # seen: 0.9998
    own = [group.measurement_own for group in result.floors.both]
    assert own[0] < result.floors.test.measurement.value  # Cheung varies less than both together, Montgomery more
    assert own[1] > result.floors.reference.measurement.value
    verdict = noise_floor.judge(result)
    assert verdict.status is Status.WARN
    assert verdict.headline.startswith("The measurement floor of Montgomery is 3.7 times that of Cheung")


def test_more_lanes_lower_the_floor_in_proportion_to_depth(real_data):
    """SEQC, 1 to 8 lanes of each library: floor times depth stays within 4 % (seen: 3.3 %), by the trend alone."""
    folder = real_data / "data" / "seqc_coh"
    lanes = pd.read_csv(folder / "samples_lanes_AB.tsv", sep="\t", index_col=0)
    counts = pd.read_csv(folder / "counts_lanes_AB.tsv.gz", sep="\t", index_col=0, dtype={0: str})
    library = lanes["group"] + "_" + lanes["library"].astype(str)
    products = []
    for n in (1, 2, 4, 8):
        use = lanes["lane"].isin(sorted(lanes["lane"].unique())[:n])
        summed = counts.loc[:, lanes.index[use]].T.groupby(library[use]).sum().T
        samples = pd.DataFrame({"group": [name[0] for name in summed.columns]}, index=summed.columns)
        cohort = Cohort.from_frames(summed, samples)
        result = noise_floor.compute(Study(cohort, fit(cohort, "~ group", ("group", "A", "B"), search="newton"), 1))
        depth = [np.median(result.samples.library_size[group.mine]) for group in result.floors.both]
        products.append([d * g.measurement.value for d, g in zip(depth, result.floors.both, strict=True)])
    np.testing.assert_allclose(np.array(products) / products[0], 1, atol=0.04)


def test_real_study_with_lengths(real_data):
    folder = real_data / "data" / "seqc_coh"
    cohort = read_cohort(
        folder / "counts.tsv.gz", folder / "samples.tsv", gene_lengths=folder / "genes.tsv.gz", spike_ins="ERCC-"
    )
    result = noise_floor.compute(Study(cohort, fit(cohort, "~ group", ("group", "A", "B"), search="newton"), 1))
    assert result.samples.unit == "TPM"
    np.testing.assert_allclose(result.samples.mean_tpm.sum(), 1e6)
    assert noise_floor.judge(result).status is Status.PASS
