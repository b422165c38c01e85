"""Posterior modes of NB coefficients: normal priors, and a Cauchy prior on one coefficient.

The likelihood is concave in the coefficients at a given dispersion, so with the Cauchy prior there are at most two
modes worth knowing: the outermost, which a climb from the maximum likelihood estimate meets first, and the innermost,
which a climb from zero meets first. The higher one is taken (Zhu, Ibrahim and Love 2019, section 2). All genes climb at
once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]

BLOCK = 100_000  # counts that are worked on at a time: what fits in a cache
NEAR = 0.05  # of the prior's scale: after a step this small, Newton's own curvature is used
LARGEST_STEP = 5.0  # natural log
SMALLEST_FACTOR = 1e-6  # of a step, before a gene stays where it is
TOLERANCE = 1e-8  # natural log: step at which a gene has arrived
MAX_ITERATIONS = 200


@dataclass(frozen=True)
class Posterior:
    """Counts with their model: everything but the coefficients b (n_genes, n_coefficients), natural log."""

    counts: Array  # (n_genes, n_samples)
    size: Array  # (1 or n_genes, n_samples)
    weight: Array | None  # (n_genes, n_samples)
    dispersion: Array  # (n_genes,)
    cells: Array  # (n_cells, n_coefficients) distinct rows of the model matrix
    cell: Index  # (n_samples,)
    precision: Array  # (n_coefficients,) of the normal priors
    shrunken: int = 0  # the coefficient with the Cauchy prior
    scale: float = 0.0  # of the Cauchy prior, natural log; 0: none

    def take(self, genes: Index) -> Posterior:
        """The same for these genes."""
        return replace(
            self,
            counts=self.counts[genes],
            size=self.size if len(self.size) == 1 else self.size[genes],
            weight=None if self.weight is None else self.weight[genes],
            dispersion=self.dispersion[genes],
        )

    def value(self, b: Array) -> tuple[Array, Array]:
        """Log posterior (n_genes,) up to a constant, and fitted means (n_genes, n_samples)."""
        eta = (b @ self.cells.T)[:, self.cell]
        mu = np.exp(eta) * self.size
        alpha = self.dispersion[:, None]
        term = self.counts * eta - (self.counts + 1 / alpha) * np.log1p(alpha * mu)
        value = term.sum(axis=1) if self.weight is None else np.einsum("gj,gj->g", term, self.weight)
        value -= 0.5 * b**2 @ self.precision
        if self.scale > 0:
            value -= np.log1p((b[:, self.shrunken] / self.scale) ** 2)
        return value, mu

    def derivatives(self, b: Array, mu: Array) -> tuple[Array, Array, Array]:
        """Gradient (n_genes, n_coefficients) and curvature (n_genes, n_coefficients, n_coefficients).

        The curvature (minus the second derivatives of the log posterior) has 2 / (scale^2 + b^2) for the Cauchy prior,
        which is at least its own curvature; what is to be added to get the latter (n_genes,) comes third.
        """
        alpha = self.dispersion[:, None]
        inverse = 1 / (1 + alpha * mu)
        slope = (self.counts - mu) * inverse
        bend = mu * (1 + alpha * self.counts) * inverse**2
        if self.weight is not None:
            slope *= self.weight
            bend *= self.weight
        of_cell = np.eye(len(self.cells))[self.cell]  # (n_samples, n_cells)
        n_cells, p = self.cells.shape
        gradient = slope @ of_cell @ self.cells - b * self.precision
        squares = (self.cells[:, :, None] * self.cells[:, None, :]).reshape(n_cells, p * p)
        curvature = (bend @ of_cell @ squares).reshape(-1, p, p) + np.diag(self.precision)
        excess = np.zeros(len(b))
        if self.scale > 0:
            at = b[:, self.shrunken]
            square = self.scale**2 + at**2
            gradient[:, self.shrunken] -= 2 * at / square
            curvature[:, self.shrunken, self.shrunken] += 2 / square
            excess = -4 * at**2 / square**2
        return gradient, curvature, excess


def modes(posterior: Posterior, start: Array, contrast: Array) -> tuple[Array, Array]:
    """Highest modes (n_genes, n_coefficients) and the Laplace variance of contrast @ b (n_genes,) there.

    start: (n_genes, n_coefficients) maximum likelihood estimates, natural log.
    """
    found, variance = np.empty_like(start), np.empty(len(start))
    rows = max(1, BLOCK // posterior.counts.shape[1])
    for first in range(0, len(start), rows):
        block = np.arange(first, min(first + rows, len(start)))
        part = posterior.take(block)
        found[block] = _highest(part, start[block])
        variance[block] = _laplace(part, found[block], contrast)
    return found, variance


def _highest(posterior: Posterior, start: Array) -> Array:
    """The higher of the outermost and the innermost mode."""
    b, value = _climb(posterior, start)
    k, scale = posterior.shrunken, posterior.scale
    if scale == 0:
        return b
    far = np.flatnonzero(np.abs(b[:, k]) > scale)  # nearer to zero the prior is concave: there is no second mode
    if len(far):
        part = posterior.take(far)
        rest = np.arange(start.shape[1]) != k
        inner = np.zeros((len(far), start.shape[1]))
        without = replace(part, cells=part.cells[:, rest], precision=part.precision[rest], shrunken=0, scale=0.0)
        inner[:, rest] = _climb(without, b[far][:, rest])[0]
        inner, inner_value = _climb(part, inner)
        better = inner_value > value[far]
        b[far[better]] = inner[better]
    return b


def _climb(posterior: Posterior, start: Array) -> tuple[Array, Array]:
    """Climb to the mode that is met first: its place and log posterior.

    Steps with the bounded curvature cannot pass over a mode of the profile; near one, Newton's are quicker.
    """
    b = start.copy()
    value, mu = posterior.value(b)
    if not b.shape[1]:
        return b, value
    near = np.zeros(len(b), dtype=bool)
    active = np.arange(len(b))
    for _ in range(MAX_ITERATIONS):
        part = posterior.take(active)
        step = _step(part, b[active], mu, near[active])
        new, new_value, mu, factor = _rise(part, b[active], value[active], step)
        moved = np.abs(new - b[active])
        b[active], value[active] = new, new_value
        near[active] = moved[:, part.shrunken] < NEAR * part.scale
        left = (np.abs(step).max(axis=1) >= TOLERANCE) & (factor > 0)
        active, mu = active[left], mu[left]
        if not len(active):
            break
    return b, value


def _step(posterior: Posterior, b: Array, mu: Array, near: NDArray[np.bool_]) -> Array:
    """Step to the top of the local parabola (n_genes, n_coefficients), within bounds."""
    gradient, curvature, excess = posterior.derivatives(b, mu)
    k = posterior.shrunken
    sides = np.zeros((*gradient.shape, 2))
    sides[:, :, 0] = gradient
    sides[:, k, 1] = 1
    solved = np.linalg.solve(curvature, sides)
    step, unit = solved[:, :, 0], solved[:, :, 1]
    curved = 1 + excess * unit[:, k]  # positive where Newton's curvature is a hill too (Sherman and Morrison)
    newton = near & (curved > 0)
    share = np.where(newton, excess * step[:, k] / np.where(newton, curved, 1.0), 0.0)
    step = step - unit * share[:, None]
    longest = np.abs(step).max(axis=1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, LARGEST_STEP / np.maximum(longest, LARGEST_STEP)))


def _rise(posterior: Posterior, b: Array, value: Array, step: Array) -> tuple[Array, Array, Array, Array]:
    """Halve the steps that lead down: new place, its log posterior and means, the factor (0 where nothing helps)."""
    factor = np.ones(len(b))
    new = b + step
    new_value, mu = posterior.value(new)
    while True:
        down = np.flatnonzero(~(new_value >= value - 1e-12 * np.abs(value)))
        if not len(down):
            return new, new_value, mu, factor
        factor[down] *= 0.5
        factor[factor < SMALLEST_FACTOR] = 0.0
        new[down] = b[down] + factor[down, None] * step[down]
        new_value[down], mu[down] = posterior.take(down).value(new[down])


def _laplace(posterior: Posterior, b: Array, contrast: Array) -> Array:
    """Variance of contrast @ b (n_genes,) by the curvature of the log posterior at its mode b; NaN where it is flat."""
    _, mu = posterior.value(b)
    _, curvature, excess = posterior.derivatives(b, mu)
    curvature[:, posterior.shrunken, posterior.shrunken] += excess
    sides = np.broadcast_to(contrast[:, None], (len(b), len(contrast), 1))
    variance = (contrast @ np.linalg.solve(curvature, sides))[:, 0]
    return np.where(variance > 0, variance, np.nan)
