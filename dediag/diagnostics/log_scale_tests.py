"""Do log-scale t-tests tell the same story?

What is measured: Student's, Welch's and Wilcoxon's tests on log2(CPM + prior), on log2(FPKM + prior) where gene
lengths are given and on variance-stabilised counts, and the moderated t-test with voom's precision weights, beside
the negative binomial fit; and three things that are all called log fold change:

1. the difference of the groups' mean logs, which is what a t-test on logs estimates;
2. the log of the ratio of the groups' means, which is what a count model estimates;
3. as a known mistake, the log of the ratio of the groups' mean logs, which is no fold change: a gene with mean logs
   10 and 11 gets log2(1.1) = 0.14 instead of 1.

The first two differ without any error of either: the mean of logs lies below the log of the mean, the more so the
larger the variance, and the prior pulls low counts together. How far, the negative binomial fit says itself: the
exact expectation of log2(Y + prior) in each sample at its depth, with each group's dispersion. The gap seen between
the difference of mean logs and the model's fold change is set beside that prediction. What the prediction explains is
not bias, but where it is large, the two scales tell different stories: the concordance of well-expressed genes is
judged. What the prediction leaves over is judged, as its median over the genes and as the share of genes that stray
from their prediction further than 99 % of genes of like expression do in counts drawn from the fit: then counts are
not negative binomial in at least one group - lost counts, outliers, a mixture of samples. At small n the log of an
estimated mean is biased by -v/(2n), v = 1/mu + phi: this is part of the prediction. Groups with fewer than 3 residual
degrees of freedom have no dispersion of their own; then the median is not judged, as unequal dispersions would be in
it.

CPM are counts over size factors; the prior is two counts in a sample of average depth (for the mistake one CPM, the
usual log2(x + 1), as logs below zero have no ratio). Simple tests know the two groups only; predictions and moderated
t-test the whole design. Genes absent in one group and floor genes (a fitted mean below 0.5) are left out of the gap.

What it does not show: which test is right. Lists differ at the edges without any fault; it never chooses the test for
you.

References:
- Law, Chen, Shi, Smyth (2014) voom: precision weights unlock linear model analysis tools for RNA-seq read counts.
  Genome Biol 15:R29
- Smyth (2004) Linear models and empirical Bayes methods for assessing differential expression in microarray
  experiments. Stat Appl Genet Mol Biol 3:3
- Lin (1989) A concordance correlation coefficient to evaluate reproducibility. Biometrics 45:255-268
- Bland, Altman (1986) Statistical methods for assessing agreement between two methods of clinical measurement. Lancet
  327:307-310
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.transformation import variance_stabilized
from dediag.rounding import percent, settled
from dediag.stats import agreement, log_tests
from dediag.stats.fold_changes import FoldChanges
from dediag.stats.log_gap import Drawn, Gap, TwoGroups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dediag.stats.log_tests import LogTest
    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

PRIOR_COUNT = 2.0  # counts in a sample of average depth
MISTAKE_PRIOR = 1.0  # CPM
FLOOR = 0.5  # fitted mean
STRAY_SHARE = 0.01  # of genes whose gap strays further from its prediction in counts drawn from the fit ...
SMALLEST_STRAY = 0.1  # ... and by at least this (log2), so that a stray matters
SIMULATIONS = 4  # cohorts drawn
BINS = 20  # of base mean, among whose genes the limit of a stray is found
SHIFT_LIMIT = 0.1  # log2, of the median gene
CONCORDANCE_LIMIT = 0.7  # of well-expressed genes; .97 to .998 on five real data sets, .88 or more on healthy cohorts
WELL_EXPRESSED = 10.0  # base mean
MOSTLY = 0.5  # of the gap explained
STRAYS_LIMIT = 0.05  # share of strays; the model itself gives STRAY_SHARE
IRREGULAR = "Counts are not negative binomial in at least one group: look for lost counts, outliers, mixed samples."
TOP = (50, 100, 200, 500)  # sizes at which the tops of the lists are compared


@dataclass(frozen=True)
class LogScaleTests:
    """Fold changes by three definitions, the predicted gap, and the tests."""

    genes: tuple[str, ...]  # (n_genes,)
    base_mean: Array  # (n_genes,)
    mean_log: Array  # (n_genes,) average of the groups' mean log2 CPM
    lfc: Array  # (n_genes,) log2, the count model's
    fold: FoldChanges
    gap: Gap  # NaN outside the steady genes
    replaced: Mask  # (n_genes,) outlying counts replaced in the fit
    seen: Mask  # (n_genes,) counts in both groups
    steady: Mask  # (n_genes,) seen and not at the floor: those of the gap
    group_dispersions: bool  # whether the prediction has each group's own
    pvalue: Array  # (n_genes,) the count model's
    called: Mask  # (n_genes,)
    tests: tuple[LogTest, ...]
    alpha: float

    @property
    def concordance_well(self) -> float | None:
        """Lin's coefficient of difference of mean logs and model over well-expressed genes; None below 3 of them."""
        well = self.steady & (self.base_mean >= WELL_EXPRESSED)
        return agreement.concordance(self.fold.difference[well], self.lfc[well])

    def test_named(self, scale: str, test: str) -> LogTest:
        """One of the tests."""
        return next(t for t in self.tests if (t.scale, t.test) == (scale, test))

    @property
    def jaccard(self) -> float | None:
        """Overlap of the calls of the moderated t-test with the count model's."""
        return agreement.jaccard(self.test_named("log CPM", "moderated t").padj < self.alpha, self.called)


def compute(study: Study) -> LogScaleTests:
    """Fold changes, prediction and tests; not assessable where the contrast is no comparison of two groups."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit, test, reference = study.fit, study.test_samples, study.reference_samples
    counts = study.cohort.counts
    depth = float(np.exp(np.log(counts.sum(axis=0) / fit.size_factors).mean()))  # reads of a sample of size factor one
    cpm = study.normalized / depth * 1e6
    logs = np.log2(cpm + PRIOR_COUNT / depth * 1e6)  # (n_genes, n_samples)
    fold = FoldChanges.of(cpm, logs, np.log2(cpm + MISTAKE_PRIOR), test, reference)
    seen = counts[:, test].any(axis=1) & counts[:, reference].any(axis=1) & np.isfinite(fit.lfc)
    mu = fit.mu()
    steady = seen & (mu[:, test | reference].min(axis=1) >= FLOOR)
    if not steady.any():
        raise NotAssessable("every gene is absent in one group or has a fitted mean below 0.5")
    phi, own = _dispersions(study)
    size = np.broadcast_to(fit.normalisation, mu.shape)
    model = TwoGroups(mu[steady], phi[steady], size[steady], test, reference, PRIOR_COUNT)
    scales = {"log CPM": logs, "VST": variance_stabilized(fit)}
    if study.cohort.gene_lengths is not None:
        scales["log FPKM"] = logs - np.log2(study.cohort.gene_lengths[:, None] / 1e3)
    tested = np.isfinite(fit.padj)  # adjusted over the genes that the count model adjusts over
    simple = log_tests.simple(scales, test, reference, tested)
    library, matrix = fit.size_factors * depth, fit.design.matrix
    moderated = log_tests.moderated("log CPM", counts, library, matrix, fit.contrast.vector, tested)
    drawn = Drawn(study.rng("log scale tests"), SIMULATIONS, STRAY_SHARE, SMALLEST_STRAY, BINS)
    return LogScaleTests(
        genes=tuple(map(str, study.cohort.genes)),
        base_mean=fit.base_mean,
        mean_log=(logs[:, test].mean(axis=1) + logs[:, reference].mean(axis=1)) / 2,
        lfc=fit.lfc,
        fold=fold,
        gap=Gap.of(model, steady, fold.difference[steady], fit.lfc[steady], fit.base_mean[steady], drawn),
        replaced=fit.replaced,
        seen=seen,
        steady=steady,
        group_dispersions=own,
        pvalue=fit.pvalue,
        called=study.significant,
        tests=(*simple, moderated),
        alpha=study.settings.alpha,
    )


def _dispersions(study: Study) -> tuple[Array, bool]:
    """Dispersion of each gene in each sample (n_genes, n_samples): the group's own where both groups have one."""
    phi = np.repeat(study.fit.dispersion[:, None], study.cohort.n_samples, axis=1)
    try:
        groups = study.group_dispersion_test.map, study.group_dispersion_reference.map
    except ArithmeticError as reason:  # no trend: no more than Poisson variance
        raise NotAssessable(f"one group has no dispersion of its own: {reason}") from reason
    except ValueError:  # fewer than 3 residual degrees of freedom
        return phi, False
    for mask, own in zip((study.test_samples, study.reference_samples), groups, strict=True):
        phi[:, mask] = np.where(np.isfinite(own), own, study.fit.dispersion)[:, None]
    return phi, True


def judge(result: LogScaleTests) -> Verdict:
    """Warn where the two scales disagree about well-expressed genes, or by what the model leaves unexplained."""
    shift, strays, agreed = result.gap.left_over, result.gap.strays, result.concordance_well
    at_risk = int((result.gap.stray & result.called).sum())
    n_replaced = int((result.gap.stray & result.replaced).sum())
    headline, advice = None, IRREGULAR
    left_over = settled(shift, -SHIFT_LIMIT, SHIFT_LIMIT, digits=2, sign=True)
    unexplained = "Log-scale fold changes differ from the model's by more than it explains"
    if agreed is not None and agreed < CONCORDANCE_LIMIT:
        headline = (
            "Log-scale and count-model fold changes tell different stories: concordance "
            f"{settled(agreed, CONCORDANCE_LIMIT, digits=2)} among genes of base mean {WELL_EXPRESSED:g} or more "
            f"(limit {CONCORDANCE_LIMIT:g})."
        )
        if (result.gap.r2 or 0) > MOSTLY:
            advice = (
                f"The fitted dispersions explain {percent(result.gap.r2)} of the gap: look at the groups' dispersions "
                "and at lost counts before you believe either scale."
            )
    elif result.group_dispersions and abs(shift) > SHIFT_LIMIT:
        headline = f"{unexplained}: {left_over} log2 left over in the median gene (limit {SHIFT_LIMIT:g})."
    elif strays > STRAYS_LIMIT:
        headline = (
            f"{unexplained}: {settled(100 * strays, 100 * STRAYS_LIMIT, digits=2)} % of the genes stray from their "
            f"prediction, {100 * STRAY_SHARE:g} % expected (limit {100 * STRAYS_LIMIT:g} %)."
        )
        if n_replaced:
            advice = (
                f"{n_replaced} of these have outlying counts that the fit replaced and the log-scale tests did not."
            )
    if headline is not None:
        return Verdict(Status.WARN, headline, advice, calls_at_risk=at_risk)
    overlap = result.jaccard
    calls = "no calls by either test" if overlap is None else f"Jaccard index of the calls {overlap:.2f} (moderated t)"
    judged = f"limit {SHIFT_LIMIT:g}" if result.group_dispersions else "not judged: a group has too few samples"
    return Verdict(
        Status.PASS,
        f"Log-scale fold changes differ from the model's as it predicts: {left_over} log2 left over in the median gene "
        f"({judged}); {calls}.",
        "Nothing to do; say which definition of the fold change you report.",
        calls_at_risk=0,  # strays no more than the model itself gives
    )


def metrics(result: LogScaleTests) -> list[Metric]:
    """The named numbers: difference of mean logs against the model's fold change, over genes seen in both groups."""
    x, y = result.fold.difference[result.seen], result.lfc[result.seen]
    return [
        *(Metric(name, getattr(agreement, name)(x, y)) for name in ("pearson", "spearman", "concordance")),
        Metric("gap_r2", result.gap.r2),
        Metric("gap_median", float(np.nanmedian(result.gap.seen)), unit="log2"),
        Metric("jaccard_de", result.jaccard),
    ]


def tables(result: LogScaleTests) -> list[Table]:
    """Definitions of the fold change, tests, gap, concordance at the top, genes."""
    seen = result.seen
    return [
        Table(
            "definitions",
            f"Three definitions of the log2 fold change against the model's, over {int(seen.sum())} genes seen in "
            "both groups; bias and limits of agreement after Bland and Altman.",
            result.fold.against(result.lfc, seen),
        ),
        Table(
            "differences",
            "Histogram of each definition minus the model's log2 fold change.",
            result.fold.differences(result.lfc, seen),
        ),
        Table(
            "gap",
            "Gap between the difference of mean logs and the model's fold change, seen and predicted (log2); strays "
            f"are genes whose gap lies further from its prediction than {percent(1 - STRAY_SHARE)} of genes alike do "
            "in counts drawn from the fit.",
            {
                "absent_in_one_group": [int((~result.seen & np.isfinite(result.lfc)).sum())],
                "floor_genes": [int((result.seen & ~result.steady).sum())],
                **{name: [value] for name, value in result.gap.summary().items()},
                "strays_expected": [STRAY_SHARE],
                "concordance_well_expressed": [result.concordance_well],
                "group_dispersions": [result.group_dispersions],
            },
        ),
        Table(
            "tests",
            f"Calls at adjusted p < {result.alpha:g} among the genes that the count model tests, and their overlap "
            f"with its {int(result.called.sum())} calls; share of its top genes that are among each test's top.",
            log_tests.columns(result.tests, result.pvalue, result.called, result.alpha, TOP),
        ),
        Table(
            "genes",
            "Fold changes (log2) of each gene by every definition, and the gap with its prediction.",
            {
                "gene": list(result.genes),
                "mean_log2_cpm": result.mean_log.tolist(),
                "model": result.lfc.tolist(),
                **{name: values.tolist() for name, values in result.fold.named.items()},
                "gap": result.gap.seen.tolist(),
                "predicted_gap": result.gap.predicted.tolist(),
            },
        ),
    ]


def draw(result: LogScaleTests) -> list[Figure]:
    """Definitions against the model, and the gap against its prediction."""
    return [_draw_definitions(result), _draw_gap(result)]


def _draw_definitions(result: LogScaleTests) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    seen = result.seen
    named = result.fold.named  # the ratio of means lies on the line of equality: not drawn
    for (label, values), style in zip((*named.items(),)[::2], drawing.SERIES, strict=False):
        drawing.cloud(left, result.lfc[seen], values[seen], style, label=label)
        difference = np.clip(values[seen] - result.lfc[seen], -1.5, 1.5)
        drawing.histogram(right, difference, np.linspace(-1.5, 1.5, 61), style, label=label, outline=True)
    drawing.diagonal(left, label="equality")
    _label(
        left,
        "Definitions of the fold change",
        "log2 fold change of the count model",
        "log2 fold change on the log scale",
    )
    drawing.reference_line(right, 0.0, axis="x")
    _label(right, "Differences", "log-scale fold change minus the model's (log2)", "genes")
    correlation = agreement.pearson(result.fold.difference[seen], result.lfc[seen])
    caption = (
        "Fold changes on the log scale against the count model's. The ratio of mean logs is not a fold change: it "
        "lies on a flatter line, and its differences lean against the sign of the effect. Differences beyond 1.5 are "
        "drawn at 1.5."
    )
    alt = f"The difference of mean logs correlates with the model's fold change by {correlation or 0:.2f}."
    return Figure("definitions", drawing.to_svg(figure), caption, alt)


def _draw_gap(result: LogScaleTests) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    steady = result.steady
    drawing.cloud(left, result.mean_log[steady], result.gap.seen[steady], "observed", label="seen")
    drawing.cloud(left, result.mean_log[steady], result.gap.predicted[steady], drawing.SERIES[1], label="predicted")
    drawing.reference_line(left, 0.0)
    _label(left, "The gap by expression", "mean log2 CPM", "difference of mean logs minus model (log2)")
    drawing.cloud(right, result.gap.predicted[steady], result.gap.seen[steady], "observed")
    drawing.diagonal(right, label="equality")
    _label(right, "The gap that the model predicts", "predicted gap (log2)", "gap seen (log2)")
    caption = (
        "Mean of logs and log of mean differ by an amount that follows from the negative binomial model. What lies "
        "on the line of equality is explained; a cloud beside it is not."
    )
    alt = f"Median gap {np.nanmedian(result.gap.seen):+.3f} log2; {result.gap.left_over:+.3f} left over."
    return Figure("gap", drawing.to_svg(figure), caption, alt)


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set(xlabel=x, ylabel=y)
    ax.set_title(title)
    drawing.legend(ax)


DIAGNOSTIC = Diagnostic(
    section="methods",
    metric_names=("pearson", "spearman", "concordance", "gap_r2", "gap_median", "jaccard_de"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_zero_inflation", 0.2, frozenset({"warn"})),
)
