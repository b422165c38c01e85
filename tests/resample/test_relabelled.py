"""Labels dealt out anew: the design is the one that a sample table with those labels gives."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.design import build
from dediag.model.fit import fit
from dediag.resample.ensemble import run
from dediag.resample.plans import Relabelled
from dediag.resample.relabelled import relabelled
from dediag.simulation import simulate

CONTRAST = ("group", "case", "control")


@pytest.fixture(scope="module")
def cohort():
    drawn, _ = simulate(n_genes=150, n_test=5, n_reference=7, seed=2, confounded_covariate=0.2)
    table = drawn.samples.assign(age=np.arange(12) ** 1.5)
    table.loc[table.index[10:], "group"] = "other"
    return type(drawn)(drawn.counts, drawn.genes, table)


@pytest.mark.parametrize("formula", ["~ group", "~ batch + group", "~ age + group", "~ 0 + group + batch"])
def test_relabelling_equals_building_the_design_of_the_new_labels(cohort, formula):
    main = fit(cohort, formula, CONTRAST)
    test = (0, 2, 6, 7, 9)
    table = cohort.samples.copy()
    table.loc[table.index[:10], "group"] = "control"
    table.loc[table.index[list(test)], "group"] = "case"
    expected = build(formula, table, {"group": "control"})
    found = relabelled(main.design, main.contrast, range(12), test)
    np.testing.assert_allclose(found.matrix, expected.matrix)
    assert found.names == expected.names
    assert found.frame["group"].astype(str).tolist() == table["group"].tolist()


def test_a_plan_of_labels_refits_the_table_of_those_labels(cohort):
    main = fit(cohort, "~ batch + group", CONTRAST)
    test = (0, 2, 6, 7, 9)
    found = run(Relabelled((tuple(range(12)),), (test,), keep=("lfc", "pvalue", "padj")), main)
    table = cohort.samples.copy()
    table.loc[table.index[:10], "group"] = "control"
    table.loc[table.index[list(test)], "group"] = "case"
    alone = fit(type(cohort)(cohort.counts, cohort.genes, table), "~ batch + group", CONTRAST, search="newton")
    np.testing.assert_array_equal(found.lfc[0], alone.lfc.astype(np.float32))
    np.testing.assert_array_equal(found.up[0], (alone.padj < 0.1) & (alone.lfc > 0))
    assert found.n_small[0] == (alone.pvalue < 0.05).sum()


def test_a_mock_split_uses_the_samples_of_one_group_only(cohort):
    main = fit(cohort, "~ group", CONTRAST)
    found = run(Relabelled(((5, 6, 7, 8, 9),), ((5, 7),), keep=("lfc",)), main)
    assert found.failed[0][0] == 0  # the third level's column has no samples left
    two = fit(cohort.take_samples(np.arange(10)), "~ group", CONTRAST)
    found = run(Relabelled(((5, 6, 7, 8, 9),), ((5, 7),), keep=("lfc",)), two)
    assert not found.failed
    assert found.included[0].tolist() == [False] * 5 + [True] * 5
    assert np.isfinite(found.lfc).any()


def test_an_interaction_has_no_labels_to_deal_out(cohort):
    main = fit(cohort, "~ age * group", CONTRAST)
    with pytest.raises(ValueError, match="outside interactions"):
        relabelled(main.design, main.contrast, range(12), (0, 1))
