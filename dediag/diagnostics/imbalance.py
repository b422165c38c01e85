"""Does the unequal group size bias the fold changes?

Each group's mean is estimated from that group's own samples, so the larger group has no vote on the smaller one's:
unequal numbers change the precision of a fold change and, to first order, not its location. To second order the log of
a mean of n counts lies v / (2 n) too low (v = 1/mean + dispersion), more so in the smaller group, so a predictable
shift remains where one group is very small.

Measured: many balanced draws take equally many samples of both groups and are refitted in full (size factors,
dispersions, trend, tests). The shift of their mean fold change against the full fit is printed beside the predicted
one; the test of equivalence (two one-sided tests, 5 % each) is about the DIFFERENCE between the two. Its interval
leaves out samples in turn, so genes that go together are not counted as so many witnesses; the share that comes from
normalising each draw anew is measured on random parts of the genes. A control arm draws at the original ratio as many
samples as give the same precision, so that what fewer samples do is told apart from what balance does.

What unequal size can do is turn unequal dispersion into a wrong error rate: if the smaller group is the more
dispersed, one shared dispersion per gene makes its standard errors too small. `size_full` and `size_balanced` are the
shares of genes without effect with p < .05 in the full study and in a balanced draw, predicted by one median ratio of
the groups' dispersions applied to the pooled ones; the finding fails if balance brings the first visibly closer to .05.

How to read it: each point is a gene's change from the full fit to the mean of the draws, against its base mean; points
around the zero line mean that balance changes nothing but noise. Fewer significant genes in balanced
draws than in the full fit mean loss of power; compare them with the control draws before blaming balance.

What it does not show: draws share the samples of the smaller group, so they repeat its accidents; agreement among
draws is not replication. A fault that both arms share (confounding, normalisation) is not seen here.

References:
- Love MI, Huber W, Anders S (2014). Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2.
  Genome Biology 15:550.
- Schuirmann DJ (1987). A comparison of the two one-sided tests procedure and the power approach for assessing the
  equivalence of average bioavailability. Journal of Pharmacokinetics and Biopharmaceutics 15:657-680.
- Wager S, Hastie T, Efron B (2014). Confidence intervals for random forests: the jackknife and the infinitesimal
  jackknife. Journal of Machine Learning Research 15:1625-1651.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.cohort import InputError
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.stats.error_rate import predicted_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dediag.resample.against_full import Drawn
    from dediag.resample.plans import Subsets
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
UNRATED = " The error rate was not assessed: too few samples or genes for dispersions of each group."
ROLES = ("test", "reference")  # looks of the balanced and of the control draws


@dataclass(frozen=True)
class Sizes:
    """Shares of genes without effect that would have p < .05, and what they rest on."""

    full: Estimate
    balanced: float | None  # None: nothing to balance
    ratio: float  # of the groups' dispersions, test over reference
    n_lost: int  # calls that fail at standard errors from group dispersions and without the shift


@dataclass(frozen=True)
class Imbalance:
    """What draws of samples show; `balanced` None means that the groups are equally large."""

    test: str
    reference: str
    n_test: int
    n_reference: int
    n_up: int
    n_down: int
    base_mean: Array  # (n_shown,) genes expressed in both groups
    full_lfc: Array  # (n_shown,) log2, all samples
    balanced: Drawn | None
    control: Drawn | None
    slope: float | None  # of the balanced draws' mean fold change on the full fit's
    sizes: Sizes | None  # None: a group has too few samples for dispersions of its own


def plan(study: Study) -> Mapping[str, Subsets]:
    """Balanced draws and, where they are large enough, control draws; none for equal groups."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so the groups have no one difference")
    if study.n_test == study.n_reference:
        return {}
    if study.balanced_draws is None:
        raise NotAssessable("no balanced draw of samples lets every coefficient of the design be estimated")
    control = study.control_draws
    return {"balanced": study.balanced_draws} | ({} if control is None else {"control": control})


def compute(study: Study) -> Imbalance:
    """Shift and calls of each arm, and the predicted sizes."""
    fit = study.fit
    smaller = np.nan_to_num(np.minimum(study.mean_test, study.mean_reference))
    shown = np.flatnonzero(np.isfinite(fit.lfc) & (smaller >= SMALLEST_MEAN))
    plans = plan(study)
    if plans and not shown.size:
        raise NotAssessable(f"no gene has a mean count of {SMALLEST_MEAN:g} in both groups")
    try:
        arms = {name: study.against_full(draws, shown) for name, draws in plans.items()}
    except (InputError, ValueError) as error:
        raise NotAssessable(str(error)) from error
    balanced = arms.get("balanced")
    sizes = _sizes(study, None if balanced is None else balanced.n_test)
    return Imbalance(
        test=str(fit.contrast.test),
        reference=str(fit.contrast.reference),
        n_test=study.n_test,
        n_reference=study.n_reference,
        n_up=int((study.significant & (fit.lfc > 0)).sum()),
        n_down=int((study.significant & (fit.lfc < 0)).sum()),
        base_mean=fit.base_mean[shown],
        full_lfc=fit.lfc[shown],
        balanced=balanced,
        control=arms.get("control"),
        slope=None if balanced is None else balanced.slope(fit.lfc[shown]),
        sizes=sizes,
    )


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
    model = study.error_model.take(tested)
    full = model.mean_size(ratio)
    if not full.known:
        return None
    shift, balanced = float(model.shift(ratio.value)), None
    if draw_size is not None:
        phi, means = model.dispersions(ratio.value), (model.mean_test, model.mean_reference)
        balanced = float(predicted_size(*means, *phi, draw_size, draw_size, shift_log2=shift).mean())
    calls = study.error_model.take(study.significant)
    se = fit.lfc_se[study.significant] * np.sqrt(calls.variance_ratio(ratio.value))
    corrected = np.abs(fit.lfc[study.significant] - shift) / se
    weakest = np.abs(fit.stat[study.significant]).min(initial=np.inf)
    return Sizes(full, balanced, float(2.0**ratio.value), int((corrected < weakest).sum()))


def judge(result: Imbalance) -> Verdict:
    """Fail where balance would visibly mend the error rate, or moves fold changes by more than the sizes predict."""
    sizes, arm, rate = f"{result.n_test} v {result.n_reference}", result.balanced, result.sizes
    unrated = UNRATED if rate is None else ""
    if arm is None:
        headline = f"The groups are equally large ({sizes}), so there is nothing to balance."
        return Verdict(Status.PASS, headline, f"Nothing to do.{unrated}", 0)
    low, high = arm.shift.interval()
    moved = (
        f"{arm.draws} balanced draws move the median fold change by {arm.shift.observed:+.3f} log2, predicted "
        f"{arm.shift.predicted:+.3f} (90 % interval of the difference {low:+.3f} to {high:+.3f}, limit {SHIFT_LIMIT:g})"
    )
    if low > SHIFT_LIMIT or high < -SHIFT_LIMIT:
        headline = f"Unequal group size ({sizes}) goes with a shift that it does not explain: {moved}."
        advice = f"Look for samples of the larger group that differ from the rest.{unrated}"
        return Verdict(Status.FAIL, headline, advice)
    if rate is not None and rate.balanced is not None:
        wrong = rate.full.low >= SIZE_WARN and rate.full.value - rate.balanced >= SIZE_GAIN
        if wrong:
            status = Status.FAIL if rate.full.low >= SIZE_FAIL else Status.WARN
            advice = (
                "Use standard errors from each group's own dispersion (see heteroskedasticity); discarding samples "
                "mends the error rate too, but wastes what they know."
            )
            return Verdict(status, _wrong_size(result, rate), advice, rate.n_lost)
    if not np.isfinite((low, high)).all():
        headline = f"Whether unequal group size ({sizes}) biases the fold changes is not settled by so few draws."
        reason = f"{arm.draws} balanced draws give the shift no finite interval"
        return Verdict(Status.NOT_ASSESSABLE, headline, f"Ask for more draws.{unrated}", reason=reason)
    if max(-low, high) > SHIFT_LIMIT:
        headline = f"Unequal group size ({sizes}) shows no bias, but too few samples exclude one: {moved}"
    elif abs(arm.shift.predicted) >= SHIFT_SAID:
        headline = f"Unequal group size ({sizes}) moves the fold changes as far as small samples must: {moved}"
    else:
        headline = f"Unequal group size ({sizes}) does not bias the fold changes: {moved}"
    if rate is not None and rate.balanced is not None:
        headline += f"; predicted error rate at p < .05: {rate.full.value:.1%}, balanced {rate.balanced:.1%}"
    advice = f"Keep all samples; discarding some only loses power.{unrated}"
    return Verdict(Status.PASS, f"{headline}.", advice, 0)


def _wrong_size(result: Imbalance, rate: Sizes) -> str:
    """The one sentence with effect and cause."""
    smaller, larger, ratio = result.test, result.reference, rate.ratio
    if result.n_test > result.n_reference:
        smaller, larger, ratio = larger, smaller, 1.0 / ratio
    return (
        f"At {result.n_test} v {result.n_reference}, {rate.full.value:.0%} of genes without effect would have p < .05 "
        f"(balanced draws: {rate.balanced:.0%}), because the smaller group ({smaller}) is {ratio:.2g} times as "
        f"dispersed as {larger}, which one dispersion per gene hides."
    )


def metrics(result: Imbalance) -> list[Metric]:
    """The contract's numbers; the interval is that of the difference between observed and predicted shift."""
    arm, control, rate = result.balanced, result.control, result.sizes
    low, high = (None, None) if arm is None else arm.shift.interval()
    size, size_low, size_high = rate.full if rate else (None, None, None)
    return [
        Metric("draws", arm.draws if arm else 0),
        Metric("draw_size", arm.n_test if arm else None, unit="samples per group"),
        Metric("lfc_bias_median", arm.shift.observed if arm else None, unit="log2"),
        Metric("lfc_bias_predicted", arm.shift.predicted if arm else None, unit="log2"),
        Metric("lfc_bias_difference", arm.shift.difference if arm else None, low, high, SHIFT_LIMIT, "log2"),
        Metric("lfc_bias_ci_low", low, limit=-SHIFT_LIMIT, unit="log2"),
        Metric("lfc_bias_ci_high", high, limit=SHIFT_LIMIT, unit="log2"),
        Metric("lfc_slope", result.slope),
        Metric("up_fraction_full", _share(result.n_up, result.n_down)),
        Metric("up_fraction_balanced", arm.up_fraction if arm else None),
        Metric("up_fraction_control", control.up_fraction if control else None),
        Metric("size_full", size, size_low, size_high, SIZE_WARN),
        Metric("size_balanced", rate.balanced if rate else None),
    ]


def _share(up: int, down: int) -> float | None:
    return up / (up + down) if up + down else None


def _arms(result: Imbalance) -> dict[str, Drawn]:
    arms = {"balanced": result.balanced, "control": result.control}
    return {name: arm for name, arm in arms.items() if arm is not None}


def tables(result: Imbalance) -> list[Table]:
    """Both arms in numbers, and every draw."""
    arms = _arms(result)
    if not arms:
        return []
    intervals = [arm.shift.interval() for arm in arms.values()]
    summary: dict[str, Sequence[object]] = {
        "draws": list(arms),
        "n_draws": [arm.draws for arm in arms.values()],
        "n_test": [arm.n_test for arm in arms.values()],
        "n_reference": [arm.n_reference for arm in arms.values()],
        "shift_observed": [arm.shift.observed for arm in arms.values()],
        "shift_predicted": [arm.shift.predicted for arm in arms.values()],
        "by_normalisation": [arm.shift.normalisation for arm in arms.values()],
        "difference": [arm.shift.difference for arm in arms.values()],
        "ci_low": [low for low, _ in intervals],
        "ci_high": [high for _, high in intervals],
        "up_fraction": [arm.up_fraction for arm in arms.values()],
        "median_calls": [float(np.median(arm.n_up + arm.n_down)) for arm in arms.values()],
    }
    single: dict[str, Sequence[object]] = {
        "draws": [name for name, arm in arms.items() for _ in range(arm.draws)],
        "difference": [float(d) for arm in arms.values() for d in arm.shift.per_draw],
        "n_up": [int(n) for arm in arms.values() for n in arm.n_up],
        "n_down": [int(n) for arm in arms.values() for n in arm.n_down],
    }
    caption = "Shift of the mean of the draws against the full fit (log2, medians over genes), and calls."
    return [
        Table("arms", caption, summary),
        Table("draws", "Every draw: observed minus predicted shift (log2) and calls.", single),
    ]


def draw(result: Imbalance) -> list[Figure]:
    """Mean fold change of each arm against the full fit's, and the calls of every draw."""
    arms = _arms(result)
    return [_fold_changes(result, arms), _calls(result, arms)] if arms else []


def _fold_changes(result: Imbalance, arms: dict[str, Drawn]) -> Figure:
    figure = drawing.new_figure(*(drawing.PAIR if len(arms) == 2 else drawing.SQUARE))
    panels = np.atleast_1d(figure.subplots(1, len(arms), sharex=True, sharey=True))
    change = {name: arm.mean_lfc - result.full_lfc for name, arm in arms.items()}
    reach = max(2.0 * SHIFT_LIMIT, *(float(np.nanquantile(np.abs(c), 0.998)) for c in change.values()))
    for ax, (name, arm), role in zip(panels, arms.items(), ROLES, strict=False):
        drawing.band(ax, -SHIFT_LIMIT, SHIFT_LIMIT, label=f"within {SHIFT_LIMIT:g}")
        drawing.cloud(ax, result.base_mean, np.clip(change[name], -reach, reach), role, label="a gene")
        drawing.reference_line(ax, arm.shift.observed, role="observed", label="median")
        drawing.reference_line(ax, arm.shift.predicted, role="predicted", label="predicted from the sizes")
        ax.set_xscale("log")
        ax.set_title(f"{name}: {arm.draws} draws of {arm.n_test} v {arm.n_reference}")
        ax.set_xlabel("base mean (all samples)")
        drawing.legend(ax, location="lower right")
    panels[0].set_ylabel(f"log2 fold change: mean of draws\nminus all samples ({result.n_test} v {result.n_reference})")
    said = " and ".join(
        f"{arm.shift.observed:+.3f} ({name}, predicted {arm.shift.predicted:+.3f})" for name, arm in arms.items()
    )
    return Figure(
        "fold_changes",
        drawing.to_svg(figure),
        f"Genes with a mean of {SMALLEST_MEAN:g} or more in both groups; those beyond the frame stand at its edge. "
        f"Median shift: {said} log2.",
        f"Change of each gene's fold change in {' and '.join(arms)} draws by base mean; median shift {said}.",
    )


def _calls(result: Imbalance, arms: dict[str, Drawn]) -> Figure:
    figure = drawing.new_figure(*drawing.SQUARE)
    ax = figure.subplots()
    for (name, arm), role in zip(arms.items(), ROLES, strict=False):
        drawing.cloud(ax, arm.n_up, arm.n_down, role, label=f"{name} draw, {arm.n_test} v {arm.n_reference}", size=28.0)
    drawing.cloud(ax, [result.n_up], [result.n_down], "limit", label="all samples", size=90.0, alpha=1.0)
    ax.set_xlabel("significant genes up")
    ax.set_ylabel("significant genes down")
    drawing.legend(ax)
    shares = ", ".join(f"{name} {a.up_fraction:.2f}" for name, a in arms.items() if a.up_fraction is not None)
    return Figure(
        "calls",
        drawing.to_svg(figure),
        "Significant genes of every draw. Fewer calls than with all samples are loss of power if the control draws, "
        f"which are as precise but not balanced, show as few. Share of calls that are up: {shares or 'no calls'}.",
        f"Calls up and down in every draw; share up: {shares or 'no calls'}.",
    )


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
