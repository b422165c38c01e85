"""What could this study not have seen?

What is measured: for each tested gene the smallest fold change, up and down, that its test finds with 80 % power. A
gene that was not called may have any change below that; a larger one would have been missed once in five times at most.
The limit belongs to the design (group sizes, depth, dispersion, expression), not to the fold change that was observed:
power at the observed effect is the p-value in other words and is not given.

How: a gene with midpoint m (geometric mean of the groups' means) and fold change FC has the means m sqrt FC and
m / sqrt FC, so that neither direction is favoured by definition. It is called at p below alpha (k + 1) / n, the p that
one gene more than the k calls among the n adjusted genes would have needed (the largest p among the calls is lower by
chance, absurdly so with few calls). Counts vary with each group's own dispersion; the test is the Wald test of the fit,
whose standard error has one dispersion for both groups. With v = 1/mean + dispersion, ln FC = z(p / 2) SE + z(.8) SD,
SE with the test's dispersion and SD with the groups' own, is right for many reads and small changes. Elsewhere its
power is off by up to .2; so the power is computed from the distribution of the groups' summed counts on a grid of
midpoints and dispersions, and interpolated: over 300 designs, simulated tests had a power of .78 to .82 at the limit.
Limits above 1,000-fold are given as none.

How to read it: in the table `genes`, "called" are the calls; "tested with power >= .8 for 2-fold": a 2-fold change of
either direction would have been found, so that its absence says something; "... up only", "... down only": of that
direction; "could not have been seen": of neither; "left out by the filter": the power is there, but independent
filtering gave no adjusted p. `share_untestable` is the share of the last two among all genes with a p-value, a
dispersion and a fitted mean. `up_down_limit_ratio` is the median ratio of the two limits. A small study has high
limits; that is information and no fault. At low counts unequal group sizes alone favour one direction (see
sign_asymmetry). A warning says that unequal depth or dispersion do so too: among 1.5-, 2- and 4-fold changes, the share
of genes whose rise is found less that of genes whose fall is found differs by .03 and more from what it would be at
equal depth and dispersion.

Spike-ins of known ratios give a limit without a model, the limit of detection of ratios (LODR): the mean count at which
the upper 90 % prediction bound of log10 p, by local regression on the log10 mean of the spike-ins of one ratio, falls
below the cut-off. Samples of unequal shares of messenger RNA shift all spike-ins together; the shift is measured on
those of equal amounts and taken off fold changes and tests. p-values below 1e-30 count as 1e-30. `model_base_mean` is
the mean above which the model finds that ratio with 90 % power.

What it does not show: dispersions are taken as known; as they are estimated, the true power is higher for some genes
and lower for others. Groups are treated as if compared alone: covariates that go along with the groups raise the limits
(see confounding). Outliers and hidden batches are not in it. Spike-ins have no biology and vary less than genes. Their
limit is strict (one variance for p from .1 to 1e-30): on seqc_coh 1.1 to 3.6 times the model's mean.

References:
- Munro et al. (2014) Assessing technical performance in differential gene expression experiments with external spike-in
  RNA control ratio mixtures. Nat Commun 5:5125
- Hoenig, Heisey (2001) The abuse of power: the pervasive fallacy of power calculations for data analysis. Am Stat 55:19
- Hart, Therneau, Zhang, Poland, Kocher (2013) Calculating sample size estimates for RNA sequencing data. J Comput Biol
  20:970
- Hauck, Donner (1977) Wald's test as applied to hypotheses in logit analysis. J Am Stat Assoc 72:851
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import EXPRESSED
from dediag.rounding import settled, span
from dediag.stats.detection import Comparison, p_cutoff
from dediag.stats.ratio_limit import CONFIDENCE
from dediag.stats.reach import Curve, Reach, folds, genes_at, median_fold, share_columns
from dediag.stats.spike_ins import SpikeIns
from dediag.stats.strata import STRATUM_EDGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.study import Study

    Array = NDArray[np.float64]

POWER = 0.8
FOLD = 2.0  # of the tags and of share_untestable
FOLDS = (1.5, 2.0, 4.0)
# Of the lean, a share of genes (reports/validation_detection.md): none of 360 healthy cohorts of 3 v 3 to 71 v 29 came
# beyond .026; with 8 times the dispersion in one group 40 of 40 did, with a hundredth of the depth 40 of 40.
LIMIT = 0.03
CURVE_POINTS = 60


@dataclass(frozen=True)
class DetectionLimit:
    """Limits of the tested genes, along expression, and of spike-ins."""

    genes: tuple[str, ...]  # (n_tested,)
    base_mean: Array  # (n_tested,)
    midpoint: Array  # (n_tested,)
    reach: Reach
    curve: Curve
    cutoff: float  # p
    groups: str  # "6 case v 15 control"
    spike_ins: SpikeIns | None
    model_means: tuple[float | None, ...]  # base mean at which the model finds each ratio of the spike-ins


def compute(study: Study) -> DetectionLimit:
    """The limits of every tested gene at this study's own cut-off."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit, cohort = study.fit, study.cohort
    depths = [fit.normalisation[:, group] for group in (study.test_samples, study.reference_samples)]
    # a group without a read counts as half a read, or the geometric mean would be zero
    least = [0.5 / depth.sum(axis=1) for depth in depths]
    midpoint = np.sqrt(np.maximum(study.mean_test, least[0]) * np.maximum(study.mean_reference, least[1]))
    phi = (*study.own_dispersions, fit.dispersion)
    tested = np.isfinite(fit.pvalue) & np.isfinite(fit.dispersion) & (fit.base_mean > 0) & np.isfinite(midpoint)
    adjusted = np.isfinite(fit.padj)
    if not (tested & adjusted).any():
        raise NotAssessable("no gene has an adjusted p-value")
    cutoff = p_cutoff(int(study.significant.sum()), int(adjusted.sum()), study.settings.alpha)
    comparison = Comparison(study.n_test, study.n_reference, cutoff, POWER)
    own_depths = [depth if len(depth) == 1 else depth[tested] for depth in depths]
    genes = genes_at(midpoint[tested], [dispersion[tested] for dispersion in phi], own_depths)
    spikes, known = None, cohort.spike_in_log2
    if known is not None and np.isfinite(known).any():
        estimates = fit.base_mean, fit.lfc, fit.lfc_se
        spikes = SpikeIns.of(list(cohort.genes), known, *estimates, cutoff=cutoff, expressed=EXPRESSED)
    return DetectionLimit(
        genes=tuple(str(name) for name in cohort.genes[tested]),
        base_mean=fit.base_mean[tested],
        midpoint=midpoint[tested],
        reach=Reach.of(genes, comparison, study.significant[tested], ~adjusted[tested]),
        curve=_curve(study, comparison, midpoint[tested]),
        cutoff=cutoff,
        groups=f"{study.n_test} {fit.contrast.test} v {study.n_reference} {fit.contrast.reference}",
        spike_ins=spikes,
        model_means=() if spikes is None else _model_means(study, comparison, spikes),
    )


def _curve(study: Study, comparison: Comparison, midpoint: Array) -> Curve:
    """The limits at the dispersion trend, each group's own where it has one, over the range of the genes."""
    at = np.geomspace(max(float(midpoint.min()), 0.1), max(float(midpoint.max()), 1.0), CURVE_POINTS)
    trend = study.fit.trend(at)
    own = trend, trend
    if study.has_group_dispersions:
        own = study.group_dispersion_test.curve(at), study.group_dispersion_reference.curve(at)
    factors = study.fit.size_factors
    depths = factors[None, study.test_samples], factors[None, study.reference_samples]
    return Curve.of(genes_at(at, [*own, trend], depths), comparison, at)


def _model_means(study: Study, comparison: Comparison, spikes: SpikeIns) -> tuple[float | None, ...]:
    """The base mean at which the model finds each ratio with the confidence of the spike-ins' limit."""
    surer = Comparison(comparison.n_test, comparison.n_reference, comparison.level, CONFIDENCE)
    curve = _curve(study, surer, np.array([0.1, study.fit.base_mean.max()]))
    return tuple(
        curve.base_mean_of(row.known * math.log(2.0), study.n_test, study.n_reference) if row.known else None
        for row in spikes.ratios
    )


def judge(result: DetectionLimit) -> Verdict:
    """Warn where unequal depth or dispersion hide one direction; a small study is no fault."""
    (lean, fold), missed = result.reach.strongest_lean(FOLDS), 100.0 * result.reach.untestable(FOLD)
    more, less = ("rises", "falls") if lean > 0 else ("falls", "rises")
    share = f"{settled(100 * abs(lean), 100 * LIMIT, digits=2)} % more of the genes than {less}"
    shown = f"show {fold:g}-fold {more} in {share}, beyond what the group sizes do (limit {100 * LIMIT:g} %)"
    sentence = (
        f"With {100 * POWER:.0f} % power the median gene's test finds {_fold(result.reach.up)} up and "
        f"{_fold(result.reach.down)} down; a {FOLD:g}-fold change could not have been seen in {missed:.0f} % of "
        f"{len(result.genes):,} genes; unequal depth or dispersion"
    )
    if abs(lean) < LIMIT:
        advice = "Do not call a gene unchanged whose change could not have been seen (table `genes`)."
        if lean == 0.0:
            return Verdict(Status.PASS, f"{sentence} favour neither direction.", advice, calls_at_risk=0)
        return Verdict(Status.PASS, f"{sentence} {shown}.", advice, calls_at_risk=0)
    return Verdict(
        Status.WARN,
        f"{sentence} {shown}.",
        "Do not read missing calls of the other direction as absence; heteroskedasticity and noise_floor say whether "
        "dispersion or depth makes the difference.",
    )


def metrics(result: DetectionLimit) -> list[Metric]:
    """The numbers of report.json."""
    reach, (lean, fold) = result.reach, result.reach.strongest_lean(FOLDS)
    shares = reach.shares(FOLD)
    return [
        Metric("min_fold_change_up_median", median_fold(reach.up), unit="fold"),
        Metric("min_fold_change_down_median", median_fold(reach.down), unit="fold"),
        Metric("share_untestable", reach.untestable(FOLD)),
        Metric("up_down_limit_ratio", reach.limit_ratio),
        Metric("share_up_only", shares["up"]),
        Metric("share_down_only", shares["down"]),
        Metric("share_filtered", shares["filtered"]),
        Metric("lean", lean, limit=LIMIT),
        Metric("lean_fold_change", fold, unit="fold"),
        Metric("p_cutoff", result.cutoff),
        Metric("n_tested", len(result.genes), unit="genes"),
        Metric("spike_in_offset_log2", None if result.spike_ins is None else result.spike_ins.offset),
    ]


def tables(result: DetectionLimit) -> list[Table]:
    """Every gene's limits; by expression; along the curve; by fold change; of the spike-ins."""
    reach, spikes = result.reach, result.spike_ins
    strata = list(pairwise((0.0, *STRATUM_EDGES, np.inf)))
    inside = [(result.base_mean >= low) & (result.base_mean < high) for low, high in strata]
    smallest = f"Smallest fold change found with power {POWER:g} at p below {result.cutoff:.2g}"
    shares = "both, up, down, neither: found in both directions, only up, only down, in neither"
    found = [
        Table(
            "genes",
            f"{smallest}; NA: none up to 1,000-fold. midpoint: geometric mean of the groups' means.",
            {"gene": list(result.genes), "midpoint": result.midpoint.tolist(), **reach.gene_columns(FOLD)},
        ),
        Table(
            "by_expression",
            f"{smallest}, medians by base mean; shares of genes by where a 2-fold change would be found ({shares}; "
            "filtered: found, but left out by the filter).",
            {"base_mean": [span(low, high) for low, high in strata], **reach.columns(inside, FOLD)},
        ),
        Table(
            "folds",
            f"Shares of genes by where a change of this size would be found ({shares}).",
            {"fold_change": list(FOLDS), **share_columns([reach.shares(fold) for fold in FOLDS])},
        ),
        Table(
            "curve",
            f"{smallest} by a gene on the dispersion trend; first_order: by the formula alone.",
            result.curve.columns(),
        ),
    ]
    if spikes is None:
        return found
    offset = "none was known" if spikes.offset is None else f"{spikes.offset:.2f}"
    ratios = Table(
        "ratios",
        f"Spike-ins by known log2 ratio. observed, error: medians of those of base mean {EXPRESSED:g} and more, less "
        f"the offset ({offset}). lodr: base mean above which the ratio is found; NA: nowhere, or from the lowest on.",
        {**spikes.ratio_columns(), "model_base_mean": list(result.model_means)},
    )
    caption = "Known and estimated log2 fold change; relative, log10_p: with the offset taken off."
    return [*found, ratios, Table("spike_ins", caption, spikes.columns())]


def draw(result: DetectionLimit) -> list[Figure]:
    """Limits along expression; how many genes could have been seen; the spike-ins."""
    figures = [_draw_limits(result), _draw_seen(result)]
    return figures if result.spike_ins is None else [*figures, _draw_spike_ins(result, result.spike_ins)]


def _draw_limits(result: DetectionLimit) -> Figure:
    figure = drawing.new_figure(drawing.WIDE[0], 5.2)
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    curve, reach = result.curve, result.reach
    middle = np.maximum(folds(reach.up), folds(reach.down))
    drawing.cloud(ax, result.midpoint, middle, "not_significant", label="genes, the direction harder to find")
    drawing.curve(ax, curve.midpoint, folds(curve.up), "up", label="up")
    drawing.curve(ax, curve.midpoint, folds(curve.down), "down", label="down")
    drawing.reference_line(ax, FOLD, label="2-fold")
    ax.set(xscale="log", yscale="log", ylim=(1, 100), ylabel="smallest fold change found")
    ax.set_yticks([1, 1.5, 2, 4, 10, 100], ["1", "1.5", "2", "4", "10", "100"])
    ax.minorticks_off()
    edges = np.geomspace(curve.midpoint[0], curve.midpoint[-1], 50)
    drawing.histogram(below, result.midpoint, edges, "not_significant")
    below.set(xlabel="midpoint of the groups' means (counts at size factor 1)", ylabel="genes")
    drawing.legend(ax, location="upper right")
    return Figure(
        "limits",
        drawing.to_svg(figure),
        f"Smallest fold change that {result.groups} find with {100 * POWER:.0f} % "
        "power, by expression; the curves are of genes on the dispersion trend. Below: how many genes lie where.",
        f"Limits fall with expression; median gene {_fold(reach.up)} up, {_fold(reach.down)} down.",
    )


def _draw_seen(result: DetectionLimit) -> Figure:
    figure = drawing.new_figure(drawing.WIDE[0], 3.0)
    ax = figure.subplots()
    shares = [result.reach.shares(fold) for fold in FOLDS]
    left = np.zeros(len(FOLDS))
    for name, role, label in (
        ("both", "expected", "both directions"), ("up", "up", "only up"), ("down", "down", "only down"),
        ("filtered", "reference", "found, but left out by the filter"), ("neither", "not_significant", "neither"),
    ):  # fmt: skip
        width = np.array([s[name] for s in shares])
        color = drawing.STYLES[role].color
        ax.barh(np.arange(len(FOLDS)), width, left=left, color=color, edgecolor="white", label=label)
        left += width
    ax.set_yticks(np.arange(len(FOLDS)), [f"{fold:g}-fold" for fold in FOLDS])
    ax.set(xlim=(0, 1), xlabel=f"share of {len(result.genes):,} tested genes")
    ax.invert_yaxis()
    drawing.legend(ax, title="a change would be found")
    said = "; ".join(f"{fold:g}-fold: {100 * s['both']:.0f} %" for fold, s in zip(FOLDS, shares, strict=True))
    return Figure(
        "seen",
        drawing.to_svg(figure),
        f"Share of the tested genes in which a change of this size would be found with {100 * POWER:.0f} % power.",
        f"Genes in which a change would be found in both directions: {said}.",
    )


def _draw_spike_ins(result: DetectionLimit, spikes: SpikeIns) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    said = []
    for style, row in zip(drawing.SERIES, spikes.ratios, strict=False):
        mean, label = spikes.base_mean[row.index], f"{row.known:+.2f}"
        drawing.cloud(left, mean, spikes.relative[row.index], style, label=label, size=22)
        drawing.reference_line(left, row.known, role=style)
        drawing.cloud(right, mean, spikes.log10_p[row.index], style, label=label, size=22)
        if row.limit is not None:
            drawing.curve(right, 10.0**row.limit.log10_mean, row.limit.upper, style)
            if row.limit.mean is not None:
                drawing.reference_line(right, row.limit.mean, axis="x", role=style)
            nowhere = "all" if row.limit.always else "none"
            said.append(f"{label}: {nowhere if row.limit.mean is None else f'{row.limit.mean:.0f}'}")
    drawing.reference_line(right, math.log10(result.cutoff), label="cut-off")
    left.set(xscale="log", xlabel="base mean", ylabel="log2 fold change less offset", title="Known and estimated")
    right.set(
        xscale="log", xlabel="base mean", ylabel="log10 p, not below -30", title="Upper bounds of p", ylim=(-31, 2)
    )
    drawing.legend(left, title="known log2 ratio")
    drawing.legend(right, title="known log2 ratio")
    return Figure(
        "spike_ins",
        drawing.to_svg(figure),
        "Left: fold changes of the spike-ins, lines at the known ratios. Right: p-values with the upper 90 % bound of "
        "each ratio (lines), which crosses the cut-off at that ratio's limit of detection (vertical line).",
        f"Limits of detection (base mean) by known log2 ratio: {'; '.join(said) or 'none'}.",
    )


def _fold(log_limits: Array) -> str:
    value = median_fold(log_limits)
    return "no change" if value is None else f"{value:.3g}-fold"


DIAGNOSTIC = Diagnostic(
    section="floors",
    metric_names=(
        "min_fold_change_up_median",
        "min_fold_change_down_median",
        "share_untestable",
        "up_down_limit_ratio",
    ),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", 8.0, frozenset({"warn"})),
)
