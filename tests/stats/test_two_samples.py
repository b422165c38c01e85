"""Row-wise tests against scipy's, one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dediag.stats.two_samples import two_sample_tests, welch_interval


@pytest.mark.parametrize(("n1", "n2"), [(5, 20), (3, 3), (12, 15), (2, 7)])
@pytest.mark.parametrize("rounded", [0, 6])
def test_equals_scipy(n1, n2, rounded):
    rng = np.random.default_rng(n1)
    first, second = rng.normal(0.5, 1, (30, n1)).round(rounded), rng.normal(0, 2, (30, n2)).round(rounded)
    found = two_sample_tests(first, second)
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        if np.ptp(a) == 0 or np.ptp(b) == 0:  # scipy warns of lost precision there
            continue
        assert found.student[row] == pytest.approx(stats.ttest_ind(a, b).pvalue, rel=1e-9)
        assert found.welch[row] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=1e-9)
        ties = len(np.unique(np.r_[a, b])) < n1 + n2
        method = "asymptotic" if ties or min(n1, n2) > 8 else "exact"
        assert found.wilcoxon[row] == pytest.approx(stats.mannwhitneyu(a, b, method=method).pvalue, rel=1e-9)
    np.testing.assert_allclose(found.difference, first.mean(1) - second.mean(1))


def test_nothing_varies():
    found = two_sample_tests(np.full((1, 3), 0.1), np.full((1, 4), 0.1))
    assert np.isnan([found.student[0], found.welch[0], found.wilcoxon[0]]).all()


def test_separated_constants():
    found = two_sample_tests(np.full((1, 3), 1.1), np.full((1, 4), 0.1))
    assert np.isnan(found.student[0])
    assert found.wilcoxon[0] < 0.1


@pytest.mark.parametrize(("n1", "n2"), [(5, 20), (3, 3), (2, 7)])
def test_welch_interval_is_scipys(n1, n2):
    rng = np.random.default_rng(n1)
    first, second = rng.normal(0.5, 1, n1), rng.normal(0, 2, n2)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert welch_interval(first, second) == pytest.approx((first.mean() - second.mean(), *expected))
    assert welch_interval(np.ones(3), np.zeros(2)) == (1, 1, 1)
