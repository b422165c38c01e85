"""Does the unequal group size bias the fold changes?

Each group's mean is estimated from that group's own samples, so the larger group has no vote on the smaller one's:
unequal numbers change the precision of a fold change and, to first order, not its location. To second order the log of
a mean of n counts lies v / (2 n) too low (v = 1/mean + dispersion), more so in the smaller group, so a predictable
shift remains where one group is very small.

Measured: many balanced draws take equally many samples of both groups and are refitted in full (size factors,
dispersions, trend, tests). The shift of their mean fold change against the full fit is printed beside the predicted
one; the test of equivalence (two one-sided tests, 5 % each) and `lfc_bias_ci_low` to `lfc_bias_ci_high` are about the
DIFFERENCE between the two, with samples as the unit of error: genes that go together are not so many witnesses.

A control arm draws at the original ratio as many samples as give the same precision, so that what fewer samples do is
told apart from what balance does, to the number of calls and to the share of them that is up. Each arm has its own
expectation, since unequal groups lean one way by themselves at low counts: the same draws from cohorts simulated with
the shrunken effects. Those have up to a third too many calls, because shrunken effects of unchanged genes are not
zero; so shares, and numbers of calls between the arms, are what can be compared.

What unequal size can do is turn unequal dispersion into a wrong error rate: if the smaller group is the more
dispersed, one shared dispersion per gene makes its standard errors too small. `size_full` and `size_balanced` are the
predicted shares of genes without effect with p < .05 in the full study and in a balanced draw (at 5 v 20, dispersions
.4 and .1: .21 and .06; refits .22 and .08). The finding fails if balance brings the first visibly closer to .05.

How to read it: genes around the zero line mean that balance changes nothing but noise; fewer calls than in the full fit
are loss of power where the control draws have as few.

What it does not show: draws share the samples of the smaller group, so they repeat its accidents and are no
replication. A fault that both arms share (confounding, normalisation) is not seen here.

References:
- Love, Huber, Anders (2014) Moderated estimation of fold change and dispersion with DESeq2. Genome Biol 15:550
- Schuirmann (1987) The two one-sided tests procedure and the power approach. J Pharmacokinet Biopharm 15:657
- Wager, Hastie, Efron (2014) Confidence intervals for random forests. J Mach Learn Res 15:1625
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.cohort import InputError
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample import expected_draws
from dediag.resample.expected_draws import ExpectedArms
from dediag.rounding import apart, percent
from dediag.stats.draw_sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.against_full import Drawn
    from dediag.resample.plans import Plan
    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]

SHIFT_LIMIT = 0.05  # log2; a fold change of 3.5 %: below what any follow-up can measure
SMALLEST_MEAN = 10.0  # in both groups, of the genes whose shift is measured: below it -v / (2 n) is too rough
SHIFT_SAID = 0.01  # log2: a predicted shift from here on is called one
# Both are about the lower end of the predicted size's 95 % interval. In 61 simulated cohorts without a fault (4 v 12 to
# 60 v 5, with outliers, with a hidden batch) it was at most .052; at 5 v 20 with dispersions 4 : 1 it is .19 and more.
SIZE_WARN = 0.07  # more than this share of genes without effect is called at p < .05 ...
SIZE_FAIL = 0.10  # ... or twice the nominal rate
SIZE_GAIN = 0.03  # by how much balance must bring the size down for imbalance to be the cause
SHARE_SAID = 0.03  # a share of calls that is up is said to move from here on
COHORTS = 8  # simulated, with two draws of each arm, for what the arms are expected to call
LEVEL = 0.99  # of the prediction intervals of shares and numbers of calls
FEWEST_CALLS = 10  # below it a share of calls says nothing
UNRATED = " The error rate was not assessed: too few samples or genes for dispersions of each group."
DIFFERENCE = "log2, observed - predicted"
ROLES = {"balanced": "test", "control": "reference"}  # looks of the draws


@dataclass(frozen=True)
class Imbalance:
    """What draws of samples show."""

    test: str
    reference: str
    n_test: int
    n_reference: int
    n_up: int
    n_down: int
    base_mean: Array  # (n_shown,) genes expressed in both groups
    full_lfc: Array  # (n_shown,) log2, all samples
    arms: Mapping[str, Drawn]  # "balanced" and "control", as far as they were drawn; none for equal groups
    expected: ExpectedArms  # of the arms' calls
    slope: float | None  # of the balanced draws' mean fold change on the full fit's
    sizes: Sizes | None  # None: a group has too few samples for dispersions of its own

    @property
    def up_fraction(self) -> float | None:
        """Share of the full fit's calls that are up; None without calls."""
        calls = self.n_up + self.n_down
        return self.n_up / calls if calls else None


def plan(study: Study) -> Mapping[str, Plan]:
    """Balanced draws and, where large enough, control draws; both in simulated cohorts too; none for equal groups."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so the groups have no one difference")
    arms = study.draw_arms
    if not arms and study.n_test != study.n_reference:
        raise NotAssessable("no balanced draw of samples lets every coefficient of the design be estimated")
    own = study.log_variance_ratio is not None  # whether the groups have dispersions of their own
    expected = expected_draws.plan(arms, min(study.settings.bootstraps, COHORTS), study.seed, by_group=own)
    return arms | ({} if expected is None else {"expected": expected})


def compute(study: Study) -> Imbalance:
    """Shift and calls of each arm, what the arms are expected to call, and the predicted sizes."""
    fit, plans = study.fit, plan(study)
    smaller = np.nan_to_num(np.minimum(study.mean_test, study.mean_reference))
    shown = np.flatnonzero(np.isfinite(fit.lfc) & (smaller >= SMALLEST_MEAN))
    if plans and not shown.size:
        raise NotAssessable(f"no gene has a mean count of {SMALLEST_MEAN:g} in both groups")
    try:
        arms = {name: study.against_full(draws, shown) for name, draws in study.draw_arms.items()}
    except (InputError, ValueError) as error:
        raise NotAssessable(str(error)) from error
    expected, made = ExpectedArms(), {name: arm.draws for name, arm in arms.items()}
    if "expected" in plans:
        expected = expected_draws.expected(study.ensemble(plans["expected"]), made, LEVEL)
    balanced, up = arms.get("balanced"), fit.lfc > 0
    return Imbalance(
        test=str(fit.contrast.test), reference=str(fit.contrast.reference), n_test=study.n_test,
        n_reference=study.n_reference, n_up=int((study.significant & up).sum()),
        n_down=int((study.significant & ~up).sum()), base_mean=fit.base_mean[shown], full_lfc=fit.lfc[shown],
        arms=arms, expected=expected,
        slope=None if balanced is None else balanced.slope(fit.lfc[shown]),
        sizes=_sizes(study, None if balanced is None else balanced.n_test),
    )  # fmt: skip


def _sizes(study: Study, draw_size: int | None) -> Sizes | None:
    """Predicted from the ratio of the groups' dispersions, as in heteroskedasticity; balance changes the sizes only."""
    fit = study.fit
    try:
        ratio = study.dispersion_ratio.estimates()[0]
    except ArithmeticError as reason:  # no trend: no more than Poisson variance
        raise NotAssessable(f"one group has no dispersion of its own: {reason}") from reason
    except ValueError:  # fewer than 3 residual degrees of freedom
        return None
    tested = np.isfinite(fit.pvalue) & np.isfinite(fit.dispersion) & (fit.base_mean > 0)
    return Sizes.of(study.error_model, ratio, draw_size, tested, fit.lfc, fit.lfc_se, study.significant)


def judge(result: Imbalance) -> Verdict:
    """Fail where balance would visibly mend the error rate, or moves fold changes by more than the sizes predict."""
    sizes, arm, rate = f"{result.n_test} v {result.n_reference}", result.arms.get("balanced"), result.sizes
    unrated = UNRATED if rate is None else ""
    if arm is None:
        said = f"The groups are equally large ({sizes}), so there is nothing to balance and nothing was drawn."
        return Verdict(Status.PASS, said, f"Nothing to do.{unrated}", 0)
    low, high = arm.shift.interval()
    numbers = (arm.shift.observed, arm.shift.predicted, low, high)
    seen, due, *ends = (apart(number, SHIFT_LIMIT, -SHIFT_LIMIT, decimals=3)[0] for number in numbers)
    moved = (
        f"{arm.draws} balanced draws move the median fold change by {seen} log2, predicted {due} (90 % interval of the "
        f"difference {ends[0]} to {ends[1]}, limit {SHIFT_LIMIT:g})"
    )
    more = f"{_direction(result)}{unrated}"
    if low > SHIFT_LIMIT or high < -SHIFT_LIMIT:
        said = f"Unequal group size ({sizes}) goes with a shift that it does not explain: {moved}."
        return Verdict(Status.FAIL, said, f"Look for samples of the larger group that differ from the rest.{more}")
    gain = 0.0 if rate is None or rate.balanced is None else rate.full.value - rate.balanced
    if rate is not None and rate.full.low >= SIZE_WARN and gain >= SIZE_GAIN:
        status = Status.FAIL if rate.full.low >= SIZE_FAIL else Status.WARN
        advice = (
            "Use standard errors from each group's own dispersion (see heteroskedasticity); discarding samples mends "
            f"the error rate too, but wastes what they know.{more}"
        )
        return Verdict(status, _wrong_size(result, rate), advice, rate.n_lost)
    if not np.isfinite((low, high)).all():
        headline = f"Whether unequal group size ({sizes}) biases the fold changes is not settled by so few draws."
        reason = f"{arm.draws} balanced draws give the shift no finite interval"
        return Verdict(Status.NOT_ASSESSABLE, headline, f"Ask for more draws.{unrated}", reason=reason)
    if max(-low, high) > SHIFT_LIMIT:
        said = "shows no bias, but too few samples exclude one"
    else:
        must = abs(arm.shift.predicted) >= SHIFT_SAID
        said = "moves the fold changes as far as small samples must" if must else "does not bias the fold changes"
    headline = f"Unequal group size ({sizes}) {said}: {moved}"
    if rate is not None and rate.balanced is not None:
        headline += f"; error rate at p < .05: {percent(rate.full.value, 1)}, balanced {percent(rate.balanced, 1)}"
    return Verdict(Status.PASS, f"{headline}.", f"Keep all samples; discarding some only loses power.{more}", 0)


def _wrong_size(result: Imbalance, rate: Sizes) -> str:
    """The one sentence with effect and cause."""
    smaller, larger, ratio = result.test, result.reference, rate.ratio
    if result.n_test > result.n_reference:
        smaller, larger, ratio = larger, smaller, 1.0 / ratio
    wrong = (
        f"{percent(rate.full.value)} of genes without effect have p < .05 (balanced draws: {percent(rate.balanced)})"
    )
    times = f"the smaller group ({smaller}) is {ratio:.2g} times as dispersed as {larger}"
    return f"At {result.n_test} v {result.n_reference}, {wrong}, because {times}, which one dispersion per gene hides."


def _direction(result: Imbalance) -> str:
    """One sentence: whether balance or size moves the share of calls that are up; empty where calls are too few."""
    arms, full = list(result.arms.values()), result.up_fraction
    shares = [arm.up_fraction for arm in arms if arm.up_fraction is not None and arm.mean_calls >= FEWEST_CALLS]
    if full is None or result.n_up + result.n_down < FEWEST_CALLS or len(shares) < len(arms):
        return ""
    control = f", {shares[1]:.2f} in control" if len(arms) > 1 else ""
    what = f"the share of calls that are up ({full:.2f} in full, {shares[0]:.2f} in balanced{control} draws)"
    if max(abs(share - full) for share in shares) < SHARE_SAID:
        return f" Neither balance nor fewer samples move {what}."
    if len(arms) < 2:
        return f" Balanced draws move {what}; whether balance or their size does is not known."
    gap, usual = shares[0] - shares[1], result.expected.up_fraction_gap
    if abs(gap) <= abs(shares[1] - full):
        return f" Fewer samples rather than balance move {what}."
    alike = ", unlike what this design does by itself"
    if usual.low <= gap <= usual.high:
        alike = ", no more than chance does" if usual.low <= 0.0 <= usual.high else ", as this design does by itself"
    return f" Balance rather than fewer samples moves {what}{alike if usual.known else ''}."


def metrics(result: Imbalance) -> list[Metric]:
    """The contract's numbers; the interval is that of the difference between observed and predicted shift."""
    arm, control, rate, expected = *(result.arms.get(name) for name in ROLES), result.sizes, result.expected
    low, high = (None, None) if arm is None else arm.shift.interval()
    return [
        Metric("draws", arm.draws if arm else 0),
        Metric("draw_size", arm.n_test if arm else None, unit="samples per group"),
        Metric("lfc_bias_median", arm.shift.observed if arm else None, unit="log2"),
        Metric("lfc_bias_predicted", arm.shift.predicted if arm else None, unit="log2"),
        Metric("lfc_bias_difference", arm.shift.difference if arm else None, low, high, SHIFT_LIMIT, DIFFERENCE),
        Metric("lfc_bias_ci_low", low, limit=-SHIFT_LIMIT, unit=DIFFERENCE),
        Metric("lfc_bias_ci_high", high, limit=SHIFT_LIMIT, unit=DIFFERENCE),
        Metric("lfc_slope", result.slope),
        Metric("up_fraction_full", result.up_fraction),
        Metric("up_fraction_balanced", arm.up_fraction if arm else None),
        Metric("up_fraction_control", control.up_fraction if control else None),
        Metric("size_full", *_three(rate.full if rate else None), SIZE_WARN),
        Metric("size_balanced", rate.balanced if rate else None),
        *(Metric(f"expected_up_fraction_{name}", *_three(expected.of(name).up_fraction)) for name in ROLES),
        Metric("expected_up_fraction_gap", *_three(expected.up_fraction_gap), unit="balanced - control"),
        Metric("calls_ratio", arm.mean_calls / control.mean_calls if arm and control and control.mean_calls else None),
        Metric("expected_calls_ratio", *_three(expected.calls_ratio), unit="balanced / control"),
    ]


def _three(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """Value and limits, where there are any."""
    return estimate if estimate is not None and estimate.known else (None, None, None)


def tables(result: Imbalance) -> list[Table]:
    """Both arms in numbers, and every draw."""
    arms = result.arms
    if not arms:
        return []
    rows = [{"draws": name} | arm.summary() | result.expected.of(name).summary() for name, arm in arms.items()]
    single: dict[str, list[object]] = {
        "draws": [name for name, arm in arms.items() for _ in range(arm.draws)],
        "difference": [float(d) for arm in arms.values() for d in arm.shift.per_draw],
        "n_up": [int(n) for arm in arms.values() for n in arm.n_up],
        "n_down": [int(n) for arm in arms.values() for n in arm.n_down],
    }
    caption = (
        "Shift of the mean of the draws against the full fit (log2, medians over genes); its difference from the "
        "predicted one (90 % interval); calls per draw and their share up, with what simulated cohorts give (99 %)."
    )
    return [
        Table("arms", caption, {column: [row[column] for row in rows] for column in rows[0]}),
        Table("draws", "Every draw: observed minus predicted shift (log2) and calls.", single),
    ]


def draw(result: Imbalance) -> list[Figure]:
    """Mean fold change of each arm against the full fit's, and the calls of every draw."""
    return [_fold_changes(result), _calls(result)] if result.arms else []


def _fold_changes(result: Imbalance) -> Figure:
    arms = result.arms
    figure = drawing.new_figure(*(drawing.PAIR if len(arms) == 2 else drawing.SQUARE))
    panels = np.atleast_1d(figure.subplots(1, len(arms), sharex=True, sharey=True))
    change = {name: arm.mean_lfc - result.full_lfc for name, arm in arms.items()}
    reach = max(2.0 * SHIFT_LIMIT, *(float(np.nanquantile(np.abs(c), 0.998)) for c in change.values()))
    for ax, (name, arm) in zip(panels, arms.items(), strict=True):
        drawing.band(ax, -SHIFT_LIMIT, SHIFT_LIMIT, label=f"within {SHIFT_LIMIT:g}")
        drawing.cloud(ax, result.base_mean, np.clip(change[name], -reach, reach), ROLES[name], label="a gene")
        drawing.reference_line(ax, arm.shift.observed, role="observed", label="median")
        drawing.reference_line(ax, arm.shift.predicted, role="predicted", label="predicted from the sizes")
        title = f"{name}: {arm.draws} draws of {arm.n_test} v {arm.n_reference}"
        ax.set(xscale="log", xlabel="base mean (all samples)", title=title)
        drawing.legend(ax)
    panels[0].set_ylabel(f"log2 fold change: mean of draws\nminus all samples ({result.n_test} v {result.n_reference})")
    shifts = {name: arm.shift for name, arm in arms.items()}
    said = " and ".join(f"{s.observed:.3f} ({name}, predicted {s.predicted:.3f})" for name, s in shifts.items())
    caption = (
        f"Genes with a mean of {SMALLEST_MEAN:g} or more in both groups; those beyond the frame stand at its edge. "
        f"Median shift: {said} log2."
    )
    alt = f"Change of each gene's fold change in {' and '.join(arms)} draws by base mean; median shift {said}."
    return Figure("fold_changes", drawing.to_svg(figure), caption, alt)


def _calls(result: Imbalance) -> Figure:
    arms = result.arms
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for name, arm in arms.items():
        label = f"{name} draw, {arm.n_test} v {arm.n_reference}"
        drawing.cloud(left, arm.n_up, arm.n_down, ROLES[name], label=label, size=28.0)
    drawing.cloud(left, [result.n_up], [result.n_down], "limit", label="all samples", size=90.0, alpha=1.0)
    left.set(xlabel="genes called up", ylabel="genes called down", title="Calls")
    shares = {"all samples": result.up_fraction} | {name: arm.up_fraction for name, arm in arms.items()}
    at = np.arange(float(len(shares)))
    drawing.cloud(right, at, np.array([*shares.values()], float), "observed", label="observed", size=60.0)
    expected = np.array([result.expected.of(name).up_fraction for name in arms])  # (n_arms, 3)
    drawing.intervals(right, at[1:] + 0.2, *expected.T, role="expected", label="expected, 99 % interval")
    right.set_xticks(at, list(shares))
    right.set(xlim=(-0.5, len(at) - 0.5), ylabel="share of calls that are up", title="Direction")
    drawing.legend(left)
    drawing.legend(right)
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if share is not None) or "no calls"
    caption = (
        "Left: calls of every draw; control draws are as precise as balanced ones, but not balanced. Right: share of "
        f"calls that are up, and what draws from simulated cohorts give. Share up: {said}."
    )
    return Figure("calls", drawing.to_svg(figure), caption, f"Calls up and down in every draw; share up: {said}.")


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=(
        "draws", "draw_size", "lfc_bias_median", "lfc_bias_predicted", "lfc_bias_ci_low", "lfc_bias_ci_high",
        "lfc_slope", "up_fraction_full", "up_fraction_balanced", "up_fraction_control", "size_full", "size_balanced",
    ),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", 4.0, frozenset({"fail"})),
)  # fmt: skip
