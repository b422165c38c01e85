"""Draws against the full fit: the shift of their fold changes with its error, and their calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.resample.renormalisation import normalisation_shift, shift_by_part
from dediag.stats.draw_shift import Group, Shift, draw_shift
from dediag.stats.error_rate import mean_log_variance
from dediag.stats.influence import contrast_influence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit
    from dediag.model.size_factors import Method
    from dediag.resample.ensemble import Ensemble

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the draws of one plan show."""

    draws: int
    n_test: int
    n_reference: int
    shift: Shift
    mean_lfc: Array  # (n_genes,) mean over draws, log2; NaN for a gene that no draw saw
    n_up: NDArray[np.int64]  # (draws,)
    n_down: NDArray[np.int64]  # (draws,)

    @property
    def up_fraction(self) -> float | None:
        """Share of all draws' calls that are up; None without calls."""
        calls = int(self.n_up.sum() + self.n_down.sum())
        return float(self.n_up.sum() / calls) if calls else None

    @property
    def mean_calls(self) -> float:
        """Calls of a draw, on average."""
        return float((self.n_up + self.n_down).mean())

    def summary(self) -> dict[str, object]:
        """The numbers of a table's row: shifts in log2, the difference with its 90 % interval, calls."""
        low, high = self.shift.interval()
        return {
            "n_draws": self.draws,
            "n_test": self.n_test,
            "n_reference": self.n_reference,
            "shift_observed": self.shift.observed,
            "shift_predicted": self.shift.predicted,
            "by_normalisation": self.shift.normalisation,
            "difference": self.shift.difference,
            "difference_low": low,
            "difference_high": high,
            "mean_calls": self.mean_calls,
            "up_fraction": self.up_fraction,
        }

    def slope(self, full_lfc: Array) -> float | None:
        """Slope of the draws' mean fold change on the full fit's (n_genes,), over the genes that some draw saw."""
        seen = np.isfinite(self.mean_lfc) & np.isfinite(full_lfc)
        return float(np.polyfit(full_lfc[seen], self.mean_lfc[seen], 1)[0]) if seen.sum() > 1 else None


def against_full(
    fit: NBFit,
    found: Ensemble,
    genes: Index,
    *,
    dispersions: tuple[Array, Array],
    size_factors: Method | Array,
    rng: np.random.Generator,
) -> Drawn:
    """The draws' fold changes of these genes (positions) against those of the full fit.

    dispersions: of the test and the reference group, (n_all_genes,) each. Raises ValueError where no draw could be
    fitted, InputError where parts of the genes cannot be normalised by.
    """
    lfc = found.lfc[:, genes].astype(np.float64)  # (n_draws, n_genes)
    made = np.flatnonzero(np.isfinite(lfc).any(axis=1))  # among the first refits, whose fold changes are kept
    if not made.size:
        raise ValueError(f"no draw of samples could be fitted: {found.failed[0][1] if found.failed else 'no counts'}")
    lfc, included = lfc[made], found.included[made]
    seen = np.isfinite(lfc).all(axis=0)  # a gene without counts in some draw has no mean over draws
    masks = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    influence = contrast_influence(
        fit.fitted_counts[genes[seen]], fit.mu()[genes[seen]], fit.dispersion[genes[seen]], fit.design.matrix,
        fit.contrast.vector,
    )  # fmt: skip
    groups = tuple(
        _group(fit, sign, mask, phi=phi, included=included, genes=genes[seen], influence=influence)
        for sign, mask, phi in zip((1.0, -1.0), masks, dispersions, strict=True)
    )
    renormalised, parts = np.zeros(len(lfc)), np.empty(0)
    if fit.cohort.offsets is None and isinstance(size_factors, str):
        renormalised = normalisation_shift(found.size_factors[made], fit.size_factors, masks[0], masks[1])
        parts = shift_by_part(fit, size_factors, included, rng)
    return Drawn(
        draws=len(lfc),
        n_test=groups[0].size,
        n_reference=groups[1].size,
        shift=draw_shift(fit.lfc[genes[seen]], lfc[:, seen], (groups[0], groups[1]), renormalised, parts),
        mean_lfc=_mean(lfc),
        n_up=found.n_up[made],
        n_down=found.n_down[made],
    )


def _group(fit: NBFit, sign: float, mask: Mask, *, phi: Array, included: Mask, genes: Index, influence: Array) -> Group:
    """One group as `draw_shift` needs it: mean and depth of its samples, their influence, the draws they are in."""
    mu = fit.mu()[genes][:, mask]  # (n_genes, n)
    depth = fit.normalisation if fit.normalisation.shape[0] == 1 else fit.normalisation[genes]
    mean = np.exp(np.log(mu / depth[:, mask]).mean(axis=1))
    relative = np.maximum(sign * mask.sum() * np.log(2.0) * influence[:, mask], -1.0)
    return Group(sign, mean_log_variance(mean, phi[genes], depth[:, mask]), relative, included[:, mask])


def _mean(lfc: Array) -> Array:
    seen = np.isfinite(lfc)
    total, n = np.where(seen, lfc, 0.0).sum(axis=0), seen.sum(axis=0)
    return np.asarray(np.divide(total, n, out=np.full(lfc.shape[1], np.nan), where=n > 0))
