"""Benjamini-Hochberg against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dediag.stats.adjust import benjamini_hochberg

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=40)


@given(P_VALUES)
def test_equals_the_definition(values):
    pvalue = np.array(values)
    tested = pvalue[~np.isnan(pvalue)]
    m = len(tested)
    found = benjamini_hochberg(pvalue)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pvalue))
    for p, q in zip(pvalue, found, strict=True):
        if not np.isnan(p):  # the least m t / #(p <= t) over thresholds t at or above p
            expected = min([1.0, *(m / (tested <= t).sum() * t for t in tested if t >= p)])
            np.testing.assert_allclose(q, expected, rtol=1e-12)


def test_known_answer():
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])), [0.04, 0.16 / 3, 0.16 / 3, 0.5])
