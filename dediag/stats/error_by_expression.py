"""Dispersion ratio and error rate among genes of similar expression."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.error_rate import predicted_size, shift_in_errors, variance_ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dediag.stats.error_model import ErrorModel, Estimate

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ExpressionBin:
    """Ratio and error rate among genes of similar expression; ratios log2, test over reference; NaN: too few genes."""

    low: float  # base mean
    high: float
    n_genes: int
    dispersion_test: float  # median of the shrunken dispersions
    dispersion_reference: float
    ratio: Estimate
    size: Estimate  # predicted
    variance_ratio: float  # true over reported variance of the log fold change, median
    shift_over_se: float  # median


@dataclass(frozen=True)
class Bins:
    """Genes between neighbouring edges of expression."""

    edges: Sequence[float]  # (n_bins + 1,) base means
    inside: Mask  # (n_bins, n_genes)

    @classmethod
    def of(cls, expression: Array, edges: Sequence[float]) -> Bins:
        """Bins of the genes (n_genes,) with low <= expression < high."""
        return cls(edges, np.array([(expression >= low) & (expression < high) for low, high in pairwise(edges)]))

    def described(
        self,
        model: ErrorModel,
        tested: Mask,
        dispersions: tuple[Array, Array],
        ratios: Sequence[Estimate],
        shift: float,
    ) -> tuple[ExpressionBin, ...]:
        """Each bin with its own ratio of dispersions and the error rate of its tested genes at the common shift (log2).

        dispersions: of test and reference group, (n_genes,) each; ratios: (n_bins,).
        """
        described = []
        for (low, high), mask, own in zip(pairwise(self.edges), self.inside, ratios, strict=True):
            phi_test, phi_reference = (median(phi[mask]) for phi in dispersions)
            members = model.take(mask & tested)
            size = members.mean_size(own, shift)
            given = _given(members, tuple(phi[mask & tested] for phi in dispersions))
            described.append(
                ExpressionBin(
                    low, high, int((mask & tested).sum()), phi_test, phi_reference, own, size,
                    median(variance_ratio(*given)), median(shift_in_errors(*given, shift)),
                )
            )  # fmt: skip
        return tuple(described)

    def sizes_at(self, model: ErrorModel, tested: Mask, log2_ratios: Array) -> Array:
        """Median error rate of the tested genes of each bin at other ratios: (n_ratios, n_bins); NaN without genes."""
        models = [model.take(mask & tested) for mask in self.inside]
        return np.array([[median(own.sizes(ratio)) for own in models] for ratio in log2_ratios])


def gene_columns(
    model: ErrorModel, dispersions: tuple[Array, Array], shift: float, rows: NDArray[np.intp], more: Mapping[str, Array]
) -> dict[str, list[float | None]]:
    """Both groups' dispersions, variance ratio, shift and error rate at nominal 5 % of the genes `rows`, as a table.

    dispersions: (n_genes,) each; shift: log2; more: further columns (n_genes,). None where a number is not known.
    """
    given = _given(model, dispersions)
    values = {
        **more, "dispersion_test": dispersions[0], "dispersion_reference": dispersions[1],
        "variance_ratio": variance_ratio(*given), "shift_over_se": shift_in_errors(*given, shift),
        "predicted_size": predicted_size(*given, shift),
    }  # fmt: skip
    return {name: [float(v) if np.isfinite(v) else None for v in value[rows]] for name, value in values.items()}


def _given(model: ErrorModel, dispersions: tuple[Array, ...]) -> tuple[Array, Array, Array, Array, int, int]:
    """What the formulas of the error rate take."""
    test, reference = dispersions
    return model.mean_test, model.mean_reference, test, reference, model.n_test, model.n_reference


def columns(bins: Sequence[ExpressionBin]) -> dict[str, list[float | None]]:
    """The bins as a table, None where a number is not known."""
    rows = [
        {
            "base_mean_from": b.low, "n_genes": b.n_genes, "dispersion_test": b.dispersion_test,
            "dispersion_reference": b.dispersion_reference, "log2_ratio": b.ratio.value, "ratio_ci_low": b.ratio.low,
            "ratio_ci_high": b.ratio.high, "variance_ratio": b.variance_ratio, "shift_over_se": b.shift_over_se,
            "predicted_size": b.size.value, "size_low": b.size.low,
            "size_high": b.size.high,
        }
        for b in bins
    ]  # fmt: skip
    return {name: [None if np.isnan(row[name]) else row[name] for row in rows] for name in (rows[0] if rows else ())}


def median(values: Array) -> float:
    """Median of the values that are finite; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
