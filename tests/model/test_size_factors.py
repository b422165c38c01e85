"""Size factors against DESeq2 and edgeR, and their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dediag.cohort import InputError
from dediag.model.size_factors import METHODS, centred, norm_factors, size_factors

AGREEMENT = 1e-7


def cohort(seed: int = 0, n_genes: int = 200, n_samples: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(4, 1.5, (n_genes, 1))) * np.exp(rng.normal(0, 0.4, n_samples))
    return rng.poisson(rng.gamma(4, mean / 4)).astype(float)


def test_ratio_equals_deseq2(reference):
    found = size_factors(reference.cohort.counts)
    np.testing.assert_allclose(found.values, reference.table("samples")["size_factor"], rtol=AGREEMENT)
    carriers = reference.cohort.counts[(reference.cohort.counts > 0).all(axis=1)]
    assert found.n_genes == len(carriers)
    assert found.mean_count == pytest.approx(carriers.mean())


def test_poscounts_equals_deseq2(simulated):
    found = size_factors(simulated.cohort.counts, "poscounts").values
    np.testing.assert_allclose(found, simulated.table("samples")["size_factor_poscounts"], rtol=AGREEMENT)


def test_tmm_equals_edger(reference):
    found = norm_factors(reference.cohort.counts, "TMM")
    np.testing.assert_allclose(found.values, reference.table("samples")["tmm_norm_factor"], rtol=AGREEMENT)
    np.testing.assert_array_equal(found.library_size, reference.table("samples")["lib_size"])


@pytest.mark.parametrize("method", ["TMM", "TMMwsp", "RLE", "upperquartile"])
def test_norm_factors_equal_edger(simulated, method):
    found = norm_factors(simulated.cohort.counts, method)
    np.testing.assert_allclose(found.values, simulated.table("samples")[f"edger_{method}"], rtol=AGREEMENT)
    scaled = centred(found.values * simulated.cohort.counts.sum(axis=0))
    np.testing.assert_allclose(size_factors(simulated.cohort.counts, method).values, scaled, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_permuting_genes_or_samples(method):
    counts = cohort()
    rng = np.random.default_rng(1)
    genes, samples = rng.permutation(counts.shape[0]), rng.permutation(counts.shape[1])
    found = size_factors(counts[genes][:, samples], method).values
    np.testing.assert_allclose(found, size_factors(counts, method).values[samples], rtol=1e-9)


@pytest.mark.parametrize("method", ["ratio", "poscounts", "RLE", "upperquartile"])
def test_scaling_a_sample_moves_only_its_factor(method):
    counts = cohort() + 1  # poscounts' geometric means move with a sample's depth where there are zeros
    before = size_factors(counts, method).values
    counts[:, 2] *= 4
    after = size_factors(counts, method).values
    others = np.arange(6) != 2
    assert after[2] / before[2] / (after[0] / before[0]) == pytest.approx(4)
    np.testing.assert_allclose(after[others] / after[0], before[others] / before[0], rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_equal_samples_have_factor_one(method):
    counts = np.repeat(cohort()[:, :1] + 1, 4, axis=1)
    np.testing.assert_allclose(size_factors(counts, method).values, 1, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_control_genes_alone_decide(method):
    counts = cohort()
    control = np.zeros(len(counts), dtype=bool)
    control[:120] = True
    moved = counts.copy()
    moved[120:140, 0], moved[140:160, 0] = counts[140:160, 0], counts[120:140, 0]  # the library sizes stay
    before, after = (size_factors(c, method, control).values for c in (counts, moved))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", ["ratio", "RLE"])
def test_no_gene_without_zeros_offers_a_way_out(method):
    counts = cohort()
    counts[::2, 0], counts[1::2, 1] = 0, 0
    with pytest.raises(InputError, match="poscounts"):
        size_factors(counts, method)
    assert np.all(size_factors(counts, "poscounts").values > 0)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "ratio"])
def test_an_empty_sample_is_named(method):
    counts = cohort()
    counts[:, 3] = 0
    with pytest.raises(InputError, match=r"sample number 4|above zero in every sample"):
        size_factors(counts, method)


def test_other_errors():
    counts = cohort()
    with pytest.raises(InputError, match="one of ratio, poscounts"):
        size_factors(counts, "median")
    with pytest.raises(InputError, match="none of the genes"):
        size_factors(counts * [[1]] * (np.arange(200) < 100)[:, None], "TMM", np.arange(200) >= 100)
    with pytest.raises(InputError, match="none of the genes"):
        size_factors(np.zeros((5, 3)), "poscounts")
    counts[:150, 1] = 0
    with pytest.raises(InputError, match=r"three quarters .* number 2"):
        size_factors(counts, "upperquartile")


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (30, 4), elements=st.integers(0, 12).map(float)), st.sampled_from(METHODS))
def test_factors_are_positive_or_an_error(counts, method):
    try:
        found = size_factors(counts, method)
    except InputError:
        return
    assert np.all(found.values > 0)
    assert np.all(np.isfinite(found.values))
    assert found.n_genes >= 0


def test_counts_are_not_changed():
    counts = cohort()
    counts.flags.writeable = False
    for method in METHODS:
        size_factors(counts, method)
