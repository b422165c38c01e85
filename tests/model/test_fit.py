"""Properties of a fit, its options, and everything that only the user can mend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from dediag.cohort import Cohort, InputError, frozen
from dediag.model import kernels, likelihood
from dediag.model.dispersion import gene_wise, group_dispersions, search
from dediag.model.fit import fit

CONTRAST = ("group", "case", "control")
N_GENES = 150


def cohort(seed: int = 0, n_test: int = 5, n_reference: int = 4, n_genes: int = N_GENES) -> Cohort:
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(4, 1.5, n_genes))[:, None] * np.exp(rng.normal(0, 0.3, n_test + n_reference))
    alpha = (0.05 + 2 / mean.mean(axis=1, keepdims=True)) * np.exp(rng.normal(0, 0.4, (n_genes, 1)))
    counts = rng.poisson(rng.gamma(1 / alpha, mean * alpha)).astype(float)
    counts[0], counts[1, :n_test], counts[1, n_test:] = 0.0, 0.0, 30.0
    samples = pd.DataFrame(
        {"group": ["case"] * n_test + ["control"] * n_reference, "age": rng.normal(50, 9, n_test + n_reference)},
        index=pd.Index([f"s{j}" for j in range(n_test + n_reference)]),
    )
    return Cohort(frozen(counts), pd.Index([f"g{i}" for i in range(n_genes)]), samples)


SEARCH = pytest.mark.parametrize("how", ["reference", "newton"])


@SEARCH
@settings(max_examples=5)
@given(seed=st.integers(0, 2**16))
def test_permuting_genes_or_samples_permutes_the_result(how: str, seed: int) -> None:
    rng, data = np.random.default_rng(seed), cohort(seed)
    plain = fit(data, "~ group", CONTRAST, search=how).results
    genes, samples = rng.permutation(data.n_genes), rng.permutation(data.n_samples)
    shuffled = fit(data.take_genes(genes).take_samples(samples), "~ group", CONTRAST, search=how).results
    columns = ["baseMean", "log2FoldChange", "lfcSE", "dispersion", "pvalue"]
    np.testing.assert_allclose(shuffled[columns], plain[columns].iloc[genes], rtol=1e-4, atol=1e-9)


@SEARCH
def test_scaling_one_sample_moves_only_its_size_factor(how: str) -> None:
    data = cohort(3)
    counts = data.counts.copy()
    counts[:, 2] *= 4.0
    before, after = (fit(c, "~ group", CONTRAST, search=how) for c in (data, data.with_counts(counts)))
    ratio = after.size_factors / before.size_factors
    np.testing.assert_allclose(ratio / ratio[0], np.where(np.arange(9) == 2, 4.0, 1.0), rtol=1e-12)


@SEARCH
@pytest.mark.parametrize("design", ["~ group", "~ age + group"])
def test_swapping_the_contrast_flips_the_sign(how: str, design: str) -> None:
    one = fit(cohort(4), design, CONTRAST, search=how)
    two = fit(cohort(4), design, ("group", "control", "case"), search=how)
    seen_in_both = np.arange(N_GENES) > 1
    # the method's ridge pulls the intercept too, which is another group's mean after the swap
    np.testing.assert_allclose(one.lfc[seen_in_both], -two.lfc[seen_in_both], rtol=0, atol=2e-4)
    np.testing.assert_allclose(one.pvalue[seen_in_both], two.pvalue[seen_in_both], rtol=1e-3)


def test_the_number_of_threads_changes_nothing() -> None:
    tables = []
    for n in (1, 3):
        kernels.set_threads(n)
        tables.append(fit(cohort(5, n_genes=700), "~ age + group", CONTRAST).results)
    kernels.set_threads(0)
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)


def test_inputs_are_not_changed_and_results_are_read_only() -> None:
    data = cohort(6)
    before = data.counts.copy()
    result = fit(data, "~ group", CONTRAST)
    np.testing.assert_array_equal(data.counts, before)
    with pytest.raises(ValueError, match="read-only"):
        result.lfc[0] = 1.0


@pytest.mark.parametrize("with_prior", [False, True])
def test_newton_is_never_less_likely_than_the_reference_search(with_prior: bool) -> None:
    """The same means, start and prior for both; genes with a fitted mean below 0.5 apart (the floor moves them)."""
    data = cohort(7, 8, 8, 500)
    result = fit(data, "~ group", CONTRAST, replace_outliers=False)
    kernel_data, space = result.data_and_space()
    rows = kernel_data.rows
    start = gene_wise(kernel_data, space, reference=True)
    mean, variance = (np.log(result.dispersion_trend[rows]), result.prior_variance) if with_prior else (None, np.inf)
    found = [search(kernel_data, space, start, mean, variance, reference=reference)[0] for reference in (True, False)]
    mu = start.cell_mean[:, result.design.cell] * result.size_factors
    compared = np.flatnonzero((mu >= 0.5).all(axis=1))
    assert compared.size > 300
    for i in compared:
        y, prior = data.counts[rows[i]], (mean[i], variance) if mean is not None else None
        value = [
            likelihood.adjusted_profile(float(np.log(alpha[i])), y, mu[i], result.design.matrix, prior=prior)
            for alpha in found
        ]
        # gene-wise, the rule of little gain keeps the start for a millionth of the objective (without lgamma(y + 1))
        kept = 0.0 if with_prior else 1e-6 * abs(value[0] + float(gammaln(y + 1.0).sum()))
        assert value[1] >= value[0] - kept - 1e-6  # 1e-6: the reference stops at smaller rises


def test_fits_with_offsets_equal_fits_with_size_factors() -> None:
    data = cohort(8)
    plain = fit(data, "~ group", CONTRAST)
    offset = replace(data, offsets=frozen(np.tile(plain.size_factors, (N_GENES, 1))))
    np.testing.assert_allclose(fit(offset, "~ group", CONTRAST).pvalue, plain.pvalue, rtol=1e-6)


def test_fitted_means_and_cooks_have_the_shape_of_the_counts() -> None:
    result = fit(cohort(9), "~ age + group", CONTRAST)
    assert result.mu().shape == result.cooks().shape == result.cohort.counts.shape
    np.testing.assert_allclose(
        np.log2(result.mu()[5] / result.size_factors), result.design.matrix @ result.coefficients[5]
    )


def test_summary_has_the_lines_of_the_reference() -> None:
    lines = fit(cohort(10), "~ group", CONTRAST).summary().splitlines()
    assert lines[0] == f"out of {N_GENES - 1} with nonzero total read count"
    assert lines[1] == "adjusted p-value < 0.1"
    assert [line.split(":")[0].strip() for line in lines[2:6]] == [
        "LFC > 0 (up)",
        "LFC < 0 (down)",
        "outliers",
        "low counts",
    ]


def test_t_tests_are_wider_than_normal_ones() -> None:
    normal, t = (fit(cohort(11), "~ group", CONTRAST, use_t=use_t).pvalue for use_t in (False, True))
    known = np.isfinite(normal) & (normal < 0.9)
    assert (t[known] > normal[known]).all()


def test_group_dispersions_find_the_noisier_group() -> None:
    rng = np.random.default_rng(12)
    mean = np.exp(rng.normal(5, 1, 600))[:, None] * np.ones(24)
    alpha = np.r_[np.full(12, 0.4), np.full(12, 0.1)]
    counts = rng.poisson(rng.gamma(1 / alpha, mean * alpha)).astype(float)
    samples = pd.DataFrame({"group": ["case"] * 12 + ["control"] * 12}, index=[f"s{j}" for j in range(24)])
    data = Cohort(frozen(counts), pd.Index([f"g{i}" for i in range(600)]), samples)
    result = fit(data, "~ group", CONTRAST, search="newton", size_factors=np.ones(24))
    case, control = group_dispersions(result, "case"), group_dispersions(result, "control")
    assert np.nanmedian(case.gene) == pytest.approx(0.4, rel=0.1)
    assert np.nanmedian(control.gene) == pytest.approx(0.1, rel=0.1)
    assert case.df == 11
    np.testing.assert_allclose(np.nanmedian(case.curve(case.mean[np.isfinite(case.mean)])), 0.4, rtol=0.15)


@pytest.mark.parametrize(("mean", "tolerance"), [(2.0, 0.25), (5.0, 0.1), (50.0, 0.1)])
def test_a_small_groups_trend_is_right_at_low_counts(mean, tolerance) -> None:
    """Gene-wise estimates above zero alone, as the method's own trend takes them, would say .9, .4 and .22.

    At 5 samples of mean 2 the adjusted likelihood itself lies low: .176 over 8 seeds, standard deviation .005.
    """
    rng = np.random.default_rng(5)
    base = np.exp(rng.normal(np.log(mean), 0.3, 2000))[:, None] * np.ones(25)
    counts = rng.poisson(rng.gamma(1 / 0.2, base * 0.2)).astype(float)
    samples = pd.DataFrame({"group": ["case"] * 5 + ["control"] * 20}, index=[f"s{j}" for j in range(25)])
    data = Cohort(frozen(counts), pd.Index([f"g{i}" for i in range(2000)]), samples)
    result = fit(data, "~ group", CONTRAST, search="newton", size_factors=np.ones(25))
    for level in ("case", "control"):
        assert group_dispersions(result, level).curve(np.array([mean]))[0] == pytest.approx(0.2, rel=tolerance)


def test_group_dispersions_pay_a_part_of_the_covariates() -> None:
    result = fit(cohort(13, 8, 8), "~ age + group", CONTRAST, search="newton")
    case, control = (group_dispersions(result, level) for level in ("case", "control"))
    assert case.df + control.df == pytest.approx(16 - 3)
    assert 6 < case.df < 7
    with pytest.raises(ValueError, match="residual degrees of freedom"):
        group_dispersions(fit(cohort(13, 3, 8), "~ group", CONTRAST, search="newton"), "case")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"search": "fast"}, "reference, newton"),
        ({"alpha": 1.5}, "between 0 and 1"),
        ({"lfc_threshold": -1.0}, "positive"),
        ({"alternative": "lessAbs"}, "positive"),
        ({"test": "lrt"}, "reduced"),
        ({"reduced": "~ 1"}, "likelihood-ratio"),
        ({"test": "lrt", "reduced": "~ age"}, "part of the design"),
        ({"size_factors": "median"}, "poscounts"),
        ({"size_factors": np.zeros(9)}, "one positive number"),
        ({"prior_variance": 0.0}, "positive"),
        ({"weights": np.ones((2, 2))}, "2 x 2"),
        ({"weights": -np.ones((N_GENES, 9))}, "0 or more"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(cohort(), "~ group", CONTRAST, **options)


def test_counts_that_are_all_poisson_or_all_zero_are_refused() -> None:
    with pytest.raises(InputError, match="count above zero"):
        fit(cohort().with_counts(np.zeros((N_GENES, 9))), "~ group", CONTRAST, size_factors=np.ones(9))
    with pytest.raises(InputError, match="poscounts"):
        fit(cohort().with_counts(np.eye(N_GENES, 9)), "~ group", CONTRAST)
    with pytest.raises(InputError, match="trend"):
        fit(cohort().with_counts(np.full((N_GENES, 9), 7.0)), "~ group", CONTRAST)


def test_a_group_of_one_is_a_notice() -> None:
    notices = fit(cohort(14, 1, 6), "~ group", CONTRAST).notices
    assert len(notices) == 1
    assert "'case'" in notices[0]


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_genes_of_one_group_alone_and_covariates_on_any_scale_need_no_warning(test):
    """Warnings are errors: what the optimiser tries on its way must not reach the user."""
    data = cohort(3, 6, 6, 200)
    counts = data.counts.copy()
    counts[:20, :6] = 0.0
    table = data.samples.assign(depth=np.random.default_rng(1).normal(7e4, 1e4, 12))
    for formula, reduced in (("~ group", "~ 1"), ("~ depth + group", "~ depth")):
        found = fit(
            Cohort(frozen(counts), data.genes, table), formula, CONTRAST, search="newton", test=test,
            reduced=reduced if test == "lrt" else None,
        )  # fmt: skip
        seen = counts[:20].any(axis=1)
        assert seen.sum() > 10
        assert np.isfinite(found.lfc[:20][seen]).all()
