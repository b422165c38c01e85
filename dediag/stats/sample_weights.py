"""One quality weight per sample: the reciprocal of how much more it varies than the others, over all genes.

Model (Ritchie et al. 2006, BMC Bioinformatics 7:261, section "Heteroscedastic model for reduced quality"): value y of
gene g in sample j is normal about x_j' beta_g with variance sigma_g^2 exp(gamma_j) / w_gj, where w are known precisions
(voom's) and the gamma sum to zero. gamma maximises the residual likelihood (Smyth 2002, J Comput Graph Stat 11:836) of
all genes together, under a prior that is worth PRIOR_GENES genes without differences; exp(-gamma) is the weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PRIOR_GENES = 10.0  # as limma's arrayWeights
STEPS, LONGEST_STEP = 50, 2.0  # steps of the search, and how far one may change a log weight
SETTLED = 1e-6  # change of a log weight that ends the search
NO_VARIANCE = 1e-15  # residual variance of a gene that fits exactly: it has nothing to say
UNKNOWN = 1e-6  # information on a combination of log weights from one gene, of at most 1, that is none
BLOCK = 500_000  # values worked on at a time


def sample_weights(
    values: Array, design: Array, precision: Array | None = None, prior_genes: float = PRIOR_GENES
) -> Array:
    """Weights of geometric mean one: (n_samples,).

    values (n_genes, n_samples) on a log scale; design (n_samples, n_coefficients) of full rank; precision like values.
    Ones where fewer than two residual degrees of freedom are left, as two samples cannot be told apart.
    """
    n_samples, n_coefficients = design.shape
    gamma = np.zeros(n_samples)
    if n_samples - n_coefficients < 2:
        return np.ones(n_samples)
    # Genes of one precision have one information, so that of the typical gene stands for all: it steers the search,
    # and where that ends is decided by the score alone.
    typical = np.ones(n_samples)
    if precision is not None:
        typical = (precision / precision.mean(axis=1, keepdims=True)).mean(axis=0)
    basis = _told_apart(design)
    for _ in range(STEPS):
        score, n_genes = reml_score(values, design, gamma, precision)
        score += prior_genes * (np.exp(-gamma) - 1.0)
        information = n_genes * _information(design, typical * np.exp(-gamma)) + prior_genes * np.eye(n_samples)
        step = basis @ np.linalg.solve(basis.T @ information @ basis, basis.T @ score)
        gamma += step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < SETTLED:
            break
    return np.exp(-gamma)


def reml_score(values: Array, design: Array, gamma: Array, precision: Array | None = None) -> tuple[Array, int]:
    """Twice the derivative of the residual log likelihood by gamma, sigma_g profiled out: (n_samples,); genes used.

    Of a gene it is w r^2 / s^2 - (1 - h): squared standardised residuals less what their leverages h leave them.
    """
    n, p = design.shape
    products = (design[:, :, None] * design[:, None, :]).reshape(n, p * p)
    score, used = np.zeros(n), 0
    for first in range(0, len(values), max(1, BLOCK // n)):
        rows = slice(first, first + max(1, BLOCK // n))
        y, weight = values[rows], np.exp(-gamma)[None]
        if precision is not None:
            weight = weight * precision[rows]
        inverse = np.linalg.inv((weight @ products).reshape(-1, p, p))  # of X'WX, of each gene or of all
        leverage = weight * (inverse.reshape(-1, p * p) @ products.T)
        beta = np.matmul(inverse, ((weight * y) @ design)[:, :, None])[:, :, 0]
        square = weight * (y - beta @ design.T) ** 2
        s2 = square.sum(axis=1, keepdims=True) / (n - p)
        varying = s2[:, 0] >= NO_VARIANCE
        part = np.where(varying[:, None], square / np.where(s2 > 0.0, s2, 1.0) - (1.0 - leverage), 0.0)
        score += part.sum(axis=0)
        used += int(varying.sum())
    return score, used


def _told_apart(design: Array) -> Array:
    """Basis of the log weights that the design can tell apart, all of sum zero: (n_samples, k).

    The two samples of a pair that has a coefficient of its own have the same residual but for the sign, so they share
    one weight: what tells them apart, if the precisions do at all, is the misfit of the precisions.
    """
    size, vectors = np.linalg.eigh(_information(design, np.ones(len(design))))
    return np.asarray(vectors[:, size > UNKNOWN])


def _information(design: Array, weight: Array) -> Array:
    """Expected information on gamma from one gene, twice: (n_samples, n_samples); Smyth 2002, section 4."""
    root = np.sqrt(weight)[:, None] * design
    hat = root @ np.linalg.solve(root.T @ root, root.T)
    h = np.diag(hat)
    return np.asarray(np.diag(1.0 - 2.0 * h) + hat**2 - np.outer(1.0 - h, 1.0 - h) / (1.0 - h).sum())
