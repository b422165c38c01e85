"""The test with group dispersions: the fit's own where they agree, and its size where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.cohort import InputError
from dediag.model.dispersion import group_dispersions
from dediag.model.fit import fit
from dediag.model.group_means import group_means
from dediag.model.group_test import group_test, recentring, remedies
from dediag.model.voom_calls import voom_tests
from dediag.simulation import Population, simulate


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


def refitted(main, **options):
    return fit(
        main.cohort, "~ group", ("group", "case", "control"), search="newton", size_factors=main.size_factors, **options
    )


def test_recentring_moves_all_fold_changes_by_their_median(unequal):
    main = unequal[0]
    centre, found = recentring(main), refitted(main, recentre=True)
    assert centre.n_genes > 500
    high = main.base_mean > 1
    np.testing.assert_allclose(found.lfc[high], main.lfc[high] - centre.shift_log2, atol=1e-3)
    np.testing.assert_allclose(found.dispersion[high], main.dispersion[high], rtol=0.02)
    assert recentring(found).shift_log2 == pytest.approx(0.0, abs=1e-6)
    assert f"recentred: {centre.shift_log2:+.3f} log2" in found.notices[-1]


def test_recentring_undoes_what_size_factors_did(unequal):
    main = unequal[0]
    wrong = main.size_factors * np.where(main.group_mask("case"), 0.8, 1.25)
    moved = fit(main.cohort, "~ group", ("group", "case", "control"), size_factors=wrong, recentre=True)
    high = main.base_mean > 10
    np.testing.assert_allclose(
        moved.lfc[high] - np.median(moved.lfc[high]), main.lfc[high] - np.median(main.lfc[high]), atol=5e-3
    )


def test_recentring_with_a_covariate_goes_by_control_genes_if_there_are_any():
    cohort, _ = simulate(n_genes=400, n_test=8, n_reference=8, seed=5, composition_shift=0.5)
    control = np.arange(400) % 2 == 0
    age = np.linspace(-1, 1, 16)[np.random.default_rng(1).permutation(16)]
    cohort = replace(cohort, samples=cohort.samples.assign(age=age), control_genes=control)
    found = fit(cohort, "~ age + group", ("group", "case", "control"), search="newton", recentre=True)
    use = control & (np.minimum(*group_means(found)) >= 10)
    assert np.median(found.lfc[use]) == pytest.approx(0.0, abs=1e-3)


def test_a_fit_with_group_dispersions_is_the_group_test(unequal):
    main, test, reference = unequal
    found, direct = refitted(main, dispersion="group"), group_test(main, test, reference)
    assert np.array_equal(found.padj, direct.padj, equal_nan=True)
    assert np.array_equal(found.lfc, main.lfc, equal_nan=True)
    table = found.results
    assert {"dispTest", "dispReference", "df"} <= set(table.columns)
    assert (table["dispTest"] / table["dispReference"]).median() == pytest.approx(4.0, rel=0.3)
    assert not {"dispTest", "df"} & set(main.results.columns)
    stat = np.isfinite(direct.pvalue)
    np.testing.assert_allclose((found.lfc / found.lfc_se)[stat], found.stat[stat])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dispersion": "groups"}, "dispersion is one of shared, group"),
        ({"dispersion": "group", "test": "lrt", "reduced": "~ 1"}, "go with the Wald test"),
        ({"recentre": True, "test": "lrt", "reduced": "~ 1"}, "go with the Wald test"),
        ({"dispersion": "group", "n_test": 3}, "group case has 2 residual degrees of freedom; 3 are needed"),
        ({"recentre": True, "n_genes": 20}, "have a mean count of 10 in both groups; 30 are needed"),
        ({"dispersion": "group", "contrast": "age"}, "compares no two groups"),
        ({"recentre": True, "contrast": "age"}, "no two groups"),
    ],
)
def test_what_cannot_be_done_is_said(options, word):
    options = dict(options)
    n_test, n_genes, contrast = (
        options.pop(k, d) for k, d in (("n_test", 5), ("n_genes", 200), ("contrast", ("group", "case", "control")))
    )
    cohort, _ = simulate(n_genes=n_genes, n_test=n_test, n_reference=6, seed=5)
    cohort = replace(cohort, samples=cohort.samples.assign(age=np.random.default_rng(1).normal(size=n_test + 6)))
    design = "~ group + age" if contrast == "age" else "~ group"
    with pytest.raises(InputError, match=word):
        fit(cohort, design, contrast, search="newton", **options)


def test_remedies_count_what_vanishes_and_appears(unequal):
    main, test, reference = unequal
    called = np.nan_to_num(main.padj, nan=1.0) < main.alpha
    for remedy in remedies(main, refitted(main, recentre=True), test, reference, 0.1, called):
        assert remedy.n_up + remedy.n_down == called.sum() - remedy.vanish + remedy.appear
        assert 0 <= remedy.to_caution + remedy.to_difference <= remedy.vanish


def test_voom_by_group_holds_its_size_where_voom_does_not(unequal):
    main = replace(unequal[0], padj=np.where(unequal[0].base_mean >= 10, unequal[0].pvalue, np.nan))
    (effect, common), (_, by_group) = (voom_tests(main, by_group=choice) for choice in (False, True))
    assert (common < 0.1).sum() > 5 * max((by_group < 0.1).sum(), 1)
    assert np.isnan(effect).sum() == np.isnan(main.padj).sum()
    high = np.isfinite(effect) & (main.base_mean > 100)
    assert np.corrcoef(effect[high], main.lfc[high])[0, 1] > 0.9


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
    both = remedies(main, main, group_dispersions(main, "case"), group_dispersions(main, "control"), 0.0, called)[2]
    assert both.to_caution >= 10  # the t-test on fewer samples is always the more cautious one
    assert low <= both.to_difference / called.sum() <= high


@pytest.mark.parametrize("sizes", [(6, 6), (6, 15), (10, 10)])
@pytest.mark.parametrize("design", ["~ group", "~ batch + group", "~ kind + age + group"])
def test_group_dispersions_are_right_whatever_the_covariates(sizes, design):
    """Of a coefficient that both groups bear each pays a part; the median ratio to the truth was 1.25 before."""
    population = Population(log_mean=6, log_mean_sd=0.8, asymptote=0.1, extra=0, dispersion_sd=0.3)
    cohort, truth = simulate(
        n_genes=800, n_test=sizes[0], n_reference=sizes[1], seed=3, population=population, effect_share=0.0
    )
    place = np.concatenate([np.arange(n) for n in sizes])
    columns = {
        "batch": np.array(["a", "b"])[place % 2],
        "kind": np.array(["x", "y", "z"])[place % 3],
        "age": np.random.default_rng(1).normal(size=place.size),
    }
    cohort = replace(cohort, samples=cohort.samples.assign(**columns))
    main = fit(cohort, design, ("group", "case", "control"), search="newton")
    for level in ("case", "control"):
        found = group_dispersions(main, level)
        assert np.nanmedian(found.map / truth["dispersion"]) == pytest.approx(1.0, abs=0.12)
    shares = sum(main.group_mask(v).sum() - group_dispersions(main, v).df for v in ("case", "control"))
    assert shares == pytest.approx(main.design.matrix.shape[1])  # together they pay for every coefficient


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


def test_the_summary_tells_the_filter_that_was_used(unequal):
    main, test, reference = unequal
    found = refitted(main, dispersion="group")
    direct = group_test(main, test, reference)
    assert found.filter_threshold == direct.filter_threshold
    kept = np.isfinite(found.padj)
    assert (main.base_mean[kept] >= found.filter_threshold).all()
    assert np.isnan(found.padj[main.base_mean < found.filter_threshold]).all()


def test_weights_are_precisions():
    """One weight for all observations divides the variance of the fold change, as it does in the fit's own test."""
    cohort, truth = simulate(n_genes=200, n_test=6, n_reference=8, seed=5)
    plain, half = (
        fit(
            cohort, "~ group", ("group", "case", "control"), search="newton", weights=np.full((200, 14), w),
            scale_weights=False, prior_variance=1.0,
        )
        for w in (1.0, 0.5)
    )  # fmt: skip
    own = [group_dispersions(plain, level) for level in ("case", "control")]
    high = truth["base_mean"].to_numpy() > 50
    ratio = group_test(half, *own).lfc_se / group_test(plain, *own).lfc_se
    np.testing.assert_allclose(ratio[high], np.sqrt(2.0), rtol=0.02)


def test_pairs_have_no_group_dispersions_and_no_voom_by_group():
    cohort, _ = simulate(n_genes=100, n_test=8, n_reference=8, seed=5)
    pairs = cohort.samples.assign(pair=[f"p{k}" for k in [*range(8), *range(8)]])
    with pytest.raises(InputError, match="no residuals of its own, as in pairs"):
        fit(replace(cohort, samples=pairs), "~ pair + group", ("group", "case", "control"), dispersion="group")
