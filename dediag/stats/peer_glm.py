"""Count regressions of one response as statsmodels fits them, with its warnings turned into a flag.

Four fits: negative binomial with a given alpha, with alpha = 1 (what is used when alpha is forgotten), with alpha by
maximum likelihood, and quasi-Poisson. Estimates and standard errors are those of one contrast, natural log.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.stats.agreement import spearman

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

TOLERANCE = 1e-10  # relative change of the deviance at which a GLM stops
STEPS = 200
SIMPLEX_STEPS = 2000  # of Nelder and Mead, which need many and small ones
NORMAL_95 = 1.96
START_ALPHA = 1e-3  # smallest start for alpha: the likelihood is flat near zero
BREAKDOWNS = (np.linalg.LinAlgError, ValueError, FloatingPointError, ZeroDivisionError)  # what separation can lead to


@dataclass(frozen=True)
class PeerFit:
    """One contrast of one fit; NaN where the fit broke down."""

    effect: float
    se: float
    converged: bool
    alpha: float = float("nan")

    @property
    def z(self) -> float:
        """Wald statistic."""
        return self.effect / self.se if self.se > 0 else float("nan")


BROKEN = PeerFit(float("nan"), float("nan"), converged=False)


@dataclass(frozen=True)
class PeerFits:
    """The four fits of one response."""

    given: PeerFit
    default: PeerFit
    likelihood: PeerFit
    quasi: PeerFit


@dataclass(frozen=True)
class FitColumn:
    """One kind of fit over many responses, log2: (n,) each."""

    lfc: Array
    se: Array
    converged: Mask
    alpha: Array  # NaN where the fit has none of its own

    @classmethod
    def of(cls, fits: Sequence[PeerFit]) -> FitColumn:
        """The column of these fits."""
        lfc, se, alpha = (np.array([getattr(f, name) for f in fits]) for name in ("effect", "se", "alpha"))
        return cls(lfc / np.log(2), se / np.log(2), np.array([f.converged for f in fits]), alpha)

    @property
    def z(self) -> Array:
        """Wald statistics."""
        return np.asarray(self.lfc / self.se)

    def beside(self, ours: FitColumn) -> dict[str, float | None]:
        """This fit beside ours, over the genes that have both."""
        both = self.converged & ours.converged & np.isfinite(self.z)
        return {
            "genes": int(both.sum()),
            "median_se_ratio": float(np.median((self.se / ours.se)[both])) if both.any() else None,
            "spearman_z": spearman(self.z[both], ours.z[both]),
            "beyond_1.96": int((np.abs(self.z[both]) > NORMAL_95).sum()),
            "ours_beyond_1.96": int((np.abs(ours.z[both]) > NORMAL_95).sum()),
        }


def peer_fits(response: Array, design: Array, offset: Array, contrast: Array, alpha: float) -> PeerFits:
    """Fit counts (n,) on design (n, p) with log offset (n,) and a given alpha; contrast (p,)."""
    import statsmodels.api as sm

    def model(family: Any) -> Any:
        return sm.GLM(response, design, family=family, offset=offset)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # convergence and separation are in `converged`
        given = _glm(model(sm.families.NegativeBinomial(alpha=alpha)), contrast)
        default = _glm(model(sm.families.NegativeBinomial(alpha=1.0)), contrast)
        poisson = _poisson(model(sm.families.Poisson()), response, contrast)
        if poisson.overdispersed:
            likelihood = _maximum_likelihood(response, design, offset, contrast, alpha)
        else:
            likelihood = poisson.plain
    return PeerFits(given, default, likelihood, poisson.quasi)


@dataclass(frozen=True)
class _Poisson:
    """Poisson and quasi-Poisson fit; where the likelihood falls from alpha = 0 on, the former is the maximum."""

    plain: PeerFit
    quasi: PeerFit
    overdispersed: bool


def _poisson(model: Any, response: Array, contrast: Array) -> _Poisson:
    try:
        result = model.fit(tol=TOLERANCE, maxiter=STEPS)
    except BREAKDOWNS:
        return _Poisson(BROKEN, BROKEN, overdispersed=True)
    converged = bool(result.converged)
    spread = float(result.pearson_chi2 / result.df_resid)
    covariance = np.asarray(result.cov_params())
    return _Poisson(
        plain=_contrast(result.params, covariance, contrast, converged=converged, alpha=0.0),
        quasi=_contrast(result.params, covariance * spread, contrast, converged=converged),
        overdispersed=float(((response - result.mu) ** 2 - response).sum()) > 0,  # twice the score of alpha at 0
    )


def _glm(model: Any, contrast: Array) -> PeerFit:
    try:
        result = model.fit(tol=TOLERANCE, maxiter=STEPS)
    except BREAKDOWNS:
        return BROKEN
    return _contrast(result.params, result.cov_params(), contrast, converged=bool(result.converged))


def _maximum_likelihood(response: Array, design: Array, offset: Array, contrast: Array, alpha: float) -> PeerFit:
    from statsmodels.discrete.discrete_model import NegativeBinomial

    model = NegativeBinomial(response, design, offset=offset)
    start = np.r_[np.linalg.lstsq(design, np.log(response + 0.5) - offset, rcond=None)[0], max(alpha, START_ALPHA)]
    try:
        result = model.fit(start_params=start, method="bfgs", maxiter=STEPS, disp=0)
        if not result.mle_retvals["converged"]:
            # not Newton's: a step to alpha < 0 sends its Hessian into a loop of 1 / |alpha| rounds
            result = model.fit(start_params=result.params, method="nm", maxiter=SIMPLEX_STEPS, disp=0)
        covariance = np.asarray(result.cov_params())
    except BREAKDOWNS:
        return BROKEN
    p = design.shape[1]
    return _contrast(
        result.params[:p], covariance[:p, :p], contrast,
        converged=bool(result.mle_retvals["converged"]), alpha=float(result.params[-1]),
    )  # fmt: skip


def _contrast(
    estimate: Array, covariance: Array, contrast: Array, *, converged: bool, alpha: float = float("nan")
) -> PeerFit:
    variance = float(contrast @ covariance @ contrast)
    usable = np.isfinite(variance) and variance > 0
    return PeerFit(float(contrast @ estimate), float(np.sqrt(variance)) if usable else float("nan"), converged, alpha)
