"""The result of a fit: every estimate of every gene, as arrays and as DESeq2's table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import ALL, blocks, frozen, gene_blocks, let_go, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dediag.cohort import Cohort, Piece
    from dediag.model.coefficients import Data, Space
    from dediag.model.contrasts import Alternative, Contrast
    from dediag.model.design import Design
    from dediag.model.group_test import GroupTest
    from dediag.model.trend import Trend


@dataclass(frozen=True, eq=False)
class NBFit:
    """A negative binomial GLM fit of every gene with the test of one contrast.

    Arrays run over all genes of the cohort; genes without counts have base mean 0 and NaN elsewhere. Coefficients,
    fold changes and their standard errors are log2.
    """

    cohort: Cohort
    design: Design
    contrast: Contrast
    search: str
    test: str
    alpha: float  # of the independent filtering
    lfc_threshold: float
    alternative: Alternative
    normalisation: NDArray[np.float64]  # (1 or n_genes, n_samples) size factors
    weights: NDArray[np.float64]  # (n_genes, n_samples), or (1, 0) for none
    trend: Trend
    prior_variance: float  # of the log dispersions about the trend
    residual_variance: float  # of the gene-wise log dispersions about the trend (squared MAD)
    base_mean: NDArray[np.float64]  # (n_genes,) after replacement of outliers
    base_variance: NDArray[np.float64]  # (n_genes,)
    dispersion_gene: NDArray[np.float64]  # (n_genes,)
    dispersion_trend: NDArray[np.float64]  # (n_genes,)
    dispersion_map: NDArray[np.float64]  # (n_genes,)
    dispersion: NDArray[np.float64]  # (n_genes,) used in the tests
    dispersion_outlier: NDArray[np.bool_]  # (n_genes,)
    coefficients: NDArray[np.float64]  # (n_genes, n_coefficients)
    coefficient_se: NDArray[np.float64]  # (n_genes, n_coefficients)
    lfc: NDArray[np.float64]  # (n_genes,)
    lfc_se: NDArray[np.float64]  # (n_genes,)
    stat: NDArray[np.float64]  # (n_genes,)
    pvalue: NDArray[np.float64]  # (n_genes,) NaN: no counts, or voided by Cook's distance
    padj: NDArray[np.float64]  # (n_genes,) NaN also below the filter threshold
    max_cooks: NDArray[np.float64]  # (n_genes,) over samples that may flag and are not replaced
    cooks_cutoff: float
    log_likelihood: NDArray[
        np.float64
    ]  # (n_genes,) NaN after the newton search with the Wald test, which does not need it
    converged: NDArray[np.bool_]  # (n_genes,)
    iterations: NDArray[np.int64]  # (n_genes,)
    last_step: NDArray[np.float64]  # (n_genes, 2) last change of the log mean, test and reference level, natural log
    replaced: NDArray[np.bool_]  # (n_genes,) refitted with outlying counts replaced
    replaced_counts: NDArray[np.float64]  # (number replaced, n_samples)
    filter_threshold: float  # base mean
    filter_theta: float
    notices: tuple[str, ...] = ()
    by_group: GroupTest | None = None  # where the test has each group's own dispersion

    @property
    def size_factors(self) -> NDArray[np.float64]:
        """Size factor of each sample (n_samples,); with offsets the geometric mean over genes."""
        if self.normalisation.shape[0] == 1:
            return frozen(self.normalisation[0])
        return frozen(np.exp(np.log(self.normalisation).mean(axis=0)))

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Genes with adjusted p below alpha: (n_genes,)."""
        return np.nan_to_num(self.padj, nan=1.0) < self.alpha

    @cached_property
    def fitted_counts(self) -> NDArray[np.float64]:
        """The counts that the final estimates rest on, outliers replaced: (n_genes, n_samples)."""
        if not self.replaced.any():
            return self.cohort.counts
        at = np.cumsum(self.replaced) - 1  # row of replaced_counts

        def pieces() -> Iterator[Piece]:
            for block in gene_blocks(self.cohort.counts):
                counts, new = self.cohort.counts[block].copy(), self.replaced[block]
                counts[new] = self.replaced_counts[at[block][new]]
                yield block, ALL, counts

        return stored((self.cohort.n_genes, self.cohort.n_samples), pieces())

    def group_mask(self, level: str) -> NDArray[np.bool_]:
        """The samples of a level of the contrast factor: (n_samples,). Raises KeyError where there is no factor."""
        if self.contrast.factor is None:
            raise KeyError("the contrast has no factor")
        mask: NDArray[np.bool_] = (self.design.frame[self.contrast.factor].astype(str) == level).to_numpy()
        return mask

    def mu(self) -> NDArray[np.float64]:
        """Fitted means on the scale of the counts: (n_genes, n_samples), NaN for genes without counts."""
        means = np.exp2(self.coefficients @ self.design.cells.T)[:, self.design.cell]
        means *= self.normalisation
        return means

    def cooks(self) -> NDArray[np.float64]:
        """Cook's distances of the counts that the final estimates rest on: (n_genes, n_samples)."""
        from dediag.model.outliers import CooksRule, Means, distances

        data, space = self.data_and_space()
        fitted = np.exp2(self.coefficients[data.rows] @ space.cells.T)
        whole = np.full(self.cohort.counts.shape, np.nan)
        rule = CooksRule.of(self.design)
        means = Means(fitted, fitted)
        for block in blocks(data.rows.size, data.n_samples):
            rows = data.rows[block]
            part = replace(data, rows=frozen(rows, np.int64))
            whole[rows] = distances(part, space, means.take(block), self.dispersion[rows], rule)
            let_go(data.counts)
        return whole

    def data_and_space(self) -> tuple[Data, Space]:
        """What the kernels need to work on this fit again."""
        from dediag.model.coefficients import Data, Space
        from dediag.model.weights import NO_WEIGHTS

        rows = np.flatnonzero(np.isfinite(self.dispersion) & (self.base_mean > 0.0))
        data = Data(self.fitted_counts, frozen(rows, np.int64), self.normalisation, self.weights, NO_WEIGHTS)
        return data, Space.of(self.design)

    @cached_property
    def results(self) -> pd.DataFrame:
        """DESeq2's result table, indexed by gene, with dispersions, Cook's distance and convergence.

        With group dispersions also both groups' own and the degrees of freedom of each gene's test.
        """
        columns = {
            "baseMean": self.base_mean,
            "log2FoldChange": self.lfc,
            "lfcSE": self.lfc_se,
            "stat": self.stat,
            "pvalue": self.pvalue,
            "padj": self.padj,
            "dispersion": self.dispersion,
            "dispGeneEst": self.dispersion_gene,
            "dispFit": self.dispersion_trend,
            "dispOutlier": self.dispersion_outlier,
            "maxCooks": self.max_cooks,
            "converged": self.converged,
        }
        if self.by_group is not None:
            columns |= {
                "dispTest": self.by_group.dispersion_test,
                "dispReference": self.by_group.dispersion_reference,
                "df": self.by_group.df,
            }
        return pd.DataFrame(columns, index=self.cohort.genes)

    def summary(self) -> str:
        """DESeq2's summary lines."""
        tested = int((self.base_mean > 0.0).sum())
        up = int((self.significant & (self.lfc > 0.0)).sum())
        down = int((self.significant & (self.lfc < 0.0)).sum())
        n_outliers = int(((self.base_mean > 0.0) & np.isnan(self.pvalue)).sum())
        low = int((np.isfinite(self.cohort.of_genes(self.pvalue)) & np.isnan(self.padj)).sum())
        bound = f"{self.lfc_threshold:.2f}" if self.lfc_threshold > 0.0 else "0"

        def line(label: str, n: int) -> str:
            return f"{label:<19}: {n}, {100.0 * n / max(tested, 1):.2g}%"

        down_bound = f"-{bound}" if self.lfc_threshold > 0.0 else bound
        return "\n".join(
            [
                f"out of {tested} with nonzero total read count",
                f"adjusted p-value < {self.alpha:g}",
                line(f"LFC > {bound} (up)", up),
                line(f"LFC < {down_bound} (down)", down),
                line("outliers", n_outliers),
                line("low counts", low),
                f"(mean count < {self.filter_threshold:.0f})",
            ]
        )
