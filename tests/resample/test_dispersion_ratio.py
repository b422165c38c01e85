"""The ratio of group dispersions is found without bias, and the shift of the size factors is that of planted data."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.model.fit import fit
from dediag.resample.dispersion_ratio import FEWEST_TO_LEAVE_OUT, estimate, shift_at
from dediag.simulation import simulate


def fitted(n_test, n_reference, seed=1, **faults):
    cohort, truth = simulate(n_genes=500, n_test=n_test, n_reference=n_reference, seed=seed, effect_share=0.0, **faults)
    return fit(cohort, "~ group", ("group", "case", "control"), search="newton"), truth


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_ratio_at_unequal_sizes(ratio):
    main, _ = fitted(5, 15, group_dispersion_ratio=ratio)
    found = estimate(main, (main.base_mean >= 10)[None], 30, np.random.default_rng(1))
    assert found.method == "simulation"
    assert found.value[0] == pytest.approx(np.log2(ratio), abs=max(3 * found.se[0], 0.2))
    assert 0.03 < found.se[0] < 0.2


def test_leaves_out_samples_where_there_are_enough():
    main, _ = fitted(FEWEST_TO_LEAVE_OUT, 8)
    sets = np.array([main.base_mean >= 10, main.base_mean < 0])
    found = estimate(main, sets, 30, np.random.default_rng(1))
    assert found.method == "leaving out samples"
    overall, none = found.estimates()
    assert overall.low < 0 < overall.high
    assert not none.known


def test_a_covariate_is_taken_into_account():
    cohort, _ = simulate(n_genes=300, n_test=8, n_reference=8, seed=2, effect_share=0.0)
    samples = cohort.samples.assign(age=np.linspace(-1, 1, 16)[np.random.default_rng(1).permutation(16)])
    from dataclasses import replace

    main = fit(replace(cohort, samples=samples), "~ age + group", ("group", "case", "control"), search="newton")
    found = estimate(main, (main.base_mean >= 10)[None], 30, np.random.default_rng(1))
    assert abs(found.value[0]) < 4 * found.se[0]


def test_shift_is_what_the_size_factors_of_such_data_show():
    main, truth = fitted(10, 10, seed=3, group_dispersion_ratio=4.0)
    error = np.log2(main.size_factors / np.array(truth.attrs["size_factors"]))
    case = main.group_mask("case")
    shift = shift_at(main, "ratio", np.array([0.0, 2.0]), np.random.default_rng(1))
    assert shift[0] == pytest.approx(0, abs=0.02)
    assert shift[1] == pytest.approx(error[~case].mean() - error[case].mean(), abs=0.05)
    assert shift[1] > 0.1


def test_no_shift_where_size_factors_are_given():
    main, _ = fitted(5, 5)
    assert shift_at(main, main.size_factors, np.array([0.0]), np.random.default_rng(1)) is None
