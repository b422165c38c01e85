"""Two files to a cohort: matched by name, whatever their order; what was written comes back."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dediag
from dediag.cohort import Cohort, InputError
from dediag.readers import read_cohort, read_with_sources
from dediag.simulation import simulate

COUNTS = "gene_id\ts1\ts2\ts3\nA\t1\t0\t7\nB\t4\t5\t6\nC\t0\t0\t0\n"
SAMPLES = "sample\tgroup\ns3\tx\ns1\tx\ns2\ty\n"


def files(folder, counts=COUNTS, samples=SAMPLES):
    paths = Path(folder, "counts.tsv"), Path(folder, "samples.tsv")
    for path, text in zip(paths, (counts, samples), strict=True):
        path.write_bytes(text.encode())
    return paths


def read(folder, counts=COUNTS, samples=SAMPLES, **options):
    return read_cohort(*files(folder, counts, samples), **options)


def same(a, b):
    np.testing.assert_array_equal(a.counts, b.counts)
    assert a.genes.tolist() == b.genes.tolist()
    pd.testing.assert_frame_equal(a.samples, b.samples)


def test_counts_keep_their_order_and_samples_follow(tmp_path):
    cohort = read(tmp_path)
    assert cohort.counts.tolist() == [[1, 0, 7], [4, 5, 6], [0, 0, 0]]
    assert cohort.counts.dtype == np.float64
    assert cohort.counts.flags.c_contiguous
    assert not cohort.counts.flags.writeable
    assert cohort.genes.tolist() == ["A", "B", "C"]
    assert cohort.samples.index.tolist() == ["s1", "s2", "s3"]
    assert cohort.samples["group"].tolist() == ["x", "y", "x"]


def test_names_that_look_like_numbers_or_missing_values(tmp_path):
    cohort = read(tmp_path, "gene\t1\t2\tNA\n1\t1\t0\t7\nNA\t4\t5\t6\n", "s\tg\nNA\tx\n1\tx\n2\ty\n")
    assert cohort.genes.tolist() == ["1", "NA"]
    assert cohort.samples.index.tolist() == ["1", "2", "NA"]


@pytest.mark.parametrize("end", ["\t", ""])
def test_lines_that_end_in_a_delimiter(tmp_path, end):
    counts = COUNTS.replace("\n", "\t\n").replace("s3\t\n", f"s3{end}\n")
    assert read(tmp_path, counts).counts.tolist() == [[1, 0, 7], [4, 5, 6], [0, 0, 0]]


def test_matrix_on_its_side(tmp_path):
    turned = pd.read_csv(io.StringIO(COUNTS), sep="\t", index_col=0).T.to_csv(sep="\t")
    with pytest.raises(InputError, match=r"rows are the samples .s1, s2, s3.*\n.*--transpose"):
        read(tmp_path, turned)
    same(read(tmp_path, turned, transpose=True), read(tmp_path))
    with pytest.raises(InputError, match="columns already are the samples"):
        read(tmp_path, transpose=True)


def test_line_too_long_on_its_side(tmp_path):
    counts = "s\tA\tB\n" + "".join(f"s{i}\t1\t2\n" for i in range(30)) + "s30\t1\t2\t3\n"
    samples = "s\tg\n" + "".join(f"s{i}\tx\n" for i in range(31))
    with pytest.raises(InputError, match="line 32 has 4 columns"):
        read(tmp_path, counts, samples, transpose=True)


def test_line_too_long_far_below(tmp_path):
    """Never cut off in silence: what stands right of the surplus cell would be in the wrong sample."""
    counts = COUNTS + "".join(f"G{i}\t1\t2\t3\n" for i in range(50)) + "H\t1\t2\t3\t4\n"
    with pytest.raises(InputError, match="line 55 has 5 columns"):
        read(tmp_path, counts)
    with pytest.raises(InputError, match="line 55 has 5 columns"):
        read(tmp_path, counts, drop_samples=["s2"])


def test_unmatched_samples(tmp_path):
    counts = COUNTS.replace("s3", "other")
    with pytest.raises(InputError, match=r"(?s)only in .*counts.tsv: other; only in .*samples.tsv: s3.*--drop-samples"):
        read(tmp_path, counts)
    assert read(tmp_path, counts, drop_samples="unmatched").samples.index.tolist() == ["s1", "s2"]
    assert read(tmp_path, counts, drop_samples=["other", "s3"]).samples.index.tolist() == ["s1", "s2"]
    with pytest.raises(InputError, match=r"only in .*samples.tsv: s3"):
        read(tmp_path, counts, drop_samples=["other"])


def test_dropped_samples_are_not_read(tmp_path):
    """Annotation beside the counts is no sample: with `unmatched` its cells need not be numbers."""
    counts = "gene_id\tsymbol\ts1\ts2\ts3\nA\tTP53\t1\t0\t7\nB\tNA\t4\t5\t6\n"
    with pytest.raises(InputError, match="symbol"):
        read(tmp_path, counts)
    assert read(tmp_path, counts, drop_samples="unmatched").counts.tolist() == [[1, 0, 7], [4, 5, 6]]


def test_unknown_sample_to_be_dropped(tmp_path):
    with pytest.raises(InputError, match="none is called 'S1'; there are: s1, s2, s3"):
        read(tmp_path, drop_samples=["S1"])


@pytest.mark.parametrize(
    ("counts", "samples", "said"),
    [
        ("g\tX1\tb.2\nA\t1\t2\n", "s\tg\n1\tx\nb-2\ty\n", "check.names=FALSE"),
        ("g\tS1\tS2\nA\t1\t2\n", "s\tg\ns1\tx\ns2\ty\n", "capital letters"),
        ("g\ta\tb\nA\t1\t2\n", "nr\tfile\n1\ta\n2\tb\n", "column 'file' .* make it the first column"),
        ("A\t1\t2\nB\t3\t4\n", "s\tg\na\tx\nb\ty\n", "looks like data"),
        ("g\ta\tb\nA\t1\t2\n", "s\tg\nc\tx\nd\ty\n", "write the same names"),
    ],
)
def test_no_name_in_common(tmp_path, counts, samples, said):
    with pytest.raises(InputError, match=said) as raised:
        read(tmp_path, counts, samples)
    assert len(str(raised.value).splitlines()) == 3


def test_sources_say_what_was_read(tmp_path):
    paths = files(tmp_path)
    _, counts, samples = read_with_sources(*paths)
    assert counts == (str(paths[0]), hashlib.sha256(paths[0].read_bytes()).hexdigest(), "matrix, tsv")
    assert samples.format == "table, tsv"


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"#'), min_size=1),
    min_size=2, max_size=6, unique=True,
)  # fmt: skip


@settings(max_examples=40)
@given(genes=NAMES, samples=NAMES, data=st.data(), delimiter=st.sampled_from("\t,;"))
def test_round_trip(genes, samples, data, delimiter):
    """What is written with quotes is read back, for any names and whole numbers up to 2^53."""
    values = st.lists(st.integers(0, 2**53), min_size=len(samples), max_size=len(samples))
    rows = [[1] * len(samples)] + [data.draw(values) for _ in genes[1:]]  # no sample without a count
    counts = pd.DataFrame(rows, index=genes, columns=samples)
    table = pd.DataFrame({"group": ["x", "y"] * len(samples)}).head(len(samples)).set_axis(samples)
    with TemporaryDirectory() as folder:
        written = (frame.to_csv(sep=delimiter, index_label="name") for frame in (counts, table))
        cohort = read(folder, *written)
    assert cohort.counts.tolist() == [[float(v) for v in row] for row in rows]
    assert cohort.genes.tolist() == genes
    assert cohort.samples.index.tolist() == samples
    assert cohort.samples["group"].tolist() == table["group"].tolist()


@settings(max_examples=20)
@given(st.permutations(range(6)), st.permutations(range(6)), st.booleans())
def test_order_of_columns_and_rows_does_not_matter(columns, rows, packed):
    original, _ = simulate(n_genes=12, n_test=3, n_reference=3, seed=4)
    counts = pd.DataFrame(original.counts, index=original.genes, columns=original.samples.index).iloc[:, list(columns)]
    with TemporaryDirectory() as folder:
        paths = Path(folder, "c.tsv.gz" if packed else "c.tsv"), Path(folder, "s.tsv")
        counts.to_csv(paths[0], sep="\t")
        original.samples.iloc[list(rows)].to_csv(paths[1], sep="\t")
        cohort = read_cohort(*paths)
    same(cohort.take_samples([cohort.samples.index.get_loc(name) for name in original.samples.index]), original)
    in_memory = Cohort.from_frames(counts, original.samples.iloc[list(rows)])
    same(in_memory, cohort)


@pytest.mark.parametrize("name", ["pasilla", "bottomly", "covid_thair2021", "schurch2016"])
def test_real_files(real_data, name):
    folder = real_data / "data" / name
    cohort = dediag.read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    assert cohort.n_samples == len((folder / "samples.tsv").read_text().splitlines()) - 1
    assert (cohort.counts == np.floor(cohort.counts)).all()
