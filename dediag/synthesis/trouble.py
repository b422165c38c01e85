"""What could make calls too many, too few or unstable: dispersions, a sample, a covariate, a batch, the model."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from dediag.finding import Status
from dediag.rounding import fixed, percent
from dediag.synthesis.evidence import ALARMS, JUDGED, Support, firmest, lean_of, limit, value

if TYPE_CHECKING:
    from dediag.synthesis.evidence import Known, Weighed

SURELY_LIBERAL, LIBERAL, CONSERVATIVE = 0.10, 0.06, 0.03  # heteroskedasticity's limits of the error rate
FEW = 0.05  # of the calls: a sample without which no more of them change does not make a list lean


def unequal_dispersion(known: Known) -> Weighed | None:
    """What the groups' dispersions do to the error rate by the variance, without what they do to the zero point."""
    finding, nulls = known.get("heteroskedasticity"), known.get("null_calibration")
    if finding is None:
        return None
    ratio, size = value(finding, "log2_dispersion_ratio"), value(finding, "predicted_size")
    without, simulated = value(finding, "size_without_shift"), value(nulls, "bootstrap_size")
    said = []
    if ratio is not None:
        said.append(f"The test group's dispersion is {2.0**ratio:.2f} times the reference group's.")
    if size is not None:
        said.append(f"Tests at nominal 5 % are predicted to reject {percent(size)} of genes without a difference.")
    if simulated is not None and said:
        said.append(f"In cohorts simulated with these dispersions they reject {percent(simulated)}.")
    support = JUDGED[finding.status]
    if finding.status in ALARMS and without is not None:
        at_most: Support = "weak"
        if without >= SURELY_LIBERAL:
            at_most = "strong"
        elif without >= LIBERAL or without <= CONSERVATIVE:
            at_most = "moderate"
        if at_most == "weak":
            said.append(f"Without the shift of the zero point it would be {percent(without)}: see dispersion shift.")
        support = at_most
    if support != "none" and said:
        said.append("To settle it: `dediag fit --dispersion group --recentre`, and which calls remain.")
    return support, " ".join(said) or finding.headline


def one_sample(known: Known) -> Weighed | None:
    """Single samples that carry the list or are out of line."""
    judged = [known[i] for i in ("influence", "sample_quality") if i in known]
    said = [finding.headline for finding in judged if finding.status is not Status.PASS]
    influence = known.get("influence")
    worst = next((m.value for m in influence.metrics if m.name == "worst_sample"), None) if influence else None
    change, share = value(influence, "de_change_worst"), value(influence, "cooks_share_worst")
    if worst is not None and change is not None:
        said.append(f"Without {worst} the number of calls changes by {fixed(change, 0, sign=True)}.")
    if worst is not None and share is not None:
        said.append(f"{worst} has {percent(share)} of all Cook's distances.")
    lists = known.get("replicability")
    observed, expected = value(lists, "jaccard_observed"), value(lists, "jaccard_expected")
    if lists is not None and lists.status in ALARMS and observed is not None and expected is not None:
        said.append(f"Lists of drawn samples overlap by {observed:.2f} where the model alone gives {expected:.2f}.")
    support = firmest(judged)
    calls = sum(value(known.get("sign_asymmetry"), name) or 0.0 for name in ("n_up", "n_down"))
    if lean_of(known) is not None and change is not None and abs(change) < FEW * calls and support == "moderate":
        support = "weak"
        said.append("That is too little to make the lean.")
    if support != "none" and said:
        name = "" if worst is None else f" {worst}"
        said.append(f"To settle it: the same audit with `--drop-samples{name}`.")
    return support, " ".join(said) or judged[0].headline


def confounding(known: Known) -> Weighed | None:
    """Covariates that go with the groups; depth goes with floors, which are weighed by themselves."""
    finding = known["confounding"]
    named = any(m.name == "worst_covariate" and m.value is not None for m in finding.metrics)
    ratio, most = value(finding, "depth_ratio"), limit(finding, "depth_ratio")
    if finding.status is Status.WARN and not named and ratio and most and abs(log(ratio)) >= abs(log(most)):
        return "weak", f"{finding.headline} What that does is weighed under noise floor."
    settle = " To settle it: put the covariate into the design, or samples in which the two do not go together."
    return JUDGED[finding.status], finding.headline + (settle if finding.status in ALARMS else "")


def batch(known: Known) -> Weighed | None:
    """Something that moves many genes together and that the design leaves out."""
    nulls, shape = known.get("null_calibration"), known.get("p_value_shape")
    tail = value(nulls, "mock_split_size_p90")
    hill, cleared = (value(shape, n) for n in ("right_excess", "right_excess_surrogate"))
    support: Support = "none"
    said = []
    if tail is not None:
        most = limit(nulls, "mock_split_size_p90")
        if most is not None and tail >= most:
            support = "moderate"
        limited = "" if most is None else f" (limit {percent(most)})"
        said.append(
            f"Of splits within one group, where nothing differs, one in ten has p < .05 in {percent(tail)} of the "
            f"genes or more{limited}. A batch that coincides with the groups cannot be seen."
        )
    most = limit(shape, "right_excess")
    if hill is not None and cleared is not None and most is not None and hill >= most:
        # as p_value_shape has it: half of the hill, and not where unequal dispersions make half of it by themselves
        simulated = value(shape, "right_excess_simulated")
        if cleared <= hill / 2 and (simulated is None or simulated < hill / 2):
            support = "moderate"
        before, after = (fixed(100 * excess, 0, sign=True) for excess in (hill, cleared))
        said.append(f"The hill of large p-values is {before} %, with one surrogate factor in the design {after} %.")
    if support != "none":
        said.append("To settle it: dates, lanes and operators of the samples as a column of the sample table.")
    return (support, " ".join(said)) if said else None


def misfit(known: Known) -> Weighed | None:
    """Whether the counts, or the fit, are what the model takes them for."""
    judged = [known[i] for i in ("convergence", "goodness_of_fit") if i in known]
    worst = max(judged, key=lambda finding: finding.status.severity)
    support: Support = JUDGED[worst.status]
    if lean_of(known) is None or support == "none":
        return support, worst.headline
    return "weak", f"{worst.headline} That has no direction, so it does not make the calls lean by itself."
