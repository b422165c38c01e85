"""What unequal variances do to a test that assumes one dispersion, and to the log of a mean: first-order formulas.

Notation: group k has n_k samples, mean mu_k and dispersion phi_k; v_k = 1/mu_k + phi_k is the variance of a log count.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def log_variance(mean: ArrayLike, phi: ArrayLike) -> Array:
    """Variance of a log count, natural scale: 1/mean + phi; broadcasts."""
    return np.asarray(1.0 / np.asarray(mean, np.float64) + np.asarray(phi, np.float64))


def median_variance_ratio(
    mean_test: Array, mean_reference: Array, phi_test: Array, phi_reference: Array, least: float
) -> float | None:
    """Median over genes of the groups' variances of a log count, test over reference: (n_genes,) each.

    least: mean of either group below which a gene is left out; None without any.
    """
    use = np.minimum(mean_test, mean_reference) >= least
    if not use.any():
        return None
    ratio = log_variance(mean_test[use], phi_test[use]) / log_variance(mean_reference[use], phi_reference[use])
    return float(np.nanmedian(ratio))


def mean_log_variance(mean: Array, phi: Array, depth: Array) -> Array:
    """The variance v of which a group's log mean has v / n, where its samples differ in depth: (n_genes,).

    mean, phi: (n_genes,); depth: (1 or n_genes, n_samples) size factors. n over the sum of 1 / v of the samples.
    """
    precision = 1.0 / log_variance(depth * mean[:, None], phi[:, None])  # (n_genes, n_samples)
    return np.asarray(depth.shape[1] / precision.sum(axis=1))


def mean_log_bias(mean: ArrayLike, phi: ArrayLike, n: ArrayLike) -> Array:
    """Bias of the log2 of a mean of n NB counts, -v / (2 n ln 2): second-order expansion of the log; broadcasts."""
    return np.asarray(-log_variance(mean, phi) / (2.0 * math.log(2.0) * np.asarray(n, np.float64)))


def pooled_dispersion(phi_test: ArrayLike, phi_reference: ArrayLike, n_test: int, n_reference: int) -> Array:
    """The one dispersion that a common fit finds: the groups' dispersions weighted by degrees of freedom, n - 1."""
    phi_test, phi_reference = np.asarray(phi_test, np.float64), np.asarray(phi_reference, np.float64)
    return np.asarray(((n_test - 1) * phi_test + (n_reference - 1) * phi_reference) / (n_test + n_reference - 2))


def variance_ratio(
    mean_test: ArrayLike,
    mean_reference: ArrayLike,
    phi_test: ArrayLike,
    phi_reference: ArrayLike,
    n_test: int,
    n_reference: int,
) -> Array:
    """Variance of a log fold change over the variance that a fit with one pooled dispersion reports; broadcasts.

    Above 1 (a liberal test) when the smaller group is the more dispersed, about 1 when the groups are equally large.
    """
    true = log_variance(mean_test, phi_test) / n_test + log_variance(mean_reference, phi_reference) / n_reference
    return np.asarray(
        true / _reported_variance(mean_test, mean_reference, phi_test, phi_reference, n_test, n_reference)
    )


def predicted_size(
    mean_test: ArrayLike,
    mean_reference: ArrayLike,
    phi_test: ArrayLike,
    phi_reference: ArrayLike,
    n_test: int,
    n_reference: int,
    shift_log2: ArrayLike = 0.0,
    level: float = 0.05,
) -> Array:
    """Probability that a Wald test with one pooled dispersion rejects at `level` a gene without effect; broadcasts.

    Phi(-(z - d) / sqrt R) + Phi(-(z + d) / sqrt R), with R the variance ratio and d the shift that normalisation adds
    to every log2 fold change, in units of the reported standard error.
    """
    given = (mean_test, mean_reference, phi_test, phi_reference, n_test, n_reference)
    ratio, d = np.sqrt(variance_ratio(*given)), shift_in_errors(*given, shift_log2)
    z = norm.isf(level / 2.0)
    return np.asarray(norm.cdf(-(z - d) / ratio) + norm.cdf(-(z + d) / ratio))


def shift_in_errors(
    mean_test: ArrayLike,
    mean_reference: ArrayLike,
    phi_test: ArrayLike,
    phi_reference: ArrayLike,
    n_test: int,
    n_reference: int,
    shift_log2: ArrayLike,
) -> Array:
    """A shift of log2 fold changes in units of the standard error that a fit with one pooled dispersion reports."""
    reported = _reported_variance(mean_test, mean_reference, phi_test, phi_reference, n_test, n_reference)
    return np.asarray(np.asarray(shift_log2, np.float64) * math.log(2.0) / np.sqrt(reported))


def _reported_variance(
    mean_test: ArrayLike,
    mean_reference: ArrayLike,
    phi_test: ArrayLike,
    phi_reference: ArrayLike,
    n_test: int,
    n_reference: int,
) -> Array:
    """Variance of a log fold change that a fit with one pooled dispersion reports."""
    phi = pooled_dispersion(phi_test, phi_reference, n_test, n_reference)
    return np.asarray(log_variance(mean_test, phi) / n_test + log_variance(mean_reference, phi) / n_reference)
