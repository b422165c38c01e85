"""A .npy file or a zarr array with names beside it is read as the same matrix written as text would be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dediag import cohort as cohorts
from dediag.cohort import InputError
from dediag.readers import read_cohort, read_with_sources

GENES, SAMPLES = [f"g{i}" for i in range(5)], ["s1", "s2", "s3"]
COUNTS = np.array([[1, 0, 7], [4, 5, 6], [0, 0, 0], [2, 9, 4], [8, 3, 1]])
KINDS = ["C", "F", "zarr"]


@pytest.fixture
def written(tmp_path):
    """Write counts of a kind with their names and a sample table; gives the two paths."""

    def write(counts=COUNTS, kind="C", genes=GENES, samples=SAMPLES):
        path = tmp_path / ("counts.zarr" if kind == "zarr" else "counts.npy")
        if kind == "zarr":
            pytest.importorskip("zarr").create_array(path, data=np.ascontiguousarray(counts), chunks=(2, 3))
        else:
            np.save(path, np.asarray(counts, order=kind))
        (tmp_path / "counts.genes.txt").write_text("\n".join(genes) + "\n")
        (tmp_path / "counts.samples.txt").write_text("\n".join(samples))
        table = pd.DataFrame({"group": ["y", "x", "x"]}, index=["s2", "s1", "s3"])
        table.to_csv(tmp_path / "samples.tsv", sep="\t", index_label="sample")
        return path, tmp_path / "samples.tsv"

    return write


@pytest.mark.parametrize("block", [2**24, 6, 1])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u2", ">f8", ">i8", "?"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_matrix(monkeypatch, written, kind, dtype, transpose, block):
    monkeypatch.setattr(cohorts, "BLOCK", block)
    counts = COUNTS.astype(dtype)
    cohort, source, _ = read_with_sources(*written(counts.T if transpose else counts, kind), transpose=transpose)
    np.testing.assert_array_equal(cohort.counts, counts.astype(float))
    assert cohort.counts.dtype == np.float64
    assert cohort.counts.dtype.isnative
    assert cohort.counts.flags.c_contiguous
    assert not cohort.counts.flags.writeable
    assert cohort.genes.tolist() == GENES
    assert cohort.samples["group"].tolist() == ["x", "y", "x"]
    if kind == "zarr":  # which gives numbers in the machine's byte order
        assert source.format.startswith("matrix, zarr, ")
    else:
        assert source.format == f"matrix, npy, {np.dtype(dtype)}"


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_samples(written, kind):
    cohort = read_cohort(*written(COUNTS.astype(float), kind), drop_samples=["s2"])
    assert cohort.counts.tolist() == COUNTS[:, [0, 2]].tolist()


def test_float64_is_fitted_where_it_lies(written):
    def on_disk(array):
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        return isinstance(array, np.memmap)

    assert on_disk(read_cohort(*written(COUNTS.astype(float))).counts)
    assert not on_disk(read_cohort(*written(COUNTS)).counts)


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_on_its_side(written, kind):
    with pytest.raises(InputError, match=r"samples x genes .3 x 5.: add --transpose"):
        read_cohort(*written(COUNTS.T, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_turned_without_need(written, kind):
    with pytest.raises(InputError, match=r"genes x samples .5 x 3.: leave out --transpose"):
        read_cohort(*written(COUNTS, kind), transpose=True)


BAD = {
    "negative": (-3, "gene 'g1' in sample 's2' is -3; counts are not negative"),
    "fractional": (2.5, "gene 'g1' in sample 's2' is 2.5, not a whole number; 6.67 % of all"),
    "NaN": (np.nan, "gene 'g1' in sample 's2' has no count"),
    "too large": (2.0**54, r"gene 'g1' in sample 's2' is 1.80144e\+16, above 2\^53"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [2**24, 4])
@pytest.mark.parametrize(("value", "said"), BAD.values(), ids=BAD)
def test_bad_counts(monkeypatch, written, kind, block, value, said):
    monkeypatch.setattr(cohorts, "BLOCK", block)
    counts = COUNTS.astype(float)
    counts[1, 1] = value
    paths = written(counts, kind)
    with pytest.raises(InputError, match=said) as raised:
        read_cohort(*paths)
    assert str(raised.value).startswith(f"{paths[0]}: ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dropped", [None, ["s1"]])
def test_whole_numbers_that_are_not_exact(written, kind, dropped):
    counts = COUNTS.astype(np.uint64)
    counts[1, 1] = 2**53 + 1
    with pytest.raises(InputError, match=r"gene 'g1' in sample 's2' is .*above 2\^53"):
        read_cohort(*written(counts, kind), drop_samples=dropped)


def test_bad_names(written, tmp_path):
    for genes, samples, said in (
        (["g0", "g1", "g1", "g3", "g4"], SAMPLES, "gene stands there more than once: g1"),
        (["g0", "", "g2", "g3", "g4"], SAMPLES, "gene number 2 has no name"),
        (GENES, ["s1", "s2", "s2"], "sample stands there more than once: s2"),
        (GENES, ["s1", "s2", "other"], "only in .*counts.npy: other; only in .*samples.tsv: s3"),
        (GENES[:4], SAMPLES, r"is 5 x 3, but counts.genes.txt has 4 names and counts.samples.txt 3"),
    ):
        with pytest.raises(InputError, match=said):
            read_cohort(*written(genes=genes, samples=samples))
    (tmp_path / "counts.genes.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(InputError, match=r"counts.genes.txt: cannot be read as UTF-8"):
        read_cohort(tmp_path / "counts.npy", tmp_path / "samples.tsv")
    (tmp_path / "counts.genes.txt").unlink()
    with pytest.raises(InputError, match=r"counts.npy: there is no counts.genes.txt beside it"):
        read_cohort(tmp_path / "counts.npy", tmp_path / "samples.tsv")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(4), "has 1 dimensions"),
        (np.zeros((2, 2, 2)), "has 3 dimensions"),
        (np.full((5, 3), "a"), "holds values of type '<U1'"),
        (np.array([[None] * 3] * 5), "cannot be read as a matrix of numbers"),
        (np.zeros((5, 3), complex), "holds values of type 'complex128'"),
        (np.zeros((5, 3)), "samples s1, s2, s3 without a single count"),
    ],
)
def test_what_is_no_matrix_of_counts(written, array, said):
    with pytest.raises(InputError, match=said):
        read_cohort(*written(array))


def test_truncated_file(written):
    paths = written()
    paths[0].write_bytes(paths[0].read_bytes()[:-8])
    with pytest.raises(InputError, match="cannot be read as a matrix"):
        read_cohort(*paths)


def test_an_array_has_no_sample_table(written):
    paths = written()
    for samples in (paths[0], None):
        with pytest.raises(InputError, match="an array holds no sample table"):
            read_cohort(paths[0], samples)


def test_counts_as_text_need_a_sample_table(written):
    with pytest.raises(InputError, match="name the sample table too"):
        read_cohort(written()[1])
