"""What is no matrix of raw counts is refused with the gene, the sample and the way out; from files and from frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dediag.cohort import Cohort, InputError
from dediag.readers import read_cohort

GOOD = pd.DataFrame({"s1": [1, 4, 0], "s2": [0, 5, 0], "s3": [7, 6, 0]}, index=["A", "B", "C"])
SAMPLES = pd.DataFrame({"group": ["x", "x", "y"]}, index=["s1", "s2", "s3"])


def changed(gene, sample, value):
    counts = GOOD.astype(object)
    counts.loc[gene, sample] = value
    return counts


def tpm():
    counts = GOOD + np.pi
    return counts / counts.sum() * 1e6


BAD = {
    "negative": (changed("B", "s2", -3), "gene 'B' in sample 's2' is -3; counts are not negative"),
    "fractional": (changed("B", "s3", 6.25), "gene 'B' in sample 's3' is 6.25, not a whole number"),
    "NaN": (changed("A", "s3", np.nan), "gene 'A' in sample 's3' has no count"),
    "infinite": (changed("A", "s3", np.inf), "gene 'A' in sample 's3' is infinite"),
    "text": (changed("A", "s2", "many"), "gene 'A' in sample 's2' is 'many', which is not a number"),
    "too large": (changed("A", "s2", 2**53 + 1), r"gene 'A' in sample 's2' is .*above 2\^53"),
    "far too large": (changed("A", "s2", 10**30), r"gene 'A' in sample 's2' is .*above 2\^53"),
    "TPM": (tpm(), "looks like TPM"),
    "logs": (np.log2(GOOD + 1), "looks like log values"),
    "centred logs": (np.log2(GOOD + 1) - 1, "looks like log values or fold changes"),
    "estimated counts": (GOOD * 10.3, "salmon, kallisto or RSEM: round them"),
    "empty sample": (GOOD.assign(s2=0), "sample s2 without a single count\n.*--drop-samples s2"),
    "gene twice": (GOOD.set_axis(["A", "B", "A"]), "gene stands there more than once: A\nadd up"),
    "genes twice": (pd.concat([GOOD, GOOD]), "3 genes stand there more than once: A, B, C"),
    "gene without name": (GOOD.set_axis(["A", "", "C"]), "gene number 2 has no name"),
    "sample twice": (GOOD.set_axis(["s1", "s2", "s2"], axis=1), "sample stands there more than once: s2"),
    "totals of HTSeq": (GOOD.set_axis(["A", "__no_feature", "C"]), "__no_feature are totals"),
    "no gene": (GOOD.iloc[:0], "no gene|no line below"),
}


def as_files(folder, counts):
    paths = folder / "counts.tsv", folder / "samples.tsv"
    counts.to_csv(paths[0], sep="\t", index_label="gene", na_rep="NaN")
    SAMPLES.to_csv(paths[1], sep="\t", index_label="sample")
    return paths


@pytest.mark.parametrize(("counts", "said"), BAD.values(), ids=BAD)
def test_frames(counts, said):
    with pytest.raises(InputError, match=said) as raised:
        Cohort.from_frames(counts, SAMPLES)
    assert len(str(raised.value).splitlines()) <= 3
    assert str(raised.value).startswith("counts: ")


@pytest.mark.parametrize(("counts", "said"), BAD.values(), ids=BAD)
def test_files(tmp_path, counts, said):
    paths = as_files(tmp_path, counts)
    with pytest.raises(InputError, match=said) as raised:
        read_cohort(*paths)
    assert len(str(raised.value).splitlines()) <= 3
    assert str(raised.value).startswith(f"{paths[0]}: ")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "an empty cell, or the line is too short"),
        ("NA", "has no count .'NA'."),
        ("n/a", "has no count"),
        ("1,234", "thousands separator"),
        ("1.234.567", "thousands separator"),
        ("12 345", "thousands separator"),
        ("1,5", "decimal comma"),
        ("0x10", "not a number"),
        ("1_000", "not a number"),
        ("TRUE", "not a number"),
        ("'7", "not a number"),
    ],
)
def test_cells_that_are_no_numbers(tmp_path, cell, said):
    paths = as_files(tmp_path, changed("B", "s2", cell))
    with pytest.raises(InputError, match=said) as raised:
        read_cohort(*paths)
    assert "gene 'B' in sample 's2'" in str(raised.value)


def test_columns_of_text(tmp_path):
    paths = as_files(tmp_path, GOOD.assign(s2=["a", "b", "c"]))
    with pytest.raises(InputError, match=r"'s2' holds text, not counts .'a' for gene 'A'."):
        read_cohort(*paths)
    paths = as_files(tmp_path, GOOD.assign(s2=["true", "false", "true"]))
    with pytest.raises(InputError, match="'s2' holds text"):
        read_cohort(*paths)


def test_short_line(tmp_path):
    paths = as_files(tmp_path, GOOD)
    paths[0].write_text("gene\ts1\ts2\ts3\nA\t1\t2\t3\nB\t1\t2\n")
    with pytest.raises(InputError, match="gene 'B' in sample 's3' has no count"):
        read_cohort(*paths)


@pytest.mark.parametrize("value", [12.0, "1e3", "12.0", 2**53, 1e15])
def test_whole_numbers_however_written(tmp_path, value):
    counts = changed("B", "s2", value)
    expected = float(value)
    assert Cohort.from_frames(counts, SAMPLES).counts[1, 1] == expected
    assert read_cohort(*as_files(tmp_path, counts)).counts[1, 1] == expected


def test_gene_without_counts_is_fine():
    assert Cohort.from_frames(GOOD, SAMPLES).n_genes == 3


def test_frames_with_numbers_as_names():
    counts = GOOD.set_axis([1, 2, 3], axis=1).set_axis([10, 20, 30])
    cohort = Cohort.from_frames(counts, SAMPLES.set_axis([3, 2, 1]))
    assert cohort.genes.tolist() == ["10", "20", "30"]
    assert cohort.samples["group"].tolist() == ["y", "x", "x"]


def test_input_is_not_changed():
    counts, samples = GOOD.copy(), SAMPLES.iloc[::-1].copy()
    cohort = Cohort.from_frames(counts, samples)
    pd.testing.assert_frame_equal(counts, GOOD)
    assert samples.index.tolist() == ["s3", "s2", "s1"]
    counts.iloc[0, 0] = 99
    assert cohort.counts[0, 0] == 1


def test_swapped_files_are_asked_for():
    counts = pd.DataFrame({"group": [1] * 100}, index=[f"g{k}" for k in range(100)])
    samples = pd.DataFrame(np.ones((100, 3)), index=[f"x{k}" for k in range(100)], columns=list("abc"))
    with pytest.raises(InputError, match="are the two files swapped"):
        Cohort.from_frames(counts, samples)
