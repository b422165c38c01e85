"""Independent filtering against DESeq2's results(), and its properties."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.filtering import independent_filtering
from dediag.stats.adjust import benjamini_hochberg

TABLES = (
    "deseq2_wald",
    "deseq2_lrt",
    "deseq2_threshold_0.5",
    "deseq2_threshold_0.5_greater",
    "deseq2_threshold_0.5_less",
    "deseq2_threshold_0.5_lessAbs",
)


@pytest.mark.parametrize("table", TABLES)
def test_padj_equals_deseq2(reference, table):
    if not reference.has(table):
        pytest.skip("not among the results for real data")
    expected = reference.table(table)
    stored = expected if "baseMean" in expected else reference.table("deseq2_wald")
    base_mean = stored["baseMean"].fillna(0.0).to_numpy()  # genes without counts are left out
    found = independent_filtering(base_mean, expected["pvalue"].to_numpy(), 0.1)
    np.testing.assert_array_equal(np.isnan(found.padj), expected["padj"].isna())
    np.testing.assert_allclose(found.padj, expected["padj"], rtol=1e-6)
    assert np.isfinite(found.padj).sum() > 100
    if table == "deseq2_wald":
        assert found.threshold == pytest.approx(reference.info["filter_threshold"], rel=1e-6)
        assert found.theta == pytest.approx(reference.info["filter_theta"], abs=1e-10)


def test_no_filter_equals_deseq2(simulated):
    expected = simulated.table("deseq2_no_cooks_no_filter")
    found = benjamini_hochberg(expected["pvalue"].to_numpy())
    np.testing.assert_allclose(found, expected["padj"], rtol=1e-6)


def plain_rejections(base_mean, pvalue, thetas, alpha):
    counts = []
    for cutoff in np.quantile(base_mean, thetas):
        kept = (base_mean >= cutoff) & np.isfinite(pvalue)
        counts.append(int((benjamini_hochberg(pvalue[kept]) < alpha).sum()))
    return counts


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_rejections_equal_the_definition(alpha):
    rng = np.random.default_rng(3)
    base_mean = np.where(rng.uniform(size=3000) < 0.1, 0, np.exp(rng.normal(3, 2, 3000)))
    pvalue = np.where(base_mean > 20, rng.beta(0.4, 2, 3000), rng.uniform(size=3000))
    pvalue[(base_mean == 0) | (rng.uniform(size=3000) < 0.01)] = np.nan
    found = independent_filtering(base_mean, pvalue, alpha)
    assert found.rejections.tolist() == plain_rejections(base_mean, pvalue, found.thetas, alpha)
    assert found.theta > 0.1
    kept = base_mean >= found.threshold
    np.testing.assert_array_equal(found.padj[kept], benjamini_hochberg(pvalue[kept]))
    assert np.isnan(found.padj[~kept]).all()


def test_nothing_is_filtered_where_little_is_found():
    rng = np.random.default_rng(4)
    base_mean, pvalue = np.exp(rng.normal(3, 2, 500)), rng.uniform(size=500)
    found = independent_filtering(base_mean, pvalue)
    assert found.rejections.max() <= 10
    assert found.theta == 0
    np.testing.assert_array_equal(found.padj, benjamini_hochberg(pvalue))


@pytest.mark.parametrize("silent", [0.0, np.nan])
def test_odd_inputs(silent):
    nothing = independent_filtering(np.full(20, silent), np.full(20, np.nan))
    assert np.isnan(nothing.padj).all()
    most = np.full(200, silent)
    most[:4] = [1.0, 10.0, 100.0, 1000.0]
    pvalue = np.full(200, np.nan)
    pvalue[:4] = [0.5, 0.01, 0.02, np.nan]
    found = independent_filtering(most, pvalue)
    np.testing.assert_allclose(found.padj[:3], [0.5, 0.03, 0.03])
    assert np.isnan(found.padj[3:]).all()


def test_permuting_genes_permutes_the_result():
    rng = np.random.default_rng(5)
    base_mean = np.exp(rng.normal(3, 2, 2000))
    pvalue = np.where(base_mean > 20, rng.beta(0.3, 3, 2000), rng.uniform(size=2000))
    order = rng.permutation(2000)
    np.testing.assert_array_equal(
        independent_filtering(base_mean[order], pvalue[order]).padj,
        independent_filtering(base_mean, pvalue).padj[order],
    )
