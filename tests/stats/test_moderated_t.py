"""voom and the moderated t-test against limma's results, and against textbook special cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import polygamma

from dediag.model.size_factors import norm_factors
from dediag.stats import moderated_t as mt

REFERENCE = Path(__file__).parent.parent / "reference"
COHORTS = pd.read_csv(REFERENCE / "simulated.tsv", sep="\t", index_col=0)


def read(path):
    return pd.read_csv(path, sep="\t", index_col=0)


def model_matrix(samples, about):
    """Intercept, treatment-coded factors, numbers; the contrast of the tested level."""
    columns = {"intercept": np.ones(len(samples))}
    for term in about.design.removeprefix("~ ").split(" + "):
        if term in about.factors.split(","):
            base = about.reference if term == about.factor else min(samples[term])
            levels = sorted(set(samples[term]) - {base})
            columns |= {f"{term}{level}": (samples[term] == level).to_numpy(float) for level in levels}
        else:
            columns[term] = samples[term].to_numpy(float)
    names = list(columns)
    return np.column_stack(list(columns.values())), np.eye(len(names))[names.index(about.factor + about.test)]


@pytest.mark.parametrize("name", COHORTS.index)
def test_equals_limma(name):
    """Genes as edgeR kept them, TMM factors and library sizes among these, as in the reference."""
    folder, about = REFERENCE / "simulated" / name, COHORTS.loc[name]
    expected = read(folder / "expected" / "limma_voom.tsv.gz")
    counts = read(folder / "counts.tsv.gz")
    samples = read(folder / "samples.tsv").loc[counts.columns]
    design, contrast = model_matrix(samples, about)
    kept = counts.loc[expected.index].to_numpy(float)
    tmm = norm_factors(kept, "TMM")
    made = mt.voom(kept, design, tmm.values * tmm.library_size)  # noqa: PD011 - no pandas object
    found = mt.moderated_t(mt.linear_fit(made.log_cpm, design, made.weights), contrast)
    np.testing.assert_allclose(found.effect, expected["logFC"], atol=1e-6)
    np.testing.assert_allclose(found.t, expected["t"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.log10(found.pvalue), np.log10(expected["P.Value"]), atol=1e-4)


def test_unweighted_fit_of_two_groups_is_student():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(40, 9))
    design = np.column_stack([np.ones(9), np.arange(9) < 4])
    fit = mt.linear_fit(values, design)
    student = stats.ttest_ind(values[:, :4], values[:, 4:], axis=1)
    np.testing.assert_allclose(fit.coefficients[:, 1], values[:, :4].mean(1) - values[:, 4:].mean(1))
    np.testing.assert_allclose(fit.coefficients[:, 1] / np.sqrt(fit.sigma2 * fit.inverse[0, 1, 1]), student.statistic)
    weighted = mt.linear_fit(values, design, np.full(values.shape, 2.0))
    np.testing.assert_allclose(weighted.coefficients, fit.coefficients)
    np.testing.assert_allclose(weighted.sigma2, 2 * fit.sigma2)


def test_prior_is_recovered():
    rng = np.random.default_rng(4)
    true = 8 * 0.3 / rng.chisquare(8, 20_000)  # prior df 8, variance 0.3
    df, variance = mt.scaled_f_prior(true * rng.chisquare(6, 20_000) / 6, 6)
    assert df == pytest.approx(8, rel=0.08)
    assert variance == pytest.approx(0.3, rel=0.03)


def test_one_common_variance_has_an_infinite_prior():
    same = np.linspace(0.9, 1.1, 50)
    df, variance = mt.scaled_f_prior(same, 5)
    assert np.isinf(df)
    assert variance == pytest.approx(1.0)


@pytest.mark.parametrize("x", [1e-4, 0.05, 1.0, 7.3, 400.0, 1e7])
def test_trigamma_inverse(x):
    assert mt.trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_weights_by_group_are_those_of_each_groups_own_trend():
    rng = np.random.default_rng(5)
    counts = rng.negative_binomial(5, 0.05, size=(300, 14)).astype(float)
    counts[:, :6] = np.rint(counts[:, :6] * np.exp(rng.normal(0, 0.5, (300, 6))))
    first = np.arange(14) < 6
    design, size = np.column_stack([np.ones(14), first]), counts.sum(axis=0)
    made = mt.voom_by_group(counts, design, size, [first, ~first])
    plain = mt.voom(counts, design, size)
    np.testing.assert_array_equal(made.log_cpm, plain.log_cpm)
    own = mt.voom(counts[:, first], np.ones((6, 1)), size[first])  # means of a group are the design's fitted values
    np.testing.assert_allclose(made.weights[:, first], own.weights, rtol=1e-8)
    assert np.median(made.weights[:, first]) < np.median(plain.weights[:, first]) < np.median(made.weights[:, ~first])


def test_columns_of_a_group_span_what_the_design_spans_there():
    design = np.column_stack([np.ones(5), np.ones(5), [0.0, 0, 0, 1, 1]])
    basis = mt.group_columns(design)
    assert basis.shape == (5, 2)
    np.testing.assert_allclose(basis @ (basis.T @ design), design, atol=1e-12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)
