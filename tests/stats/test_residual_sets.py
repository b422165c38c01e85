"""Sets of residuals: each is the same part of the data and of every simulated cohort."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.residual_sets import COLUMNS, ResidualSets, columns
from dediag.stats.residual_shape import CELLS, Tally

TEST, REFERENCE = np.arange(8) < 3, (np.arange(8) >= 3) & (np.arange(8) < 7)  # and one other sample
BINS = np.repeat([0, 1, 2], 100)


def tally(seed, *, spread=1.0, lost=None, outlier=None):
    rng = np.random.default_rng(seed)
    residual = rng.normal(0.0, 0.9, (300, 8))
    residual[BINS == 2] *= spread
    zero = rng.random((300, 8)) < 0.1
    if lost is not None:
        zero[:, lost] |= rng.random((300, int(lost.sum()))) < 0.1
    if outlier is not None:
        residual[:30, outlier] = 6.0
    groups = np.where(TEST, 2, np.where(REFERENCE, 1, 0))
    return Tally.of(residual, zero, np.full((300, 8), 0.1), bins=BINS, n_bins=3, groups=groups, limit=4.0)


def sets(**faults):
    return ResidualSets.of(
        tally(0, **faults), [tally(seed) for seed in range(1, 13)], TEST, REFERENCE, np.array([1, 2])
    )


def test_a_sound_cohort_is_like_the_simulated_ones():
    found = sets()
    assert abs(found.whole["sd"].excess) < 0.05
    assert found.distance.sure < 0.01
    assert abs(found.zeros.sure) < 0.01
    assert found.uniform_distance.observed < 0.06
    assert len(found.by_sample) == 8
    assert found.whole.observed.n == 2400
    assert found.well[0].observed.n == 1600
    assert found.well[2].observed.n == 800


def test_faults_are_found_where_they_are():
    assert sets(lost=TEST).most_zeros == 1
    assert sets(lost=REFERENCE).most_zeros == 2
    assert sets(lost=TEST).zeros.excess == pytest.approx(0.09, abs=0.03)
    outlying = sets(outlier=4)
    assert outlying.outliers_in == (4, 1.0)
    assert outlying.worst == 4
    assert outlying.with_outlier(np.arange(300) < 60).observed == pytest.approx(0.5)
    assert np.isnan(outlying.with_outlier(np.zeros(300, np.bool_)).observed)
    assert sets(spread=1.5).worst_bin(np.array([0, 1, 2]), 100) == 2
    assert sets(spread=1.5).worst_bin(np.array([0, 1]), 100) in (0, 1)
    assert sets(spread=1.5).worst_bin(np.array([0, 1, 2]), 101) is None


def test_densities_are_means_of_one():
    data, cohorts = sets().densities(20)
    assert data.mean() == pytest.approx(1.0)
    assert cohorts.mean(axis=1) == pytest.approx(np.ones(12))
    found = sets()
    assert data[0] == pytest.approx(20 * found.cumulative[CELLS // 20 - 1])


def test_columns_have_a_row_for_each_set_and_none_for_what_is_unknown():
    table = columns(sets().by_sample)
    assert set(table) == {*COLUMNS, *(f"{name}_expected" for name in COLUMNS)}
    assert {len(column) for column in table.values()} == {8}
    no_counts = ResidualSets.of(tally(0), [tally(1)], TEST, REFERENCE, np.array([0])).by_bin[0]
    assert columns([no_counts])["sd_expected"] == [None]
