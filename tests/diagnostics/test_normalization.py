"""normalization: shifts that were planted are found with their size, and nothing is found where none was."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

from dediag import read_cohort
from dediag.auditing import open_study
from dediag.contract import NotAssessable
from dediag.diagnostics import normalization
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.model.group_test import with_group_dispersions
from dediag.model.normalisations import CONTROLS, SPIKE_INS
from dediag.model.size_factors import size_factors
from dediag.resample.plans import Simulations
from dediag.simulation import Population, simulate

CONTRAST = ("group", "case", "control")
EVEN = Population(log_mean=5.3, log_mean_sd=0.4, asymptote=0.1, extra=0.0, dispersion_sd=0.05)
DATA = os.environ.get("DEDIAG_DATA")


def study_of(cohort, design="~ group", contrast=CONTRAST, **options):
    return open_study(cohort, design, contrast, seed=3, **options)


def numbers(result):
    return {metric.name: metric.value for metric in normalization.metrics(result)}


def named(result, name):
    return next(m for m in result.methods if m.name == name)


@pytest.fixture(scope="module")
def healthy():
    return normalization.compute(study_of(simulate(n_genes=800, n_test=6, n_reference=15, seed=1)[0]))


def test_healthy_passes(healthy):
    verdict = normalization.judge(healthy)
    assert verdict.status is Status.PASS
    assert [m.name for m in healthy.methods] == list(normalization.METHODS)
    assert named(healthy, "ratio").shift == (0.0, 0.0, 0.0)
    assert named(healthy, "ratio").vanish == named(healthy, "ratio").appear == 0
    assert numbers(healthy)["n_reference_genes"] == named(healthy, "ratio").n_genes
    assert max(healthy.top_share) == numbers(healthy)["top10_share_max"]


def test_a_dispersion_shift_is_found_with_its_size_and_recentring_removes_it():
    """Medians of gamma variables: log2 of (.967 / .872) = .150 at dispersions .1 and .4, whatever the sizes."""
    exact = np.log2(gamma.median(10) / 10) - np.log2(gamma.median(2.5) / 2.5)
    cohort, truth = simulate(
        n_genes=1000, n_test=50, n_reference=50, seed=3, population=EVEN, effect_share=0.0, group_dispersion_ratio=4.0
    )
    study = study_of(cohort)
    result = normalization.compute(study)
    found = numbers(result)["dispersion_shift_log2"]
    assert found == pytest.approx(exact, abs=0.01)
    assert found == pytest.approx(np.median(study.fit.lfc - truth["lfc"]), abs=0.015)
    verdict = normalization.judge(result)
    assert verdict.status is Status.WARN
    assert "Unequal dispersions move all fold changes by +0.1" in verdict.headline
    after = fit(cohort, "~ group", CONTRAST, recentre=True)
    assert abs(np.median(after.lfc - truth["lfc"])) < 0.02
    other = study_of(cohort, contrast=("group", "control", "case"))
    assert numbers(normalization.compute(other))["dispersion_shift_log2"] == pytest.approx(-found, abs=0.01)


def test_composition_shows_in_the_total_and_not_in_the_fit():
    cohort, truth = simulate(n_genes=800, n_test=6, n_reference=15, seed=1, composition_shift=0.5)
    result = normalization.compute(study_of(cohort))
    verdict = normalization.judge(result)
    assert verdict.status is Status.WARN
    assert numbers(result)["composition_shift_log2"] == pytest.approx(-1.0, abs=0.25)  # half of the reads are gone
    assert abs(numbers(result)["max_shift_log2"]) < 0.1
    few = set(truth.index[truth["composition_shift"]])
    assert set(np.array(result.top_gene)[result.is_test]) <= few


def test_given_factors_that_no_method_shares_fail():
    cohort, _ = simulate(n_genes=800, n_test=6, n_reference=15, seed=1, composition_shift=0.5)
    total = cohort.counts.sum(axis=0)
    result = normalization.compute(study_of(cohort, size_factors=total / np.exp(np.log(total).mean())))
    verdict = normalization.judge(result)
    assert verdict.status is Status.FAIL
    assert numbers(result)["max_shift_log2"] == pytest.approx(1.0, abs=0.25)
    assert numbers(result)["n_reference_genes"] is None
    assert verdict.calls_at_risk > 50
    right = normalization.compute(study_of(cohort, size_factors=np.array(study_of(cohort).fit.size_factors)))
    assert normalization.judge(right).status is Status.WARN  # the composition is there still


def with_spike_ins(shift, known=None):
    """A cohort whose test samples hold 2^shift times the RNA, with 20 spike-ins added in equal amounts."""
    cohort, _ = simulate(n_genes=800, n_test=6, n_reference=8, seed=5)
    rng = np.random.default_rng(6)
    case = np.arange(14) < 6
    ratio = np.zeros(20) if known is None else np.tile(known, 10)
    mean = np.exp(rng.normal(6, 1, 20))[:, None] * 2.0 ** (np.where(case, 0.5, -0.5) * ratio[:, None])
    sizes = np.asarray(study_of(cohort).fit.size_factors)
    spikes = rng.poisson(mean * sizes * 2.0 ** (-shift * case))
    counts = pd.DataFrame(
        np.vstack([cohort.counts, spikes]).astype(int), columns=cohort.samples.index,
        index=[*cohort.genes, *(f"ERCC-{i}" for i in range(20))],
    )  # fmt: skip
    mask = np.arange(820) >= 800
    full = type(cohort).from_frames(counts, cohort.samples)
    told = None if known is None else np.r_[np.full(800, np.nan), ratio]
    return replace(full, spike_ins=mask, spike_in_log2=told)


@pytest.mark.parametrize("known", [None, (2.0, -1.0)])
def test_spike_ins_see_a_global_shift_that_no_other_method_does(known):
    result = normalization.compute(study_of(with_spike_ins(1.0, known)))
    assert numbers(result)["spike_in_shift_log2"] == pytest.approx(1.0, abs=0.1)
    assert all(abs(m.shift.value) < 0.1 for m in result.methods if m.name != SPIKE_INS)
    verdict = normalization.judge(result)
    assert verdict.status is Status.WARN
    assert "spike-ins were added unevenly" in verdict.advice
    still = normalization.compute(study_of(with_spike_ins(0.0, known)))
    assert normalization.judge(still).status is Status.PASS


def test_size_factors_by_spike_ins_are_not_told_to_be_wrong():
    cohort = with_spike_ins(1.0)
    found = size_factors(cohort.counts, "ratio", cohort.spike_ins)
    result = normalization.compute(study_of(cohort, size_factors=np.array(found.values)))
    assert abs(named(result, SPIKE_INS).shift.value) < 0.05
    assert all(m.shift.value < -0.8 for m in result.methods if m.name != SPIKE_INS)
    assert normalization.judge(result).status is Status.WARN
    assert result.recentred is None  # given factors stay as they are


def test_spike_ins_are_no_calls():
    cohort = with_spike_ins(1.0)
    study = study_of(cohort)
    found = study.fit
    assert np.median(found.pvalue[cohort.spike_ins]) < 1e-9
    assert np.isnan(found.padj[cohort.spike_ins]).all()
    alone = study_of(cohort.take_genes(~cohort.spike_ins)).fit
    both = np.isfinite(found.padj[~cohort.spike_ins]) & np.isfinite(alone.padj)
    assert both.mean() > 0.9
    called = (found.padj[~cohort.spike_ins] < 0.1)[both]
    assert (called == (alone.padj[both] < 0.1)).mean() > 0.99
    drawn = study.ensemble(Simulations(2, 1, "fitted", "shared"))
    assert not (drawn.up | drawn.down)[:, cohort.spike_ins].any()
    assert not np.isfinite(with_group_dispersions(found).padj[cohort.spike_ins]).any()


def test_control_genes_are_the_studys_own_and_compared():
    cohort = simulate(n_genes=800, n_test=6, n_reference=15, seed=1)[0]
    result = normalization.compute(study_of(replace(cohort, control_genes=np.arange(800) < 300)))
    assert result.own == "ratio of control genes"
    assert named(result, CONTROLS).shift.value == pytest.approx(0.0, abs=1e-12)
    assert named(result, "ratio").shift.value != 0.0
    assert numbers(result)["n_reference_genes"] == (cohort.counts[:300].min(axis=1) > 0).sum()
    assert result.recentred.n_genes <= 300
    other = normalization.compute(study_of(cohort, size_factors="TMM"))
    assert numbers(other)["n_reference_genes"] == named(other, "TMM").n_genes


def test_what_cannot_be_asked():
    cohort = simulate(n_genes=300, n_test=6, n_reference=6, seed=1)[0]
    batch = cohort.samples.assign(batch=["a", "b"] * 6)
    with pytest.raises(NotAssessable, match="interaction"):
        normalization.compute(study_of(replace(cohort, samples=batch), "~ batch * group"))
    with pytest.raises(NotAssessable, match="gene by gene"):
        normalization.compute(study_of(replace(cohort, offsets=np.ones((300, 12)))))


def test_few_samples_have_no_dispersion_shift_and_still_an_answer():
    result = normalization.compute(study_of(simulate(n_genes=400, n_test=3, n_reference=3, seed=2)[0]))
    assert numbers(result)["dispersion_shift_log2"] is None
    assert normalization.judge(result).status is Status.PASS


def test_tables_and_figures(healthy):
    methods, samples = normalization.tables(healthy)
    assert methods.columns["method"] == [*normalization.METHODS, "recentred"]
    assert len(samples.columns["sample"]) == 21
    assert [f.name for f in normalization.draw(healthy)] == ["shifts", "composition"]
    assert normalization.draw(healthy)[0].svg == normalization.draw(healthy)[0].svg


@pytest.mark.skipif(DATA is None, reason="DEDIAG_DATA does not name the real data")
def test_spike_ins_of_seqc_see_the_share_of_rna_that_is_mrna():
    """The mixes are 4:1, 1:1, 1:1.5 and 1:2; all lie .4 log2 below, as sample B has more spike-in per mRNA."""
    folder = Path(str(DATA)) / "data" / "seqc_coh"
    cohort = read_cohort(folder / "counts.tsv.gz", folder / "samples.tsv")
    genes = pd.read_csv(folder / "genes.tsv.gz", sep="\t", dtype={"gene_id": str}).set_index("gene_id")
    genes = genes.reindex(cohort.genes.astype(str))
    cohort = replace(
        cohort, spike_ins=genes["is_ercc"].to_numpy(bool), spike_in_log2=genes["ercc_log2_A_over_B"].to_numpy(float)
    )
    result = normalization.compute(study_of(cohort, contrast=("group", "A", "B")))
    assert 0.2 < numbers(result)["spike_in_shift_log2"] < 0.8
    assert normalization.judge(result).status is Status.WARN
