"""Coefficients of the NB GLM (step 6 of the method): reweighted least squares, with L-BFGS-B where that fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import nbinom

from dediag.cohort import frozen, let_go
from dediag.model.blocks import in_blocks
from dediag.model.layout import of_one_draw, single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.design import Design

RIDGE = 1e-6  # on the log2 scale, as the reference: a normal prior of variance 1e6
NATURAL_RIDGE = RIDGE / math.log(2.0) ** 2
DEVIANCE_TOLERANCE = 1e-8  # the reference's: relative change of the deviance
STEP_TOLERANCE = 1e-7  # newton's: largest change of a cell's log mean in the last step
MAX_ITERATIONS = 100
LARGEST_COEFFICIENT = 30.0  # log2, bound of L-BFGS-B
DIFFERENCE = 1e-3  # log2, step of its gradient
SMALLEST_MEAN = 0.5
GENES_AT_ONCE = 1000
LARGEST_LOG2_MEAN = 1000.0  # the optimiser may try coefficients whose means no double holds
LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Space:
    """A design in a well-conditioned basis: matrix = basis[cell] @ inverse(transform), beta = transform @ gamma.

    The basis is the indicators of the cells where the design is saturated (then every system is diagonal), else an
    orthonormal one, so that covariates on any scale do no harm.
    """

    cell: NDArray[np.int64]  # (n_samples,)
    cells: NDArray[np.float64]  # (n_cells, n_coefficients) distinct rows of the model matrix
    basis: NDArray[np.float64]  # (n_cells, n_coefficients)
    transform: NDArray[np.float64]  # (n_coefficients, n_coefficients)
    penalty: NDArray[np.float64]  # (n_coefficients, n_coefficients) the ridge in this basis
    projector: NDArray[np.float64]  # (n_coefficients, n_samples) least squares: gamma = projector @ response
    diagonal: bool
    log_det: float  # log det(matrix' W matrix) - log det(basis' W basis)
    is_intercept: bool

    @classmethod
    def of(cls, design: Design) -> Space:
        """The space of a design."""
        X, cells, cell = design.matrix, design.cells, design.cell
        if design.saturated:
            transform = np.linalg.inv(cells)
            basis = np.eye(cells.shape[0])
        else:
            _, R = np.linalg.qr(X)
            transform = np.linalg.inv(R)
            basis = cells @ transform
        projector = np.linalg.pinv(basis[cell])
        penalty = NATURAL_RIDGE * transform.T @ transform
        log_det = -2.0 * math.log(abs(float(np.linalg.det(transform)))) if basis.size else 0.0
        return cls(
            frozen(cell, np.int64),
            frozen(cells),
            frozen(basis),
            frozen(transform),
            frozen(penalty),
            frozen(projector),
            design.saturated,
            log_det,
            design.is_intercept,
        )


@dataclass(frozen=True)
class Data:
    """What every kernel reads: counts with their size factors and weights, rows of the genes that are fitted."""

    counts: NDArray[np.float64]  # (n_genes, n_samples)
    rows: NDArray[np.int64]  # (n_rows,) genes that are fitted
    size: NDArray[np.float64]  # (1 or n_genes, n_samples)
    weights: NDArray[np.float64]  # (n_genes, n_samples) each gene's largest is 1, or (1, 0) for none
    given_weights: NDArray[np.float64]  # (n_genes, n_samples) as given, for base mean and variance, or (1, 0)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[1])

    @property
    def weighted(self) -> bool:
        """Whether there are observation weights."""
        return bool(self.weights.shape[1] > 0)

    def rows_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rows of size factors or weights that belong to the fitted genes."""
        return values[self.rows] if values.shape[0] > 1 else np.broadcast_to(values, (self.rows.size, values.shape[1]))


@dataclass(frozen=True)
class Coefficients:
    """Fitted coefficients, natural log; arrays over the fitted genes."""

    beta: NDArray[np.float64]  # (n_rows, n_coefficients)
    se: NDArray[np.float64]  # (n_rows, n_coefficients)
    contrast_se: NDArray[np.float64]  # (n_rows,)
    log_likelihood: NDArray[np.float64]  # (n_rows,)
    iterations: NDArray[np.int64]  # (n_rows,)
    last_step: NDArray[np.float64]  # (n_rows, 2) largest change of the log mean in the last step, test and reference
    converged: NDArray[np.bool_]  # (n_rows,)

    def cell_means(self, space: Space) -> NDArray[np.float64]:
        """Mean at size factor 1 in each cell: (n_rows, n_cells)."""
        return np.exp(self.beta @ space.cells.T)


def fit_coefficients(
    data: Data,
    space: Space,
    dispersion: NDArray[np.float64],
    *,
    contrast: NDArray[np.float64],
    label: NDArray[np.int64],
    reference: bool = True,
    tolerance: float | None = None,
    with_likelihood: bool = True,
) -> Coefficients:
    """Coefficients at these dispersions (n_rows,); `label` (n_cells,) marks test (1) and reference (2) cells.

    reference=True stops where the reference stops (deviance), else where no log mean moves by more than `tolerance`.
    Without `with_likelihood` only the reference, whose stopping rule needs it, computes the log-likelihood.
    Genes that fail go to L-BFGS-B on log2 coefficients within +-30.
    """
    from dediag.model import kernels

    if tolerance is None:
        tolerance = DEVIANCE_TOLERANCE if reference else STEP_TOLERANCE
    goal, groups, alpha = frozen(contrast), frozen(label, np.int64), frozen(dispersion)
    if reference:
        beta, se, contrast_se, log_likelihood, iterations, last_step = in_blocks(
            data,
            lambda part, at: kernels.fit_coefficients(
                part.counts, part.rows, part.size, part.weights, space.cell, space.basis, space.transform,
                space.penalty, space.projector, goal, groups, alpha[at], tolerance, MAX_ITERATIONS, space.is_intercept,
            ),
        )  # fmt: skip
    else:
        view = single(data, space, label)
        beta, se, contrast_se, iterations, last_step = in_blocks(
            data,
            lambda part, at: of_one_draw(
                kernels.draw_coefficients(
                    part.counts, part.rows, view.draws, view.basis, goal, alpha[None, at], tolerance, MAX_ITERATIONS
                )
            ),
        )  # fmt: skip
        log_likelihood = np.full(data.rows.size, np.nan)
        if with_likelihood:
            log_likelihood = log_likelihoods(data, space, beta, dispersion)
    converged = iterations < MAX_ITERATIONS
    for i in np.flatnonzero(~converged | ~np.isfinite(beta).all(axis=1) | (se <= 0).any(axis=1)):
        found = by_optimiser(data, space, int(i), float(dispersion[i]), contrast, beta[i])
        beta[i], se[i], contrast_se[i], log_likelihood[i], ok = found
        converged[i] |= ok
    return Coefficients(beta, se, contrast_se, log_likelihood, iterations, last_step, converged)


def log_likelihoods(
    data: Data, space: Space, beta: NDArray[np.float64], dispersion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """NB log-likelihood of the fitted genes at these natural-log coefficients: (n_rows,)."""
    values = np.empty(data.rows.size)
    for part in np.array_split(np.arange(data.rows.size), max(1, data.rows.size // GENES_AT_ONCE)):
        y, alpha = data.counts[data.rows[part]], dispersion[part, None]
        eta = np.clip(beta[part] @ space.cells.T * LOG2_E, -LARGEST_LOG2_MEAN, LARGEST_LOG2_MEAN)
        mu = np.exp2(eta)[:, space.cell] * data.rows_of(data.size)[part]
        terms = np.asarray(nbinom.logpmf(y, 1.0 / alpha, 1.0 / (1.0 + alpha * mu)))
        values[part] = (terms * data.rows_of(data.weights)[part] if data.weighted else terms).sum(axis=1)
        let_go(data.counts)
    return values


def by_optimiser(
    data: Data, space: Space, i: int, alpha: float, contrast: NDArray[np.float64], beta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float, bool]:
    """One gene by L-BFGS-B: natural-log coefficients and SE, contrast SE, log-likelihood, whether it converged."""
    y = data.counts[data.rows[i]]
    s = data.rows_of(data.size)[i]
    w = data.rows_of(data.weights)[i] if data.weighted else np.ones_like(y)
    X = space.cells[space.cell]

    r = 1.0 / alpha
    fixed = float(np.sum(w * (gammaln(y + r) - gammaln(r) - gammaln(y + 1.0) + y * math.log(alpha))))
    fixed -= X.shape[1] * (math.log(2.0 * math.pi) - math.log(RIDGE)) / 2.0

    def negative(b: NDArray[np.float64]) -> float:
        mu = s * np.exp2(np.clip(X @ b, -LARGEST_LOG2_MEAN, LARGEST_LOG2_MEAN))
        likelihood = float(np.sum(w * (y * np.log(mu) - (y + 1.0 / alpha) * np.log1p(alpha * mu))))
        return float(0.5 * RIDGE * float(b @ b) - likelihood - fixed)

    # Where a group is all zero the objective is all but flat: there the relative tolerance (hence the constants above)
    # and these central differences decide where the search stops, here as in the reference
    def gradient(b: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = DIFFERENCE * np.eye(b.size)
        return np.array([(negative(b + step) - negative(b - step)) / (2.0 * DIFFERENCE) for step in steps])

    start = beta * LOG2_E
    if not (np.isfinite(start).all() and (np.abs(start) < LARGEST_COEFFICIENT).all()):
        start = space.transform @ (space.projector @ np.log(y / s + 0.1))  # the reference mixes up the scales here too
    found = minimize(
        negative, start, jac=gradient, method="L-BFGS-B",
        bounds=[(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)] * start.size,
        options={"maxiter": 100, "maxcor": 5, "ftol": 1e7 * np.finfo(float).eps, "gtol": 0.0},
    )  # fmt: skip
    mu = np.maximum(s * np.exp2(X @ found.x), SMALLEST_MEAN)
    information = (X.T * (w / (1.0 / mu + alpha))) @ X
    bread = np.linalg.inv(information + NATURAL_RIDGE * np.eye(start.size))
    covariance = bread @ information @ bread
    log_likelihood = float(np.sum(w * nbinom.logpmf(y, 1.0 / alpha, 1.0 / (1.0 + alpha * mu))))
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    contrast_se = math.sqrt(max(float(contrast @ covariance @ contrast), 0.0))
    return found.x / LOG2_E, se, contrast_se, log_likelihood, bool(found.success)
