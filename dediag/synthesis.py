"""Findings -> which explanation of a surprising result the evidence supports, in a fixed order, each with its evidence.

A result is surprising when a diagnostic of direction, floors or variance, or refits of some of the samples, warn or
fail. Support repeats what a diagnostic judged (warn: moderate, fail: strong) and applies no limits of its own, save for
direction and cause: an effect that points the other way explains nothing, and neither does an alarm about something
else. What was not assessed is said to be not excluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dediag.finding import Status
from dediag.rounding import counted, fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dediag.finding import Finding

Support = Literal["none", "weak", "moderate", "strong"]

SURPRISING = (
    *("imbalance", "influence", "replicability", "sign_asymmetry", "noise_floor", "heteroskedasticity"),
    *("sample_quality", "goodness_of_fit", "null_calibration", "p_value_shape"),
)
JUDGED: dict[Status, Support] = {Status.PASS: "none", Status.WARN: "moderate", Status.FAIL: "strong"}


@dataclass(frozen=True)
class Explanation:
    """A candidate explanation, how far the evidence supports it, and what the evidence is."""

    id: str
    support: Support
    statement: str


def explain(findings: Sequence[Finding]) -> list[Explanation]:
    """The candidate explanations that the findings can speak for or against; empty when nothing is surprising."""
    known = {finding.id: finding for finding in findings}
    if not any(known[i].status in (Status.WARN, Status.FAIL) for i in SURPRISING if i in known):
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
    remaining = _biology(known, explanations)
    return explanations if remaining is None else [*explanations, remaining]


def _imbalance(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    finding = known["imbalance"]
    observed, predicted = _value(finding, "lfc_bias_median"), _value(finding, "lfc_bias_predicted")
    names = {
        "full": "in the full data",
        "balanced": "in balanced draws",
        "control": "in control draws of the study's ratio",
    }
    fractions = {where: _value(finding, f"up_fraction_{name}") for name, where in names.items()}
    support, said = JUDGED[finding.status], []
    if finding.status is not Status.PASS and _shifted(finding) is False:
        support = "none"
        said.append(
            "Unequal size moves no fold changes here; its alarm is about the error rate (see unequal dispersion)."
        )
    elif finding.status is not Status.PASS:
        said.append(finding.headline)
    if observed is not None and predicted is not None:
        said.append(
            f"Refits of balanced draws move the median log2 fold change by {fixed(observed, 3, sign=True)}, where the"
            f" sizes alone predict {fixed(predicted, 3, sign=True)}."
        )
    if fractions["in the full data"] is not None and fractions["in balanced draws"] is not None:
        shares = [f"{_percent(share)} {where}" for where, share in fractions.items() if share is not None]
        said.append(f"Up among the calls: {', '.join(shares)}.")
    weights = known.get("group_weights")
    moved = None if weights is None else _value(weights, "max_lfc_change")
    if weights is not None and weights.status is Status.PASS and moved is not None:
        said.append(f"Weighting the groups equally moves no fold change by more than {moved:.1g} log2.")
    return support, " ".join(said) or finding.headline


def _shifted(finding: Finding) -> bool | None:
    """Whether the difference of observed and predicted shift surely lies beyond its limit; None: unknown."""
    low, high = _value(finding, "lfc_bias_ci_low"), _value(finding, "lfc_bias_ci_high")
    limit = next((m.limit for m in finding.metrics if m.name == "lfc_bias_ci_high"), None)
    return None if low is None or high is None or limit is None else low > limit or high < -limit


def _dispersion_shift(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    finding = known["heteroskedasticity"]
    shift = _value(finding, "shift_log2")
    if shift is None:
        return None
    toward = "up" if shift > 0 else "down"
    statement = (
        f"The groups' dispersions let the normalisation move all fold changes by {fixed(shift, 3, sign=True)} log2"
        f" ({toward}), whatever the truth."
    )
    lean = _lean(known)
    if lean is not None and lean != toward:
        return "none", f"{statement} The calls lean the other way ({lean})."
    return ("weak" if finding.status in (Status.WARN, Status.FAIL) else "none"), statement


def _noise_floor(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    finding = known["noise_floor"]
    below = _value(finding, "n_de_below")
    if below is None:
        return JUDGED[finding.status], finding.headline
    if below == 0:
        return "none", "No call lies below the floor of either group."
    statement = f"Below the higher group's floor there {'is' if below == 1 else 'are'} {counted(int(below), 'call')}."
    share_below, share_above = _value(finding, "up_fraction_below"), _value(finding, "up_fraction_above")
    if share_below is not None and share_above is not None:
        statement += f" {_percent(share_below)} of them are up, against {_percent(share_above)} of those above it."
    return ("weak" if finding.status is Status.PASS else JUDGED[finding.status]), statement


def _unequal_dispersion(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    finding, nulls = known.get("heteroskedasticity"), known.get("null_calibration")
    if finding is None:
        return None
    ratio, size = _value(finding, "log2_dispersion_ratio"), _value(finding, "predicted_size")
    simulated = None if nulls is None else _value(nulls, "bootstrap_size")
    said = []
    if ratio is not None:
        said.append(f"The test group's dispersion is {2.0**ratio:.2f} times the reference group's.")
    if size is not None:
        said.append(f"Tests at nominal 5 % are predicted to reject {_percent(size)} of genes without a difference.")
    if simulated is not None and said:
        said.append(f"In cohorts simulated with these dispersions they reject {_percent(simulated)}.")
    return JUDGED[finding.status], " ".join(said) or finding.headline


def _one_sample(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    judged = [known[i] for i in ("influence", "sample_quality") if i in known]
    said = [finding.headline for finding in judged if finding.status is not Status.PASS]
    influence = known.get("influence")
    if influence is not None:
        worst = next((m.value for m in influence.metrics if m.name == "worst_sample"), None)
        change, share = _value(influence, "de_change_worst"), _value(influence, "cooks_share_worst")
        if worst is not None and change is not None:
            said.append(f"Without {worst} the number of calls changes by {fixed(change, 0, sign=True)}.")
        if worst is not None and share is not None:
            said.append(f"{worst} has {_percent(share)} of all Cook's distances.")
    lists = known.get("replicability")
    if lists is not None and lists.status in (Status.WARN, Status.FAIL):
        observed, expected = _value(lists, "jaccard_observed"), _value(lists, "jaccard_expected")
        if observed is not None and expected is not None:
            said.append(f"Lists of drawn samples overlap by {observed:.2f} where the model alone gives {expected:.2f}.")
    return _firmest(judged), " ".join(said) or judged[0].headline


def _batch(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    """Something that moves many genes together and that the design leaves out."""
    nulls, shape = known.get("null_calibration"), known.get("p_value_shape")
    tail = None if nulls is None else _value(nulls, "mock_split_size_p90")
    hill, cleared = (None if shape is None else _value(shape, n) for n in ("right_excess", "right_excess_surrogate"))
    support: Support = "none"
    said = []
    if nulls is not None and tail is not None:
        most = next((m.limit for m in nulls.metrics if m.name == "mock_split_size_p90"), None)
        if most is not None and tail >= most:
            support = "moderate"
        said.append(f"One mock split in ten of one group has p < .05 in {_percent(tail)} of the genes or more.")
    limit = next((m.limit for m in shape.metrics if m.name == "right_excess"), None) if shape is not None else None
    if hill is not None and cleared is not None and limit is not None and hill >= limit:
        # as p_value_shape has it: half of the hill, and not where unequal dispersions make half of it by themselves
        simulated = _value(shape, "right_excess_simulated") if shape is not None else None
        if cleared <= hill / 2 and (simulated is None or simulated < hill / 2):
            support = "moderate"
        before, after = (fixed(100 * value, 0, sign=True) for value in (hill, cleared))
        said.append(f"The hill of large p-values is {before} %, with one surrogate factor in the design {after} %.")
    return (support, " ".join(said)) if said else None


def _misfit(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    judged = [known[i] for i in ("convergence", "goodness_of_fit") if i in known]
    worst = max(judged, key=lambda finding: finding.status.severity)
    return JUDGED[worst.status], worst.headline


def _firmest(findings: Sequence[Finding]) -> Support:
    """Support of the firmest verdict."""
    return JUDGED[max((finding.status for finding in findings), key=lambda status: status.severity)]


def _confounding(known: Mapping[str, Finding]) -> tuple[Support, str] | None:
    finding = known["confounding"]
    return JUDGED[finding.status], finding.headline


def _biology(known: Mapping[str, Finding], others: Sequence[Explanation]) -> Explanation | None:
    """What remains of an asymmetry above the floors; not named where the floors are unknown."""
    lean, floor = _lean(known), known.get("noise_floor")
    above = None if floor is None else _value(floor, "up_fraction_above")
    expected = _value(known["sign_asymmetry"], "expected_up_fraction") if lean is not None else None
    if lean is None or above is None or expected is None:
        return None
    rivals = [other.id for other in others if other.support in ("moderate", "strong")]
    persists = above > expected if lean == "up" else above < expected
    if rivals or not persists:
        reason = f"{', '.join(rivals)} first" if rivals else "above the floors the calls do not lean that way"
        return Explanation("biology", "none", f"Not to be concluded from these data yet: {reason}.")
    return Explanation(
        "biology",
        "weak",
        f"It is what remains: above the floors {_percent(above)} of the calls are up, and none of the causes above"
        " accounts for it. Causes that are not listed above were not examined, and in tissue or blood a change in cell"
        " composition looks the same.",
    )


# explanation, the diagnostics that judge it, its evidence
CANDIDATES: tuple[tuple[str, tuple[str, ...], Callable[[Mapping[str, Finding]], tuple[Support, str] | None]], ...] = (
    ("imbalance", ("imbalance",), _imbalance),
    ("dispersion_shift", ("heteroskedasticity",), _dispersion_shift),
    ("noise_floor", ("noise_floor",), _noise_floor),
    ("unequal_dispersion", ("heteroskedasticity",), _unequal_dispersion),
    ("one_sample", ("influence", "sample_quality"), _one_sample),
    ("confounding", ("confounding",), _confounding),
    ("batch", ("null_calibration", "p_value_shape"), _batch),
    ("model_misfit", ("convergence", "goodness_of_fit"), _misfit),
)


def _lean(known: Mapping[str, Finding]) -> Literal["up", "down"] | None:
    """Where the calls lean against what the design gives by itself; None when they do not."""
    finding = known.get("sign_asymmetry")
    if finding is None or finding.status not in (Status.WARN, Status.FAIL):
        return None
    observed, expected = _value(finding, "up_fraction"), _value(finding, "expected_up_fraction")
    if observed is None or expected is None:
        return None
    return "up" if observed > expected else "down"


def _value(finding: Finding, name: str) -> float | None:
    """A metric as a number; None when it is not there or not a number."""
    for metric in finding.metrics:
        if metric.name == name and isinstance(metric.value, (int, float)) and math.isfinite(metric.value):
            return float(metric.value)
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
