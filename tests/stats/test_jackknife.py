"""The jackknife of a mean is its standard error; blocks split the samples."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats import jackknife


def test_variance_of_a_mean_is_that_of_the_textbook():
    x = np.random.default_rng(1).normal(size=15)
    left_out = np.array([np.delete(x, i).mean() for i in range(15)])
    assert float(jackknife.variance(left_out)) == pytest.approx(x.var(ddof=1) / 15)


def test_blocks_hold_every_sample_once():
    rng = np.random.default_rng(2)
    few, many = np.arange(3, 9), np.arange(40, 71)
    assert [part.tolist() for part in jackknife.blocks(few, 12, rng)] == [[i] for i in few]
    parts = jackknife.blocks(many, 12, rng)
    assert len(parts) == 12
    assert sorted(np.concatenate(parts)) == many.tolist()
    assert {part.size for part in parts} <= {2, 3}
