"""A cohort is read-only, and its parts stay together when samples or genes are taken."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from dediag import cohort as cohorts
from dediag.cohort import ALL, Cohort, InputError, blocks, frozen, let_go, stored


@pytest.fixture
def cohort():
    counts = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}, index=["g1", "g2", "g3"])
    made = Cohort.from_frames(counts, pd.DataFrame({"group": ["x", "y"]}, index=["a", "b"]))
    return replace(
        made,
        gene_lengths=frozen([100.0, 200, 300]),
        offsets=frozen(np.arange(6.0).reshape(3, 2)),
        control_genes=frozen([True, False, True], np.bool_),
        spike_ins=frozen([False, True, False], np.bool_),
    )


def test_read_only(cohort):
    with pytest.raises(ValueError, match="read-only"):
        cohort.counts[0, 0] = 9
    with pytest.raises(FrozenInstanceError):
        cohort.counts = None


def test_sizes(cohort):
    assert (cohort.n_genes, cohort.n_samples) == (3, 2)


def test_taking_samples(cohort):
    taken = cohort.take_samples([1, 0, 1])
    assert taken.counts.tolist() == [[4, 1, 4], [5, 2, 5], [6, 3, 6]]
    assert taken.samples["group"].tolist() == ["y", "x", "y"]
    assert taken.offsets.tolist() == [[1, 0, 1], [3, 2, 3], [5, 4, 5]]
    assert taken.genes.tolist() == cohort.genes.tolist()
    assert not taken.counts.flags.writeable


@pytest.mark.parametrize("index", [np.array([2, 0]), np.array([True, False, True])])
def test_taking_genes(cohort, index):
    taken = cohort.take_genes(index)
    order = [2, 0] if index.dtype != bool else [0, 2]
    assert taken.genes.tolist() == [f"g{i + 1}" for i in order]
    assert taken.counts.tolist() == cohort.counts[order].tolist()
    assert taken.gene_lengths.tolist() == [100.0 * (i + 1) for i in order]
    assert taken.offsets.tolist() == cohort.offsets[order].tolist()
    assert taken.control_genes.tolist() == [True, True]
    assert taken.spike_ins.dtype == np.bool_


def test_size_factors_come_from_control_genes_else_from_all_but_spike_ins(cohort):
    assert cohort.normalisation_genes is cohort.control_genes
    without = replace(cohort, control_genes=None)
    assert without.normalisation_genes.tolist() == [True, False, True]
    assert not without.normalisation_genes.flags.writeable
    assert replace(without, spike_ins=None).normalisation_genes is None


def test_other_counts(cohort):
    new = np.ones((3, 2))
    other = cohort.with_counts(new)
    new[0, 0] = 5
    assert other.counts.tolist() == [[1, 1]] * 3
    assert other.samples is cohort.samples


def test_frozen_copies_what_others_could_change():
    values = np.arange(6.0).reshape(2, 3)
    for given in (values, values[:, 1:], values.T):
        assert not np.shares_memory(frozen(given), values)
    assert values.flags.writeable
    kept = frozen(values)
    assert frozen(kept) is kept


# counts in a file


@pytest.fixture
def on_disk(monkeypatch):
    """All but tiny matrices lie in files, which are worked on a few counts at a time."""
    monkeypatch.setattr(cohorts, "IN_MEMORY", 4)
    monkeypatch.setattr(cohorts, "BLOCK", 4)


def mapping(array):
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return array
        array = array.base
    return None


def test_small_matrices_are_in_memory():
    assert mapping(stored((2, 3), [(ALL, ALL, np.ones((2, 3)))])) is None


def test_what_is_stored_is_there(on_disk):
    values = np.arange(35.0).reshape(7, 5)
    places = [(slice(3, 7), ALL), (slice(0, 3), slice(2, 5)), (slice(0, 3), slice(0, 2))]
    found = stored((7, 5), [(*place, values[place]) for place in places])
    np.testing.assert_array_equal(found, values)
    assert type(found) is np.ndarray  # the kernels know no other
    assert mapping(found) is not None
    assert np.shares_memory(frozen(found), found)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1.0
    let_go(found)
    np.testing.assert_array_equal(found, values)


def test_the_file_has_no_name_and_goes_with_the_array(on_disk, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = stored((7, 5), [(ALL, ALL, np.ones((7, 5)))])
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("the mappings of a process are listed on Linux only")
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in maps.read_text()
    del found
    gc.collect()
    assert str(tmp_path) not in maps.read_text()


def test_no_room_for_the_file(on_disk, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(InputError, match=r"no room for a temporary file of .* GiB with the counts .*\n.*TMPDIR"):
        stored((7, 5), [])


def test_a_disk_that_fills_up(on_disk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="No space left on device"):
        stored((7, 5), [])


def test_taking_from_a_file(on_disk, cohort):
    large = replace(cohort, counts=stored((3, 2), [(ALL, ALL, cohort.counts)]))
    assert large.take_samples([1, 0, 1]).counts.tolist() == cohort.take_samples([1, 0, 1]).counts.tolist()
    assert mapping(large.take_samples([1, 0, 1]).counts) is not None
    for index in (np.array([2, 0, 1]), np.array([True, True, True]), np.array([False, True, False])):
        assert large.take_genes(index).counts.tolist() == cohort.take_genes(index).counts.tolist()


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_letting_go_loses_nothing(tmp_path, mode):
    np.arange(5000.0).tofile(tmp_path / "x")
    array = np.memmap(tmp_path / "x", np.float64, mode)
    if mode != "r":
        array[7] = -1.0
    expected = array.tolist()
    let_go(array[3:].reshape(-1))
    assert array.tolist() == expected
    let_go(np.arange(3.0))


@for_all(st.integers(0, 500), st.integers(1, 70))
def test_blocks_cover_the_genes(n_genes, n_samples):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohorts, "BLOCK", 100)
        found = blocks(n_genes, n_samples)
    assert [g for block in found for g in range(n_genes)[block]] == list(range(n_genes))
    sizes = [block.stop - block.start for block in found]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) * n_samples <= 100 + n_samples
