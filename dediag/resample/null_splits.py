"""Labels dealt out so that there is nothing to find: permutations over both groups, and mock splits of one group."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.resample.draws import Stratified, groups_of, strata_of
from dediag.resample.plans import Relabelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Index = NDArray[np.intp]
    Labels = tuple[int, ...]

SMALLEST_SIDE = 3  # samples on the smaller side of a mock split
TRIES_PER_SPLIT = 20  # before the distinct splits that chance has found are enough


def _strata(fit: NBFit, samples: Index) -> list[Index]:
    """The samples by combination of the design's other factors."""
    stratum = strata_of(fit.design, leave_out=str(fit.contrast.factor))[samples]
    return [samples[stratum == s] for s in np.unique(stratum)]


def distinct_permutations(fit: NBFit) -> int:
    """How many ways of labelling there are that keep each stratum's numbers, the observed one among them.

    Where exchanging the two labels keeps those numbers, a split and its mirror image count once: they give the same
    p-values.
    """
    test, reference = groups_of(fit)
    total = 1
    for members in _strata(fit, np.concatenate([test, reference])):
        total *= math.comb(members.size, int(np.isin(members, test).sum()))
    return total // 2 if _mirrored(fit) else total


def _mirrored(fit: NBFit) -> bool:
    test, reference = groups_of(fit)
    strata = _strata(fit, np.concatenate([test, reference]))
    return all(2 * np.isin(members, test).sum() == members.size for members in strata)


def permutations(fit: NBFit, n: int, rng: np.random.Generator) -> Relabelled | None:
    """At most n distinct relabellings of both groups' samples, within strata, the observed one excepted.

    None where there is no other. The permutation is over the design's other factors as they are; continuous covariates
    lose what they had to do with the groups.
    """
    test, reference = groups_of(fit)
    both = np.sort(np.concatenate([test, reference]))
    strata = _strata(fit, both)
    taken = [int(np.isin(members, test).sum()) for members in strata]

    def every() -> Iterator[Labels]:
        parts = [itertools.combinations(m.tolist(), k) for m, k in zip(strata, taken, strict=True)]
        for chosen in itertools.product(*(list(part) for part in parts)):
            yield tuple(itertools.chain(*chosen))

    def random() -> Iterator[Labels]:
        for _ in range(n * TRIES_PER_SPLIT):
            chosen = [rng.choice(m, k, replace=False).tolist() for m, k in zip(strata, taken, strict=True)]
            yield tuple(itertools.chain(*chosen))

    proposals = _shuffled(every(), rng) if distinct_permutations(fit) - 1 <= n else random()
    labels = _first(proposals, n, both, mirrored=_mirrored(fit), without=tuple(test.tolist()))
    rows = tuple(range(fit.cohort.n_samples))
    return Relabelled((rows,) * len(labels), labels, what="refits of permuted labels") if labels else None


def mock_splits(fit: NBFit, n: int, rng: np.random.Generator) -> Relabelled | None:
    """At most n distinct splits of the larger group (the reference group of two equal ones) at the study's own ratio.

    The smaller side, of 3 samples at least, is called what the smaller group is called. Sides keep the composition by
    the design's other factors. None for a group of fewer than 6.
    """
    test, reference = groups_of(fit)
    larger, smaller = (reference, test) if test.size <= reference.size else (test, reference)
    side = max(SMALLEST_SIDE, round(larger.size * smaller.size / (larger.size + smaller.size)))
    if larger.size < 2 * SMALLEST_SIDE:
        return None
    sampler = Stratified.of(larger, strata_of(fit.design, leave_out=str(fit.contrast.factor))[larger], side)
    random = (sampler.one(rng) for _ in range(n * TRIES_PER_SPLIT))
    proposals = _shuffled(sampler.every(), rng) if sampler.distinct <= n else random
    chosen = _first(proposals, n, larger, mirrored=2 * side == larger.size)
    if smaller is reference:
        chosen = tuple(tuple(np.setdiff1d(larger, small).tolist()) for small in chosen)
    others = np.setdiff1d(np.arange(fit.cohort.n_samples), np.concatenate([test, reference]))
    rows = tuple(np.sort(np.concatenate([larger, others])).tolist())
    return Relabelled((rows,) * len(chosen), chosen, what="refits of mock splits")


def winsorised(plan: Relabelled, n: int, quantile: float) -> Relabelled:
    """The first n splits of a plan, on counts that are cut at a quantile."""
    return replace(plan, rows=plan.rows[:n], test=plan.test[:n], winsorised=quantile, what=f"{plan.what}, winsorised")


def _shuffled(splits: Iterable[Labels], rng: np.random.Generator) -> list[Labels]:
    """All of them in random order, so that the first ones are a sample."""
    every = list(splits)
    return [every[k] for k in rng.permutation(len(every))]


def _first(
    proposals: Iterable[Labels], n: int, samples: Index, *, mirrored: bool, without: Labels | None = None
) -> tuple[Labels, ...]:
    """The first n different ones, of a split and its mirror image one."""

    def canonical(labels: Labels) -> Labels:
        own = tuple(sorted(labels))
        if mirrored and int(samples.min()) not in own:
            return tuple(np.setdiff1d(samples, own).tolist())
        return own

    seen = set() if without is None else {canonical(without)}
    found: list[Labels] = []
    for proposal in proposals:
        if len(found) == n:
            break
        if canonical(proposal) not in seen:
            seen.add(canonical(proposal))
            found.append(tuple(sorted(proposal)))
    return tuple(found)
