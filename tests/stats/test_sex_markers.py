"""Sexes by expression: which columns and genes count, and who is on the other side."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.sex_markers import recorded, shown

GENES = ["ACTB", "Xist", "ENSG00000129824.7", "Ddx3y", "GAPDH"]
SEX = ["F", "F", "F", "M", "M", "M", "M"]


def expression(sex=SEX):
    male = np.array([word == "M" for word in sex])
    rng = np.random.default_rng(1)
    markers = [np.where(male, 0.1, 60.0), np.where(male, 90.0, 4.0), np.where(male, 40.0, 3.0)]
    return np.array([np.full(7, 500.0), *markers, np.full(7, 300.0)]) * rng.gamma(20, 0.05, (5, 7))


def test_all_right():
    assert shown(GENES, expression(), [["a", "b"] * 3 + ["c"], SEX]) == [
        *[("female", "female")] * 3, *[("male", "male")] * 4
    ]  # fmt: skip


@pytest.mark.parametrize("used", [[0, 1, 4], [0, 2, 3, 4]])
def test_a_sample_of_the_other_sex_is_seen_by_either_kind_of_gene(used):
    label = ["M", *SEX[1:]]
    found = shown([GENES[k] for k in used], expression()[used], [label])
    assert found[0] == ("male", "female")
    assert all(said == seen for said, seen in found[1:])


def test_a_missing_record_is_no_mismatch():
    found = shown(GENES, expression(), [[None, *SEX[1:]]])
    assert found[0] == ("", "female")


def test_what_lies_between_is_unclear():
    cpm = expression()
    cpm[:, 0] = np.sqrt(cpm[:, 1] * cpm[:, 5])
    assert shown(GENES, cpm, [SEX])[0] == ("female", "unclear")


def test_nothing_is_said_without_a_column_or_genes_or_a_difference():
    assert shown(GENES, expression(), [["a"] * 7, ["x", *SEX[1:]]]) is None
    assert shown(["ACTB", "GAPDH"], expression()[[0, 4]], [SEX]) is None
    assert shown(GENES, np.ones((5, 7)), [SEX]) is None
    assert recorded(["f", "m", "m", "m"]) is None  # one of a sex has no fellow to be compared with
    assert recorded(["Female", "male", "man", "WOMAN", "n/a"]) is None
    assert recorded(["Female", "male", "man", "WOMAN", "NA"]).tolist() == [0, 1, 1, 0, -1]
