"""Spike-ins: the offset is taken off, ratios are grouped, and what is not told is left out."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.spike_ins import SpikeIns


def made(offset=-0.5, n=12, seed=3):
    rng = np.random.default_rng(seed)
    known = np.repeat([0.0, 1.0, -2.0], n)
    mean = np.tile(np.geomspace(2, 2_000, n), 3)
    se = 2.0 / np.sqrt(mean)
    lfc = known + offset + rng.normal(0, 0.3 * se)
    unknown = np.full(4, np.nan)
    parts = [
        np.append(x, y) for x, y in ((known, unknown), (mean, np.full(4, 50.0)), (lfc, np.zeros(4)), (se, np.ones(4)))
    ]
    return SpikeIns.of([f"s{k}" for k in range(len(parts[0]))], *parts, cutoff=0.01, expressed=10.0)


def test_the_offset_is_that_of_ratio_zero():
    found = made()
    assert found.offset == pytest.approx(-0.5, abs=0.05)
    assert len(found.names) == 36
    for row in found.ratios:
        assert row.median == pytest.approx(row.known, abs=0.1)
        assert (row.limit is None) == (row.known == 0.0)


def test_larger_ratios_are_found_at_lower_means():
    limits = {row.known: row.limit.mean for row in made().ratios if row.limit}
    assert limits[-2.0] < limits[1.0]


def test_the_offset_does_not_change_limits():
    one, other = (made(offset) for offset in (0.0, -2.0))
    assert one.log10_p == pytest.approx(other.log10_p, abs=1e-9)


def test_without_ratio_zero_nothing_is_taken_off():
    found = SpikeIns.of(
        ["a", "b", "c"], np.array([1.0, 1.0000004, 1.0]), np.array([5.0, 50.0, 80.0]), np.array([0.4, 0.6, 0.7]),
        np.ones(3), cutoff=0.01, expressed=10.0,
    )  # fmt: skip
    assert found.offset is None
    assert [row.known for row in found.ratios] == [1.0]  # amounts are given with few digits
    assert found.ratios[0].median == pytest.approx(0.65)
    assert found.ratios[0].limit is None
    assert len({len(column) for column in found.columns().values()}) == 1
    assert len({len(column) for column in found.ratio_columns().values()}) == 1


def test_an_impossible_p_counts_as_the_smallest():
    assert made().log10_p.min() >= -30.0
