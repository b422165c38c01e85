"""The likelihood of a fold change between two negative binomial means, whatever the mean of both.

The counts of a group enter by their sum, which is taken for one negative binomial count of the same mean and variance:
exact for samples of equal depth, within the spread of depths otherwise. Unlike a normal likelihood about the estimate
it is skewed where counts are low.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class TwoMeans:
    """Two groups; arrays over genes (n_genes,)."""

    total_test: Array  # sum of the group's counts
    total_reference: Array
    depth_test: Array  # sum of its samples' depths: total over depth is the mean at depth 1
    depth_reference: Array
    dispersion_test: Array  # of the total: dispersion times the sum of squared depths over the squared sum
    dispersion_reference: Array

    def take(self, index: NDArray[np.bool_]) -> TwoMeans:
        """The same of these genes."""
        return TwoMeans(*(getattr(self, field.name)[index] for field in fields(self)))

    def likelihood(self, log2_fold_changes: Array) -> Array:
        """Profile likelihood of fold changes (n_points,), each gene's scaled to a largest of one: (n_genes, n_points).

        At a fold change t^2 the means are m t and m / t; the likeliest m is the positive root of a quadratic.
        """
        root = np.exp2(log2_fold_changes / 2.0)
        a, b = self.depth_test[:, None] * root, self.depth_reference[:, None] / root
        y1, y2 = self.total_test[:, None], self.total_reference[:, None]
        d1, d2 = self.dispersion_test[:, None], self.dispersion_reference[:, None]
        square = a * b * (d1 + d2)
        linear = a + b - y1 * d2 * b - y2 * d1 * a
        # the root without cancellation, whichever sign the linear term has
        discriminant = np.sqrt(linear**2 + 4.0 * square * (y1 + y2))
        with np.errstate(divide="ignore", invalid="ignore"):
            m = np.where(
                linear > 0.0, 2.0 * (y1 + y2) / (linear + discriminant), (discriminant - linear) / (2.0 * square)
            )
        log = _log_likelihood(y1, m * a, d1) + _log_likelihood(y2, m * b, d2)
        return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def _log_likelihood(count: Array, mean: Array, dispersion: Array) -> Array:
    """Negative binomial log-likelihood without what does not depend on the mean."""
    known = np.where(count > 0.0, count * np.log(np.maximum(mean, 1e-300)), 0.0)
    return np.asarray(known - (count + 1.0 / dispersion) * np.log1p(dispersion * mean))
