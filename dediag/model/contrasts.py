"""Contrasts, and the four kinds of test on a contrast: Wald against zero or a threshold, and the likelihood ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from dediag.cohort import InputError, frozen
from dediag.model.design import unknown_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from dediag.model.design import Design

Alternative = Literal["greaterAbs", "lessAbs", "greater", "less"]
ALTERNATIVES = ("greaterAbs", "lessAbs", "greater", "less")


@dataclass(frozen=True)
class Contrast:
    """A linear combination of coefficients; factor, test and reference are None for a contrast by coefficient."""

    vector: NDArray[np.float64]  # (n_coefficients,)
    label: str
    factor: str | None = None
    test: str | None = None
    reference: str | None = None
    notices: tuple[str, ...] = ()


def references(contrast: Sequence[str] | str | None, samples: pd.DataFrame) -> dict[str, str]:
    """The reference level that a contrast asks for: {factor: level}; checks factor and levels.

    A contrast of two strings (factor, test) takes the other level of a two-level factor, else the first level other
    than the test level, of which `resolve` makes a notice.
    """
    if contrast is None or isinstance(contrast, str):
        return {}
    if len(contrast) not in (2, 3):
        raise InputError("contrast: give a factor, the test level and (optionally) the reference level")
    factor, test = str(contrast[0]), str(contrast[1])
    if factor not in samples.columns:
        listed = ", ".join(map(str, samples.columns))
        raise InputError(f"contrast: column '{factor}' is not in the sample table; its columns are: {listed}")
    levels = sorted(set(samples[factor].dropna().astype(str)))
    if test not in levels:
        raise unknown_level(factor, test, levels)
    others = [level for level in levels if level != test]
    reference = str(contrast[2]) if len(contrast) == 3 else (others[0] if others else test)
    if reference not in levels:
        raise unknown_level(factor, reference, levels)
    if reference == test:
        raise InputError(f"contrast: test and reference are both '{test}'; factor '{factor}' has: {', '.join(levels)}")
    return {factor: reference}


def resolve(contrast: Sequence[str] | str | None, design: Design, asked: dict[str, str]) -> Contrast:
    """The contrast as a vector. None means the last coefficient, a string names a coefficient."""
    if contrast is None or isinstance(contrast, str):
        name = design.names[-1] if contrast is None else contrast
        if name not in design.names:
            raise InputError(f"contrast: no coefficient '{name}'; the design has: {', '.join(design.names)}")
        return _of_coefficient(design, name)
    factor, test = str(contrast[0]), str(contrast[1])
    reference = asked[factor]
    if factor not in design.factors:
        raise InputError(f"contrast: factor '{factor}' is not part of the design '{design.formula}'; add it")
    vector = level_vector(design, factor, test) - level_vector(design, factor, reference)
    others = sorted(level for level in design.factors[factor] if level != test)
    notice = (
        f"the contrast names no reference level of '{factor}': '{reference}' was chosen of {', '.join(others)}; "
        f"to be sure, name it: {factor} {test} {reference}"
    )
    notices = (notice,) if len(contrast) == 2 and len(others) > 1 else ()
    return Contrast(frozen(vector), f"{factor} {test} vs {reference}", factor, test, reference, notices)


def _of_coefficient(design: Design, name: str) -> Contrast:
    vector = np.zeros(len(design.names))
    vector[design.names.index(name)] = 1.0
    for factor, levels in design.factors.items():
        for level in levels[1:]:
            if name in _spellings(factor, level):
                return Contrast(frozen(vector), f"{factor} {level} vs {levels[0]}", factor, level, levels[0])
    return Contrast(frozen(vector), name)


def _spellings(factor: str, level: str) -> tuple[str, ...]:
    return tuple(f"{f}[{prefix}{level}]" for f in (factor, f"C({factor})") for prefix in ("T.", ""))


def level_vector(design: Design, factor: str, level: str) -> NDArray[np.float64]:
    """The coefficient of a level as a vector; zero for the level that is coded away."""
    vector = np.zeros(len(design.names))
    for spelling in _spellings(factor, level):
        if spelling in design.names:
            vector[design.names.index(spelling)] = 1.0
    if not vector.any() and level != design.factors[factor][0]:
        raise InputError(
            f"contrast: the design '{design.formula}' has no coefficient for level '{level}' of '{factor}'; "
            f"name one of: {', '.join(design.names)}"
        )
    return vector


def wald(
    lfc: NDArray[np.float64],
    se: NDArray[np.float64],
    threshold: float = 0.0,
    alternative: Alternative = "greaterAbs",
    df: float | NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wald statistic and p-value of log2 fold changes (n_genes,) against a threshold (log2, at least 0).

    greaterAbs with a threshold is 2 P(|LFC| > threshold), the reference's formula before its version 1.50. Normal
    distribution, or t with `df` degrees of freedom, one number or one per gene. Love, Huber, Anders (2014), section
    "Hypothesis tests with thresholds".
    """
    tail = stats.norm.sf if df is None else (lambda x: stats.t.sf(x, df))
    with np.errstate(invalid="ignore", divide="ignore"):
        if alternative == "greaterAbs":
            stat = np.sign(lfc) * np.maximum((np.abs(lfc) - threshold) / se, 0.0)
            p = np.minimum(1.0, 2.0 * tail((np.abs(lfc) - threshold) / se))
        elif alternative == "greater":
            stat = np.maximum((lfc - threshold) / se, 0.0)
            p = tail((lfc - threshold) / se)
        elif alternative == "less":
            stat = np.minimum((lfc + threshold) / se, 0.0)
            p = tail((-threshold - lfc) / se)
        elif alternative == "lessAbs":
            above, below = (threshold - lfc) / se, (lfc + threshold) / se
            stat = np.maximum(np.minimum(above, below), 0.0)
            p = np.maximum(tail(above), tail(below))
        else:
            raise InputError(f"alternative: '{alternative}' is not one of {', '.join(ALTERNATIVES)}")
    return stat, p


def likelihood_ratio(
    full: NDArray[np.float64], reduced: NDArray[np.float64], df: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Likelihood-ratio statistic and chi-squared p-value from log-likelihoods (n_genes,)."""
    stat = 2.0 * (full - reduced)
    return stat, stats.chi2.sf(stat, df)
