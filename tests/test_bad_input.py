"""Section "Bad input": every item gives exit code 2, at most three lines on stderr, and nothing is written.

`said` is what the message must name: file, gene, sample, row, column, level, and the way out.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from dediag.cli import main
from dediag.simulation import simulate


@pytest.fixture(scope="module")
def study():
    """Counts and samples of a small study, as frames of strings and numbers that a case may change."""
    cohort, _ = simulate(n_genes=60, n_test=4, n_reference=4, seed=2)
    counts = pd.DataFrame(cohort.counts.astype(int), index=cohort.genes, columns=cohort.samples.index)
    samples = cohort.samples.assign(batch=[1, 2, 1, 2, 1, 2, 1, 2], rin=np.linspace(7, 9, 8))
    return counts, samples


def set_cell(frame, row, column, value):
    changed = frame.astype(object)
    changed.iloc[row, column] = value
    return changed


# name -> (what is done to counts and samples, options, regular expressions that the message must match)
FRAMES = {
    "text": (lambda c, s: (set_cell(c, 3, 2, "many"), s), [], ["counts.tsv", "gene04", "case03", "'many'"]),
    "negative": (lambda c, s: (set_cell(c, 3, 2, -4), s), [], ["counts.tsv", "gene04", "case03", "-4"]),
    "fractional": (lambda c, s: (set_cell(c, 3, 2, 1.5), s), [], ["counts.tsv", "gene04", "case03", "raw counts"]),
    "TPM": (lambda c, s: (c / c.sum() * 1e6, s), [], ["counts.tsv", "gene01", "case01", "TPM"]),
    "logs": (lambda c, s: (np.log2(c + 1.0), s), [], ["counts.tsv", "looks like log values"]),
    "NaN": (lambda c, s: (set_cell(c, 3, 2, np.nan), s), [], ["counts.tsv", "gene04", "case03", "no count"]),
    "above 2^53": (lambda c, s: (set_cell(c, 3, 2, 2**53 + 1), s), [], ["counts.tsv", "gene04", "case03", r"2\^53"]),
    "gene twice": (lambda c, s: (c.rename({"gene05": "gene06"}), s), [], ["counts.tsv", "more than once: gene06"]),
    "sample twice": (
        lambda c, s: (c.rename(columns={"case02": "case01"}), s), [], ["counts.tsv", "more than once: case01"]
    ),
    "sample twice in the table": (
        lambda c, s: (c, s.rename({"case02": "case01"})), [], ["samples.tsv", "more than once: case01"]
    ),
    "sample only in counts": (
        lambda c, s: (c, s.drop("case02")), [], ["only in .*counts.tsv: case02", "--drop-samples unmatched"]
    ),
    "sample only in table": (
        lambda c, s: (c.drop(columns="case02"), s), [], ["only in .*samples.tsv: case02", "--drop-samples unmatched"]
    ),
    "on its side": (lambda c, s: (c.T, s), [], ["counts.tsv", "rows are the samples", "--transpose"]),
    "upright with --transpose": (lambda c, s: (c, s), ["--transpose"], ["counts.tsv", "leave out --transpose"]),
    "all-zero sample": (
        lambda c, s: (c.assign(case03=0), s), [], ["counts.tsv", "case03", "--drop-samples case03"]
    ),
    "no gene without zeros": (
        lambda c, s: (c.where(~np.eye(len(c), 8, dtype=bool)[np.arange(len(c)) % 8], 0), s), [], ["poscounts"]
    ),
    "NaN in a covariate": (
        lambda c, s: (c, s.assign(rin=s.rin.mask(s.index == "case03"))), ["--design", "~ rin + group"],
        ["rin", "case03"],
    ),
    "aliased column": (
        lambda c, s: (c, s.assign(site=s.group.map({"case": "A", "control": "B"}))), ["--design", "~ site + group"],
        [r"group\[T.case\]", "site"],
    ),
    "one sample in a group": (
        lambda c, s: (c.drop(columns=["case02", "case03", "case04"]), s.drop(["case02", "case03", "case04"])), [],
        ["case", "one sample"],
    ),
    "unknown sample dropped": (lambda c, s: (c, s), ["--drop-samples", "case9"], ["case9", "case01"]),
    "unknown column": (lambda c, s: (c, s), ["--design", "~ sex + group"], ["sex", "group, batch, rin"]),
    "unknown factor": (lambda c, s: (c, s), ["--contrast", "grp", "case"], ["grp", "group, batch, rin"]),
    "unknown level": (
        lambda c, s: (c, s), ["--contrast", "group", "sick", "control"], ["sick", "its levels are: case, control"]
    ),
    "no formula": (lambda c, s: (c, s), ["--design", "~ group +"], ["design '~ group .'"]),
}  # fmt: skip


def audited(folder, counts, samples, options):
    """The exit code of an audit of these two files into a folder that must not be there afterwards."""
    before = set(folder.iterdir())
    words = ["audit", str(counts), str(samples), "--design", "~ group", "--contrast", "group", "case", "control"]
    code = main([*words, "-o", str(folder / "report"), "--draws", "2", *options])
    assert set(folder.iterdir()) == before
    return code


def expect(capsys, code, said):
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("dediag: ", "first use: ", "note: "))]
    assert 1 <= len(lines) <= 3, err
    for pattern in said:
        assert re.search(pattern, " ".join(lines)), (pattern, err)


@pytest.mark.parametrize(("change", "options", "said"), FRAMES.values(), ids=FRAMES)
def test_bad_frames(tmp_path, capsys, study, change, options, said):
    counts, samples = change(*study)
    paths = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    counts.to_csv(paths[0], sep="\t", index_label="gene_id")
    samples.to_csv(paths[1], sep="\t", index_label="sample")
    expect(capsys, audited(tmp_path, *paths, options), said)


FILES = {
    "missing counts": (None, b"sample\tgroup\na\tx\n", ["counts.tsv", "no such file"]),
    "missing samples": (b"gene\ta\tb\nA\t1\t2\n", None, ["samples.tsv", "no such file"]),
    "empty counts": (b"", b"sample\tgroup\na\tx\n", ["counts.tsv", "empty"]),
    "empty samples": (b"gene\ta\tb\nA\t1\t2\n", b"", ["samples.tsv", "empty"]),
    "only a header": (b"gene\ta\tb\n", b"sample\tgroup\na\tx\n", ["counts.tsv", "no line below"]),
    "not a table": (b"Dear all,\nhere is the table.\n", b"sample\tgroup\na\tx\n", ["counts.tsv", "not a table"]),
    "binary": (bytes(range(256)), b"sample\tgroup\na\tx\n", ["counts.tsv", "binary"]),
    "uneven": (b"gene\ta\tb\nA\t1\t2\nB\t1\t2\t3\n", b"sample\tgroup\na\tx\nb\ty\n", ["counts.tsv", "line 3"]),
}


@pytest.mark.parametrize(("counts", "samples", "said"), FILES.values(), ids=FILES)
def test_bad_files(tmp_path, capsys, counts, samples, said):
    paths = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    for path, content in zip(paths, (counts, samples), strict=True):
        if content is not None:
            path.write_bytes(content)
    expect(capsys, audited(tmp_path, *paths, []), said)


ANNOTATION = {  # option -> content of the file it names (None: there is none), what must be said
    "no lengths": ("--gene-lengths", None, ["annotation", "no such file"]),
    "not all lengths": ("--gene-lengths", "id\tlength\ngene01\t9\n", ["annotation", "59 of the 60", "'gene02'", "add"]),
    "no positive length": (
        "--gene-lengths", "id\tlength\n" + "".join(f"gene{i:02d}\t{60 - i}\n" for i in range(1, 61)),
        ["annotation", "gene60", "'0'", "base pairs"],
    ),
    "no column of lengths": ("--gene-lengths", "id\tx\ty\ngene01\t1\t2\n", ["annotation", "length", "id, x, y"]),
    "other ids": ("--control-genes", "ENSG01\nENSG02\n", ["annotation", "2 of 2 control genes", "gene01", "ENSG01"]),
    "other spike-ins": ("--spike-ins", "ERCC-1\t1\nERCC-2\t0\n", ["annotation", "2 of 2 spike-ins", "ERCC-1"]),
    "no fold change": ("--spike-ins", "id\tlog2_fold_change\ngene01\tup\n", ["annotation", "gene01", "'up'"]),
}  # fmt: skip


@pytest.mark.parametrize(("option", "content", "said"), ANNOTATION.values(), ids=ANNOTATION)
def test_bad_annotation(tmp_path, capsys, study, option, content, said):
    paths = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    for frame, path in zip(study, paths, strict=True):
        frame.to_csv(path, sep="\t", index_label="name")
    if content is not None:
        (tmp_path / "annotation.tsv").write_text(content)
    expect(capsys, audited(tmp_path, *paths, [option, str(tmp_path / "annotation.tsv")]), said)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--control-genes", "gene01,gene99", ["control genes", "1 of 2", "'gene99'", "leave these out"]),
        ("--spike-ins", "ERCC-", ["'ERCC-'", "no gene begins with it", "gene01"]),
        ("--spike-ins", "gene", ["all genes"]),
    ],
)
def test_bad_ids(tmp_path, capsys, study, option, value, said):
    paths = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    for frame, path in zip(study, paths, strict=True):
        frame.to_csv(path, sep="\t", index_label="name")
    expect(capsys, audited(tmp_path, *paths, [option, value]), said)


def test_folder_instead_of_a_file(tmp_path, capsys):
    (tmp_path / "samples.tsv").write_text("sample\tgroup\na\tx\n")
    expect(capsys, audited(tmp_path, tmp_path, tmp_path / "samples.tsv", []), ["folder"])


def test_order_does_not_matter(tmp_path, capsys, study):
    """What is no error: other orders, and a group of one for `fit`, which warns."""
    counts, samples = study
    counts.iloc[:, ::-1].to_csv(tmp_path / "c.tsv", sep="\t", index_label="gene_id")
    samples.to_csv(tmp_path / "s.tsv", sep="\t", index_label="sample")
    words = ["fit", str(tmp_path / "c.tsv"), str(tmp_path / "s.tsv"), "--design", "~ group"]
    words += ["--contrast", "group", "case", "control", "-o", str(tmp_path / "r.tsv")]
    assert main(words) == 0
    words += ["--drop-samples", "case02,case03,case04", "--overwrite"]
    assert main(words) == 0
    assert "note: level 'case' of 'group' has one sample" in capsys.readouterr().err
