"""The test with group dispersions: the fit's own where they agree, and its size where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.model.dispersion import group_dispersions
from dediag.model.fit import fit
from dediag.model.group_test import group_test, recentred_test, remedies
from dediag.simulation import simulate


@pytest.fixture(scope="module")
def unequal():
    """No effect; the smaller group is four times as dispersed."""
    cohort, truth = simulate(
        n_genes=1000, n_test=6, n_reference=20, seed=4, effect_share=0.0, group_dispersion_ratio=4.0
    )
    main = fit(
        cohort, "~ group", ("group", "case", "control"), search="newton", size_factors=truth.attrs["size_factors"]
    )
    return main, group_dispersions(main, "case"), group_dispersions(main, "control")


def test_equals_the_wald_test_where_all_dispersions_are_the_fits(unequal):
    main, test, reference = unequal
    same = [replace(g, map=main.dispersion, gene=np.full(1000, np.nan)) for g in (test, reference)]
    found = group_test(main, *same)
    assert found.lfc_se == pytest.approx(main.lfc_se, rel=1e-4, nan_ok=True)
    assert np.array_equal(found.lfc, main.lfc, equal_nan=True)
    assert (found.pvalue >= main.pvalue)[np.isfinite(main.pvalue)].all()  # t instead of normal


def test_variance_is_the_sum_over_the_groups(unequal):
    main, test, reference = unequal
    found = group_test(main, test, reference)
    gene = int(np.argmax(main.base_mean))
    case = main.group_mask("case")
    high = test.map[gene] / 6 + reference.map[gene] / 20 + 2 / main.mu()[gene, case].sum()  # Poisson part is nothing
    assert found.lfc_se[gene] * np.log(2) == pytest.approx(np.sqrt(high), rel=0.02)
    assert 5 <= found.df[gene] <= 60


def test_holds_its_size_where_the_wald_test_does_not(unequal):
    main, test, reference = unequal
    found = group_test(main, test, reference)
    tested = np.isfinite(main.pvalue) & (main.base_mean >= 10)
    assert (main.pvalue[tested] < 0.05).mean() > 0.13
    assert 0.025 < (found.pvalue[tested] < 0.05).mean() < 0.075


def test_voided_p_values_stay_void_and_filtering_can_be_left_out(unequal):
    main, test, reference = unequal
    void = np.isnan(main.pvalue)
    found = group_test(main, test, reference, filtering=False)
    assert np.isnan(found.pvalue[void]).all()
    assert np.isfinite(found.padj[np.isfinite(found.pvalue)]).all()


def test_recentring_moves_fold_changes_only(unequal):
    main = unequal[0]
    found = recentred_test(main, 0.1)
    assert found.lfc == pytest.approx(main.lfc - 0.1, nan_ok=True)
    unmoved = recentred_test(main, 0.0)
    assert unmoved.pvalue == pytest.approx(main.pvalue, nan_ok=True)
    assert unmoved.padj == pytest.approx(main.padj, nan_ok=True)


def test_remedies_count_what_vanishes_and_appears(unequal):
    main, test, reference = unequal
    called = np.nan_to_num(main.padj, nan=1.0) < main.alpha
    for remedy in remedies(main, test, reference, 0.1, called):
        assert remedy.n_up + remedy.n_down == called.sum() - remedy.vanish + remedy.appear
        assert 0 <= remedy.to_caution <= remedy.vanish


def test_averaged_dispersions_are_those_of_both_groups(unequal):
    main, test, reference = unequal
    mean = (test.df * test.map + reference.df * reference.map) / (test.df + reference.df)
    same = [replace(g, map=mean, gene=np.full(1000, np.nan)) for g in (test, reference)]
    seen = np.isfinite(mean) & (test.map != test.gene) & (reference.map != reference.gene)
    averaged = group_test(main, test, reference, averaged=True)
    np.testing.assert_allclose(averaged.pvalue[seen], group_test(main, *same).pvalue[seen])


@pytest.mark.parametrize(
    ("sizes", "ratio", "low", "high"),
    [
        ((6, 18), 1.0, 0.0, 0.08),  # what chance differences cost; .02 to .04 in two cohorts
        ((6, 18), 4.0, 0.3, 0.6),  # the smaller group is the more dispersed: .42
        ((8, 8), 4.0, 0.0, 0.05),  # equally large: a difference costs next to nothing, .02
    ],
)
def test_calls_are_lost_to_the_difference_only_where_it_inflates_the_error_rate(sizes, ratio, low, high):
    cohort, _ = simulate(
        n_genes=1500, n_test=sizes[0], n_reference=sizes[1], seed=2, effect_share=0.3, effect_sd=1.5,
        group_dispersion_ratio=ratio,
    )  # fmt: skip
    main = fit(cohort, "~ group", ("group", "case", "control"), search="newton")
    called = np.nan_to_num(main.padj, nan=1.0) < main.alpha
    both = remedies(main, group_dispersions(main, "case"), group_dispersions(main, "control"), 0.0, called)[-1]
    assert both.to_caution >= 10  # the t-test on fewer samples is always the more cautious one
    assert low <= both.to_difference / called.sum() <= high


def test_covariates_and_third_levels_are_no_obstacle():
    cohort, _ = simulate(n_genes=200, n_test=8, n_reference=8, seed=5)
    group = cohort.samples["group"].to_numpy().copy()
    group[[0, 1]] = "other"
    samples = cohort.samples.assign(group=group, age=np.linspace(-1, 1, 16)[np.random.default_rng(1).permutation(16)])
    main = fit(replace(cohort, samples=samples), "~ age + group", ("group", "case", "control"), search="newton")
    found = group_test(main, group_dispersions(main, "case"), group_dispersions(main, "control"))
    ratio = found.lfc_se / main.lfc_se
    assert 0.8 < np.nanmedian(ratio) < 1.2
    assert np.isfinite(found.pvalue[np.isfinite(main.pvalue)]).all()
