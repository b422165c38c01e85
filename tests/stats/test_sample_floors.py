"""Medians over samples, and the two groups' floors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats import sample_floors

RNG = np.random.default_rng(1)


def test_median_needs_half_of_the_samples():
    values = np.array([1.0, 2, 3, np.nan, np.nan, np.nan, np.nan])
    assert sample_floors.median(values, RNG).value is None
    found = sample_floors.median(values[:5], RNG)
    assert found.value == 2
    assert 1 <= found.low <= found.value <= found.high <= 3


def test_two_samples_have_no_interval():
    found = sample_floors.median(np.array([1.0, 3.0]), RNG)
    assert (found.value, found.low, found.high) == (2, None, None)


def test_floors_of_samples_scale_with_depth():
    counts = RNG.poisson(np.exp(RNG.normal(4, 1.5, 800))[:, None] * np.array([1.0, 4.0])).astype(float)
    floors = sample_floors.sample_floors(counts, 3.0)
    assert floors.measurement[0] / floors.measurement[1] == pytest.approx(4, rel=0.1)
    assert np.isnan(floors.biological).all()  # one class of genes


def test_sample_without_different_counts_has_no_classes():
    assert sample_floors.classes(np.zeros(50), 3.0) is None
    assert sample_floors.classes(np.ones(50), 3.0) is None


def two_classes(level=2.0, n=6, n_genes=1500, seed=2):
    """Counts of silent (2^level reads a kilobase) and expressed genes (2^7 times as many), and lengths of all genes."""
    rng = np.random.default_rng(seed)
    quiet = np.arange(n_genes) < 0.4 * n_genes
    lengths = 2 ** rng.normal(11, 1.0, n_genes)
    per_kilobase = 2 ** np.where(quiet, rng.normal(level, 0.5, n_genes), rng.normal(level + 7, 0.8, n_genes))
    return rng.poisson((per_kilobase * lengths / 1e3)[:, None], (n_genes, n)).astype(float), lengths, quiet


def test_with_lengths_floors_are_tpm():
    counts, lengths, quiet = two_classes(level=6.0)  # reads enough for the class to be normal
    floors = sample_floors.sample_floors(counts, 4.0, lengths)
    rate = counts / (lengths / 1e3)[:, None]
    tpm = rate / rate.sum(axis=0) * 1e6
    assert floors.unit == "TPM"
    np.testing.assert_allclose(floors.mean_tpm, tpm.mean(axis=1))
    np.testing.assert_allclose(floors.measurement, 4.0 / counts.sum(axis=0) * 1e6)
    np.testing.assert_allclose(floors.measurement_tpm, 4.0 * 1e6 / np.median(lengths / 1e3) / rate.sum(axis=0))
    # in TPM one in twenty silent genes exceeds the floor
    assert np.mean([(tpm[quiet, j] > floors.biological[j]).mean() for j in range(6)]) == pytest.approx(0.05, abs=0.02)


def test_lengths_sharpen_the_classes():
    counts, lengths, _ = two_classes()
    with_lengths, without = (sample_floors.sample_floors(counts, 4.0, given) for given in (lengths, None))
    assert (with_lengths.separation > 1.3 * without.separation).all()
    assert without.unit == "CPM"
    assert without.measurement_tpm is None
    assert "measurement_tpm" not in without.columns()


def test_equal_lengths_change_nothing_but_the_name_of_the_unit():
    counts, _, _ = two_classes()
    with_lengths, without = (sample_floors.sample_floors(counts, 4.0, x) for x in (np.full(1500, 700.0), None))
    for name in ("biological", "zfpkm", "separation", "silent_level", "active_share"):
        np.testing.assert_allclose(getattr(with_lengths, name), getattr(without, name), rtol=1e-6)
    np.testing.assert_allclose(with_lengths.measurement_tpm, without.measurement)


@given(st.permutations(range(4)))
def test_the_order_of_samples_does_not_matter(order):
    counts, lengths, _ = two_classes(n=4, n_genes=300)
    one = sample_floors.sample_floors(counts, 4.0, lengths)
    other = sample_floors.sample_floors(counts[:, list(order)], 4.0, lengths)
    for name in ("library_size", "measurement", "measurement_tpm", "biological", "zfpkm", "silent_level"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name)[list(order)])
    np.testing.assert_allclose(other.active_share, one.active_share)


def test_silent_level_counts_zeros_and_rises_by_the_stray_reads():
    counts, _, quiet = two_classes()
    counts[:20] = 0
    counts[:20, 0] = 1
    before = sample_floors.sample_floors(counts, 4.0)
    counts[:, 3:] += 3.0
    after = sample_floors.sample_floors(counts, 4.0)
    reads = [f.silent_level * f.library_size / 1e6 for f in (before, after)]
    assert reads[0] == pytest.approx(counts[quiet, :3].mean(), rel=0.2)
    np.testing.assert_allclose(reads[1][3:] - reads[1][:3].mean(), 3, atol=0.5)


def groups_of(floors, n):
    mine = np.arange(2 * n) < n
    rng = np.random.default_rng(0)
    return sample_floors.TwoFloors(
        *(sample_floors.group_floors(name, floors, m, None, 0.95, rng) for name, m in (("t", mine), ("r", ~mine)))
    )


def test_both_floors_must_be_passed():
    counts, lengths, _ = two_classes()
    floors = sample_floors.sample_floors(counts, 4.0, lengths)
    two = groups_of(floors, 3)
    cpm, tpm = two.highest_of("measurement"), two.highest_of("biological")
    eps = 1e-9
    passed = two.passed(np.array([cpm, cpm - eps, cpm]), np.array([tpm, tpm, tpm - eps]))
    assert passed.tolist() == [True, False, False]
    assert two.highest_of("zfpkm") == max(two.test.zfpkm.value, two.reference.zfpkm.value)
    alone = two.test.passed(np.full(1, np.inf), np.full(1, two.test.biological.value))
    assert alone.tolist() == [True]


def test_differences_have_samples_as_their_unit():
    counts, lengths, _ = two_classes(n=6)
    floors = sample_floors.sample_floors(counts, 4.0, lengths)
    found = groups_of(floors, 3).biological_differences(floors)["biological_floor_log2_difference"]
    log = np.log2(floors.biological)
    assert found.value == pytest.approx(log[:3].mean() - log[3:].mean())
    assert found.low < found.value < found.high


def test_without_classes_there_are_no_differences():
    counts = RNG.poisson(np.exp(RNG.normal(4, 1.5, 800))[:, None] * np.ones(6)).astype(float)
    floors = sample_floors.sample_floors(counts, 3.0)
    found = groups_of(floors, 3).biological_differences(floors)
    assert [f.value for f in found.values()] == [None, None]
