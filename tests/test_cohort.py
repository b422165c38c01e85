"""A cohort is read-only, and its parts stay together when samples or genes are taken."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from dediag.cohort import Cohort, frozen


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
