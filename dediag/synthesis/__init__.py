"""Findings -> which explanation of a surprising result the evidence supports, in a fixed order, each with its evidence.

A result is surprising when a diagnostic of direction, floors or variance, or refits of some of the samples, warn or
fail; a split that is as uneven as the design makes it is explained as well, since people ask for its cause. Support
starts from what a diagnostic judged (warn: moderate, fail: strong) and is lowered where its alarm is about something
else: an effect that points the other way, or is too small, does not explain a lean. What was not assessed is said to be
not excluded. reports/validation_direction says how often a planted cause comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dediag.finding import Status
from dediag.synthesis import direction, trouble
from dediag.synthesis.evidence import ALARMS, FIRMNESS, JUDGED, Support, lopsided

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dediag.finding import Finding
    from dediag.synthesis.evidence import Known, Weighed

SURPRISING = (
    *("imbalance", "influence", "replicability", "sign_asymmetry", "normalization", "noise_floor", "confounding"),
    *("heteroskedasticity", "sample_quality", "goodness_of_fit", "null_calibration", "p_value_shape"),
)

# explanation, the diagnostics that judge it, its evidence
CANDIDATES: tuple[tuple[str, tuple[str, ...], Callable[[Known], Weighed | None]], ...] = (
    ("imbalance", ("imbalance",), direction.imbalance),
    ("normalization", ("normalization",), direction.normalization),
    ("dispersion_shift", ("heteroskedasticity",), direction.dispersion_shift),
    ("noise_floor", ("noise_floor",), direction.noise_floor),
    ("unequal_dispersion", ("heteroskedasticity",), trouble.unequal_dispersion),
    ("one_sample", ("influence", "sample_quality"), trouble.one_sample),
    ("confounding", ("confounding",), trouble.confounding),
    ("batch", ("null_calibration", "p_value_shape"), trouble.batch),
    ("model_misfit", ("convergence", "goodness_of_fit"), trouble.misfit),
)

# Of equally firm ones the more particular cause comes first: what it does the others see as well. A sample out of line
# makes its group look dispersed, a covariate makes lists unstable, stray reads spoil the zero point of some methods.
PARTICULAR = (
    *("table_error", "one_sample", "confounding", "batch", "noise_floor", "normalization", "dispersion_shift"),
    *("unequal_dispersion", "imbalance", "model_misfit", "biology"),
)


@dataclass(frozen=True)
class Explanation:
    """A candidate explanation, how far the evidence supports it, and what the evidence is."""

    id: str
    support: Support
    statement: str


def surprising(findings: Sequence[Finding]) -> bool:
    """Whether an alarm asks for an explanation."""
    return any(finding.id in SURPRISING and finding.status in ALARMS for finding in findings)


def explain(findings: Sequence[Finding]) -> list[Explanation]:
    """The candidate explanations that the findings can speak for or against; empty when nothing is surprising."""
    known = {finding.id: finding for finding in findings}
    if not surprising(findings) and not lopsided(known):
        return []
    explanations = []
    for name, sources, weigh in CANDIDATES:
        asked = [known[i] for i in sources if i in known and known[i].status is not Status.SKIPPED]
        judged = {finding.id: finding for finding in asked if finding.status in JUDGED}
        if not judged and asked:
            why = asked[0].reason or asked[0].headline or "no reason given"
            said = f"Not excluded: {asked[0].id} gave no answer ({why.rstrip('.')})."
            explanations.append(Explanation(name, "none", said))
        elif judged:
            # others speak as well where they are known, but what is judged are the sources
            weighed = weigh({**{i: f for i, f in known.items() if i not in sources}, **judged})
            if weighed is not None:
                explanations.append(Explanation(name, *weighed))
    remaining = direction.biology(known, {other.id: other.support for other in explanations})
    return explanations if remaining is None else [*explanations, Explanation("biology", *remaining)]


def ranked(explanations: Sequence[Explanation]) -> list[Explanation]:
    """Those with any support, the firmest first, of equally firm ones the more particular."""
    some = [explanation for explanation in explanations if explanation.support != "none"]
    return sorted(some, key=lambda e: (-FIRMNESS.index(e.support), PARTICULAR.index(e.id)))


__all__ = ["CANDIDATES", "Explanation", "Support", "explain", "ranked", "surprising"]
