"""What AnnData wrote is read: counts, names, sample table, from HDF5 and zarr; what is wrong with a store is said."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dediag import cohort as cohorts
from dediag.cli import main
from dediag.cohort import InputError
from dediag.readers import read_cohort, read_with_sources

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")

HERE = Path(__file__).parent.parent / "reference" / "anndata"
FORMATS = {
    "dense.h5ad": "AnnData (h5ad), X, dense",
    "integers.h5ad": "AnnData (h5ad), X, dense",
    "csr.h5ad": "AnnData (h5ad), X, CSR",
    "layer_csc.h5ad": "AnnData (h5ad), layer 'counts', CSC; X does not hold whole numbers",
    "raw.h5ad": "AnnData (h5ad), raw.X, dense; X does not hold whole numbers",
    "no_X.h5ad": "AnnData (h5ad), layer 'counts', dense",
    "dense_2.zarr": "AnnData (zarr), X, dense",
    "dense_3.zarr": "AnnData (zarr), X, dense",
    "layer_csc_2.zarr": "AnnData (zarr), layer 'counts', CSC; X does not hold whole numbers",
    "layer_csc_3.zarr": "AnnData (zarr), layer 'counts', CSC; X does not hold whole numbers",
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    shutil.unpack_archive(HERE / "stores.zip", folder)
    return folder


@pytest.fixture
def store(stores, tmp_path):
    """A copy of dense.h5ad that a test may spoil."""
    return shutil.copy(stores / "dense.h5ad", tmp_path / "study.h5ad")


def changed(path, place, value):
    with h5py.File(path, "r+") as file:
        old = file.pop(place) if place in file else None
        new = file.create_dataset(place, data=value)
        for name, attribute in old.attrs.items() if old is not None else ():
            new.attrs[name] = attribute


def expected():
    return read_cohort(HERE / "counts.tsv", HERE / "samples.tsv")


@pytest.mark.parametrize("block", [2**24, 40, 1])
@pytest.mark.parametrize(("name", "words"), FORMATS.items(), ids=FORMATS)
def test_every_layout_gives_the_study(monkeypatch, stores, name, words, block):
    monkeypatch.setattr(cohorts, "BLOCK", block)
    cohort, counts, samples = read_with_sources(stores / name)
    text = expected()
    np.testing.assert_array_equal(cohort.counts, text.counts)
    assert cohort.counts.dtype == np.float64
    assert cohort.counts.flags.c_contiguous
    assert not cohort.counts.flags.writeable
    assert cohort.genes.tolist() == text.genes.tolist()
    assert counts.format == words
    assert samples.format.startswith("obs of AnnData")
    assert counts.path == str(stores / name)
    assert len(counts.sha256) == 64


@pytest.mark.parametrize("name", ["dense.h5ad", "dense_2.zarr", "dense_3.zarr"])
def test_sample_table_has_the_types_of_a_text_table(stores, name):
    found, text = read_cohort(stores / name).samples, expected().samples
    assert found.index.tolist() == text.index.tolist()
    assert found.index.name == "sample"
    assert found["batch"].tolist() == ["2", "1"] * 4  # a factor, as it was one in AnnData
    for column in text.columns.drop("batch"):
        pd.testing.assert_series_equal(found[column], text[column], check_names=False)


def test_a_factor_of_old_files(store):
    """AnnData 0.7 kept the levels of factors in a group of their own."""
    with h5py.File(store, "r+") as file:
        codes = file["obs/group/codes"][:]
        levels = file["obs/group/categories"].asstr()[:].tolist()
        del file["obs/group"]
        file["obs/group"] = codes
        file.create_dataset("obs/__categories/group", data=levels)
    assert read_cohort(store).samples["group"].tolist() == ["case"] * 4 + ["control"] * 4


def test_a_sample_table_of_its_own(stores, tmp_path):
    """As text beside the store, in another order, with one sample less."""
    table = pd.read_csv(HERE / "samples.tsv", sep="\t", index_col=0).iloc[::-1]
    table.drop("s3").to_csv(tmp_path / "samples.tsv", sep="\t")
    with pytest.raises(InputError, match=r"only in .*dense.h5ad: s3"):
        read_cohort(stores / "dense.h5ad", tmp_path / "samples.tsv")
    cohort = read_cohort(stores / "dense.h5ad", tmp_path / "samples.tsv", drop_samples="unmatched")
    assert cohort.samples.index.tolist() == ["s1", "s2", "s4", "s5", "s6", "s7", "s8"]
    np.testing.assert_array_equal(cohort.counts, expected().take_samples([0, 1, 3, 4, 5, 6, 7]).counts)


@pytest.mark.parametrize("block", [2**24, 40])
@pytest.mark.parametrize("name", ["dense.h5ad", "layer_csc.h5ad"])
def test_dropped_samples(monkeypatch, stores, name, block):
    monkeypatch.setattr(cohorts, "BLOCK", block)
    cohort = read_cohort(stores / name, drop_samples=["s1", "s5"])
    np.testing.assert_array_equal(cohort.counts, expected().take_samples([1, 2, 3, 5, 6, 7]).counts)


def test_sample_table_of_a_store_for_counts_as_text(stores):
    cohort = read_cohort(HERE / "counts.tsv", stores / "dense.h5ad")
    assert cohort.samples["batch"].tolist() == ["2", "1"] * 4


def test_genes_as_observations(store):
    with h5py.File(store, "r+") as file:
        file.move("obs", "held")
        file.move("var", "obs")
        file.move("held", "var")
    changed(store, "X", h5py.File(store)["X"][:].T)
    for samples in (HERE / "samples.tsv", None):
        cohort = read_cohort(store, samples, transpose=True)
        np.testing.assert_array_equal(cohort.counts, expected().counts)
    with pytest.raises(InputError, match=r"variables .var. are the samples .s1.*\nadd --transpose"):
        read_cohort(store, HERE / "samples.tsv")


def test_transposed_without_need(stores):
    with pytest.raises(InputError, match=r"observations .obs. already are the samples .s1.*\nleave out --transpose"):
        read_cohort(stores / "dense.h5ad", HERE / "samples.tsv", transpose=True)


BAD_COUNTS = {
    "negative": (-3, r"study.h5ad: gene 'gene04' in sample 's3' is -3; counts are not negative"),
    "fractional": (2.5, r"study.h5ad: gene 'gene04' in sample 's3' is 2.5, not a whole number; 0.833 %"),
    "NaN": (np.nan, r"study.h5ad: gene 'gene04' in sample 's3' has no count"),
    "infinite": (np.inf, r"study.h5ad: gene 'gene04' in sample 's3' is infinite"),
    "too large": (2.0**54, r"study.h5ad: gene 'gene04' in sample 's3' is 1.80144e\+16, above 2\^53"),
}


@pytest.mark.parametrize("block", [2**24, 40])
@pytest.mark.parametrize(("value", "said"), BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_bad_counts(monkeypatch, store, value, said, block):
    monkeypatch.setattr(cohorts, "BLOCK", block)
    X = h5py.File(store)["X"][:].astype(np.float64)
    X[2, 3] = value
    changed(store, "X", X)
    with pytest.raises(InputError, match=said):
        read_cohort(store)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_whole_numbers_that_are_not_exact(store, dtype):
    X = h5py.File(store)["X"][:].astype(dtype)
    X[2, 3] = 2**53 + 1
    changed(store, "X", X)
    with pytest.raises(InputError, match=r"gene 'gene04' in sample 's3' is .*above 2\^53"):
        read_cohort(store)


def test_logs_are_recognised(store):
    changed(store, "X", np.log2(h5py.File(store)["X"][:] + 1.0))
    with pytest.raises(InputError, match="looks like log values"):
        read_cohort(store)


def test_bad_counts_in_a_layer_name_the_layer(stores, tmp_path):
    path = shutil.copy(stores / "layer_csc.h5ad", tmp_path / "study.h5ad")
    values = h5py.File(path)["layers/counts/data"][:]
    values[0] = -1
    changed(path, "layers/counts/data", values)
    with pytest.raises(InputError, match=r"study.h5ad, layer 'counts': gene '.*' in sample '.*' is -1"):
        read_cohort(path)


BAD_STORES = {
    "gene twice": (lambda f: f["var/_index"].__setitem__(1, "gene01"), "gene stands there more than once: gene01"),
    "sample twice": (lambda f: f["obs/_index"].__setitem__(1, "s1"), "sample stands there more than once: s1"),
    "gene without name": (lambda f: f["var/_index"].__setitem__(1, ""), "gene number 2 has no name"),
    "no matrix": (lambda f: f.pop("X"), "neither X nor a layer named counts"),
    "another size": (lambda f: (f.pop("X"), f.create_dataset("X", data=np.ones((8, 3)))), "X is 8 x 3, but obs has 8"),
    "text": (lambda f: (f.pop("X"), f.create_dataset("X", data=np.full((8, 15), b"a"))), "holds values of type"),
    "empty sample": (lambda f: f["X"].__setitem__(3, 0), "sample s4 without a single count\n.*--drop-samples s4"),
    "not AnnData": (lambda f: f.pop("obs"), "there is no obs in it, so it is not an AnnData store"),
    "no column": (lambda f: f["obs"].attrs.__setitem__("column-order", []), "obs has no column beside the names"),
    "no index": (lambda f: f["obs"].attrs.__setitem__("_index", "id"), "obs has no index"),
    "before 0.7": (
        lambda f: (f.pop("var"), f.create_dataset("var", data=np.zeros(15, [("index", "S8")]))), "before version 0.7"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), BAD_STORES.values(), ids=BAD_STORES)
def test_bad_stores(store, capsys, spoil, said):
    with h5py.File(store, "r+") as file:
        spoil(file)
    with pytest.raises(InputError, match=said) as raised:
        read_cohort(store)
    assert str(raised.value).startswith(str(store))
    assert len(str(raised.value).splitlines()) <= 3
    assert main(["fit", str(store), str(store), "--design", "~ group"]) == 2
    assert "study.h5ad" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "position", "value"),
    [("indices", 3, 99), ("indices", 3, -1), ("indptr", 2, 1000), ("indptr", 8, 5), ("indptr", 0, 1)],
)
def test_damaged_sparse_matrix(stores, tmp_path, part, position, value):
    path = shutil.copy(stores / "csr.h5ad", tmp_path / "study.h5ad")
    numbers = h5py.File(path)[f"X/{part}"][:]
    numbers[position] = value
    changed(path, f"X/{part}", numbers)
    with pytest.raises(InputError, match="sparse matrix is damaged"):
        read_cohort(path)


def test_truncated_file(store):
    content = Path(store).read_bytes()
    Path(store).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"study.h5ad: this HDF5 file is damaged or incomplete"):
        read_cohort(store)


def test_damaged_zarr(stores, tmp_path):
    shutil.copytree(stores / "dense_3.zarr", tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"s.zarr: this zarr store is damaged"):
        read_cohort(tmp_path / "s.zarr")


@pytest.mark.parametrize(("name", "library"), [("dense.h5ad", "h5py"), ("dense_3.zarr", "zarr")])
def test_missing_library_names_the_extra(monkeypatch, stores, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"needs the library {library}.*\n.*dediag\[anndata\]"):
        read_cohort(stores / name)


def test_folder_hash_depends_on_names_and_content(stores, tmp_path):
    copy = shutil.copytree(stores / "dense_3.zarr", tmp_path / "s.zarr")
    before = read_with_sources(stores / "dense_3.zarr")[1].sha256
    assert read_with_sources(copy)[1].sha256 == before
    (copy / "more.txt").write_text("")
    assert read_with_sources(copy)[1].sha256 != before


def test_on_the_command_line(stores, tmp_path, capsys):
    """The store is COUNTS and SAMPLES; which matrix was taken is said, and stands in the report."""
    path = str(stores / "layer_csc.h5ad")
    words = ["--design", "~ group", "--size-factors", "poscounts", "--contrast", "group", "case", "control"]
    assert main(["fit", path, path, *words, "-o", str(tmp_path / "r.tsv")]) == 0
    assert f"note: {path}: AnnData (h5ad), layer 'counts', CSC" in capsys.readouterr().err
    assert len((tmp_path / "r.tsv").read_text().splitlines()) == 16
