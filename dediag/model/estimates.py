"""All that is estimated per gene once the trend is known, and the refit of genes whose outliers were replaced."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag.cohort import ALL, blocks, frozen, let_go, stored
from dediag.model import coefficients as glm
from dediag.model import outliers
from dediag.model.blocks import seen
from dediag.model.dispersion import GeneWise, gene_wise, shrink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dediag.cohort import Piece
    from dediag.model.contrasts import Contrast
    from dediag.model.design import Design
    from dediag.model.trend import Trend


@dataclass
class Estimates:
    """All that is estimated per gene; arrays over the fitted genes."""

    base_mean: NDArray[np.float64]
    base_variance: NDArray[np.float64]
    dispersion_gene: NDArray[np.float64]
    dispersion_trend: NDArray[np.float64]
    dispersion_map: NDArray[np.float64]
    dispersion: NDArray[np.float64]
    dispersion_outlier: NDArray[np.bool_]
    beta: NDArray[np.float64]
    se: NDArray[np.float64]
    contrast_se: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    reduced_log_likelihood: NDArray[np.float64]
    iterations: NDArray[np.int64]
    last_step: NDArray[np.float64]
    converged: NDArray[np.bool_]

    def put(self, where: NDArray[np.intp], other: Estimates) -> None:
        """Take over the estimates of other for the fitted genes `where`."""
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(other, field.name)


@dataclass(frozen=True)
class Shared:
    """What all genes share once the trend is known."""

    design: Design
    space: glm.Space
    reduced: Design | None
    goal: Contrast
    trend: Trend
    residual_variance: float
    prior_variance: float
    reference: bool
    rule: outliers.CooksRule

    def finish(self, data: glm.Data, first: GeneWise) -> Estimates:
        """MAP dispersions, coefficients and log-likelihoods of the fitted genes."""
        shrunken = shrink(
            data, self.space, first, self.trend(first.base_mean), self.prior_variance, self.residual_variance,
            reference=self.reference,
        )  # fmt: skip
        label = labels(self.goal, self.design, self.space)
        found = glm.fit_coefficients(
            data, self.space, shrunken.final, contrast=self.goal.vector, label=label, reference=self.reference,
            with_likelihood=self.reduced is not None,
        )  # fmt: skip
        reduced_log_likelihood = np.full(data.rows.size, np.nan)
        if self.reduced is not None:
            space = glm.Space.of(self.reduced)
            none, nothing = np.zeros(space.cells.shape[0], np.int64), np.zeros(space.cells.shape[1])
            smaller = glm.fit_coefficients(
                data, space, shrunken.final, contrast=nothing, label=none, reference=self.reference
            )
            reduced_log_likelihood = smaller.log_likelihood
        return Estimates(
            first.base_mean, first.base_variance, first.dispersion, shrunken.trend, shrunken.map, shrunken.final,
            shrunken.outlier, found.beta, found.se, found.contrast_se, found.log_likelihood, reduced_log_likelihood,
            found.iterations, found.last_step, found.converged,
        )  # fmt: skip

    def means(self, estimates: Estimates, first: GeneWise, test: str) -> outliers.Means:
        """The means that Cook's distances are taken at."""
        fitted = np.exp(estimates.beta @ self.space.cells.T)
        if test == "lrt":
            return outliers.Means(fitted, first.cell_mean, glm.SMALLEST_MEAN)
        return outliers.Means(fitted, fitted)

    def replace(
        self, data: glm.Data, estimates: Estimates, means: outliers.Means, over: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Replace outlying counts of the genes `over`, refit these genes in place, return their counts."""
        where = np.flatnonzero(over)

        def pieces() -> Iterator[Piece]:
            for block in blocks(where.size, data.n_samples):
                some = where[block]
                part = replace(data, rows=frozen(data.rows[some], np.int64))
                distance = outliers.distances(part, self.space, means.take(some), estimates.dispersion[some], self.rule)
                yield block, ALL, outliers.replacements(part, distance, self.rule)
                let_go(data.counts)

        counts = stored((where.size, data.n_samples), pieces())
        left = seen(counts)
        part = replace(data, rows=frozen(data.rows[where], np.int64))
        size = frozen(part.rows_of(part.size)) if part.size.shape[0] > 1 else part.size
        weights = frozen(part.rows_of(part.weights)) if part.weighted else part.weights
        given = frozen(part.rows_of(part.given_weights)) if part.weighted else part.given_weights
        new = glm.Data(counts, frozen(np.flatnonzero(left), np.int64), size, weights, given)
        if left.any():
            estimates.put(where[left], self.finish(new, gene_wise(new, self.space, reference=self.reference)))
        estimates.base_mean[where[~left]] = 0.0
        return counts


def labels(goal: Contrast, design: Design, space: glm.Space) -> NDArray[np.int64]:
    """Which cells belong to the test level (1), the reference level (2), or neither (0): (n_cells,)."""
    label = np.zeros(space.cells.shape[0], np.int64)
    if goal.factor is not None:
        levels = design.frame[goal.factor].astype(str).to_numpy()
        label[space.cell[levels == goal.test]] = 1
        label[space.cell[levels == goal.reference]] = 2
    return label
