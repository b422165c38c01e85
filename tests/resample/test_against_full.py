"""Draws against the full fit: groups, calls and the shift, from refits that were made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.resample.against_full import against_full
from dediag.resample.ensemble import run
from dediag.resample.plans import Subsets
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def main():
    return fit(simulate(n_genes=400, n_test=4, n_reference=9, seed=3)[0], "~ group", CONTRAST)


@pytest.fixture(scope="module")
def refits(main):
    rng = np.random.default_rng(5)
    return run(Subsets(tuple((0, 1, 2, 3, *(4 + rng.choice(9, 4, replace=False)).tolist()) for _ in range(8))), main)


def compared(main, refits, size_factors="ratio"):
    genes = np.flatnonzero(main.base_mean > 20)
    phi = main.dispersion, main.dispersion
    rng = np.random.default_rng(1)
    return against_full(main, refits, genes, dispersions=phi, size_factors=size_factors, rng=rng)


def test_sizes_calls_and_means_are_those_of_the_refits(main, refits):
    found = compared(main, refits)
    assert (found.draws, found.n_test, found.n_reference) == (8, 4, 4)
    np.testing.assert_allclose(found.mean_lfc, refits.lfc[:, main.base_mean > 20].mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.n_up, refits.n_up)
    calls = refits.n_up.sum() + refits.n_down.sum()
    assert found.up_fraction == pytest.approx(refits.n_up.sum() / calls)
    assert found.shift.difference == pytest.approx(0.0, abs=0.03)


def test_given_size_factors_have_no_part_in_the_shift(main):
    given = main.size_factors
    refits = run(Subsets(((0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 8, 9, 10, 11))), main, size_factors=given)
    assert compared(main, refits, given).shift.normalisation == 0.0


def test_draws_that_failed_are_left_out(main, refits):
    lfc = refits.lfc.copy()
    lfc[2] = np.nan
    found = compared(main, replace(refits, lfc=lfc, failed=((2, "no gene"),)))
    assert found.draws == 7
    with pytest.raises(ValueError, match="no draw of samples could be fitted: no gene"):
        compared(main, replace(refits, lfc=np.full_like(lfc, np.nan), failed=((0, "no gene"),)))


def test_a_gene_that_one_draw_did_not_see_has_a_mean_over_the_others(main, refits):
    lfc = refits.lfc.copy()
    gene = int(np.flatnonzero(main.base_mean > 20)[0])
    lfc[0, gene] = np.nan
    found = compared(main, replace(refits, lfc=lfc))
    assert found.mean_lfc[0] == pytest.approx(float(refits.lfc[1:, gene].mean()), rel=1e-5)


def test_without_calls_there_is_no_share_of_them(main, refits):
    none = np.zeros_like(refits.called_up)
    assert compared(main, replace(refits, called_up=none, called_down=none)).up_fraction is None


def test_draws_whose_fold_changes_are_not_kept_are_left_out(main, refits):
    found = compared(main, replace(refits, lfc=refits.lfc[:5]))
    assert found.draws == 5
    np.testing.assert_array_equal(found.n_up, refits.n_up[:5])
