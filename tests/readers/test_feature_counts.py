"""The table of featureCounts: counts, lengths, and files that stand for samples."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.cohort import InputError
from dediag.readers import read_with_sources
from dediag.readers.feature_counts import sample_names

TOP = '# Program:featureCounts v2.0.6; Command:"featureCounts" "-a" "genes.gtf"\n'
HEADER = "Geneid\tChr\tStart\tEnd\tStrand\tLength"
GENES = (
    "A\tchr1;chr1\t11;51\t40;90\t+;+\t70",
    "B\tchr2\t1\t1500\t-\t1500",
)
SAMPLES = "sample\tgroup\ns1\tx\ns2\ty\ns3\ty\n"


def read(folder, files, genes=GENES, samples=SAMPLES, extra="", top=TOP, **options):
    """The cohort of a table whose gene k has k, k + 1, ... reads; extra: the name of an attribute column."""
    lines = [TOP.strip() if top else None, "\t".join([HEADER, *([extra] if extra else []), *files])]
    for k, gene in enumerate(genes, 1):
        lines.append("\t".join([gene, *([f"name {k}"] if extra else []), *(str(k + j) for j in range(len(files)))]))
    (folder / "counts.txt").write_text("\n".join(line for line in lines if line) + "\n")
    (folder / "samples.tsv").write_text(samples)
    return read_with_sources(folder / "counts.txt", folder / "samples.tsv", **options)


@pytest.mark.parametrize("extra", ["", "gene_name"])
@pytest.mark.parametrize("top", [TOP, ""])
@pytest.mark.parametrize("form", ["{}", "{}.bam", "/data/star/{}.sorted.bam", "C:\\runs\\{}.markdup.sorted.bam"])
def test_counts_and_lengths(tmp_path, form, top, extra):
    cohort, source, _ = read(tmp_path, [form.format(name) for name in ("s2", "s1", "s3")], top=top, extra=extra)
    assert cohort.counts.tolist() == [[1, 2, 3], [2, 3, 4]]
    assert cohort.samples.index.tolist() == ["s2", "s1", "s3"]
    assert cohort.genes.tolist() == ["A", "B"]
    np.testing.assert_array_equal(cohort.gene_lengths, [70, 1500])
    assert "featureCounts with gene lengths" in source.format


def test_names_are_shortened_only_where_that_is_unique():
    assert sample_names(["a/s1.bam", "b/s1.bam"], {"s1"}) == ["a/s1.bam", "b/s1.bam"]
    assert sample_names(["s1.bam", "s2.bam"], {"s1.bam", "s2"}) == ["s1.bam", "s2"]
    assert sample_names(["x/s9.sorted.bam"], {"s1"}) == ["s9"]


def test_samples_may_be_dropped(tmp_path):
    cohort, _, _ = read(tmp_path, ["s1.bam", "s2.bam", "s3.bam", "s4.bam"], drop_samples="unmatched")
    assert cohort.samples.index.tolist() == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    ("files", "genes", "options", "said"),
    [
        (["s1.bam", "s2.bam", "s4.bam"], GENES, {}, "only in .*counts.txt: s4"),
        (["a/s1.bam", "b/s1.bam", "s2.bam"], GENES, {}, "a/s1.bam, b/s1.bam"),
        (["s1", "s2", "s3"], ("A\t1\t1\t9\t+\t0",), {}, "gene 'A' has no positive number as its Length"),
        (["s1", "s2", "s3"], ("A\t1\t1\t9\t+\tlong",), {}, "gene 'A' has no positive number as its Length"),
        (["s1", "s2", "s3"], GENES, {"transpose": True}, "leave out --transpose"),
        (["s1", "s2", "s2.bam"], GENES, {}, "only in .*counts.txt: s2.bam"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, files, genes, options, said):
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, files, genes, **options)
    assert len(str(caught.value).splitlines()) <= 3


def test_no_file_at_all(tmp_path):
    with pytest.raises(InputError, match="no sample name in common"):
        read(tmp_path, ["x.bam", "y.bam"])
