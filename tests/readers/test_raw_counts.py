"""A matrix seen in pieces, whatever their order, is judged as the matrix seen at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dediag.cohort import InputError
from dediag.readers import raw_counts
from dediag.readers.raw_counts import RawCounts

GENES, SAMPLES = [f"g{i}" for i in range(7)], [f"s{j}" for j in range(5)]
VALUES = st.sampled_from([0.0, 1.0, 2.0, 30.0, 1e6, 0.5, -1.0, -0.5, np.nan, np.inf, -np.inf, 2.0**53, 2.0**54])


def verdict(raw):
    try:
        raw.conclude()
    except InputError as error:
        return str(error)
    return None


@settings(max_examples=300)
@given(
    values=arrays(np.float64, (7, 5), elements=VALUES),
    calm=st.booleans(),
    genes=st.permutations(range(3)),
    samples=st.permutations(range(2)),
)
def test_pieces_give_the_same_verdict(values, calm, genes, samples):
    if calm:  # most draws of all kinds of values are not finite
        values = np.where(np.isfinite(values) & (values < 2.0**53), values, 3.0)
    whole, parts = (RawCounts(GENES, SAMPLES, "counts.npy") for _ in range(2))
    whole.see(values)
    for i in genes:
        for j in samples:
            at = slice(*((0, 3), (3, 4), (4, 7))[i]), slice(*((0, 2), (2, 5))[j])
            parts.see(values[at], *at)
    assert verdict(parts) == verdict(whole)


@pytest.mark.parametrize("at_once", [1, 7, 2**18])
def test_first_place_is_named_however_many_values_are_looked_at_together(monkeypatch, at_once):
    monkeypatch.setattr(raw_counts, "AT_ONCE", at_once)
    values = np.ones((7, 5))
    values[5, 0] = values[2, 3] = values[2, 4] = -1.0
    raw = RawCounts(GENES, SAMPLES, "counts.npy")
    raw.see(values)
    assert verdict(raw).startswith("counts.npy: gene 'g2' in sample 's3' is -1")


def test_a_good_matrix_passes():
    raw = RawCounts(GENES, SAMPLES, "counts.npy")
    raw.see(np.full((7, 5), 2.0**53))
    assert verdict(raw) is None
