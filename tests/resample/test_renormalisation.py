"""What normalising a draw anew does to the fold changes, from size factors alone."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.resample.ensemble import run
from dediag.resample.plans import Subsets
from dediag.resample.renormalisation import normalisation_shift, shift_by_part
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def main():
    return fit(simulate(n_genes=600, n_test=4, n_reference=9, seed=3)[0], "~ group", CONTRAST)


def draws(n):
    rng = np.random.default_rng(5)
    return tuple((0, 1, 2, 3, *sorted((4 + rng.choice(9, 4, replace=False)).tolist())) for _ in range(n))


def test_smaller_size_factors_of_the_test_group_raise_the_fold_changes():
    test = np.array([True, True, False, False])
    drawn = np.array([[0.5, 1.0, np.nan, 2.0], [1.0, 1.0, 2.0, np.nan]])
    found = normalisation_shift(drawn, np.array([1.0, 1.0, 2.0, 2.0]), test, ~test)
    np.testing.assert_allclose(found, [0.5, 0.0])


def test_it_is_what_size_factors_do_to_the_refits(main):
    rows = draws(5)
    anew = run(Subsets(rows), main)
    held = run(Subsets(rows), main, size_factors=main.size_factors)
    change = np.nanmedian(anew.lfc - held.lfc, axis=1)
    found = normalisation_shift(
        anew.size_factors, main.size_factors, main.group_mask("case"), main.group_mask("control")
    )
    np.testing.assert_allclose(found, change, atol=0.002)


def test_parts_of_the_genes_scatter_about_what_all_of_them_say(main):
    found = run(Subsets(draws(12)), main)
    masks = main.group_mask("case"), main.group_mask("control")
    whole = normalisation_shift(found.size_factors, main.size_factors, *masks).mean()
    parts = shift_by_part(main, "ratio", found.included, np.random.default_rng(1))
    assert parts.shape == (10,)
    assert abs(parts.mean() - whole) < 5 * parts.std(ddof=1) / np.sqrt(10)
    np.testing.assert_array_equal(parts, shift_by_part(main, "ratio", found.included, np.random.default_rng(1)))


@pytest.mark.parametrize("method", ["poscounts", "TMM"])
def test_every_method_can_be_asked(main, method):
    included = run(Subsets(draws(2)), main).included
    assert np.isfinite(shift_by_part(main, method, included, np.random.default_rng(1))).all()
