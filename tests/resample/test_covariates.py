"""Which columns are looked at and as what, and that a fit with further columns is the fit of that design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import dediag
from dediag.cohort import InputError
from dediag.model.fit import fit
from dediag.resample.covariates import columns, refit_with
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def cohort():
    made, _ = simulate(n_genes=200, n_test=4, n_reference=8, seed=1)
    return replace(
        made,
        samples=made.samples.assign(
            batch=["b1", "b2"] * 6,
            week=[1, 1, 1, 2, 2, 2] * 2,
            age=np.linspace(20.0, 60.0, 12),
            rin=[7.0, np.nan, *np.linspace(6.0, 9.0, 10)],
            sex=["f", None, "m"] * 4,
            sample_id=[f"x{k}" for k in range(12)],
            donor=[f"d{k}" for k in (0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7)],
            replicate=[1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8],
            platform="one",
        ),
    )


def test_each_column_is_looked_at_as_what_it_is(cohort):
    main = fit(cohort, "~ batch + group", CONTRAST)
    found = {column.name: column for column in columns(main, np.ones(12, np.bool_))}
    assert set(found) == {"batch", "week", "age", "sex", "donor", "replicate"}  # rin has a gap, platform does not vary
    assert {name for name, column in found.items() if column.values is not None} == {"age"}
    assert {name for name, column in found.items() if column.in_design} == {"batch"}
    assert {name for name, column in found.items() if column.individuals} == {"donor"}  # replicate is a counter
    assert found["sex"].matrix.shape == (12, 2)  # a missing level is a level
    np.testing.assert_allclose([found["age"].matrix.mean(), found["age"].matrix.std()], [0.0, 1.0], atol=1e-12)


def test_a_further_column_is_that_of_the_design(cohort):
    both = np.ones(12, np.bool_)
    main = fit(cohort, "~ group", CONTRAST)
    batch = next(column for column in columns(main, both) if column.name == "batch")
    wider = refit_with(main, batch.matrix, both, "ratio")
    expected = dediag.fit(cohort, "~ group + batch", CONTRAST, search="newton")
    np.testing.assert_allclose(wider.lfc, expected.lfc, rtol=1e-8)
    np.testing.assert_allclose(wider.pvalue, expected.pvalue, rtol=1e-6)


def test_what_cannot_be_told_apart_is_said(cohort):
    main = fit(cohort, "~ group", CONTRAST)
    again = (main.cohort.samples["group"] == "case").to_numpy(np.float64)[:, None]
    assert isinstance(refit_with(main, again, np.ones(12, np.bool_), "ratio"), InputError)


def test_samples_of_other_levels_are_left_as_they_are(cohort):
    three = replace(cohort, samples=cohort.samples.assign(group=["case"] * 4 + ["control"] * 4 + ["other"] * 4))
    main = fit(three, "~ group", CONTRAST)
    both = np.arange(12) < 8
    names = {column.name for column in columns(main, both)}
    assert "batch" in names
    wider = refit_with(main, np.tile([[0.0], [1.0]], (4, 1)), both, "ratio")
    assert np.isfinite(wider.lfc[main.base_mean > 0]).all()
