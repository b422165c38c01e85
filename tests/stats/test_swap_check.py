"""Votes of genes that were chosen without the sample: by its definition, with covariates, with swapped labels."""

from __future__ import annotations

import numpy as np
import pytest

from dediag.stats.swap_check import TOLD_APART, SwapCheck, votes_for_other

TEST = np.arange(14) < 6
GROUP = np.where(TEST, 0, 1)


def cohort(seed=1, effects=100, swapped=False):
    """Values (400, 14) of 6 v 8 samples; the first of each group exchanged if `swapped`."""
    rng = np.random.default_rng(seed)
    effect = np.where(np.arange(400) < effects, rng.normal(0, 3, 400), 0.0)
    truly = TEST.copy()
    if swapped:
        truly[[0, 6]] = truly[[6, 0]]
    return rng.normal(size=(400, 14)) + np.outer(effect, truly)


def design(*covariates):
    return np.column_stack([np.ones(14), *covariates, TEST]).astype(float)


def votes(values, matrix=None):
    matrix = design() if matrix is None else matrix
    return votes_for_other(values, matrix, np.eye(matrix.shape[1])[-1], TEST, ~TEST)


def test_each_sample_is_left_out_of_everything():
    values, batch = cohort(), np.arange(14) % 2
    found = votes(values, design(batch))
    for j in (0, 3, 9):
        rest = np.arange(14) != j
        matrix = design(batch)
        beta, left, *_ = np.linalg.lstsq(matrix[rest], values[:, rest].T, rcond=None)
        sd = np.sqrt(left / (13 - 3))
        score = np.abs(beta[2]) / (sd + np.median(sd))
        chosen = np.argsort(-score)[:50]
        own = values[chosen, j] - matrix[j] @ beta[:, chosen]  # distance from the mean of its own group
        other = own + beta[2, chosen] * (1 if TEST[j] else -1)
        assert found[j] == pytest.approx(np.mean(np.abs(other) < np.abs(own)))


def test_swapped_samples_are_named_and_no_other():
    for seed in range(10):
        assert SwapCheck(votes(cohort(seed, swapped=True)), GROUP).misplaced(0.8).tolist() == [0, 6]
        healthy = SwapCheck(votes(cohort(seed)), GROUP)
        assert healthy.told_apart
        assert not healthy.misplaced(0.8).size


def test_groups_without_difference_cannot_be_checked():
    for seed in range(10):
        assert not SwapCheck(votes(cohort(seed, effects=0)), GROUP).told_apart


def test_a_batch_does_not_hide_or_feign_a_swap():
    """The covariate is taken off; a batch effect as large as the groups' in all genes changes no vote."""
    batch = (np.arange(14) % 2).astype(float)
    shift = np.outer(np.random.default_rng(3).normal(0, 2, 400), batch)
    values = cohort(swapped=True)
    np.testing.assert_allclose(votes(values + shift, design(batch)), votes(values, design(batch)))


def test_a_swapped_pair_stands_alone_and_a_factor_does_not():
    alone = np.full(14, 0.1)
    alone[[0, 7]] = 0.9
    factor = alone.copy()
    factor[8] = 0.6  # two of eight are nearer to the other group
    assert not SwapCheck(alone, GROUP).blurred
    assert SwapCheck(factor, GROUP).blurred
    assert not any(SwapCheck(votes(cohort(seed, swapped=True)), GROUP).blurred for seed in range(5))


def test_what_is_unknown_is_not_told_apart():
    unknown = SwapCheck(np.full(14, np.nan), GROUP)
    assert unknown.most is None
    assert not unknown.told_apart
    assert not SwapCheck(np.full(14, TOLD_APART + 0.01), GROUP).told_apart


def test_a_sample_that_the_design_needs_is_not_asked():
    alone = np.arange(14) == 2
    assert np.flatnonzero(np.isnan(votes(cohort(), design(alone)))).tolist() == [2]
