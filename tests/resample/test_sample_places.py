"""Where samples lie: a row for each sample of the two groups, whatever other levels there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dediag.model.fit import fit
from dediag.resample.expected_weights import weighed_genes
from dediag.resample.sample_places import places
from dediag.simulation import simulate


def test_groups_lie_apart_and_other_levels_are_left_out():
    cohort, _ = simulate(n_genes=400, n_test=6, n_reference=12, seed=3, effect_share=0.3, effect_sd=1.5)
    samples = cohort.samples.assign(group=["case"] * 6 + ["control"] * 8 + ["other"] * 4)
    found = fit(replace(cohort, samples=samples), "~ group", ("group", "case", "control"), search="newton")
    group = np.r_[np.zeros(6), np.ones(8), -np.ones(4)].astype(np.intp)
    here = places(found, weighed_genes(found), group)
    assert {values.shape for values in here.measures.values()} == {(14,)}
    assert here.scores.shape == (14, 2)
    assert (here.measures["distance_own"] < here.measures["distance_other"]).all()
    assert (here.measures["correlation_own"] > here.measures["correlation_other"]).all()
    assert (here.measures["sere"] > 1.0).all()
    assert here.swap.told_apart
    assert here.swap.votes.max() < 0.5
