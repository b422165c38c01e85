"""How closely two groups go with a covariate: Cramer's V or point-biserial correlation, with permutation p-values.

Labels of the two groups are permuted, so that a p-value is right at any group sizes and however many levels a covariate
has: with few samples both measures are large by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

TIE = 1e-9  # association from which one counts as equal to the observed: rounding must not decide ties


def labels(test: Mask, n: int, rng: np.random.Generator) -> Mask:
    """The labels themselves and n permutations of them: (n + 1, n_samples)."""
    return np.concatenate([test[None], rng.permuted(np.tile(test, (n, 1)), axis=1)])


def correlation(values: Array, groups: Mask) -> Array:
    """Size of the point-biserial correlation of values (n_samples,) with labels (n_labels, n_samples): (n_labels,)."""
    centred = values - values.mean()
    is_test = groups.astype(np.float64)
    is_test -= is_test.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum() * (is_test**2).sum(axis=1))
    return np.asarray(np.abs(np.divide(is_test @ centred, spread, out=np.zeros(len(groups)), where=spread > 0.0)))


def cramers_v(codes: NDArray[np.intp], groups: Mask) -> Array:
    """Cramer's V of levels (n_samples,) against two groups, labels (n_labels, n_samples): (n_labels,).

    With two groups it is sqrt(chi-squared / n) (Cramer 1946, section 21.9).
    """
    n, level = codes.size, np.eye(int(codes.max()) + 1)[codes]
    total, of_test = level.sum(axis=0), groups.sum(axis=1, keepdims=True)
    seen = groups.astype(np.float64) @ level  # (n_labels, n_levels) test samples at each level
    due = of_test * total / n
    chi2 = ((seen - due) ** 2 / np.where(due > 0.0, due, 1.0)).sum(axis=1)
    rest = total - due
    chi2 += ((seen - due) ** 2 / np.where(rest > 0.0, rest, 1.0)).sum(axis=1)
    return np.asarray(np.sqrt(chi2 / n))


def p_value(association: Array) -> float:
    """Share of the labels with an association as large as that of the first, which are the observed ones."""
    return float(np.mean(association >= association[0] - TIE))


def variance_inflation(matrix: Array, contrast: Array, sizes: tuple[int, int]) -> float:
    """Variance of a contrast (p,) in a design (n, p) over that of the two groups alone; infinite if not estimable."""
    reciprocal = np.linalg.pinv(matrix.T @ matrix)
    if not np.allclose(reciprocal @ (matrix.T @ matrix) @ contrast, contrast, atol=1e-6):
        return float("inf")
    return float(contrast @ reciprocal @ contrast) / (1.0 / sizes[0] + 1.0 / sizes[1])


def residuals(values: Array, matrix: Array) -> Array:
    """What the regression of each column of values (n, k) on a design (n, p) leaves over: (n, k)."""
    return np.asarray(values - matrix @ np.linalg.lstsq(matrix, values, rcond=None)[0])


def variance_explained(scores: Array, matrix: Array) -> Array:
    """R squared of the regression of each column of scores (n, k) on columns (n, p) and an intercept: (k,)."""
    total = ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    left = (residuals(scores, np.c_[np.ones(len(matrix)), matrix]) ** 2).sum(axis=0)
    return np.asarray(np.divide(total - left, total, out=np.zeros(scores.shape[1]), where=total > 0.0))


def principal_components(values: Array, k: int) -> tuple[Array, Array]:
    """Scores (n_samples, k) and shares of variance (k,) of the samples of (n_genes, n_samples); signs fixed."""
    centred = values - values.mean(axis=1, keepdims=True)
    _, size, right = np.linalg.svd(centred, full_matrices=False)
    scores = (right * size[:, None])[:k].T
    largest = np.abs(scores).argmax(axis=0)
    scores = scores * np.where(scores[largest, np.arange(scores.shape[1])] < 0.0, -1.0, 1.0)
    return scores, (size**2 / max(float((size**2).sum()), 1e-300))[:k]
