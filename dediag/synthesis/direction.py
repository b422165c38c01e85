"""What could move the calls to one side: group size, the zero point, floors, and, after all others, biology."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from dediag.finding import Status
from dediag.rounding import counted, fixed, listed, percent
from dediag.synthesis.evidence import ALARMS, JUDGED, Support, layers_of, lean_of, limit, metric, surely, value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dediag.finding import Finding, Metric
    from dediag.synthesis.evidence import Known, Lean, Weighed

NOMINAL = 0.05  # error rate: below it no shift makes calls too many
HALF = 0.5  # of a lean: what explains less of it is not what makes it
WELL_EXPRESSED = 50.0  # base mean, an edge of the report's strata
SHIFT_SAID = 0.02  # log2, from which on a look without it is proposed
UNEVEN_LAYERS = 0.2  # between the largest and the smallest up share by base mean
DIFFERENT = 0.1  # of the up shares below and above the floor, at least, for a floor to have a part in a lean


def imbalance(known: Known) -> Weighed | None:
    """Refits of balanced draws against what unequal sizes predict."""
    finding = known["imbalance"]
    observed, predicted = value(finding, "lfc_bias_median"), value(finding, "lfc_bias_predicted")
    names = {
        "full": "in the full data",
        "balanced": "in balanced draws",
        "control": "in control draws of the study's ratio",
    }
    fractions = {where: value(finding, f"up_fraction_{name}") for name, where in names.items()}
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
        shares = [f"{percent(share)} {where}" for where, share in fractions.items() if share is not None]
        said.append(f"Up among the calls: {', '.join(shares)}.")
    split = known.get("sign_asymmetry")
    if split is not None and split.status is Status.PASS and not _moved_by_dispersion(known):
        said.append(f"The split itself asks for no cause: {split.headline}")
    weights = known.get("group_weights")
    moved = value(weights, "max_lfc_change")
    if weights is not None and weights.status is Status.PASS and moved is not None:
        said.append(f"Weighting the groups equally moves no fold change by more than {moved:.1g} log2.")
    return support, " ".join(said) or finding.headline


def _shifted(finding: Finding) -> bool | None:
    """Whether the difference of observed and predicted shift surely lies beyond its limit; None: unknown."""
    low, high = value(finding, "lfc_bias_ci_low"), value(finding, "lfc_bias_ci_high")
    most = limit(finding, "lfc_bias_ci_high")
    return None if low is None or high is None or most is None else low > most or high < -most


def normalization(known: Known) -> Weighed | None:
    """Whether another zero point would balance the list, and whether other methods have it there."""
    finding = known["normalization"]
    widest, balancing = value(finding, "max_shift_log2"), value(finding, "balancing_shift_log2")
    most = limit(finding, "max_shift_log2")
    if widest is None or most is None:
        return JUDGED[finding.status], finding.headline
    said = [f"Other ways to normalise move all fold changes by up to {_log2(widest)}."]
    support: Support = "none"
    if finding.status is Status.FAIL:
        support, said = "strong", [finding.headline]
    elif abs(surely(finding, "max_shift_log2")) >= most:
        support = "moderate"
    lean, other = lean_of(known), value(finding, "max_shift_up_fraction")
    if balancing is not None and lean is not None:
        said.append(f"As many would be up as down at {_log2(balancing)}.")
        part = _share(widest, balancing)
        if other is not None:
            part = min(max((lean.observed - other) / (lean.observed - lean.expected), 0.0), 1.0)
            here = f"{percent(lean.observed)} here, {percent(lean.expected)} expected"
            said.append(f"With the one that moves them most {percent(other)} of the calls are up ({here}).")
        if support == "none" and part >= HALF:
            support = "weak"
            said.append(f"So the choice of a method could make up {percent(part)} of the lean.")
        elif support == "moderate" and part < HALF:
            support = "weak"
            said.append("So the choice of a method makes less than half of the lean.")
    composed = value(finding, "composition_shift_log2")
    if composed is not None and support != "strong" and surely(finding, "composition_shift_log2"):
        said.append(f"Normalised to the total (CPM, FPKM) they would move by {_log2(composed)}; this fit does not.")
    spikes = value(finding, "spike_in_shift_log2")
    if spikes is not None:
        said.append(f"Spike-ins put the zero {_log2(spikes)} away.")
    elif support != "none" or lean_of(known) is not None:
        said.append("To settle it: spike-ins, or genes known not to change (`--control-genes`); these counts cannot.")
    return support, " ".join(said)


def _share(shift: float, balancing: float) -> float:
    """How much of the shift that balances the list another one makes; 0 where it goes the other way."""
    return 0.0 if shift * balancing <= 0.0 else min(shift / balancing, 1.0)


def _moved_by_dispersion(known: Known) -> bool:
    """Whether unequal dispersions surely shift all fold changes beyond the limit; the expected split holds that."""
    finding = known.get("heteroskedasticity")
    most = limit(finding, "shift_log2")
    return most is not None and abs(surely(finding, "shift_log2")) >= most


def _log2(shift: float) -> str:
    return f"{fixed(shift, 2, sign=True)} log2"


def dispersion_shift(known: Known) -> Weighed | None:
    """What unequal dispersions do to the size factors, and so to all fold changes."""
    finding = known["heteroskedasticity"]
    shift = value(finding, "shift_log2")
    if shift is None:
        return None
    toward = "up" if shift > 0 else "down"
    moved = f"{fixed(shift, 3, sign=True)} log2 ({toward})"
    said = [f"The groups' dispersions let the normalisation move all fold changes by {moved}, whatever the truth."]
    lean, balancing = lean_of(known), value(known.get("normalization"), "balancing_shift_log2")
    if lean is not None and lean.toward != toward:
        return "none", " ".join([*said, f"The calls lean the other way ({lean.toward})."])
    most, sure = limit(finding, "shift_log2"), abs(surely(finding, "shift_log2"))
    support: Support = "none"
    if most is not None and sure >= most:
        size, without = value(finding, "predicted_size"), value(finding, "size_without_shift")
        support = "moderate"
        if size is not None and without is not None and size > NOMINAL and size - without > HALF * (size - NOMINAL):
            support = "strong"
            rates = f"{percent(size)} of genes without a difference have p < .05, without it {percent(without)}"
            said.append(f"With it {rates}.")
    elif finding.status in ALARMS:
        support = "weak"
    if lean is not None and balancing is not None:
        part = _share(-shift, balancing)
        if support == "none" and part >= HALF:
            support = "weak"
        said.append(f"That is {percent(part)} of what the list leans by ({_log2(-balancing)}).")
    shares = [layer.up_share for layer in layers_of(known)]
    if lean is not None and shares and max(shares) - min(shares) >= UNEVEN_LAYERS:
        span = f"{100 * min(shares):.0f} to {percent(max(shares))}"
        said.append(f"A shift moves genes of every expression alike; by base mean {span} of the calls are up.")
    if support != "none" or abs(shift) >= SHIFT_SAID:
        said.append("To settle it: `dediag fit --recentre` takes it off.")
    return support, " ".join(said)


def noise_floor(known: Known) -> Weighed | None:
    """Whether the lean, or the trouble, sits below the floor of one group."""
    finding = known["noise_floor"]
    below = value(finding, "n_de_below")
    if below is None:
        return JUDGED[finding.status], finding.headline
    lean, judged = lean_of(known), JUDGED[finding.status]
    low, high = value(finding, "up_fraction_below"), value(finding, "up_fraction_above")
    said = [finding.headline] if finding.status is not Status.PASS else []
    rest = [value(finding, f"uncalled_up_fraction_{side}") for side in ("below", "above")]
    if finding.status is Status.PASS and rest[0] is not None and rest[1] is not None:
        why = ": low-expressed genes lean by themselves" if value(finding, "uncalled_genes_drift") else ""
        said.append(
            f"Of the uncalled genes {percent(rest[0])} go up below the floor, {percent(rest[1])} above it{why}."
        )
    if below == 0:
        said.append("No call lies below the floor of either group, so it does not make the list.")
    elif finding.status is Status.PASS:
        verb = "is" if below == 1 else "are"
        said.append(f"Below the higher group's floor there {verb} {counted(int(below), 'call')}.")
    if low is not None and high is not None:
        said.append(f"Up: {percent(low)} of the calls below the floor, {percent(high)} of those above it.")
    layers = layers_of(known)
    if lean is not None and layers:
        said.append(f"By base mean, up: {', '.join(layer.words for layer in layers)}.")
    support = judged if lean is None else _part_of_the_lean(lean, judged, below, low, high)
    most = limit(finding, "floor_ratio")
    ratios = [value(finding, "floor_ratio"), _ratio(finding, "biological_floor")]
    if support != "none" and most and all(abs(log(ratio)) < log(most) for ratio in ratios if ratio):
        # alike floors: stray reads and true expression that is switched on cannot be told apart
        support = "moderate" if support == "strong" else support
        said.append(
            "The groups' floors are alike, so it is not their depth: stray reads in one group, and genes that are "
            "silent in one group and weakly on in the other, look the same in these counts. To settle it: reads "
            "between genes, or another library of the same samples."
        )
    elif support != "none":
        said.append("To settle it: the calls above the floor (table), or deeper sequencing of the shallower group.")
    return support, " ".join(said)


def _ratio(finding: Finding, name: str) -> float | None:
    """Test over reference of a number that each group has."""
    test, reference = value(finding, f"{name}_test"), value(finding, f"{name}_reference")
    return test / reference if test and reference else None


def _part_of_the_lean(lean: Lean, judged: Support, below: float, low: float | None, high: float | None) -> Support:
    """How far calls below the floor, up shares low (below) and high (above), make the lean."""
    if not below:
        return "none"
    if low is None or high is None:
        return "none" if judged == "none" else "weak"  # all calls lie below: nothing to compare them with
    if lean.sign * (low - high) < DIFFERENT:
        return "none"  # the calls above the floor lean as much
    hardly = lean.sign * (high - lean.expected) < HALF * lean.sign * (lean.observed - lean.expected)
    return "weak" if judged == "none" else "strong" if hardly else judged


def _between(share: Metric) -> str:
    """` (48 % to 60 %)`, the interval of a share."""
    return "" if share.low is None or share.high is None else f" ({percent(share.low)} to {percent(share.high)})"


def _no_lean(known: Known) -> Weighed | None:
    """What a split as the design gives it says about one-sided regulation."""
    finding = known.get("sign_asymmetry")
    observed, given = value(finding, "up_fraction"), metric(finding, "expected_up_fraction")
    if observed is None or given is None or given.value is None:
        return None
    if _moved_by_dispersion(known):
        return "none", (
            f"Not to be told yet: the {percent(float(given.value))} up that this design gives by itself"
            f"{_between(given)} hold a shift of the size factors (dispersion shift). Take it off first."
        )
    return "none", (
        f"Not needed: {percent(observed)} of the calls are up, and this design gives {percent(float(given.value))}"
        f"{_between(given)} with as many true rises as falls. Not excluded either: a share of one-sided effects that "
        "keeps the split within that interval cannot be told from none."
    )


def biology(known: Known, others: Mapping[str, Support]) -> Weighed | None:
    """What remains of an asymmetry above the floors; not named where the floors are unknown."""
    lean, floor = lean_of(known), known.get("noise_floor")
    above = value(floor, "up_fraction_above")
    if lean is None:
        return _no_lean(known)
    if above is None:
        return None
    firm = {name: support for name, support in others.items() if support in ("moderate", "strong")}
    given = metric(known.get("sign_asymmetry"), "expected_up_fraction")
    span = "" if given is None else _between(given)
    said = [f"Above the floors {percent(above)} of the calls are up; the design gives {percent(lean.expected)}{span}."]
    excess = [(layer.excess(lean), layer.low >= WELL_EXPRESSED) for layer in layers_of(known)]
    if (total := sum(n for n, _ in excess)) > 0.0:
        high = sum(n for n, well in excess if well)
        said.append(
            f"Of the {total:,.0f} calls beyond what the design gives {high:,.0f} have a base mean of "
            f"{WELL_EXPRESSED:g} and more (net of strata that lean the other way)."
        )
    beyond = [f"{layer.words} where it gives {layer.given}" for layer in layers_of(known) if layer.beyond]
    if beyond:
        said.append(f"By base mean, beyond what the design gives there: {listed(beyond)}.")
    persists = lean.sign * (above - lean.expected) > 0.0
    rivals = listed(list(firm))
    if not persists or "strong" in firm.values():
        why = f"{rivals} first" if persists else "above the floors the calls do not lean that way"
        return "none", " ".join([f"Not to be concluded from these data yet: {why}.", *said])
    if firm:
        said.insert(0, f"It may have a part, beside {rivals}.")
    else:
        said.insert(0, "It is what remains: none of the causes above accounts for the lean.")
    said.append(
        "Causes that are not listed were not examined, and in tissue or blood a change in cell composition looks the"
        " same. To settle it: markers of cell types, known targets of what was done, or an independent cohort."
    )
    return ("weak" if firm else "moderate"), " ".join(said)
