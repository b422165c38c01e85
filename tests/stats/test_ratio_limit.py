"""The limit of detection of ratios: where a known curve crosses, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.ratio_limit import ratio_limit


def spikes(slope, noise=0.2, n=23, seed=1):
    """log10 p that falls from 0 with the log mean."""
    rng = np.random.default_rng(seed)
    mean = np.geomspace(0.5, 5_000, n)
    return mean, np.minimum(0.0, -slope * np.log10(mean)) + rng.normal(0, noise, n)


def test_without_noise_it_is_where_the_curve_crosses():
    mean, log10_p = np.geomspace(1, 1e4, 30), -2.0 * np.log10(np.geomspace(1, 1e4, 30))
    found = ratio_limit(mean, log10_p, 1e-3)
    assert found is not None
    assert found.mean == pytest.approx(10**1.5, rel=0.05)


def test_noise_and_a_smaller_cutoff_raise_it():
    limits = [ratio_limit(*spikes(3.0, noise), 1e-3).mean for noise in (0.05, 0.5, 1.0)]
    assert limits == sorted(limits)
    assert ratio_limit(*spikes(3.0), 1e-4).mean > ratio_limit(*spikes(3.0), 1e-2).mean


def test_none_where_the_bound_does_not_cross():
    found = ratio_limit(*spikes(0.1), 1e-6)
    assert found is not None
    assert found.mean is None
    assert not found.always


def test_says_when_already_the_lowest_mean_is_found():
    mean, log10_p = spikes(1.0)
    found = ratio_limit(mean, log10_p - 20.0, 1e-3)
    assert found is not None
    assert found.mean is None
    assert found.always


def test_too_few_spike_ins_make_no_curve():
    assert ratio_limit(np.array([1.0, 2, 3, 4, 5]), np.zeros(5), 0.01) is None
    assert ratio_limit(np.full(8, 3.0), np.zeros(8), 0.01) is None


def test_a_parabola_is_fitted_exactly():
    mean = np.geomspace(1, 1e4, 20)
    x = np.log10(mean)
    found = ratio_limit(mean, 1.0 - x - 0.5 * x**2, 1e-3)
    assert found is not None
    assert found.fitted == pytest.approx(1.0 - found.log10_mean - 0.5 * found.log10_mean**2, abs=1e-6)
