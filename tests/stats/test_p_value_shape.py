"""Shapes of p-values whose distribution is known, and the share of true nulls where it is known too."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from dediag.stats.p_value_shape import BINS, shape, storey_pi0


def p_values(seed, n, *, sd=1.0, effects=0.0, size=3.0):
    """Two-sided p-values of z-values with this standard deviation, of which a share has an effect of this size."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, sd, n) + np.where(rng.random(n) < effects, size, 0.0)
    return 2 * norm.sf(np.abs(z))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uniform", {}),
        ("anti_conservative", {"effects": 0.1}),
        ("anti_conservative", {"sd": 1.3}),  # liberal: nothing in the shape tells it from effects
        ("conservative", {"sd": 0.7}),
        ("u_shaped", {"sd": 0.6, "effects": 0.2, "size": 4.0}),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_classes(name, options, seed):
    assert shape(p_values(seed, 5000, **options)).name == name


def test_a_spike_at_one_is_no_hill():
    p = np.append(p_values(1, 4000), np.ones(400))
    found = shape(p)
    assert found.name == "spike_at_one"
    assert abs(found.right_excess) < 0.15
    assert shape(np.append(p_values(1, 4000, sd=0.7), np.ones(400))).name == "conservative"


def test_a_hump_in_the_middle_is_something_else():
    p = np.append(p_values(2, 4000), np.random.default_rng(2).uniform(0.35, 0.7, 2500))
    assert shape(p).name == "other"


def test_how_often_uniform_p_values_look_otherwise():
    names = [shape(np.random.default_rng(seed).random(1000)).name for seed in range(3000)]
    assert sum(name in ("conservative", "u_shaped", "other") for name in names) <= 30  # 1 %


def test_the_right_excess_is_that_of_the_density():
    """Density of p for z-values of standard deviation s, by its definition: integrals over the bins."""
    s = 0.7

    def cdf(t):
        return 2 * norm.cdf(-norm.isf(t / 2) / s)

    expected = (cdf(1.0) - cdf(0.8)) / 0.2 / ((cdf(0.7) - cdf(0.3)) / 0.4) - 1
    assert shape(p_values(3, 200_000, sd=s)).right_excess == pytest.approx(expected, abs=0.02)


@given(st.lists(st.floats(0, 1), max_size=60))
def test_nothing_is_lost_and_nothing_breaks(values):
    found = shape([*values, math.nan])
    assert found.counts.sum() == len(values)
    assert found.counts.size == BINS
    pi0 = storey_pi0([*values, math.nan])
    assert math.isnan(pi0) if not values else 0.0 <= pi0 <= 1.0


@pytest.mark.parametrize("truth", [1.0, 0.9, 0.7, 0.4])
def test_share_of_true_nulls_within_five_hundredths(truth):
    found = [storey_pi0(p_values(seed, 5000, effects=1 - truth)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(truth, abs=0.05)
    assert np.quantile(np.abs(np.array(found) - truth), 0.9) < 0.06


REFERENCE = Path(__file__).parent.parent / "reference"
PI0 = pd.read_csv(REFERENCE / "qvalue_pi0.tsv", sep="\t", index_col=0)


def beside_qvalue(name, folder):
    """Our share, and those of qvalue by its bootstrap and by its smoother, from the reference's p-values."""
    p = pd.read_csv(folder / "deseq2_wald.tsv.gz", sep="\t", index_col=0)["pvalue"]
    assert p.notna().sum() == PI0.loc[name, "n"]
    return storey_pi0(p), PI0.loc[name, "bootstrap"], PI0.loc[name, "smoother"]


@pytest.mark.parametrize("name", PI0.index[PI0["kind"] == "simulated"])
def test_equals_the_bootstrap_of_qvalue(name):
    found, bootstrap, smoother = beside_qvalue(name, REFERENCE / "simulated" / name / "expected")
    assert found == pytest.approx(bootstrap, abs=1e-7)
    assert found == pytest.approx(smoother, abs=0.05)


@pytest.mark.parametrize("name", PI0.index[PI0["kind"] == "real"])
def test_equals_the_bootstrap_of_qvalue_on_real_data(name, real_data):
    # its smoother says 1 on airway, bottomly and pasilla: many p-values are 1, which no share of true nulls explains
    found, bootstrap, _ = beside_qvalue(name, real_data / "reference" / "real" / name)
    assert found == pytest.approx(bootstrap, abs=1e-7)
