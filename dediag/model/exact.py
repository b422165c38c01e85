"""The exact optimum of the likelihood that a fit climbs: what its stopping rules are measured against.

At a given dispersion the negative binomial log-likelihood with log link and a small ridge is concave in the
coefficients, so each gene has one optimum, and the Newton decrement says in standard errors how far away it is
(Boyd and Vandenberghe 2004, Convex Optimization, section 9.5). Genes with a fitted mean below the floor of 0.5 are the
exception: the reference's iteration holds them at the fixed point of another map, which is followed to the end as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen
from dediag.model import coefficients as glm
from dediag.model.dispersion import gene_wise, shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]

TOLERANCE = 1e-12  # natural log: no log mean moves further in the last step
NEAR = 1e-10  # standard errors: a gene that is further from its optimum takes Newton steps of its own
NEWTON_STEPS = 100
HALVINGS = 60
ARMIJO = 1e-4
FLAT = 1e-3  # standard errors: a rise of its square is lost in rounding error
LONGEST = 5.0  # natural log: change of a log mean in one step, so that none overflows
BLOCK = 4_000_000  # counts that are worked on at a time


@dataclass(frozen=True, eq=False)
class Optimum:
    """Coefficients (log2) that maximise each gene's likelihood at given dispersions; NaN for genes without counts."""

    dispersion: Array  # (n_genes,) held
    coefficients: Array  # (n_genes, n_coefficients)
    covariance: Array  # (n_genes, n_coefficients, n_coefficients) with the ridge, as the main fit's standard errors
    distance: Array  # (n_genes,) Newton decrement: standard errors that are left; NaN for floor genes

    def of(self, vector: Array) -> Array:
        """A combination of the coefficients, log2: (n_genes,)."""
        return self.coefficients @ vector

    def se(self, vector: Array) -> Array:
        """Its standard error, log2: (n_genes,)."""
        return np.asarray(np.sqrt(np.einsum("p,gpq,q->g", vector, self.covariance, vector)))


def floor_genes(fit: NBFit) -> NDArray[np.bool_]:
    """Genes with a fitted mean below 0.5 in any sample, where identities of the likelihood do not hold: (n_genes,)."""
    return frozen((fit.mu() < glm.SMALLEST_MEAN).any(axis=1), np.bool_)


def exact_dispersions(fit: NBFit) -> Array:
    """Dispersions (n_genes,) at the optimum of the likelihood with the main fit's trend and prior, by Newton's method.

    Whether a gene is an outlier from the trend, so that it keeps its gene-wise value, is decided anew.
    """
    data, space = fit.data_and_space()
    first = gene_wise(data, space, reference=False)
    found = shrink(
        data, space, first, fit.dispersion_trend[data.rows], fit.prior_variance, fit.residual_variance, reference=False
    )
    return _spread(found.final, data.rows, fit.cohort.n_genes)


def optimum(fit: NBFit, dispersion: Array | None = None) -> Optimum:
    """The optimum of a fit's coefficients at these dispersions (n_genes,), or at the fit's own.

    Counts, outliers replaced, size factors, weights, ridge and floor are the fit's.
    """
    data, space = fit.data_and_space()
    rows, n_genes = data.rows, fit.cohort.n_genes
    held = frozen(fit.dispersion if dispersion is None else dispersion)
    label = np.zeros(space.cells.shape[0], np.int64)
    found = glm.fit_coefficients(
        data, space, held[rows], contrast=fit.contrast.vector, label=label, reference=False, tolerance=TOLERANCE,
        with_likelihood=False,
    )  # fmt: skip
    floored = floor_genes(fit)[rows]
    gamma = np.array(np.linalg.solve(space.transform, found.beta.T).T, np.float64)
    covariance, distance = np.empty((rows.size, *space.penalty.shape)), np.full(rows.size, np.nan)
    per_block = max(BLOCK // data.n_samples, 1)
    for first in range(0, rows.size, per_block):
        part = slice(first, first + per_block)
        problem = _Problem.of(data, space, held[rows[part]], part)
        climbing = np.flatnonzero(~floored[part])
        gamma[part][climbing], distance[part][climbing] = problem.take(climbing).climb(gamma[part][climbing])
        covariance[part] = problem.covariance(gamma[part])
    in_design = space.transform @ covariance @ space.transform.T
    return Optimum(
        dispersion=held,
        coefficients=_spread(gamma @ space.transform.T * glm.LOG2_E, rows, n_genes),
        covariance=_spread(in_design * glm.LOG2_E**2, rows, n_genes),
        distance=_spread(distance, rows, n_genes),
    )


def iterations_alone(fit: NBFit, level: str) -> NDArray[np.int64] | None:
    """Iterations that the reference's stopping rule asks for where it sees the samples of one group alone: (n_genes,).

    In a saturated design a group's estimate after k iterations is the same with and without the other samples, so this
    is how long the group would have iterated by itself. 0 where it has no counts; None where the design is not
    saturated, since then no group can be fitted by itself.
    """
    data, space = fit.data_and_space()
    if not space.diagonal:
        return None
    mask = fit.group_mask(level)
    cells, cell = np.unique(space.cell[mask], return_inverse=True)
    identity = np.eye(cells.size)
    alone = glm.Space(
        frozen(cell, np.int64), frozen(identity), frozen(identity), frozen(identity),
        frozen(glm.NATURAL_RIDGE * identity), frozen(np.linalg.pinv(identity[cell])), True, 0.0, False,
    )  # fmt: skip
    counts = frozen(data.counts[:, mask])
    rows = data.rows[counts[data.rows].max(axis=1) > 0.0]
    weights = frozen(data.weights[:, mask]) if data.weighted else data.weights
    part = glm.Data(counts, frozen(rows, np.int64), frozen(data.size[:, mask]), weights, data.given_weights)
    nothing = np.zeros(cells.size)
    found = glm.fit_coefficients(
        part, alone, fit.dispersion[rows], contrast=nothing, label=nothing.astype(np.int64), reference=True
    )
    iterations = np.zeros(fit.cohort.n_genes, np.int64)
    iterations[rows] = found.iterations
    return frozen(iterations, np.int64)


@dataclass(frozen=True)
class _Problem:
    """The likelihood of some genes in the basis of their design: plain numpy, log link, dispersion held, ridge."""

    counts: Array  # (n, n_samples)
    size: Array  # (n, n_samples)
    weight: Array  # (n, n_samples)
    alpha: Array  # (n, 1)
    basis: Array  # (n_samples, p)
    penalty: Array  # (p, p)

    @classmethod
    def of(cls, data: glm.Data, space: glm.Space, alpha: Array, part: slice) -> _Problem:
        counts = data.counts[data.rows[part]]
        weight = data.rows_of(data.weights)[part] if data.weighted else np.ones_like(counts)
        return cls(
            counts, data.rows_of(data.size)[part], weight, alpha[:, None], space.basis[space.cell], space.penalty
        )

    def take(self, genes: NDArray[np.intp]) -> _Problem:
        return _Problem(
            self.counts[genes], self.size[genes], self.weight[genes], self.alpha[genes], self.basis, self.penalty
        )

    def climb(self, gamma: Array) -> tuple[Array, Array]:
        """Newton's method from gamma (n, p) until each gene is near its optimum: where it ends, and how near."""
        gamma, distance = gamma.copy(), np.full(len(gamma), np.inf)
        for _ in range(NEWTON_STEPS):
            far = np.flatnonzero(distance > NEAR)
            if not far.size:
                break
            here = self.take(far)
            step, distance[far] = here.newton(gamma[far])
            gamma[far] += here.shortened(gamma[far], step, distance[far])
        return gamma, distance

    def newton(self, gamma: Array) -> tuple[Array, Array]:
        """Newton step (n, p), and its length in standard errors (n,)."""
        mu = self.size * np.exp(gamma @ self.basis.T)
        scale = 1.0 + self.alpha * mu
        score = (self.weight * (self.counts - mu) / scale) @ self.basis - gamma @ self.penalty
        curvature = self.weight * mu * (1.0 + self.alpha * self.counts) / scale**2  # of the observed information
        step = np.asarray(
            np.linalg.solve(self._weighted(curvature) + self.penalty, score[..., None])[..., 0], np.float64
        )
        return step, np.sqrt(np.maximum((score * step).sum(axis=1), 0.0))

    def shortened(self, gamma: Array, step: Array, distance: Array) -> Array:
        """The steps, bounded, and halved until the likelihood rises enough (Armijo) unless it is flat already."""
        furthest = np.abs(step @ self.basis.T).max(axis=1, keepdims=True)
        before, length = self.objective(gamma), np.minimum(1.0, LONGEST / np.maximum(furthest, LONGEST))
        for _ in range(HALVINGS):
            rise = self.objective(gamma + length * step) - before
            short = (rise < ARMIJO * length[:, 0] * distance**2) & (distance > FLAT)
            if not short.any():
                break
            length[short] *= 0.5
        return np.asarray(length * step)

    def objective(self, gamma: Array) -> Array:
        """Penalised log-likelihood but for a constant: (n,)."""
        log_mu = np.log(self.size) + gamma @ self.basis.T
        terms = self.counts * log_mu - (self.counts + 1.0 / self.alpha) * np.log1p(self.alpha * np.exp(log_mu))
        return np.asarray((self.weight * terms).sum(axis=1) - 0.5 * ((gamma @ self.penalty) * gamma).sum(axis=1))

    def covariance(self, gamma: Array) -> Array:
        """(I + R)^-1 I (I + R)^-1 with the expected information I and the ridge R, means not below the floor."""
        mu = np.maximum(self.size * np.exp(gamma @ self.basis.T), glm.SMALLEST_MEAN)
        information = self._weighted(self.weight * mu / (1.0 + self.alpha * mu))
        bread = np.linalg.inv(information + self.penalty)
        return bread @ information @ bread

    def _weighted(self, weights: Array) -> Array:
        return np.asarray(np.einsum("jp,gj,jq->gpq", self.basis, weights, self.basis, optimize=True))


def _spread(part: Array, rows: NDArray[np.int64], n_genes: int) -> Array:
    whole = np.full((n_genes, *part.shape[1:]), np.nan)
    whole[rows] = part
    return frozen(whole)
