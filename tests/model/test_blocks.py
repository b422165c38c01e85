"""Large data takes turns, in memory or in a file: to the last bit, every number is what it would be at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag import cohort as cohorts
from dediag.cohort import ALL, stored
from dediag.model import blocks
from dediag.model.dispersion import group_dispersions
from dediag.model.fit import fit
from dediag.model.size_factors import METHODS, size_factors
from dediag.simulation import simulate

BLOCK = 900  # counts: up to 30 genes of the cohort below
CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def cohort():
    """Two groups and a batch, with outlying counts that are replaced, all-zero genes, a gene seen in one group only."""
    made, _ = simulate(n_genes=400, n_test=14, n_reference=16, seed=3)
    counts = made.counts.copy()
    counts[::37] = 0.0
    counts[20, :14] = 0.0
    rng = np.random.default_rng(1)
    for gene in rng.choice(400, 60, replace=False):
        counts[gene, rng.integers(30)] += 40.0 * counts[gene].max()
    samples = made.samples.assign(batch=list("ab" * 15), age=rng.normal(50.0, 9.0, 30))
    return replace(made.with_counts(counts), samples=samples)


@pytest.fixture
def in_a_file(monkeypatch, cohort):
    """The same cohort in a temporary file, worked on in small blocks; what is made of it goes into files too."""
    monkeypatch.setattr(cohorts, "BLOCK", BLOCK)
    monkeypatch.setattr(cohorts, "IN_MEMORY", 100)
    counts = stored(cohort.counts.shape, [(ALL, ALL, cohort.counts)])
    assert isinstance(counts.base, np.memmap)
    return replace(cohort, counts=counts)


def arrays_of(result):
    return {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray)}


def everything(cohort, design, **options):
    """All arrays of a fit and of what is made of it."""
    found = fit(cohort, design, CONTRAST, **options)
    arrays = arrays_of(found) | {"fitted": found.fitted_counts, "mu": found.mu(), "cooks": found.cooks()}
    if options.get("weights") is None:
        arrays |= {f"group {name}": value for name, value in arrays_of(group_dispersions(found, "control")).items()}
    return arrays, found


CASES = {
    "two groups": ("~ group", {}),
    "batch": ("~ batch + group", {}),
    "covariate": ("~ age + group", {}),
    "interaction": ("~ batch * group", {}),
    "likelihood ratio": ("~ batch + group", {"test": "lrt", "reduced": "~ batch"}),
    "poscounts": ("~ group", {"size_factors": "poscounts"}),
    "weights": ("~ group", {"weights": np.random.default_rng(2).uniform(0.0, 1.0, (400, 30))}),
}


@pytest.mark.parametrize("search", ["reference", "newton"])
@pytest.mark.parametrize(("design", "options"), CASES.values(), ids=CASES)
def test_fit_in_blocks_is_the_fit_to_the_last_bit(request, cohort, search, design, options):
    expected, found = everything(cohort, design, search=search, **options)
    assert found.replaced.sum() > 20 or "age" in design  # each sample is a cell of its own
    turns, _ = everything(request.getfixturevalue("in_a_file"), design, search=search, **options)
    assert turns.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(turns[name], values, err_msg=name)
        assert turns[name].dtype == values.dtype


def test_offsets_too(request, cohort):
    offsets = np.random.default_rng(5).uniform(0.5, 2.0, cohort.counts.shape)
    expected, _ = everything(replace(cohort, offsets=offsets), "~ group")
    turns, _ = everything(replace(request.getfixturevalue("in_a_file"), offsets=offsets), "~ group")
    for name, values in expected.items():
        np.testing.assert_array_equal(turns[name], values, err_msg=name)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("control", [False, True])
def test_size_factors(request, cohort, method, control):
    genes = np.random.default_rng(0).random(400) < 0.5 if control else None
    expected = size_factors(cohort.counts, method, genes)
    found = size_factors(request.getfixturevalue("in_a_file").counts, method, genes)
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.n_genes, found.mean_count) == (expected.n_genes, expected.mean_count)


def test_no_step_sees_more_than_a_block(monkeypatch, in_a_file):
    """Every kernel call and every block of a method is small: memory does not grow with the number of genes."""
    sizes = []
    original = blocks.in_blocks

    def watched(data, step):
        def seen(part, at):
            sizes.append(part.rows.size * part.n_samples)
            return step(part, at)

        return original(data, seen)

    for module in ("dispersion", "coefficients", "outliers"):
        monkeypatch.setattr(f"dediag.model.{module}.in_blocks", watched)
    fit(in_a_file, "~ group", CONTRAST)
    assert max(sizes) <= BLOCK
    assert len(sizes) > 50
