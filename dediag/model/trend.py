"""The trend of dispersion over mean (step 3 of the method): parametric, local, or one mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.optimize import minimize, minimize_scalar

from dediag.cohort import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

TrendKind = Literal["parametric", "local", "mean"]
USABLE = 1e-6  # smallest gene-wise dispersion that enters the parametric trend
LOCAL_USABLE = 1e-7
SPAN = 0.7  # share of the genes in each local fit
CUT = 0.8  # longest piece between knots, in bandwidths
TRIM = 0.001
PROFILE_AT = np.linspace(np.log(1e-6), np.log(20.0), 25)  # log dispersions; four times as many: .2 % in the trend
OUTLYING = 15.0  # times the trend: beyond it a gene-wise dispersion has no say, as in the parametric trend
SMALLEST_TREND_MEAN = 1.0  # mean count of the genes that tell a group's trend; below it fitted means are held up
WIDEST = 8.0  # log factor that a group's trend may lie from the common one
NO_GENE = "no gene's dispersion lies above its lower bound: the counts vary no more than Poisson ones"


class TrendError(ValueError, ArithmeticError):
    """No trend could be fitted to these dispersions."""


@dataclass(frozen=True)
class Trend:
    """Dispersion as a function of base mean."""

    kind: TrendKind
    coefficients: tuple[float, float] | None = None  # parametric: asymptote, extra-Poisson
    knots: NDArray[np.float64] | None = None  # local: log base means
    values: NDArray[np.float64] | None = None  # local: log dispersion at the knots
    slopes: NDArray[np.float64] | None = None  # local: its slope there
    level: float | None = None  # mean

    def __call__(self, base_mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Dispersion expected at these base means, same shape."""
        base_mean = np.asarray(base_mean, dtype=np.float64)
        if self.coefficients is not None:
            with np.errstate(divide="ignore"):
                return self.coefficients[0] + self.coefficients[1] / base_mean
        if self.knots is not None and self.values is not None and self.slopes is not None:
            at = np.log(np.maximum(base_mean, np.finfo(np.float64).tiny))
            return np.exp(_hermite(at, self.knots, self.values, self.slopes))
        assert self.level is not None  # noqa: S101 - one of the three is always there
        return np.full_like(base_mean, self.level)

    def scaled(self, factor: float) -> Trend:
        """The same trend, so many times as high."""
        return replace(
            self,
            coefficients=None
            if self.coefficients is None
            else (factor * self.coefficients[0], factor * self.coefficients[1]),
            values=None if self.values is None else frozen(self.values + np.log(factor)),
            level=None if self.level is None else factor * self.level,
        )


def group_trend(
    mean: NDArray[np.float64], dispersion: NDArray[np.float64], profile: NDArray[np.float64], common: Trend
) -> Trend:
    """The trend of one group: the one under which its counts are most likely, all genes together.

    mean, dispersion: (n_rows,) gene-wise; profile: (n_rows, n_alphas) each gene's adjusted log-likelihood at
    PROFILE_AT. Parametric where the common trend is, else the common trend at the group's height. A trend through
    gene-wise dispersions, as the method has it for all samples, would leave out the many genes whose estimate is zero
    where samples are few and counts low: at 5 samples and a dispersion of .2 it lies at .4 for a mean count of 5 and
    at .9 for 2, this one at .20 and .18. Genes beyond OUTLYING times the trend do not count. Raises TrendError as
    `fit_trend` does.
    """
    if not (dispersion > USABLE).any():
        raise TrendError(NO_GENE)
    usable = mean >= SMALLEST_TREND_MEAN if (mean >= SMALLEST_TREND_MEAN).any() else np.ones(mean.size, np.bool_)
    trend = common
    curves = np.ascontiguousarray(CubicSpline(PROFILE_AT, profile, axis=1).c.T)  # (n_rows, n_alphas - 1, 4)
    for _ in range(2):  # the second time without outliers
        trend = _most_likely(mean[usable], curves[usable], trend)
        usable &= dispersion <= OUTLYING * trend(mean)
        if not usable.any():
            break
    return trend


def _most_likely(mean: NDArray[np.float64], curves: NDArray[np.float64], start: Trend) -> Trend:
    """The trend of start's shape with the largest sum of the genes' profiles, cubics between each two of PROFILE_AT.

    curves: (n_rows, n_alphas - 1, 4) coefficients, highest power first.
    """
    at = np.log(np.clip(start(mean), np.exp(PROFILE_AT[0]), np.exp(PROFILE_AT[-1])))
    rows, step = np.arange(mean.size), PROFILE_AT[1] - PROFILE_AT[0]

    def loss(log_alpha: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean over genes of the negative profiles, and the derivative by each gene's log dispersion."""
        inside = np.clip(log_alpha, PROFILE_AT[0], PROFILE_AT[-1])
        piece = np.minimum(((inside - PROFILE_AT[0]) / step).astype(np.intp), PROFILE_AT.size - 2)
        x = inside - PROFILE_AT[piece]
        a, b, c, d = curves[rows, piece].T
        slopes = np.where(inside == log_alpha, (3.0 * a * x + 2.0 * b) * x + c, 0.0)
        return -float((((a * x + b) * x + c) * x + d).mean()), -slopes / mean.size

    if start.coefficients is None:
        found = minimize_scalar(lambda moved: loss(at + moved)[0], bounds=(-WIDEST, WIDEST), method="bounded")
        return start.scaled(float(np.exp(found.x)))
    first = np.log(np.array(start.coefficients))

    def of_both(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level, extra = np.exp(logs[0]), np.exp(logs[1]) / mean
        value, slopes = loss(np.log(level + extra))
        share = level / (level + extra)  # of each log dispersion's change that the level's makes
        return value, np.array([slopes @ share, slopes @ (1.0 - share)])

    bounds = [(centre - WIDEST, centre + WIDEST) for centre in first]
    best = minimize(of_both, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-7})
    low, high = np.exp(best.x)
    return Trend("parametric", coefficients=(float(low), float(high)))


def fit_trend(mean: NDArray[np.float64], dispersion: NDArray[np.float64], kind: TrendKind = "parametric") -> Trend:
    """The trend of gene-wise dispersions (n_rows,) over base means (n_rows,); local where parametric fails.

    Raises TrendError where no gene has more than a Poisson variance.
    """
    usable = dispersion > USABLE
    if not usable.any():
        raise TrendError(NO_GENE)
    if kind == "parametric":
        try:
            return Trend("parametric", coefficients=parametric(mean[usable], dispersion[usable]))
        except TrendError:
            kind = "local"
    if kind == "local":
        keep = dispersion >= LOCAL_USABLE
        return local(mean[keep], dispersion[keep])
    return Trend("mean", level=trimmed_mean(dispersion[dispersion > LOCAL_USABLE], TRIM))


def parametric(mean: NDArray[np.float64], dispersion: NDArray[np.float64]) -> tuple[float, float]:
    """Gamma GLM with identity link of dispersion on 1/mean, refitted without outliers until it is stable.

    Love, Huber, Anders (2014), equation 6 and the text below it. Raises TrendError when it does not settle.
    """
    coefficients = np.array([0.1, 1.0])
    for _ in range(11):
        with np.errstate(divide="ignore"):  # a weighted mean may be 0
            ratio = dispersion / (coefficients[0] + coefficients[1] / mean)
        good = (ratio > 1e-4) & (ratio < 15.0)
        before = coefficients
        coefficients, converged = gamma_identity(1.0 / mean[good], dispersion[good], before)
        if not (coefficients > 0.0).all():
            raise TrendError("a coefficient of the parametric trend is not positive")
        if converged and float(np.sum(np.log(coefficients / before) ** 2)) < 1e-6:
            return float(coefficients[0]), float(coefficients[1])
    raise TrendError("the parametric trend did not settle")


def gamma_identity(
    x: NDArray[np.float64], y: NDArray[np.float64], start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Gamma GLM with identity link, y = b0 + b1 x: reweighted least squares, steps halved to keep means positive."""
    b = start
    mu = b[0] + b[1] * x
    deviance = _gamma_deviance(y, mu)
    for _ in range(25):
        w = 1.0 / mu**2
        sw, swx, swxx = w.sum(), w @ x, (w * x) @ x
        swy, swxy = w @ y, (w * x) @ y
        det = sw * swxx - swx * swx
        if not det > 0.0:
            return b, False
        new = np.array([(swxx * swy - swx * swxy) / det, (sw * swxy - swx * swy) / det])
        mu = new[0] + new[1] * x
        halvings = 0
        while not (mu > 0.0).all() and halvings < 25:
            new = (new + b) / 2.0
            mu = new[0] + new[1] * x
            halvings += 1
        if halvings == 25:
            return b, False
        before, deviance = deviance, _gamma_deviance(y, mu)
        b = new
        if abs(deviance - before) / (abs(deviance) + 0.1) < 1e-8:
            return b, True
    return b, False


def _gamma_deviance(y: NDArray[np.float64], mu: NDArray[np.float64]) -> float:
    ratio = y / mu
    return float(-2.0 * np.sum(np.log(ratio) - (ratio - 1.0)))


def local(mean: NDArray[np.float64], dispersion: NDArray[np.float64]) -> Trend:
    """Local quadratic regression of log dispersion on log mean, weighted by the mean, nearest-neighbour span 0.7.

    As Loader (1999), chapter 12: fitted with its slope at knots, the range being halved until each piece is short
    against the local bandwidth; cubic in between, straight beyond.
    """
    order = np.argsort(mean, kind="stable")
    x, y, weight = np.log(mean[order]), np.log(dispersion[order]), mean[order]
    fitted = {at: _quadratic(x, y, weight, at) for at in (float(x[0]), float(x[-1]))}
    pieces = [(float(x[0]), float(x[-1]))] if x[-1] > x[0] else []
    while pieces:
        low, high = pieces.pop()
        if high - low > CUT * min(fitted[low][2], fitted[high][2]):
            middle = (low + high) / 2.0
            fitted[middle] = _quadratic(x, y, weight, middle)
            pieces += [(low, middle), (middle, high)]
    knots = np.array(sorted(fitted))
    values = np.array([fitted[at] for at in knots.tolist()])
    return Trend("local", knots=frozen(knots), values=frozen(values[:, 0]), slopes=frozen(values[:, 1]))


def _quadratic(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], at: float
) -> tuple[float, float, float]:
    """Value, slope and bandwidth of the local quadratic fit at one point."""
    neighbours = min(x.size, max(4, int(SPAN * x.size)))
    distance = np.abs(x - at)
    width = max(float(np.partition(distance, neighbours - 1)[neighbours - 1]), 1e-12)
    kernel = weight * np.maximum(1.0 - (distance / width) ** 3, 0.0) ** 3
    near = kernel > 0.0
    u, root = x[near] - at, np.sqrt(kernel[near] / kernel[near].max())
    X = np.column_stack([np.ones_like(u), u, u * u])
    value, slope, _ = np.linalg.lstsq(X * root[:, None], y[near] * root, rcond=1e-12)[0]
    return float(value), float(slope), width


def _hermite(
    at: NDArray[np.float64], knots: NDArray[np.float64], values: NDArray[np.float64], slopes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cubic through values and slopes at the knots, straight beyond them."""
    if knots.size == 1:
        return np.asarray(values[0] + slopes[0] * (at - knots[0]))
    inside = CubicHermiteSpline(knots, values, slopes)(np.clip(at, knots[0], knots[-1]))
    below, above = np.minimum(at - knots[0], 0.0), np.maximum(at - knots[-1], 0.0)
    return np.asarray(inside + slopes[0] * below + slopes[-1] * above)


def trimmed_mean(values: NDArray[np.float64], trim: float) -> float:
    """Mean without the floor(n trim) smallest and largest values."""
    cut = int(values.size * trim)
    return float(np.sort(values)[cut : values.size - cut].mean())
