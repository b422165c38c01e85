"""A rate over cohorts: its interval covers where genes of a cohort go together."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.cohort_rate import cohort_rate


def test_interval_covers_though_genes_of_a_cohort_go_together():
    rng = np.random.default_rng(1)
    inside, width = [], []
    for _ in range(1000):
        own = np.clip(rng.normal(0.08, 0.01, 10), 0, 1)  # a cohort's own rate
        found = cohort_rate(rng.binomial(2000, own), np.full(10, 2000))
        inside.append(found.low <= 0.08 <= found.high)
        width.append(found.high - found.low)
    assert 0.93 <= np.mean(inside) <= 0.97
    assert np.mean(width) < 0.03


def test_a_ratio_of_paired_counts_is_sharper_than_either():
    rng = np.random.default_rng(2)
    effort = rng.poisson(200, 12)
    found = cohort_rate(rng.binomial(effort, 0.9), effort)
    assert found.value == pytest.approx(0.9, abs=0.02)
    assert found.high - found.low < 0.05


def test_nothing_gives_no_rate_and_one_cohort_no_interval():
    assert np.isnan(cohort_rate([0, 0], [0, 0]).value)
    alone = cohort_rate([3], [10])
    assert alone.value == pytest.approx(0.3)
    assert np.isnan(alone.low)
