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
follows from it. The status looks at the end of the interval that is nearer to health, not at the estimate. The table
of remedies shows, without applying them, what the list becomes with group dispersions (Satterthwaite t), with the
shift taken off, and with both; `n_de_group_dispersion` counts the first. Calls at risk vanish with both.

What it does not show: `shift_log2` is the part of the median fold change that unequal dispersion explains. A global
change of expression or of composition moves the median too and cannot be told from the counts alone; the observed
median stands beside it. At 4 or 5 samples a single bad one and a more dispersed group look alike. The prediction is
first order: below a mean count of about 5 the test's own discreteness matters more. With covariates the groups are
treated as if compared alone. The expected false discovery proportion is not computed yet.

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

from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import Remedy, remedies
from dediag.study import EXPRESSED, RATIO_EDGES, RATIO_GENES

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Limits: of 271 healthy cohorts of 500 genes none passed one, of 88 with dispersion ratio 4 all did (4 v 20 to 20 v 5).
WARN_SIZE = 0.06  # surely more than this share of genes without effect is called at p < .05
FAIL_SIZE = 0.10  # twice the nominal rate
LOW_SIZE = 0.03  # surely fewer than this: power is given away
WARN_SHIFT = 0.05  # log2 by which all fold changes are surely moved


@dataclass(frozen=True)
class ExpressionBin:
    """Ratio and error rate among genes of similar expression; ratios log2, test over reference; NaN: too few genes."""

    low: float  # base mean
    high: float
    n_genes: int
    dispersion_test: float  # median of the shrunken dispersions
    dispersion_reference: float
    ratio: Estimate
    size: Estimate  # predicted


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
    shift: Estimate | None  # None: size factors were given
    observed_median_lfc: float  # of well-expressed genes
    bins: tuple[ExpressionBin, ...]
    remedies: tuple[Remedy, ...]
    n_calls: int
    mean: Array  # (n_shown,) base means at which the trends are shown
    trend_test: Array  # (n_shown,)
    trend_reference: Array  # (n_shown,)
    map_ratios: Array  # (n_ratios,) log2
    map_sizes: Array  # (n_ratios, n_bins) predicted size at each ratio


def compute(study: Study) -> Heteroskedasticity:
    """Estimate the ratio and follow it into the error rate and the list of calls."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit = study.fit
    expressed = np.minimum(study.mean_test, study.mean_reference) >= EXPRESSED
    if expressed.sum() < RATIO_GENES:
        raise NotAssessable(f"fewer than {RATIO_GENES} genes have a mean count of {EXPRESSED:g} in both groups")
    try:
        test, reference, found = study.group_dispersion_test, study.group_dispersion_reference, study.dispersion_ratio
    except (ValueError, ArithmeticError) as reason:
        raise NotAssessable(f"one group has no dispersion of its own: {reason}") from reason
    inside = [(fit.base_mean >= low) & (fit.base_mean < high) for low, high in pairwise(RATIO_EDGES)]
    ratio, *ratios = found.estimates()
    model = study.error_model
    tested = np.isfinite(fit.pvalue) & np.isfinite(model.dispersion) & (fit.base_mean > 0)
    overall = model.take(tested)
    shift = None if study.normalisation_shifts is None else overall.shift_estimate(ratio)
    moved = 0.0 if shift is None else shift.value
    bins = [
        ExpressionBin(
            low, high, int((mask & tested).sum()), _median(test.map[mask]), _median(reference.map[mask]), own,
            model.take(mask & tested).mean_size(own, moved),
        )
        for (low, high), mask, own in zip(pairwise(RATIO_EDGES), inside, ratios, strict=True)
    ]  # fmt: skip
    shown = np.geomspace(1.0, max(float(np.nanmax(fit.base_mean)), 10.0), 60)
    map_ratios = np.linspace(-3.0, 3.0, 13)
    return Heteroskedasticity(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
        ratio=ratio,
        bias=float(found.bias[0]),
        method=found.method,
        variance_ratio=float(np.median(overall.variance_ratio(ratio.value))),
        size=overall.mean_size(ratio),
        size_without_shift=float(overall.sizes(ratio.value, 0.0).mean()),
        shift=shift,
        observed_median_lfc=_median(fit.lfc[expressed]),
        bins=tuple(bins),
        remedies=remedies(fit, test, reference, moved, study.significant),
        n_calls=int(study.significant.sum()),
        mean=shown,
        trend_test=test.curve(shown),
        trend_reference=reference.curve(shown),
        map_ratios=map_ratios,
        map_sizes=np.array([[_median(model.take(m & tested).sizes(r)) for m in inside] for r in map_ratios]),
    )


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def judge(result: Heteroskedasticity) -> Verdict:
    """Limits on the end of each interval that is nearer to health."""
    (test, reference), ratio, size, shift = result.groups, result.ratio, result.size, result.shift
    sentence = (
        f"Dispersion in {test} is {2.0**ratio.value:.2g} times that in {reference} (95 % interval {2.0**ratio.low:.2g} "
        f"to {2.0**ratio.high:.2g}); actual error rate about {100 * size.value:.1f} % at nominal 5 %"
    )
    if shift is not None and abs(shift.value) >= WARN_SHIFT / 2:
        sentence += f", all fold changes moved by {shift.value:+.2f} log2"
    liberal, conservative = size.low >= WARN_SIZE, size.high <= LOW_SIZE
    shifted = shift is not None and max(shift.low, -shift.high) >= WARN_SHIFT
    if not (liberal or conservative or shifted):
        return Verdict(Status.PASS, f"{sentence}.", "Nothing to do.", calls_at_risk=0)
    advice = "Compare the list with those of the table of remedies"
    if conservative:
        advice += ": the test is conservative, and group dispersions find what it misses."
    else:
        advice += " (group dispersions, recentred size factors), and do not rely on calls that vanish there."
    status = Status.FAIL if size.low >= FAIL_SIZE else Status.WARN
    return Verdict(status, f"{sentence}.", advice, calls_at_risk=result.remedies[-1].vanish)


def metrics(result: Heteroskedasticity) -> list[Metric]:
    """The numbers of report.json."""
    shift, shift_low, shift_high = result.shift or (None, None, None)
    size, size_low, size_high = result.size
    return [
        Metric("log2_dispersion_ratio", result.ratio.value, result.ratio.low, result.ratio.high, unit="log2"),
        Metric("ratio_ci_low", result.ratio.low, unit="log2"),
        Metric("ratio_ci_high", result.ratio.high, unit="log2"),
        Metric("predicted_size", size, size_low, size_high, WARN_SIZE),
        Metric("variance_ratio", result.variance_ratio),
        Metric("shift_log2", shift, shift_low, shift_high, WARN_SHIFT, "log2"),
        Metric("n_de_group_dispersion", result.remedies[0].n_up + result.remedies[0].n_down, unit="genes"),
        Metric("expected_fdp", None),
        Metric("size_without_shift", result.size_without_shift),
        Metric("median_log2_fold_change", result.observed_median_lfc, unit="log2"),
        Metric("ratio_bias_removed", result.bias, unit="log2"),
    ]


def tables(result: Heteroskedasticity) -> list[Table]:
    """Ratio and error rate by expression; remedies."""

    def column(pick: Callable[[ExpressionBin], float]) -> list[float | None]:
        values = [pick(r) for r in result.bins]
        return [None if np.isnan(value) else value for value in values]

    return [
        Table(
            "expression",
            "Dispersions by base mean (medians of shrunken values), their log2 ratio without small-sample bias with a "
            "95 % interval, and the share of genes without effect that would have p < .05.",
            {
                "base_mean_from": column(lambda r: r.low),
                "n_genes": [r.n_genes for r in result.bins],
                "dispersion_test": column(lambda r: r.dispersion_test),
                "dispersion_reference": column(lambda r: r.dispersion_reference),
                "log2_ratio": column(lambda r: r.ratio.value),
                "ratio_ci_low": column(lambda r: r.ratio.low),
                "ratio_ci_high": column(lambda r: r.ratio.high),
                "predicted_size": column(lambda r: r.size.value),
                "size_low": column(lambda r: r.size.low),
                "size_high": column(lambda r: r.size.high),
            },
        ),
        Table(
            "remedies",
            f"Calls under other analyses of the same counts; the main fit has {result.n_calls}. None is applied.",
            {
                "analysis": [r.name for r in result.remedies],
                "n_up": [r.n_up for r in result.remedies],
                "n_down": [r.n_down for r in result.remedies],
                "calls_that_vanish": [r.vanish for r in result.remedies],
                "calls_that_appear": [r.appear for r in result.remedies],
            },
        ),
    ]


def draw(result: Heteroskedasticity) -> list[Figure]:
    """The groups' dispersions with intervals of their ratio, and the error rate that follows."""
    return [_draw_dispersions(result), _draw_sizes(result)]


def _draw_dispersions(result: Heteroskedasticity) -> Figure:
    from dediag import drawing

    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    test, reference = result.groups
    drawing.curve(left, result.mean, result.trend_test, "test", label=test)
    drawing.curve(left, result.mean, result.trend_reference, "reference", label=reference)
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
        f"Left: dispersion trend of each group by itself. Right: log2 ratio by base mean, freed of small-sample bias; "
        f"intervals by {result.method}.",
        f"Two trends; log2 ratio {result.ratio.value:.2f} ({result.ratio.low:.2f} to {result.ratio.high:.2f}).",
    )


def _draw_sizes(result: Heteroskedasticity) -> Figure:
    from dediag import drawing

    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    _by_expression(left, result, lambda r: r.size, "predicted")
    drawing.reference_line(left, 0.05, role="not_significant", label="nominal")
    drawing.reference_line(left, FAIL_SIZE, label="limit")
    left.set(ylabel="share with p < .05 under no effect", title="This study", ylim=(0.0, None))
    drawing.legend(left)
    known = np.flatnonzero(np.isfinite(result.map_sizes).all(axis=0))[::-2][::-1]  # what grey can tell
    for style, k in zip(drawing.SERIES, known, strict=False):
        label = _range(RATIO_EDGES[k], RATIO_EDGES[k + 1])
        drawing.curve(right, 2.0**result.map_ratios, result.map_sizes[:, k], style, label=label)
    drawing.reference_line(right, 2.0**result.ratio.value, axis="x", role="observed")
    drawing.band(right, 2.0**result.ratio.low, 2.0**result.ratio.high, axis="x")
    drawing.reference_line(right, 0.05, role="not_significant")
    right.set_xscale("log", base=2)
    right.set_xticks([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8], ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    n1, n2 = result.sizes
    right.set(xlabel=f"dispersion ratio, {result.groups[0]} / {result.groups[1]}", title=f"Any ratio at {n1} v {n2}")
    drawing.legend(right, title="base mean")
    return Figure(
        "error_rate",
        drawing.to_svg(figure),
        "Predicted share of genes without effect that have p < .05. Left: by base mean at this study's ratio, with its "
        "95 % interval. Right: at other ratios of the dispersions; vertical line and band mark this study.",
        f"Predicted error rate {result.size.value:.3f} at nominal .05; curves of the error rate against the ratio.",
    )


def _by_expression(ax: Axes, result: Heteroskedasticity, pick: Callable[[ExpressionBin], Estimate], role: str) -> None:
    """Values with intervals by expression bin."""
    from dediag import drawing

    rows = [r for r in result.bins if pick(r).known]
    at = np.arange(len(rows), dtype=float)
    value, low, high = np.array([pick(r) for r in rows]).reshape(-1, 3).T
    drawing.intervals(ax, at, value, low, high, role=role)
    ax.set_xticks(at, [_range(r.low, r.high) for r in rows], rotation=30, ha="right")
    ax.set_xlabel("base mean")


def _range(low: float, high: float) -> str:
    return f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=(
        *("log2_dispersion_ratio", "ratio_ci_low", "ratio_ci_high", "predicted_size", "variance_ratio"),
        *("shift_log2", "n_de_group_dispersion", "expected_fdp"),
    ),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", strength=4, expects=frozenset({"warn", "fail"})),
)
