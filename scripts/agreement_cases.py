"""Which fits are compared with which stored tables, and under which bars: the agreement table of the engine.

`cases(reference)` lists what can be compared for a cohort; `case.run(reference)` fits and returns the rows. The bars
are the defaults of agreement_measures; two kinds of fit have their own:

- search="newton" finds exact optima where the reference stops early, so only the final dispersion (2e-2 for 99 % of
  genes) and the calls (Jaccard index 0.99) are judged; the other rows are shown.
- With 1 to 3 residual degrees of freedom the reference estimates the prior variance from simulated draws. Where that is
  above its floor, every case gets the reference's value, and one more case estimates it: there the prior variance has
  5 %, the final dispersion 2e-2 for 95 % of genes, and what follows from them is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from agreement_measures import (
    JACCARD,
    Measure,
    call_rows,
    dispersion_rows,
    largest,
    lfc_rows,
    log_p_row,
    relative,
    with_bars,
)
from reference_cohorts import FEW_DF, Reference

from dediag.model.fit import fit
from dediag.model.size_factors import NormFactors, NormMethod, SizeFactors, norm_factors, size_factors
from dediag.model.trend import LOCAL_USABLE

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from dediag.model.fit import NBFit

Rows = list[Measure]
THRESHOLD = 0.5  # log2, of the stored threshold tests
NEWTON_BARS = {"final dispersion: share within 0.02": 0.99, JACCARD: 0.99}
OWN_PRIOR_BARS = {"prior variance: relative difference": 0.05, "final dispersion: share within 0.02": 0.95}
BEFORE_PRIOR = ("size factors", "base mean", "gene-wise dispersion", "trend", "residual variance")  # steps 1 to 3


RowsOf = Callable[[Reference, "NBFit"], Rows]


@dataclass(frozen=True)
class Case:
    """One fit of a cohort and its comparison with one stored table."""

    name: str
    rows: RowsOf
    options: Mapping[str, Any]

    def run(self, reference: Reference) -> Rows:
        """Fit the cohort and measure the agreement."""
        return self.rows(reference, fit(reference.cohort, reference.design, reference.contrast, **self.options))


def cases(reference: Reference) -> Iterator[Case]:
    """What can be compared for this cohort."""
    known = {"prior_variance": reference.prior_variance} if reference.prior_needs_draws else {}
    plain: dict[str, tuple[str, RowsOf, dict[str, Any]]] = {
        "Wald": ("wald", wald_rows, {}),
        "Wald, Newton search": ("wald", newton_rows, {"search": "newton"}),
        "LRT": ("lrt", called("lrt"), {"test": "lrt", "reduced": reference.reduced}),
        "threshold 0.5, greaterAbs": ("threshold_0.5", called("threshold_0.5"), {"lfc_threshold": THRESHOLD}),
    }
    for side in ("greater", "less", "lessAbs"):
        table, options = f"threshold_0.5_{side}", {"lfc_threshold": THRESHOLD, "alternative": side}
        plain[f"threshold 0.5, {side}"] = (table, called(table), options)
    table = "no_cooks_no_filter"
    plain["no Cook's cut, no filtering"] = (table, called(table), {"cooks": False, "filtering": False})
    for kind in ("local", "mean"):
        plain[f"{kind} trend"] = (f"dispersion_{kind}", trend_rows(kind), {"trend": kind, "replace_outliers": False})
    for name, (table, rows, options) in plain.items():
        if reference.has(f"deseq2_{table}"):
            yield Case(name, rows, known | options)
    if reference.has("deseq2_weighted"):
        yield Case("observation weights", weighted_rows, known | {"weights": reference.table("weights").to_numpy()})
    if known:
        yield Case("Wald, prior estimated", own_prior_rows, {})


def wald_rows(reference: Reference, result: NBFit, limit: float = 1e-2) -> Rows:
    """Every row of the agreement table, for a Wald test."""
    table, info, samples = reference.table("deseq2_wald"), reference.info, reference.table("samples")
    converged = table.betaConv.astype("boolean").fillna(value=False).to_numpy(dtype=bool)
    trend = result.trend.coefficients
    return [
        largest("size factors: largest relative difference", relative(result.size_factors, samples.size_factor), 1e-7),
        base_mean_row(result, table),
        *dispersion_rows("gene-wise dispersion", result.dispersion_gene, table.dispGeneEst),
        *dispersion_rows("final dispersion", result.dispersion, table.dispersion, limit),
        largest(
            "trend coefficients: largest relative difference",
            relative([np.nan, np.nan] if trend is None else trend, list(info["trend_coefficients"].values())),
            1e-3,
        ),
        largest(
            "residual variance: relative difference",
            relative([result.residual_variance], [info["var_log_disp_ests"]]),
            1e-3,
        ),
        largest(
            "prior variance: relative difference", relative([result.prior_variance], [info["disp_prior_var"]]), 1e-3
        ),
        *lfc_rows(result.lfc, table.log2FoldChange, converged & ~reference.group_all_zero),
        *call_rows(result.results, table, reference.seen),
    ]


def base_mean_row(result: NBFit, stored: pd.DataFrame) -> Measure:
    """Base means, after replacement of outliers."""
    return largest("base mean: largest relative difference", relative(result.base_mean, stored.baseMean), 1e-7)


def newton_rows(reference: Reference, result: NBFit) -> Rows:
    """The same rows for the exact search, which is judged on final dispersions and calls."""
    return with_bars(wald_rows(reference, result, limit=2e-2), NEWTON_BARS, keep=("size factors", "base mean"))


def own_prior_rows(reference: Reference, result: NBFit) -> Rows:
    """The same rows where dediag estimates a prior variance that the reference takes from draws."""
    return with_bars(wald_rows(reference, result, limit=2e-2), OWN_PRIOR_BARS, keep=BEFORE_PRIOR)


def called(name: str) -> RowsOf:
    """Rows of a table that holds p-values and, in some tables, base means."""

    def rows(reference: Reference, result: NBFit) -> Rows:
        stored = reference.table(f"deseq2_{name}")
        if name == "no_cooks_no_filter":
            # Without Cook's cut genes remain whose only counts are one sample's: their fold change is infinite, as in
            # the rows of fold changes, and the p-value tells where the search stopped
            both = ~reference.group_all_zero
            return [
                log_p_row(result.pvalue[both], stored.pvalue[both]),
                *call_rows(result.results, stored, reference.seen)[1:],
            ]
        if "baseMean" not in stored:
            return call_rows(result.results, stored, reference.seen)
        return [base_mean_row(result, stored), *call_rows(result.results, stored, reference.seen)]

    return rows


def weighted_rows(reference: Reference, result: NBFit) -> Rows:
    """Rows of the fit with observation weights; the table does not say which genes converged, so dediag does."""
    stored = reference.table("deseq2_weighted")
    return [
        base_mean_row(result, stored),
        *dispersion_rows("gene-wise dispersion", result.dispersion_gene, stored.dispGeneEst),
        *dispersion_rows("final dispersion", result.dispersion, stored.dispersion),
        *lfc_rows(result.lfc, stored.log2FoldChange, result.converged & ~reference.group_all_zero),
        *call_rows(result.results, stored, reference.seen),
    ]


def trend_rows(kind: str) -> RowsOf:
    """Rows of another kind of dispersion trend. The reference's local trend is locfit's, of which 15 % is asked.

    About a mean trend the final dispersions are compared where the prior variance needs no draws: it was not stored.
    """

    def rows(reference: Reference, result: NBFit) -> Rows:
        stored = reference.table(f"deseq2_dispersion_{kind}")
        difference = relative(result.dispersion_trend, stored.dispFit)
        out = dispersion_rows("gene-wise dispersion", result.dispersion_gene, stored.dispGeneEst)
        if kind == "mean" and reference.residual_df > FEW_DF:
            out += dispersion_rows("final dispersion", result.dispersion, stored.dispersion)
        if kind == "mean":
            return [*out, largest("trend: largest relative difference", difference, 1e-3)]
        # below the smallest mean that enters the fit locfit bends on where dediag goes straight on; both lie above the
        # largest dispersion that is ever used
        fitted = result.base_mean >= result.base_mean[result.dispersion_gene >= LOCAL_USABLE].min()
        return [
            *out,
            largest("trend: largest relative difference", difference_where(fitted, result, stored), 0.15),
            largest(
                "trend below the fitted means: largest relative difference",
                difference_where(~fitted, result, stored),
                None,
            ),
        ]

    return rows


def difference_where(genes: NDArray[np.bool_], result: NBFit, stored: pd.DataFrame) -> NDArray[np.float64]:
    """Relative differences of the trend for some genes."""
    return relative(result.dispersion_trend[genes], stored.dispFit[genes])


def size_factor_rows(reference: Reference) -> Rows:
    """Size factors that need no fit: poscounts as DESeq2, the others as edgeR's normalisation factors."""
    samples, counts = reference.table("samples"), reference.cohort.counts
    ours: dict[str, SizeFactors | NormFactors] = {"tmm_norm_factor": norm_factors(counts, "TMM")}
    for method in get_args(NormMethod):
        ours[f"edger_{method}"] = norm_factors(counts, method)
    ours["size_factor_poscounts"] = size_factors(counts, "poscounts")
    return [
        largest(f"{name}: largest relative difference", relative(factors.values, samples[name]), 1e-7)
        for name, factors in ours.items()
        if name in samples
    ]
