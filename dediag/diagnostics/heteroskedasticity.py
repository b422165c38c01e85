"""Do the groups differ in dispersion, and what does that do to the error rate here?

What is measured: the ratio of the groups' dispersions (test over reference), and from it the share of genes without
any effect that this study's test, which has one dispersion per gene, calls significant at p < .05 (`predicted_size`).

Why: counts of equal mean but unequal dispersion break the test in two ways. *Variance*: the true variance of a log
fold change is v1/n1 + v2/n2 with v = 1/mean + dispersion; the test puts one pooled dispersion in place of both. Their
ratio (`variance_ratio`) is above 1, and the test liberal, when the SMALLER group is the more dispersed; below 1, and
the test conservative, when the larger one is; about 1 when the groups are equally large. *Shift*: size factors that
are estimated on the log scale come out too small for the more dispersed group, since the median of a log count lies
below the log of its mean, the more so the more dispersed. All genes of that group go up (`shift_log2`), at any group
size; against a standard error that shrinks with n this makes every large study liberal. With R and d, the shift over
the standard error, a gene without effect is called with probability Phi(-(z - d) / sqrt R) + Phi(-(z + d) / sqrt R).

How: gene-wise dispersions of each group alone; the median log2 ratio over genes with a mean count of 10 and more in
both groups, freed of its small-sample bias by cohorts simulated at the same sizes and depths with the ratio that was
found. Interval: samples are left out (jackknife, 6 and more a group); below that from simulated cohorts that keep the
samples' own residuals together. The shift is what the study's own normalisation does to counts simulated with these
dispersions and without effect.

How to read it: `ratio_ci_low` to `ratio_ci_high` is a 95 % interval of the log2 ratio; that of `predicted_size`
follows from it. The status looks at the end of the interval that is nearer to health. The table of remedies shows,
without applying them, what the list becomes with group dispersions (Satterthwaite t; `n_de_group_dispersion`), with
recentred size factors (median fold change of well-expressed genes zero), with both, and by voom with a trend per
group, a second opinion. The test with group dispersions is the more cautious one even between equal groups: what it
loses with both at their average dispersion is lost to caution, and says nothing about the call. What else vanishes
with no more than the groups' dispersions and the shift that these explain is lost to the difference: those are the
calls at risk. `expected_fdp` is an upper estimate (many small effects count as none) of the share of the calls without
effect: p-values up to the largest called one in cohorts simulated without effect, with the groups' dispersions and
normalised again, times the share of genes without effect. Where those cohorts contradict the formula
(`simulated_size`, by more than .015 and 15 %) the headline gives both.

What it does not show: `shift_log2` is the part of the median fold change that unequal dispersion explains. Below 4
samples a group there is no answer; at 4 or 5 a single bad one and a more dispersed group look alike. Below 6 the
interval of the ratio holds in 92 of 100 cohorts; above, of genes that do not vary together, it is twice as wide as
needed. The prediction is first order: below a mean count of about 5 the test's own discreteness matters more. The test
with both remedies has a size of .033 to .052 from a mean of 50 on, less below (reports/validation_variance,
validation_dispersions). With covariates the groups are treated as if compared alone.

References:
- Satterthwaite (1946) An approximate distribution of estimates of variance components. Biometrics Bull 2:110
- Anders, Huber (2010) Differential expression analysis for sequence count data, eq. 5. Genome Biol 11:R106
- Love, Huber, Anders (2014) Moderated estimation of fold change and dispersion, eq. 5 to 10. Genome Biol 15:550
- You et al. (2023) Modeling group heteroscedasticity in single-cell RNA-seq pseudo-bulk data. Genome Biol 24:107
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.drawing.error_rates import error_map
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import EXPRESSED, Remedy, remedies, remedy_columns
from dediag.resample.dispersion_ratio import TREND_MEANS
from dediag.rounding import apart, counted, fixed, settled, span
from dediag.stats.error_by_expression import Bins, columns, gene_columns, median
from dediag.stats.false_discoveries import false_discovery_proportion
from dediag.study import RATIO_EDGES, RATIO_GENES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dediag.resample.plans import Plan
    from dediag.stats.error_by_expression import ExpressionBin
    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]

WARN_SIZE = 0.06  # of genes without effect with p < .05, surely; reports/validation: "Where the limits lie"
FAIL_SIZE = 0.10  # twice the nominal rate
LOW_SIZE = 0.03  # surely fewer than this: power is given away
WARN_SHIFT = 0.05  # log2 by which all fold changes are surely moved
BOTH, APART, APART_SHARE = 2, 0.015, 0.15  # of the remedies; where formula and simulated cohorts disagree
MAP_RATIOS = np.linspace(-3.0, 3.0, 13)  # log2, of the map
SPANS = [span(low, high) for low, high in pairwise(RATIO_EDGES)]


@dataclass(frozen=True)
class Heteroskedasticity:
    """The groups' dispersions and what their difference does; ratios and shifts log2, test over reference."""

    groups: tuple[str, str]
    sizes: tuple[int, int]
    ratio: Estimate
    bias: float  # small-sample bias that was taken off the ratio
    method: str  # behind its interval
    variance_ratio: float  # median over tested genes
    size: Estimate  # predicted, mean over tested genes
    size_without_shift: float
    simulated_size: float | None  # of cohorts without effect, each group with its own dispersions
    fdp: float | None  # expected share of the calls without effect; None: no calls
    shift: Estimate | None  # None: size factors were given
    observed_median_lfc: float  # of well-expressed genes
    bins: tuple[ExpressionBin, ...]
    remedies: tuple[Remedy, ...]
    remedy: str  # as a command
    n_calls: int
    mean: Array  # (n_shown,) base means at which the trends are shown
    trends: Array  # (2, n_shown) dispersion of the test and the reference group
    trend_factors: Array  # (2, n_shown) by which its 95 % limits lie above and below
    genes: Mapping[str, Sequence[object]]  # columns of the tested genes, smallest p-value first
    map_sizes: Array  # (n_ratios, n_bins) predicted size at each of MAP_RATIOS


def plan(study: Study) -> Mapping[str, Plan]:
    """Cohorts without effect, those of null_calibration."""
    return {} if study.in_interaction or not study.has_group_dispersions else {"without effect": study.without_effect}


def compute(study: Study) -> Heteroskedasticity:
    """Estimate the ratio and follow it into the error rate and the list of calls."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit, called = study.fit, study.significant
    expressed = np.minimum(study.mean_test, study.mean_reference) >= EXPRESSED
    if expressed.sum() < RATIO_GENES:
        raise NotAssessable(f"fewer than {RATIO_GENES} genes have a mean count of {EXPRESSED:g} in both groups")
    try:
        test, reference, found = study.group_dispersion_test, study.group_dispersion_reference, study.dispersion_ratio
    except (ValueError, ArithmeticError) as reason:
        raise NotAssessable(f"one group has no dispersion of its own: {reason}") from reason
    ratio, *ratios = found.estimates()
    model = study.error_model
    tested = np.isfinite(fit.pvalue) & np.isfinite(model.dispersion) & (fit.base_mean > 0)
    overall = model.take(tested)
    shift = None if study.normalisation_shifts is None else overall.shift_estimate(ratio)
    moved = 0.0 if shift is None else shift.value
    null, used = study.ensemble(study.without_effect), np.isfinite(fit.padj)
    made = null.n_tested > 0
    false = false_discovery_proportion(fit.pvalue[used], null.pvalue[made][:, used], called[used])
    bins = Bins.of(fit.base_mean, RATIO_EDGES)
    other = remedies(fit, study.recentred, test, reference, moved, called)
    rows = np.flatnonzero(tested)[np.argsort(fit.pvalue[tested], kind="stable")]
    more = {"base_mean": fit.base_mean, "log2_fold_change": fit.lfc, "padj": fit.padj}
    more |= {f"padj_{name}": remedy.padj for name, remedy in zip(("group", "recentred", "both"), other, strict=False)}
    genes = gene_columns(model, study.own_dispersions, moved, rows, more)
    shown = np.geomspace(1.0, max(float(np.nanmax(fit.base_mean)), 10.0), 60)
    return Heteroskedasticity(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
        ratio=ratio,
        bias=float(found.bias[0]),
        method=found.method,
        variance_ratio=float(np.median(overall.variance_ratio(ratio.value))),
        size=study.predicted_size,
        size_without_shift=float(overall.sizes(ratio.value, 0.0).mean()),
        simulated_size=None if not made.any() else float((null.n_small[made] / null.n_tested[made]).mean()),
        fdp=false,
        shift=shift,
        observed_median_lfc=median(fit.lfc[expressed]),
        bins=bins.described(model, tested, (test.map, reference.map), ratios, moved),
        remedies=other,
        remedy=study.remedy,
        n_calls=int(called.sum()),
        mean=shown,
        trends=np.array([test.curve(shown), reference.curve(shown)]),
        trend_factors=np.array([np.exp2(1.96 * np.interp(shown, TREND_MEANS, se)) for se in found.trend_se]),
        genes={"gene_id": list(map(str, fit.cohort.genes[rows])), **genes},
        map_sizes=bins.sizes_at(model, tested, MAP_RATIOS),
    )


def judge(result: Heteroskedasticity) -> Verdict:
    """Limits on the end of each interval that is nearer to health."""
    size, shift, both = result.size, result.shift, result.remedies[BOTH]
    liberal, conservative, failed = size.low >= WARN_SIZE, size.high <= LOW_SIZE, size.low >= FAIL_SIZE
    sentence = f"{_ratio(result)}; {_error_rate(size, conservative=conservative, failed=failed)}{_simulated(result)}"
    nearer = 0.0 if shift is None else max(shift.low, -shift.high)
    if shift is not None and abs(shift.value) >= WARN_SHIFT / 2:
        least = f"at least {settled(max(nearer, 0.0), WARN_SHIFT, digits=2)}, limit {WARN_SHIFT:g}"
        sentence += f"; all fold changes moved by {fixed(shift.value, 2, sign=True)} log2 ({least})"
    if not (liberal or conservative or nearer >= WARN_SHIFT):
        advice = "See null_calibration, which judges the simulated cohorts" if _simulated(result) else "Nothing to do"
        if size.value >= WARN_SIZE:
            advice = "Not decided, so wide is the interval: few samples, or a single one (see sample_quality)"
        return Verdict(Status.PASS, f"{sentence}.", f"{advice}.{_price(result)}", calls_at_risk=0)
    if conservative:
        advice = f"Compare the list with the remedies: `{result.remedy}` finds what this test misses."
    else:
        lost = f"{counted(both.to_difference, 'call')} would vanish with both remedies because the groups differ"
        advice = (
            f"{lost} ({both.to_caution:,} more from caution): do not rely on them; `{result.remedy}` has the others."
        )
    return Verdict(Status.FAIL if failed else Status.WARN, f"{sentence}.", advice, calls_at_risk=both.to_difference)


def _ratio(result: Heteroskedasticity) -> str:
    value, low, high = apart(*(2.0**end for end in result.ratio), decimals=2)
    return (
        f"Dispersion in {result.groups[0]} is {value} times that in {result.groups[1]} (95 % interval {low} to {high})"
    )


def _error_rate(size: Estimate, *, conservative: bool, failed: bool) -> str:
    """The error rate, and the end of its interval that is judged, on its side of the limit."""
    limit = FAIL_SIZE if failed else LOW_SIZE if conservative else WARN_SIZE
    end = settled(100 * (size.high if conservative else size.low), 100 * limit, digits=2)
    bound = f"at {'most' if conservative else 'least'} {end} %, limit {100 * limit:g} %"
    return f"actual error rate {fixed(100 * size.value, 1)} % at nominal 5 % ({bound})"


def _simulated(result: Heteroskedasticity) -> str:
    """What simulated cohorts say where the formula says something else."""
    size, other = result.size.value, result.simulated_size
    if other is None or abs(other - size) <= max(APART, APART_SHARE * size):
        return ""
    return f" by formula, {fixed(100 * other, 1)} % in simulated cohorts"


def _price(result: Heteroskedasticity) -> str:
    """What a remedy would cost where nothing asks for one."""
    if not (groups := result.remedies[0]).vanish:
        return ""
    lost = f" With group dispersions {groups.vanish:,} of {counted(result.n_calls, 'call')} would be lost"
    of_them = f"{groups.to_caution:,} of them" if groups.to_difference else "all of them"
    return f"{lost}, {of_them} because that test is more cautious, whatever the groups."


def metrics(result: Heteroskedasticity) -> list[Metric]:
    """The numbers of report.json."""
    shift, shift_low, shift_high = result.shift or (None, None, None)
    return [
        Metric("log2_dispersion_ratio", *result.ratio, unit="log2"),
        Metric("ratio_ci_low", result.ratio.low, unit="log2"),
        Metric("ratio_ci_high", result.ratio.high, unit="log2"),
        Metric("predicted_size", *result.size, WARN_SIZE),
        Metric("variance_ratio", result.variance_ratio),
        Metric("shift_log2", shift, shift_low, shift_high, WARN_SHIFT, "log2"),
        Metric("n_de_group_dispersion", result.remedies[0].n_up + result.remedies[0].n_down, unit="genes"),
        Metric("expected_fdp", result.fdp),
        Metric("simulated_size", result.simulated_size),
        Metric("size_without_shift", result.size_without_shift),
        Metric("median_log2_fold_change", result.observed_median_lfc, unit="log2"),
        Metric("ratio_bias_removed", result.bias, unit="log2"),
    ]


def tables(result: Heteroskedasticity) -> list[Table]:
    """Ratio and error rate by expression; remedies; genes."""
    return [
        Table(
            "expression",
            "Dispersions by base mean (medians of shrunken values), their log2 ratio without small-sample bias with a "
            "95 % interval, medians of true over reported variance and of the shift over the standard error, and the "
            "share of genes without effect that would have p < .05.",
            columns(result.bins),
        ),
        Table(
            "map",
            "Share of genes without effect that would have p < .05 (median) by base mean, at other ratios.",
            {"log2_ratio": MAP_RATIOS.tolist()}
            | {f"size_at_{name}": sizes.tolist() for name, sizes in zip(SPANS, result.map_sizes.T, strict=True)},
        ),
        Table(
            "remedies",
            f"Calls under other analyses of the same counts; the main fit has {result.n_calls:,}. None is applied. "
            "Calls vanish because the test with group dispersions is more cautious, whatever the groups (to_caution), "
            "or because the groups differ (to_difference); voom by group is compared with voom in the same way.",
            remedy_columns(result.remedies),
        ),
        Table(
            "genes",
            "Tested genes: each group's dispersion, true over reported variance, shift over standard error, share with "
            "p < .05 without effect; adjusted p with group dispersions, recentred size factors, and both.",
            result.genes,
        ),
    ]


def draw(result: Heteroskedasticity) -> list[Figure]:
    """The groups' dispersions with intervals of their ratio, and the error rate that follows."""
    return [_draw_dispersions(result), _draw_sizes(result)]


def _draw_dispersions(result: Heteroskedasticity) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    test, reference = result.groups
    for role, group, trend, factor in zip(
        ("test", "reference"), result.groups, result.trends, result.trend_factors, strict=True
    ):
        drawing.ribbon(left, result.mean, trend / factor, trend * factor, role)
        drawing.curve(left, result.mean, trend, role, label=group)
    left.set(xscale="log", yscale="log", xlabel="base mean", ylabel="dispersion", title="Trend of each group")
    drawing.legend(left)
    drawing.band(right, result.ratio.low, result.ratio.high, label="genes of mean 10 and more")
    _by_expression(right, result, lambda r: r.ratio, "observed")
    drawing.reference_line(right, 0.0, role="not_significant")
    right.set(ylabel=f"log2 dispersion ratio, {test} / {reference}", title="Ratio with 95 % intervals")
    drawing.legend(right)
    return Figure(
        "dispersions",
        drawing.to_svg(figure),
        "Left: dispersion trend of each group by itself, with 95 % intervals. Right: log2 ratio by base mean, freed of "
        f"small-sample bias; intervals by {result.method}.",
        f"Two trends; log2 ratio {result.ratio.value:.2f} ({result.ratio.low:.2f} to {result.ratio.high:.2f}).",
    )


def _draw_sizes(result: Heteroskedasticity) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    _by_expression(left, result, lambda r: r.size, "predicted")
    drawing.reference_line(left, 0.05, role="not_significant", label="nominal")
    drawing.reference_line(left, FAIL_SIZE, label="limit")
    left.set(ylabel="share with p < .05 under no effect", title="This study", ylim=(0.0, None))
    drawing.legend(left)
    error_map(right, MAP_RATIOS, result.map_sizes, SPANS, result.ratio)
    right.set(xlabel="ratio of dispersions, {} / {}".format(*result.groups), title="{} v {}".format(*result.sizes))
    return Figure(
        "error_rate",
        drawing.to_svg(figure),
        "Predicted share of genes without effect that have p < .05. Left: by base mean at this study's ratio, with its "
        "95 % interval. Right: at other ratios of the dispersions; vertical line and band mark this study.",
        f"Predicted error rate {result.size.value:.3f} at nominal .05; curves of the error rate against the ratio.",
    )


def _by_expression(ax: Axes, result: Heteroskedasticity, pick: Callable[[ExpressionBin], Estimate], role: str) -> None:
    """Values with intervals by expression bin."""
    rows = {span(r.low, r.high): pick(r) for r in result.bins if pick(r).known}
    value, low, high = np.array(list(rows.values())).reshape(-1, 3).T
    drawing.labelled_intervals(ax, list(rows), value, low, high, role)
    ax.set_xlabel("base mean")


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=(
        *("log2_dispersion_ratio", "ratio_ci_low", "ratio_ci_high", "predicted_size", "variance_ratio"),
        *("shift_log2", "n_de_group_dispersion", "expected_fdp"),
    ),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", strength=4, expects=frozenset({"warn", "fail"})),
)
