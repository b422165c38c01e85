"""Lengths, control genes and spike-ins: every form that they come in, and what is said of what does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dediag
from dediag.cohort import Cohort, InputError
from dediag.model.fit import fit
from dediag.readers import annotated, read_cohort
from dediag.simulation import simulate

GENES = ["A", "B", "C", "ERCC-1", "ERCC-2"]
LENGTHS = [100.0, 2000.0, 350.0, 1000.0, 500.0]


@pytest.fixture
def cohort():
    counts = pd.DataFrame(np.arange(1, 16).reshape(5, 3), index=GENES, columns=["s1", "s2", "s3"])
    return Cohort.from_frames(counts, pd.DataFrame({"group": ["x", "y", "y"]}, index=["s1", "s2", "s3"]))


def lengths_of(cohort, folder, text):
    path = folder / "lengths.tsv"
    path.write_text(text)
    found, notes = annotated(cohort, gene_lengths=path)
    return found.gene_lengths.tolist(), notes


def lines(header, *columns, genes=GENES):
    rows = [f"{gene}\t" + "\t".join(str(column[i]) for column in columns) for i, gene in enumerate(genes)]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


@pytest.mark.parametrize("header", ["gene\tlength", "Geneid\tLength", "", "gene_id\tbp", "\tEffectiveLength"])
def test_two_columns(cohort, tmp_path, header):
    assert lengths_of(cohort, tmp_path, lines(header, LENGTHS))[0] == LENGTHS


def test_other_genes_and_another_order_do_not_matter(cohort, tmp_path):
    order = ["Z", *GENES[::-1]]
    assert lengths_of(cohort, tmp_path, lines("g\tlength", ["NA", *LENGTHS[::-1]], genes=order))[0] == LENGTHS


def test_salmon_counts_on_its_effective_length(cohort, tmp_path):
    tpm = ["1.5"] * 5
    text = lines("Name\tLength\tEffectiveLength\tTPM\tNumReads", [9999] * 5, LENGTHS, tpm, tpm)
    found, notes = lengths_of(cohort, tmp_path, text)
    assert found == LENGTHS
    assert notes == (f"gene lengths are column EffectiveLength of {tmp_path / 'lengths.tsv'}",)


def test_lengths_by_sample_are_averaged_over_the_samples_of_the_study(cohort, tmp_path):
    shifted = [[value + d for value in LENGTHS] for d in (-10, 30, 10, 1e6)]
    text = lines("gene_id\tgene_name\ts1\ts2\ts3\ts4", [f"name{g}" for g in GENES], *shifted)
    found, notes = lengths_of(cohort, tmp_path, text)
    assert found == [value + 10 for value in LENGTHS]
    assert "the mean over 3 samples" in notes[0]


def test_lengths_in_python(cohort):
    by_gene = dict(zip(GENES, LENGTHS, strict=True))
    for given_lengths in (by_gene, pd.Series(by_gene)):
        assert annotated(cohort, gene_lengths=given_lengths)[0].gene_lengths.tolist() == LENGTHS
    twice = pd.Series([*LENGTHS, 7.0], index=[*GENES, "B"])
    with pytest.raises(InputError, match="gene 'B' has more than one length"):
        annotated(cohort, gene_lengths=twice)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines("g\tlength", LENGTHS, genes=[*GENES[:3], "x", "y"]), "2 of the 5 genes .* such as 'ERCC-1'\nadd them"),
        (lines("g\tlength", LENGTHS, genes=[f"{g}.7" for g in GENES]), "5 of the 5 .*\n.*version after the point"),
        (lines("g\tlength", LENGTHS, genes=[g.lower() for g in GENES]), "5 of the 5 .*\nthey differ in capital"),
        (lines("g\tlength", LENGTHS, genes=list("vwxyz")), "5 of the 5 .*\nthe counts have A, B, .*given are v, w"),
        (lines("g\tlength", [100, 0, 3, 4, 5]), "gene 'B' has the length '0'"),
        (lines("g\tlength", [100, "long", 3, 4, 5]), "gene 'B' has the length 'long'"),
        (lines("g\ts1\ts2", [1, 2, 3, 4, 5], [1, 2, 3, -4, 5]), "gene 'ERCC-1' has the length '-4' in sample 's2'"),
        (lines("g\tlength", LENGTHS) + "B\t2001\n", "gene 'B' has more than one length"),
        (lines("g\tstart\tend", LENGTHS, LENGTHS), "no column is called 'length'.*g, start, end"),
    ],
)  # fmt: skip
def test_bad_lengths(cohort, tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        lengths_of(cohort, tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "lengths.tsv"))
    assert len(str(caught.value).splitlines()) <= 3


def test_the_same_length_twice_is_no_contradiction(cohort, tmp_path):
    assert lengths_of(cohort, tmp_path, lines("g\tlength", LENGTHS) + "B\t2000\n")[0] == LENGTHS


@pytest.mark.parametrize("header", ["", "gene_id\n", "# a comment\nGene ID\n", '"id"\n'])
def test_control_genes_in_a_file(cohort, tmp_path, header):
    (tmp_path / "genes").write_text(f"{header}C\nA\n")
    found, notes = annotated(cohort, control_genes=tmp_path / "genes")
    assert found.control_genes.tolist() == [True, False, True, False, False]
    assert notes[0] == "control genes: 2 genes"


@pytest.mark.parametrize("given_genes", ["A,C", "A, C,", ["A", "C"], ("C", "A")])
def test_control_genes_by_id(cohort, given_genes):
    assert annotated(cohort, control_genes=given_genes)[0].control_genes.tolist() == [True, False, True, False, False]


def test_file_with_all_ids_in_one_line(cohort, tmp_path):
    (tmp_path / "genes.txt").write_text("A,C\n")
    found = annotated(cohort, control_genes=str(tmp_path / "genes.txt"))[0]
    assert found.control_genes.tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("given_genes", ["ERCC-", "ERCC-1,ERCC-2", ["ERCC-2", "ERCC-1"]])
def test_spike_ins_by_prefix_or_id(cohort, given_genes):
    found, notes = annotated(cohort, spike_ins=given_genes)
    assert found.spike_ins.tolist() == [False, False, False, True, True]
    assert found.spike_in_log2 is None
    assert "2 genes" in notes[0]
    assert "taken to be added in equal amounts" in notes[1]


def test_few_control_genes_are_told(cohort):
    assert "size factors rest on 1 gene alone" in annotated(cohort, control_genes="A")[1][1]


def test_an_id_is_no_prefix(cohort):
    assert annotated(cohort, spike_ins="A")[0].spike_ins.tolist() == [True, False, False, False, False]


RATIOS = {
    "named": "id\tsubpool\tlog2_fold_change\nERCC-1\ta\t2\nERCC-2\tb\tNA\n",
    "expected": "ERCC ID,expected_log2\nERCC-1,2\nERCC-2,\n",
    "second column": "ERCC-1\t2\nERCC-2\tNA\n",
    "beside the ratio": "ERCC ID\texpected fold-change ratio\tlog2(Mix 1/Mix 2)\nERCC-1\t4\t2\nERCC-2\tNA\tNA\n",
    "beside concentrations": "id\tlog2_concentration\tlog2FoldChange\nERCC-1\t9\t2\nERCC-2\t8\t\n",
    "another first header": "transcript\tlog2_fold_change\nERCC-1\t2\nERCC-2\tNA\n",
}


@pytest.mark.parametrize("text", RATIOS.values(), ids=RATIOS)
def test_spike_ins_with_known_fold_changes(cohort, tmp_path, text):
    (tmp_path / "mix").write_text(text)
    found, notes = annotated(cohort, spike_ins=tmp_path / "mix")
    np.testing.assert_array_equal(found.spike_in_log2, [np.nan, np.nan, np.nan, 2, np.nan])
    assert notes == ("spike-ins: 2 genes; 1 with a known fold change",)


def test_fold_changes_in_python(cohort):
    found, _ = annotated(cohort, spike_ins={"ERCC-1": 1, "ERCC-2": -2})
    np.testing.assert_array_equal(found.spike_in_log2, [np.nan, np.nan, np.nan, 1, -2])


@pytest.mark.parametrize("value", ["x", 250.0])
def test_what_is_no_fold_change_in_python(cohort, value):
    with pytest.raises(InputError, match="spike-ins: the log2 fold change of 'ERCC-2' is"):
        annotated(cohort, spike_ins={"ERCC-1": 1, "ERCC-2": value})
    assert np.isnan(annotated(cohort, spike_ins={"ERCC-1": 1, "ERCC-2": None})[0].spike_in_log2[4])


def test_control_genes_have_no_fold_changes(cohort, tmp_path):
    (tmp_path / "genes").write_text("id\texpected_count\tlog2_fold_change\nA\t100\t900\n")
    assert annotated(cohort, control_genes=tmp_path / "genes")[0].control_genes.sum() == 1


def test_concentrations_are_not_taken_for_fold_changes(cohort, tmp_path):
    (tmp_path / "mix").write_text("id\tamol_ul\nERCC-1\t1.5\nERCC-2\t3\n")
    assert annotated(cohort, spike_ins=tmp_path / "mix")[0].spike_in_log2 is None


def test_a_list_of_more_spike_ins_than_were_counted(cohort, tmp_path):
    (tmp_path / "mix").write_text("ERCC-1\nERCC-2\nERCC-7\n")
    found, notes = annotated(cohort, spike_ins=tmp_path / "mix")
    assert found.spike_ins.sum() == 2
    assert notes[0].startswith("spike-ins: 2 genes; 1 more of ")
    assert "(ERCC-7)" in notes[0]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("control_genes", "A,X,Y", "2 of 3 ids are not among the genes of the counts, such as 'X'\nmend the ids"),
        ("control_genes", ["a"], "capital letters"),
        ("spike_ins", "SIRV", "'SIRV' is no file, no gene of the counts, and no gene begins with it"),
        ("spike_ins", "ERCC-1,ERCC-9", "1 of 2 ids are not among the genes of the counts, such as 'ERCC-9'"),
        ("spike_ins", "", "no gene is named"),
        ("spike_ins", GENES, "these are all genes of the counts"),
        ("control_genes", "nowhere/genes.txt", "no such file"),
        ("control_genes", "genes.tsv", "no such file"),
    ],
)
def test_unknown_genes(cohort, option, value, said):
    with pytest.raises(InputError, match=said) as caught:
        annotated(cohort, **{option: value})
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gene_id\nX\nY\n", "2 of 2 spike-ins are not among the genes of the counts, such as 'X'"),
        ("id\tlog2_fold_change\nERCC-1\tmuch\n", "the log2 fold change of 'ERCC-1' is 'much'"),
        ("id\tlog2_fold_change\nERCC-1\t30000\n", "between -30 and 30"),
        ("id\tfold_change\nERCC-1\t4\n", "column 'fold_change' looks like a fold change, and its name does not say"),
        ("id\tlog2_ratio\tlog2FC\nERCC-1\t1\t2\n", "the columns log2_ratio, log2FC may all hold log2 fold changes"),
        ("# nothing\n", "holds no gene"),
    ],
)
def test_bad_files_of_spike_ins(cohort, tmp_path, text, said):
    (tmp_path / "mix").write_text(text)
    with pytest.raises(InputError, match=said):
        annotated(cohort, spike_ins=tmp_path / "mix")


def test_nothing_named_nothing_changed(cohort):
    found, notes = annotated(cohort)
    assert found is cohort
    assert notes == ()


@given(st.permutations(range(5)))
def test_the_order_of_genes_does_not_matter(order):
    counts = pd.DataFrame(np.ones((5, 3)), index=GENES, columns=["s1", "s2", "s3"]).iloc[list(order)]
    made = Cohort.from_frames(counts, pd.DataFrame({"group": ["x", "y", "y"]}, index=["s1", "s2", "s3"]))
    found, _ = annotated(made, dict(zip(GENES, LENGTHS, strict=True)), "B", {"ERCC-2": -1.0})
    assert dict(zip(found.genes, found.gene_lengths, strict=True)) == dict(zip(GENES, LENGTHS, strict=True))
    assert found.genes[found.control_genes].tolist() == ["B"]
    assert found.genes[found.spike_ins].tolist() == ["ERCC-2"]


# what they do to the fit


def spiked(factor=8.0):
    """A study whose last 40 genes were added to the cases in `factor` times the amount."""
    cohort, _ = simulate(n_genes=200, seed=4)
    counts = cohort.counts.copy()
    counts[160:, :10] = np.rint(counts[160:, :10] * factor)
    return replace(cohort.with_counts(counts), spike_ins=np.arange(200) >= 160)


def test_spike_ins_have_no_say_in_the_size_factors():
    cohort = spiked()
    found = fit(cohort, "~ group", ("group", "case", "control"))
    alone = fit(cohort.take_genes(~cohort.spike_ins), "~ group", ("group", "case", "control"))
    np.testing.assert_array_equal(found.size_factors, alone.size_factors)
    assert any("40 spike-ins have no say in the size factors" in notice for notice in found.notices)
    assert np.median(found.lfc[160:]) == pytest.approx(3, abs=0.3)


def test_control_genes_go_before_spike_ins():
    """Whoever names the spike-ins as control genes normalises by them."""
    cohort = spiked()
    by_spikes = replace(cohort, control_genes=cohort.spike_ins)
    found = fit(by_spikes, "~ group", ("group", "case", "control"))
    assert np.median(found.lfc[160:]) == pytest.approx(0, abs=0.3)
    assert any("estimated from 40 control genes" in notice for notice in found.notices)


def test_real_study_with_everything(real_data, tmp_path):
    """SEQC: 92 spike-ins with known ratios of A over B, lengths of all genes."""
    folder = real_data / "data" / "seqc_coh"
    genes = pd.read_csv(folder / "genes.tsv.gz", sep="\t", index_col=0)
    ercc = genes[genes["is_ercc"]]
    ercc[["ercc_log2_A_over_B"]].to_csv(tmp_path / "ercc.tsv", sep="\t")
    cohort = dediag.read_cohort(
        folder / "counts.tsv.gz", folder / "samples.tsv", gene_lengths=folder / "genes.tsv.gz",
        spike_ins=tmp_path / "ercc.tsv",
    )  # fmt: skip
    assert cohort.spike_ins.sum() == 92
    np.testing.assert_array_equal(cohort.spike_in_log2[cohort.spike_ins], ercc["ercc_log2_A_over_B"])
    np.testing.assert_array_equal(cohort.gene_lengths, genes.loc[cohort.genes, "length"])
    read = read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv", spike_ins="ERCC-")
    np.testing.assert_array_equal(read.spike_ins, cohort.spike_ins)
