"""Whose samples a coefficient rests on: a score, and the information on a combination, split by samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

ESTIMABLE = 1e-9  # relative size of what is rounding error in a design


class ScoreParts(NamedTuple):
    """What samples outside a group contribute to its log mean; each (n_genes,)."""

    share: Array  # of the information, 0 to 1
    own: Array  # efficient score from the group's own samples, in standard errors
    cross: Array  # efficient score from all other samples, in standard errors


def working_weights(mu: Array, dispersion: Array, weights: Array | None = None) -> Array:
    """Information on each sample's log mean, 1 / (1/mu + alpha): (n_genes, n_samples)."""
    expected = mu / (1.0 + dispersion[:, None] * mu)
    return expected if weights is None else weights * expected


def leverages(mu: Array, dispersion: Array, matrix: Array, weights: Array | None = None) -> Array:
    """Leverage of each sample in each gene's weighted regression, 0 to 1: (n_genes, n_samples).

    mu (n_genes, n_samples) positive; dispersion (n_genes,); matrix (n_samples, n_coefficients).
    """
    w = working_weights(mu, dispersion, weights)
    inverse = np.linalg.inv(_information(w, matrix))
    return np.asarray(w * np.einsum("jp,gpq,jq->gj", matrix, inverse, matrix, optimize=True))


def cross_group(
    counts: Array, mu: Array, dispersion: Array, matrix: Array, vector: Array, own: Mask, weights: Array | None = None
) -> ScoreParts:
    """How much of theta = vector' beta, the log mean of a group, comes from samples outside that group.

    counts, mu: (n_genes, n_samples); dispersion: (n_genes,), held; matrix: (n_samples, n_coefficients) of X; vector:
    (n_coefficients,); own: (n_samples,) the group's samples; weights: (n_genes, n_samples) of the observations.

    share is 1 - I_own / I_all: I is the efficient information on theta, all other coefficients eliminated, from the
    group's own samples and from all samples: I_all = 1 / (v' (X' W X)^-1 v) with the working weights W; I_own is 0 if
    the own samples do not determine theta. With u_j = (y_j - mu_j) / (1 + alpha mu_j), sample j moves the estimate of
    theta in one scoring step by c_j u_j, c = X (X' W X)^-1 v; own and cross are the sums over the samples inside and
    outside, over the standard error, and add up to zero at the optimum (van der Vaart 1998, Asymptotic Statistics,
    section 25.4). None of it depends on how the coefficients are parametrised.

    If X gives the group coefficients of its own (a saturated design), c_j is zero outside, so share and cross are zero
    at any means, and own is zero at the optimum. A shared covariate makes share positive; further samples outside can
    only make it larger.
    """
    w = working_weights(mu, dispersion, weights)
    direction = _solved(_information(w, matrix), vector)
    variance = direction @ vector
    u = (counts - mu) / (1.0 + dispersion[:, None] * mu)
    pull = (direction @ matrix.T) * (u if weights is None else weights * u) / np.sqrt(variance)[:, None]
    alone = _variance_alone(w[:, own], matrix[own], vector)
    return ScoreParts(
        np.maximum(1.0 - variance / alone, 0.0),
        np.asarray(pull[:, own].sum(axis=1)),
        np.asarray(pull[:, ~own].sum(axis=1)),
    )


def _variance_alone(w: Array, matrix: Array, vector: Array) -> Array:
    """Variance of theta from these samples alone: (n_genes,); infinite where they do not determine it."""
    basis, singular, rows = np.linalg.svd(matrix, full_matrices=False)
    kept = singular > ESTIMABLE * singular[0]
    basis, rows = basis[:, kept], singular[kept, None] * rows[kept]  # matrix = basis @ rows
    target = np.linalg.lstsq(rows.T, vector, rcond=None)[0]
    if np.abs(rows.T @ target - vector).max() > ESTIMABLE * np.abs(vector).max():
        return np.full(len(w), np.inf)
    return np.asarray(_solved(_information(w, basis), target) @ target)


def _solved(information: Array, vector: Array) -> Array:
    target = np.broadcast_to(vector, (len(information), vector.size))[..., None]
    return np.asarray(np.linalg.solve(information, target)[..., 0])


def _information(w: Array, matrix: Array) -> Array:
    return np.asarray(np.einsum("jp,gj,jq->gpq", matrix, w, matrix, optimize=True))
