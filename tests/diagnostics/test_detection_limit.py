"""detection_limit: limits, tags and verdicts on simulated cohorts; spike-ins and qPCR of a real one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from detection_truth import depth_titration, power_at, seqc, spike_limits, taqman

from dediag.auditing import open_study
from dediag.cohort import Cohort, frozen
from dediag.contract import NotAssessable
from dediag.diagnostics import detection_limit
from dediag.finding import Status
from dediag.model.fit import fit
from dediag.simulation import draw_counts, simulate
from dediag.stats.detection import power_up
from dediag.stats.reach import TAGS
from dediag.study import Study

CONTRAST = ("group", "case", "control")


def study(cohort, test="case", reference="control", **options):
    return Study(cohort, fit(cohort, "~ group", ("group", test, reference), **options), 1)


def compute(*sizes, seed=1, n_genes=600, **faults):
    cohort, _ = simulate(n_genes=n_genes, n_test=sizes[0], n_reference=sizes[1], seed=seed, **faults)
    return detection_limit.compute(study(cohort))


@pytest.fixture(scope="module")
def healthy():
    return compute(6, 15, effect_share=0.2, effect_sd=1.2)


def table(result, name):
    return pd.DataFrame(next(t for t in detection_limit.tables(result) if t.name == name).columns)


def value(result, name):
    return next(m for m in detection_limit.metrics(result) if m.name == name).value


class TestVerdict:
    @pytest.mark.parametrize("sizes", [(3, 3), (5, 20), (20, 8), (6, 40)])
    def test_group_size_alone_is_no_fault(self, sizes):
        verdict = detection_limit.judge(compute(*sizes))
        assert verdict.status is Status.PASS, verdict.headline
        assert verdict.calls_at_risk == 0

    @pytest.mark.parametrize("sizes", [(5, 20), (10, 10), (20, 8)])
    def test_unequal_dispersion_hides_one_direction(self, sizes):
        result = compute(*sizes, group_dispersion_ratio=8.0)
        verdict = detection_limit.judge(result)
        assert verdict.status is Status.WARN, verdict.headline
        assert "-fold falls in" in verdict.headline
        assert abs(value(result, "lean")) >= detection_limit.LIMIT

    def test_unequal_depth_hides_one_direction(self):
        verdict = detection_limit.judge(compute(10, 10, depth_ratio=0.01))
        assert verdict.status is Status.WARN, verdict.headline
        assert "-fold rises in" in verdict.headline

    def test_headline_gives_limits_and_never_the_power_at_what_was_observed(self, healthy):
        headline = detection_limit.judge(healthy).headline
        up = value(healthy, "min_fold_change_up_median")
        assert f"{up:.3g}-fold up" in headline
        assert "80 % power" in headline


class TestGenes:
    def test_tags_go_by_calls_limits_and_filter(self, healthy):
        genes, reach = table(healthy, "genes"), healthy.reach
        assert set(genes["tag"]) <= set(TAGS)
        assert ((genes["tag"] == "called") == reach.called).all()
        both = (genes["min_fold_change_up"] <= 2) & (genes["min_fold_change_down"] <= 2) & ~reach.called
        assert (genes["tag"] == "tested with power >= .8 for 2-fold").sum() == (both & ~reach.filtered).sum()

    def test_untestable_is_the_share_of_all_tested_genes(self, healthy):
        genes = table(healthy, "genes")
        neither = ~((genes["min_fold_change_up"] <= 2) | (genes["min_fold_change_down"] <= 2))
        assert value(healthy, "share_untestable") == pytest.approx((neither | healthy.reach.filtered).mean())
        assert value(healthy, "n_tested") == len(genes)

    def test_filtered_genes_count_as_not_seen(self):
        """Most genes are low and unchanged, a few high ones change: the filter leaves the low ones out."""
        rng = np.random.default_rng(3)
        mean = np.r_[np.full(900, 8.0), np.full(300, 300.0)]
        lfc = np.r_[np.zeros(900), rng.choice([-0.4, 0.4], 300)]
        case = np.arange(40) < 20
        counts = draw_counts(rng, mean[:, None] * 2 ** np.outer(lfc, case - 0.5), np.full((1200, 1), 0.1))
        frame = pd.DataFrame({"group": np.where(case, "case", "control")}, index=[f"s{k:02d}" for k in range(40)])
        result = detection_limit.compute(study(Cohort(frozen(counts), pd.Index([f"g{k}" for k in range(1200)]), frame)))
        assert result.reach.filtered.sum() > 300
        left_out = table(result, "genes")["tag"] == "left out by the filter"
        assert left_out.sum() > 100
        assert value(result, "share_filtered") == pytest.approx(left_out.mean())
        assert value(result, "share_untestable") >= left_out.mean()

    def test_exchanging_the_groups_exchanges_up_and_down(self):
        cohort, _ = simulate(n_genes=400, n_test=5, n_reference=12, seed=5, depth_ratio=0.3)
        one, other = (detection_limit.compute(study(cohort, *names)) for names in (CONTRAST[1:], CONTRAST[:0:-1]))
        assert np.allclose(one.reach.up, other.reach.down, rtol=0.01)
        assert np.allclose(one.reach.down, other.reach.up, rtol=0.01)
        assert value(one, "up_down_limit_ratio") == pytest.approx(1 / value(other, "up_down_limit_ratio"), rel=0.01)
        assert value(one, "lean") == pytest.approx(-value(other, "lean"), abs=0.005)

    def test_equal_groups_have_no_preferred_direction(self):
        """Same size, depth and dispersion in both groups: the same limits, gene by gene."""
        cohort, _ = simulate(n_genes=300, n_test=6, n_reference=6, seed=2)
        main = study(cohort, size_factors=np.ones(12))
        shared = main.fit.dispersion, main.fit.dispersion
        main.__dict__["own_dispersions"] = shared  # as where no group has its own
        reach = detection_limit.compute(main).reach
        assert np.allclose(reach.up, reach.down, rtol=1e-12)
        assert detection_limit.compute(main).reach.limit_ratio == pytest.approx(1.0)

    @pytest.mark.parametrize(("n_test", "n_reference"), [(5, 20), (10, 10), (3, 3)])
    def test_simulated_power_at_a_genes_limit(self, n_test, n_reference):
        """A gene of the middle with the study's size factors, by the package's own fit; .05 is asked, .03 is seen."""
        cohort, _ = simulate(n_genes=400, n_test=n_test, n_reference=n_reference, seed=8)
        main = study(cohort)
        result = detection_limit.compute(main)
        k = int(np.argsort(result.midpoint)[60])  # of low expression, where the first order is off
        at = cohort.genes.get_loc(result.genes[k])
        own = [float(phi[at]) for phi in (*main.own_dispersions, main.fit.dispersion)]
        rng = np.random.default_rng(1)
        for sign, limit in ((1, result.reach.up[k]), (-1, result.reach.down[k])):
            power = power_at(
                rng, result.midpoint[k], sign * limit, own, main.fit.size_factors, n_test, result.cutoff, 4_000
            )
            assert power == pytest.approx(0.8, abs=0.05)

    def test_deeper_sequencing_lowers_every_median(self):
        cohort, _ = simulate(n_genes=400, n_test=5, n_reference=8, seed=4)
        shallow = cohort.with_counts(np.floor(cohort.counts / 10.0))
        one, other = (detection_limit.compute(study(c)) for c in (cohort, shallow))
        assert value(one, "min_fold_change_up_median") < value(other, "min_fold_change_up_median")
        assert value(one, "share_untestable") < value(other, "share_untestable")


class TestCutoff:
    def test_without_calls_it_is_that_of_one_call(self):
        cohort, _ = simulate(n_genes=300, n_test=4, n_reference=4, seed=6, effect_share=0.0)
        main = study(cohort)
        result = detection_limit.compute(main)
        adjusted = int(np.isfinite(main.fit.padj).sum())
        assert result.cutoff == pytest.approx(0.1 * (int(main.significant.sum()) + 1) / adjusted)

    def test_interaction_is_not_assessable(self):
        cohort = simulate(n_genes=100, seed=1)[0]
        cohort = replace(cohort, samples=cohort.samples.assign(batch=["a", "b"] * 10))
        with pytest.raises(NotAssessable, match="interaction"):
            detection_limit.compute(Study(cohort, fit(cohort, "~ batch * group", CONTRAST)))

    def test_offsets_and_covariates_are_taken(self):
        cohort = simulate(n_genes=200, n_test=6, n_reference=6, seed=1)[0]
        cohort = replace(cohort, samples=cohort.samples.assign(batch=["a", "b"] * 6))
        with_offsets = replace(cohort, offsets=frozen(np.full(cohort.counts.shape, 1.0)))
        for one in (cohort, with_offsets):
            result = detection_limit.compute(Study(one, fit(one, "~ batch + group", CONTRAST)))
            assert np.isfinite(result.midpoint).all()
            assert detection_limit.judge(result).status is Status.PASS


@pytest.fixture(scope="module")
def spiked():
    """Ninety spike-ins of dispersion .02: ratios 1, 4, 1/2, all .5 lower (log2) than known."""
    rng = np.random.default_rng(11)
    known = np.repeat([0.0, 2.0, -1.0], 30)
    mean = np.tile(np.geomspace(2, 3_000, 30), 3)
    cohort, truth = simulate(n_genes=500, n_test=6, n_reference=6, seed=3)
    factors = np.array(truth.attrs["size_factors"])  # given to the fit: 90 of 590 genes would move estimated ones
    case = np.arange(12) < 6
    counts = draw_counts(rng, mean[:, None] * 2 ** np.outer(known - 0.5, case - 0.5) * factors, np.full((90, 1), 0.02))
    genes = pd.Index([*cohort.genes, *(f"ERCC{k:02d}" for k in range(90))])
    is_spike = np.arange(590) >= 500
    both = Cohort(frozen(np.vstack([cohort.counts, counts])), genes, cohort.samples)
    log2 = np.where(is_spike, np.append(np.zeros(500), known), np.nan)
    both = replace(both, spike_ins=frozen(is_spike, np.bool_), spike_in_log2=frozen(log2))
    return detection_limit.compute(study(both, size_factors=factors))


class TestSpikeIns:
    def test_ratios_come_out_with_the_offset_taken_off(self, spiked):
        ratios = table(spiked, "ratios").set_index("known_log2")
        assert spiked.spike_ins.offset == pytest.approx(-0.5, abs=0.15)
        assert ratios["observed_log2"].to_numpy() == pytest.approx(ratios.index.to_numpy(), abs=0.15)

    def test_larger_ratios_are_found_lower_and_near_the_model(self, spiked):
        ratios = table(spiked, "ratios").set_index("known_log2")
        assert ratios["lodr"][2.0] < ratios["lodr"][-1.0]
        assert ratios["model_base_mean"][2.0] < ratios["model_base_mean"][-1.0]
        assert pd.isna(ratios["lodr"][0.0])

    def test_figure_and_tables_are_there_only_with_known_ratios(self, spiked, healthy):
        assert [f.name for f in detection_limit.draw(spiked)] == ["limits", "seen", "spike_ins"]
        assert [f.name for f in detection_limit.draw(healthy)] == ["limits", "seen"]
        assert len(table(spiked, "spike_ins")) == len(spiked.spike_ins.names)
        assert value(healthy, "spike_in_offset_log2") is None


def test_table_by_fold_change_holds_more_genes_for_larger_changes(healthy):
    rows = table(healthy, "folds")
    assert rows["share_neither"].is_monotonic_decreasing
    assert rows["share_both"].is_monotonic_increasing
    curve = table(healthy, "curve")
    assert curve["min_fold_change_up"].dropna().is_monotonic_decreasing


def test_limit_of_each_gene_has_the_power(healthy):
    """Through `compute`: the genes that it made, asked again for their power."""
    cohort, _ = simulate(n_genes=600, n_test=6, n_reference=15, seed=1, effect_share=0.2, effect_sd=1.2)
    main = study(cohort)
    from dediag.stats.detection import Comparison
    from dediag.stats.reach import genes_at

    at = cohort.genes.get_indexer(list(healthy.genes))
    factors = main.fit.size_factors[None, :]
    depths = factors[:, main.test_samples], factors[:, main.reference_samples]
    phi = [p[at] for p in (*main.own_dispersions, main.fit.dispersion)]
    genes, found = genes_at(healthy.midpoint, phi, depths), np.isfinite(healthy.reach.up)
    power = power_up(genes.take(found), Comparison(6, 15, healthy.cutoff, 0.8), healthy.reach.up[found])
    assert np.quantile(np.abs(power - 0.8), 0.99) < 0.02


@pytest.fixture
def folder(real_data):
    return real_data / "data" / "seqc_coh"


@pytest.fixture(scope="module", params=["all lanes", "one lane"])
def measured(request, real_data):
    """The study of A and B, and its limits."""
    data = real_data / "data" / "seqc_coh"
    cohort = seqc(data) if request.param == "all lanes" else depth_titration(data, "L01")
    main = open_study(cohort, "~ group", ("group", "A", "B"), seed=1)
    return main, detection_limit.compute(main)


class TestRealData:
    def test_spike_ins_have_the_known_ratios(self, measured):
        """Medians were within .04 of nominal (log2), single spike-ins within .09 in the median."""
        _, result = measured
        rows = {row["known"]: row for row in spike_limits(result)}
        assert set(rows) == {-1.0, -0.585, 0.0, 2.0}
        for known, row in rows.items():
            assert row["observed"] == pytest.approx(known, abs=0.06)
            assert row["error"] < 0.12

    def test_limits_of_detection_exist_and_are_in_the_order_of_the_ratios(self, measured):
        """All lanes: 18, 22, 111; one lane: 10, 37, 64. The model has 5, 21, 58 and 5, 17, 51."""
        _, result = measured
        rows = {row["known"]: row for row in spike_limits(result)}
        lodr, model = ([rows[known][name] for known in (2.0, -1.0, -0.585)] for name in ("lodr", "model"))
        assert all(0.0 < limit < 200.0 for limit in lodr)
        assert lodr == sorted(lodr)
        assert model == sorted(model)

    @pytest.mark.parametrize("known", [2.0, -1.0, -0.585])
    def test_limits_of_detection_and_of_the_model_agree_within_a_factor_of_three(self, measured, known, request):
        if "all lanes" in request.node.callspec.id and known == 2.0:
            why = "4:1: the model has 5, the LODR 18: its bound has one variance for p from .1 to 1e-30"
            request.applymarker(pytest.mark.xfail(strict=True, reason=why))
        _, result = measured
        row = next(row for row in spike_limits(result) if row["known"] == known)
        assert 1 / 3 < row["model"] / row["lodr"] < 3.0

    def test_spike_ins_beyond_the_models_limit_are_found(self, measured):
        """The limit is one of power .9."""
        _, result = measured
        for row, least in zip(result.spike_ins.ratios, result.model_means, strict=True):
            if row.known:
                beyond = row.index[result.spike_ins.base_mean[row.index] > least]
                found = result.spike_ins.log10_p[beyond] < np.log10(result.cutoff)
                assert found.size >= 5
                assert found.mean() >= 0.9, row.known

    def test_fold_changes_agree_with_qpcr(self, folder, measured):
        """r was .938 at either depth, the slope .973 and .985 on 794 and 793 genes."""
        found = taqman(folder, *measured)
        assert found["genes"] > 750
        assert found["pearson"] > 0.9
        assert found["slope"] == pytest.approx(1.0, abs=0.1)

    def test_changes_beyond_the_limit_are_called(self, folder, measured):
        """.98 and .96 of 740 and 683 genes, in qPCR's direction .92 and .93; .82 and .84 of those just beyond it."""
        found = taqman(folder, *measured)
        assert found["beyond"]["called"] > 0.9
        assert found["beyond_right_sign"]["called"] > 0.85
        assert found["just_beyond"]["called"] > 0.7

    def test_genes_that_could_not_have_been_seen_are_called_less(self, folder, measured):
        """Of those with a change below 2-fold .50 of 8 and .28 of 18 were, of the others .94 and .86.

        Not rarely: the cut-off of these data is p = .08, and the methods differ by more than their noise.
        """
        found = taqman(folder, *measured)
        assert found["hidden_small"]["called"] < found["others_small"]["called"] - 0.2
