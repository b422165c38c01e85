"""What weights by group do to a Wald test of two groups: standard errors, dispersions, error rate.

Notation: group k has n_k samples of weight w_k; v_k = 1/mean + dispersion is the variance of a log count. The weighted
fit reports v1 / (n1 w1) + v2 / (n2 w2) where the fold change, which does not move, has v1 / n1 + v2 / n2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from dediag.stats.error_rate import log_variance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def equal_weights(n_test: int, n_reference: int, *, mean_one: bool) -> tuple[float, float]:
    """Weights of a test and a reference sample with which both groups count alike.

    mean_one: n / (2 n_k), whose mean over the samples is one; otherwise the smaller group keeps one and the larger is
    weighted down, which is the same divided by the largest.
    """
    n = n_test + n_reference
    test, reference = n / (2.0 * n_test), n / (2.0 * n_reference)
    top = 1.0 if mean_one else max(test, reference)
    return test / top, reference / top


def se_factor(
    means: tuple[ArrayLike, ArrayLike],
    dispersion: ArrayLike,
    n: tuple[int, int],
    weights: tuple[float, float],
    estimated: float = 1.0,
) -> Array:
    """Reported standard error of a weighted log fold change over its true one; broadcasts.

    means: of a count of the test and of the reference group; estimated: the dispersion that the weighted fit finds over
    the true one (`dispersion_factor`), 1 where it is held.
    """
    phi = np.asarray(dispersion, np.float64)
    true = log_variance(means[0], phi) / n[0] + log_variance(means[1], phi) / n[1]
    parts = [log_variance(m, estimated * phi) / (k * w) for m, k, w in zip(means, n, weights, strict=True)]
    return np.asarray(np.sqrt((parts[0] + parts[1]) / true))


def size(factor: ArrayLike, level: float = 0.05) -> Array:
    """Share of genes without effect that have p < level where the standard error is this multiple of the true one."""
    return np.asarray(2.0 * norm.sf(norm.isf(level / 2.0) * np.asarray(factor, np.float64)))


def dispersion_factor(weights: Array, matrix: Array) -> float:
    """Expected variance that weighted least squares with REML finds over the true one, where all samples have the same.

    weights: (n_samples,) relative to each other and in size; matrix: (n_samples, n_coefficients). The weighted
    residual sum of squares has expectation tr W - tr((X'WX)^-1 X'W^2 X) times the variance and is divided by tr W - p:
    in two groups (w1 (n1 - 1) + w2 (n2 - 1)) / (n1 w1 + n2 w2 - 2), below one for weights of mean one and above for
    smaller ones. The Cox-Reid term subtracts p whatever the weights. NaN where tr W is not above p.
    """
    weighted = matrix * weights[:, None]
    lost = float(np.trace(np.linalg.solve(matrix.T @ weighted, weighted.T @ weighted)))
    left = float(weights.sum()) - matrix.shape[1]
    return (float(weights.sum()) - lost) / left if left > 0.0 else float("nan")
