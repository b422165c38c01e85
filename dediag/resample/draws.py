"""Which samples a draw takes: balanced draws, control draws as precise at the original ratio, halves, all but one.

Draws are without replacement and keep each group's composition by the design's other factors as closely as whole
samples allow; continuous covariates are left to chance. Samples of other levels of the contrast factor are in every
draw. A draw whose design cannot be estimated is drawn again, and no draw comes twice.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.resample.plans import Subsets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dediag.model.design import Design
    from dediag.model.nbfit import NBFit

SMALLEST_CONTROL = 3  # samples a group; below it the control arm says nothing
SMALLEST_HALF = 3  # samples a group in a draw of half of each
TRIES_PER_DRAW = 50  # before a design that most draws cannot estimate is given up


def balanced(fit: NBFit, n_draws: int, draw_size: int | None, rng: np.random.Generator) -> Subsets | None:
    """Draws of equally many samples from both groups; None where all samples would be taken, or no draw has full rank.

    `draw_size` None is the size of the smaller group.
    """
    test, reference = groups_of(fit)
    size = draw_size or min(test.size, reference.size)
    if size == test.size == reference.size:
        return None
    return _draw(fit, (size, size), n_draws, rng)


def halves(fit: NBFit, n_draws: int, rng: np.random.Generator) -> Subsets | None:
    """Draws of half of each group, but at least 3 samples; None where that takes all, or no draw has full rank."""
    test, reference = (min(group.size, max(SMALLEST_HALF, group.size // 2)) for group in groups_of(fit))
    everything = test >= groups_of(fit)[0].size and reference >= groups_of(fit)[1].size
    return None if everything else _draw(fit, (test, reference), n_draws, rng)


def leave_one_out(fit: NBFit, samples: Sequence[int]) -> Subsets | None:
    """All samples of the cohort but one, for each of these (positions); None where no such refit is possible.

    A sample without which some coefficient cannot be estimated is never left out.
    """
    everything = range(fit.cohort.n_samples)
    sets = [tuple(k for k in everything if k != left_out) for left_out in samples]
    rows = tuple(members for members in sets if estimable(fit.design, members))
    return Subsets(rows, keep=("lfc",), what="refits without one sample") if rows else None


def control_sizes(n_test: int, n_reference: int, draw_size: int, variance_ratio: float = 1.0) -> tuple[int, int]:
    """Group sizes (m1, m2) at the ratio n_test : n_reference with v1/m1 + v2/m2 as at draw_size v draw_size, rounded.

    variance_ratio: v1/v2, the variance of a log count in the test group over that in the reference group.
    """
    ratio = n_test / n_reference
    m_reference = draw_size * (1.0 + variance_ratio / ratio) / (1.0 + variance_ratio)
    return round(ratio * m_reference), round(m_reference)


def control(
    fit: NBFit, n_draws: int, draw_size: int | None, variance_ratio: float, rng: np.random.Generator
) -> Subsets | None:
    """Draws at the original ratio as precise as the balanced ones; None below 3 a group or if they take all samples."""
    test, reference = groups_of(fit)
    size = draw_size or min(test.size, reference.size)
    sizes = control_sizes(test.size, reference.size, size, variance_ratio)
    everything = sizes[0] >= test.size and sizes[1] >= reference.size  # at 10 v 9, or where none is balanced
    if everything or size == test.size == reference.size or min(sizes) < SMALLEST_CONTROL:
        return None
    return _draw(fit, (min(sizes[0], test.size), min(sizes[1], reference.size)), n_draws, rng)


def groups_of(fit: NBFit) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the samples of the test and of the reference group."""
    if fit.contrast.test is None or fit.contrast.reference is None:
        raise ValueError("the contrast is a coefficient, so there are no two groups to draw from")
    return np.flatnonzero(fit.group_mask(fit.contrast.test)), np.flatnonzero(fit.group_mask(fit.contrast.reference))


def _draw(fit: NBFit, sizes: tuple[int, int], n_draws: int, rng: np.random.Generator) -> Subsets | None:
    groups = groups_of(fit)
    strata = strata_of(fit.design, leave_out=str(fit.contrast.factor))
    samplers = [Stratified.of(group, strata[group], size) for group, size in zip(groups, sizes, strict=True)]
    others = np.setdiff1d(np.arange(fit.cohort.n_samples), np.concatenate(groups))
    if math.prod(s.distinct for s in samplers) <= n_draws:
        proposals: Iterator[tuple[int, ...]] = _all(samplers)
    else:
        proposals = _random(samplers, n_draws * TRIES_PER_DRAW, rng)
    taken: dict[tuple[int, ...], None] = {}
    for proposal in proposals:
        rows = tuple(sorted((*proposal, *others.tolist())))
        if rows not in taken and estimable(fit.design, rows):
            taken[rows] = None
        if len(taken) == n_draws:
            break
    return Subsets(tuple(taken)) if taken else None


def _all(samplers: Sequence[Stratified]) -> Iterator[tuple[int, ...]]:
    for parts in itertools.product(*(list(s.every()) for s in samplers)):
        yield tuple(itertools.chain(*parts))


def _random(samplers: Sequence[Stratified], tries: int, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    for _ in range(tries):
        yield tuple(itertools.chain(*(s.one(rng) for s in samplers)))


def strata_of(design: Design, leave_out: str) -> NDArray[np.intp]:
    """A number for each combination of the design's categorical variables but one: (n_samples,)."""
    text = design.formula.replace(" ", "")
    names = [n for n in design.frame.columns if n != leave_out and (n in design.factors or f"C({n}" in text)]
    if not names:
        return np.zeros(len(design.frame), np.intp)
    codes = np.stack([np.unique(design.frame[n].astype(str), return_inverse=True)[1] for n in names], axis=1)
    return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1).astype(np.intp)


def estimable(design: Design, rows: Sequence[int]) -> bool:
    """Whether these samples determine every coefficient and leave a residual degree of freedom."""
    matrix = design.matrix[list(rows)]
    scaled = matrix / np.maximum(np.abs(design.matrix).max(axis=0), 1e-300)
    return bool(len(rows) > matrix.shape[1]) and int(np.linalg.matrix_rank(scaled)) == matrix.shape[1]


@dataclass(frozen=True)
class Stratified:
    """Ways to take `size` of a group's samples so that each stratum gives its share, rounded down or up."""

    strata: tuple[tuple[int, ...], ...]  # the group's samples by stratum
    floor: tuple[int, ...]  # samples that a stratum gives at least
    rest: tuple[float, ...]  # its chance of giving one more
    size: int

    @classmethod
    def of(cls, samples: NDArray[np.intp], stratum: NDArray[np.intp], size: int) -> Stratified:
        """Strata of the samples (positions) with these stratum numbers."""
        strata = tuple(tuple(samples[stratum == s].tolist()) for s in np.unique(stratum))
        exact = [size * len(members) / samples.size for members in strata]
        floor = tuple(math.floor(share + 1e-9) for share in exact)
        rest = tuple(max(share - low, 0.0) for share, low in zip(exact, floor, strict=True))
        return cls(strata, floor, rest, size)

    @property
    def distinct(self) -> int:
        """How many different sets of samples there are."""
        ways = [1] + [0] * self.size  # ways[k]: sets of k samples from the strata so far
        for members, low, more in zip(self.strata, self.floor, self.rest, strict=True):
            counts = {low: math.comb(len(members), low)}
            if more > 1e-9:
                counts[low + 1] = math.comb(len(members), low + 1)
            ways = [sum(n * ways[k - j] for j, n in counts.items() if k >= j) for k in range(self.size + 1)]
        return ways[self.size]

    def every(self) -> Iterator[tuple[int, ...]]:
        """All sets."""
        options = [(low, low + 1) if more > 1e-9 else (low,) for low, more in zip(self.floor, self.rest, strict=True)]
        for numbers in itertools.product(*options):
            if sum(numbers) == self.size:
                parts = [itertools.combinations(members, k) for members, k in zip(self.strata, numbers, strict=True)]
                for chosen in itertools.product(*parts):
                    yield tuple(itertools.chain(*chosen))

    def one(self, rng: np.random.Generator) -> tuple[int, ...]:
        """A random set in which every sample of the group has the same chance."""
        order = rng.permutation(len(self.strata))
        # systematic sampling: strata in random order on a line, each as long as its chance of giving one more
        edges = np.round(np.cumsum([0.0, *(self.rest[s] for s in order)]), 9)
        marks = np.floor(edges + rng.random())
        numbers = {s: self.floor[s] + int(b - a) for s, a, b in zip(order, marks[:-1], marks[1:], strict=True)}
        chosen = [rng.choice(members, numbers[s], replace=False).tolist() for s, members in enumerate(self.strata)]
        return tuple(itertools.chain(*chosen))
