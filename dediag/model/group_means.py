"""The mean of the test and of the reference group as a fit has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]


def group_vectors(fit: NBFit) -> tuple[Array, Array]:
    """The log mean of the test and of the reference group as combinations of the coefficients: (n_coefficients,) each.

    With covariates, at their average over the samples of both groups; their difference is the contrast. Raises
    ValueError where the contrast is a coefficient.
    """
    if fit.contrast.test is None or fit.contrast.reference is None:
        raise ValueError("the contrast is a coefficient, so there are no two groups")
    test, reference = fit.group_mask(fit.contrast.test), fit.group_mask(fit.contrast.reference)
    average = fit.design.matrix[test | reference].mean(axis=0)
    share = test.sum() / (test.sum() + reference.sum())
    return (
        frozen(average + (1.0 - share) * fit.contrast.vector),
        frozen(average - share * fit.contrast.vector),
    )


def group_means(fit: NBFit) -> tuple[Array, Array]:
    """Fitted means of the test and reference group at size factor 1: (n_genes,) each; NaN for a gene without counts.

    With covariates, at their average over the samples of both groups, so that log2 of the ratio is the fitted fold
    change. The floor of 0.5 is not applied.
    """
    test, reference = (frozen(np.exp2(fit.coefficients @ vector)) for vector in group_vectors(fit))
    return test, reference
