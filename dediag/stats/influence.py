"""How much each sample moves a contrast of a negative binomial GLM, to first order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def contrast_influence(counts: Array, mu: Array, dispersion: Array, matrix: Array, contrast: Array) -> Array:
    """Derivative of a log2 contrast with respect to the weight of each sample, at weight one: (n_genes, n_samples).

    counts, mu: (n_genes, n_samples), positive mu; dispersion: (n_genes,), held; matrix: (n_samples, n_coefficients);
    contrast: (n_coefficients,). Each gene's values sum to zero at the maximum of its likelihood. Pregibon (1981),
    "Logistic regression diagnostics", section 5, with the negative binomial's score and observed information.
    """
    scale = 1.0 + dispersion[:, None] * mu  # (n_genes, n_samples)
    curvature = mu * (1.0 + dispersion[:, None] * counts) / scale**2  # observed: the log link is not the canonical one
    information = np.einsum("ip,gi,iq->gpq", matrix, curvature, matrix, optimize=True)
    direction = np.linalg.solve(information, np.broadcast_to(contrast, (len(mu), contrast.size))[..., None])[..., 0]
    return np.asarray((direction @ matrix.T) * (counts - mu) / scale / math.log(2.0))
