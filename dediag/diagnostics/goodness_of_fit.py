"""Do the counts look negative binomial?

What is measured: randomised quantile residuals of the counts under the main fit's means and final dispersions. A count
becomes a random number between P(Y < y) and P(Y <= y), and then a standard normal one if the model holds. Counts are
judged as they came, also those that the fit replaced as outliers. A random sample of up to 2,000 genes is looked at.

Why: the tests assume negative binomial counts of these dispersions. Lost counts, single wrong values and mixtures of
samples are none; the dispersions swallow part of them (costing power), the rest is to be seen here.

How: the fit follows the counts, so residuals of a good model are too regular, the more so the smaller the groups. Up
to 20 cohorts are simulated from the fit (shrunken effects, each group's own dispersions) and fitted again in full. What
is beyond 2 standard deviations of theirs counts. The limits are on the size of a difference, not on its significance:
genes vary together in real samples and independently in simulated ones.

- Zeros (warn, fail): share of the counts of genes of mean 10 and more that are zero beyond the model's own zeros, in
  all samples or one group, whichever is larger: about the share of lost counts (of 0.02, .017 to .021 at 5 v 20, .011
  to .019 at 3 v 3). `zero_ratio`, zeros over the model's, is over all genes and mostly about rare ones.
- Distribution (warn, fail): `ks_distance`, Kolmogorov distance of the residuals' probabilities from the simulated ones.
- Outliers (warn): share of residuals beyond 4 standard deviations.
- Spread (warn): standard deviation of the residuals by expression, where the dispersion trend may misfit.

How to read it: zeros in one group or sample point to how it was made, many outliers in one sample to that sample (see
the table `samples`). Too narrow residuals mean overstated dispersions and cautious p-values, too wide ones the reverse.

What it does not show: dispersions are free, so extra variation of any origin fits. An unrecorded batch is seen only if
it is strong (log2 standard deviation 1.5: 35 of 40 from 5 samples a group, hardly in smaller ones; 0.8: none). Groups
that differ in dispersion are no misfit, except below 3 residual degrees of freedom, where only shared dispersions can
be simulated. In groups of 3 or 4 an outlier moves its mean and dispersion so far that it does not show.

References:
- Dunn, Smyth (1996) Randomized quantile residuals. J Comput Graph Stat 5:236
- Mi, Di, Schafer (2015) Goodness-of-fit tests and model diagnostics for negative binomial regression of RNA sequencing
  data. PLoS One 10:e0119254
- Stute, Gonzalez Manteiga, Presedo Quindimil (1993) Bootstrap based goodness-of-fit-tests. Metrika 40:243
- Gierlinski et al. (2015) Statistical models for RNA-seq data derived from a two-condition 48-replicate experiment.
  Bioinformatics 31:3625
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import EXPRESSED
from dediag.resample.simulated_residuals import OTHER, REFERENCE, TEST, Judging, observed, simulated
from dediag.rounding import percent, settled, span
from dediag.stats.residual_sets import ResidualSets, columns, known
from dediag.study import RATIO_EDGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from dediag.stats.residual_shape import Calibrated
    from dediag.study import Study

OUTLIER = 4.0  # standard deviations; a standard normal residual lies beyond in 1 of 16,000
EDGES = np.array([0.0, *RATIO_EDGES])  # base means between the expression bins
WELL = np.flatnonzero(EDGES[:-1] >= EXPRESSED)  # bins of well-expressed genes
FEWEST_GENES = 50  # with counts, and of an expression bin that is judged
MOST_GENES, MOST_COUNTS = 2000, 160_000  # that are looked at: genes, and genes x samples
FEWEST_DF = 3
FEWEST_COHORTS = 5
MOST_COHORTS = 20  # simulated; the standard deviation of a statistic is known to a sixth

# None of 822 healthy cohorts warned (3 v 3 to 71 v 29, 500 to 2,000 genes; plain, or with a dispersion ratio of 4, a
# depth ratio of 3, or many effects). Largest beyond chance: zeros .0065 and distance .027, both 3 v 3 at ratio 4, else
# .0006 and .011; outliers .00013; spread .075. With 2 % of the counts lost 40 of 40 warned (5 v 20 to 20 v 8).
WARN_ZEROS, FAIL_ZEROS = 0.01, 0.03  # of the counts of well-expressed genes; 3 % lost cost 29 % of the calls (6 v 15)
WARN_DISTANCE, FAIL_DISTANCE = 0.04, 0.08  # of probability
WARN_OUTLIERS = 0.001  # of all counts
WARN_SPREAD = 0.10  # of the standard deviation of the residuals in a bin of well-expressed genes
ONE_SIDED = 3.0  # times as many zeros in excess as in the other group
MOSTLY, BARS = 0.5, 20  # of the outliers in one sample; of the histogram


@dataclass(frozen=True)
class GoodnessOfFit:
    """Residuals of the data beside those of simulated cohorts that were fitted alike."""

    groups: tuple[str, str]  # test, reference
    samples: tuple[str, ...]
    group: tuple[int, ...]  # (n_samples,) TEST, REFERENCE or OTHER
    n_genes: int
    n_cohorts: int
    found: ResidualSets
    calls: Calibrated  # share of the calls with an outlier
    bin: int | None  # the expression bin with the worst spread; None: none is large enough

    @property
    def spread(self) -> float:
        """How far its residuals are surely too wide (negative: too narrow), as a share of what is expected."""
        return 0.0 if self.bin is None else self.found.by_bin[self.bin]["sd"].relative

    @property
    def zeros_in(self) -> str:
        """Where the excess of zeros is largest."""
        return ("all samples", *self.groups)[self.found.most_zeros]


def compute(study: Study) -> GoodnessOfFit:
    """Residuals of a random sample of the genes, and of the same genes in simulated cohorts."""
    fit, n_cohorts = study.fit, min(MOST_COHORTS, study.settings.bootstraps)
    seen = np.flatnonzero(np.isfinite(fit.dispersion) & (fit.base_mean > 0.0))
    _check(study, seen.size, n_cohorts)
    rng = study.rng("goodness of fit")
    most = min(MOST_GENES, max(MOST_COUNTS // fit.cohort.n_samples, FEWEST_GENES))
    genes = np.sort(rng.choice(seen, min(seen.size, most), replace=False))
    test, reference = study.test_samples, study.reference_samples
    group = np.where(test, TEST, np.where(reference, REFERENCE, OTHER))
    judging = Judging(EDGES, group, OUTLIER)
    data = observed(fit, genes, judging, rng)
    cohorts = simulated(
        fit, genes, judging, n_cohorts, dispersions=study.own_dispersions, size_factors=study.size_factors, rng=rng
    )
    if len(cohorts) < FEWEST_COHORTS:
        raise NotAssessable("cohorts simulated from the fit cannot be fitted: they give no dispersion trend")
    found = ResidualSets.of(data, cohorts, test, reference, WELL)
    return GoodnessOfFit(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        samples=tuple(fit.cohort.samples.index.astype(str)),
        group=tuple(group.tolist()),
        n_genes=genes.size,
        n_cohorts=len(cohorts),
        found=found,
        calls=found.with_outlier(study.significant[genes]),
        bin=found.worst_bin(WELL, FEWEST_GENES),
    )


def _check(study: Study, n_genes: int, n_cohorts: int) -> None:
    samples, coefficients = study.fit.design.matrix.shape
    reasons = {
        "the contrast factor is part of an interaction, so two groups cannot be simulated": study.in_interaction,
        "the fit has weights, and a weighted count has no distribution": study.fit.weights.shape[1] > 0,
        f"fewer than {FEWEST_DF} residual degrees of freedom: residuals only follow the fit": (
            samples - coefficients < FEWEST_DF
        ),
        f"fewer than {FEWEST_GENES} genes have counts": n_genes < FEWEST_GENES,
        f"{n_cohorts} simulated cohorts are allowed, {FEWEST_COHORTS} are needed": n_cohorts < FEWEST_COHORTS,
    }
    for reason, applies in reasons.items():
        if applies:
            raise NotAssessable(reason)


def judge(result: GoodnessOfFit) -> Verdict:
    """Limits on what is beyond chance: zeros and the distribution warn or fail, outliers and spread warn."""
    zeros, off = result.found.zeros.sure, result.found.distance.sure
    wrong = []
    if zeros >= WARN_ZEROS:
        wrong.append((_zeros(result), _zeros_advice(result)))
    if result.found.whole["outliers"].sure >= WARN_OUTLIERS:
        wrong.append((_outliers(result), _outliers_advice(result)))
    if result.bin is not None and abs(result.spread) >= WARN_SPREAD:
        wrong.append((_spread(result, result.bin), "Read p-values there with care; look for an unrecorded batch."))
    if off >= WARN_DISTANCE:
        wrong.append((_distance(result), "Look for samples that belong apart (confounding, an unrecorded batch)."))
    if not wrong:
        limits = f"limits {100 * WARN_ZEROS:g} % zeros, {100 * WARN_OUTLIERS:g} % outliers, distance {WARN_DISTANCE:g}"
        fine = f"no more zeros, outliers or distance from the model's distribution than chance gives ({limits})"
        return Verdict(Status.PASS, f"The counts look negative binomial: {fine}.", "Nothing to do.", 0)
    failed, words = zeros >= FAIL_ZEROS or off >= FAIL_DISTANCE, "; ".join(words for words, _ in wrong)
    if failed:
        return Verdict(Status.FAIL, f"The counts do not look negative binomial: beyond chance, {words}.", wrong[0][1])
    return Verdict(Status.WARN, f"Some counts do not look negative binomial: beyond chance, {words}.", wrong[0][1])


def _percent(value: float, limit: float) -> str:
    """A share beyond chance on its side of the limit; what is far below it counts as none."""
    return f"{settled(100 * value if value > limit / 100 else 0.0, 100 * limit, digits=2)} %"


def _zeros(result: GoodnessOfFit) -> str:
    value = result.found.zeros.sure
    limit = FAIL_ZEROS if value >= FAIL_ZEROS else WARN_ZEROS
    if np.isnan(value):
        return f"no gene has a mean of {EXPRESSED:g} to judge zeros by"
    counts = f"the counts of genes of mean {EXPRESSED:g} and more in {result.zeros_in}"
    return f"{_percent(value, limit)} of {counts} are zero (limit {100 * limit:g} %)"


def _zeros_advice(result: GoodnessOfFit) -> str:
    lost = [max(part["excess_zeros"].sure, 0.0) for part in result.found.well[1:]]
    if max(lost) >= max(WARN_ZEROS, ONE_SIDED * min(lost)):
        group = result.groups[int(np.argmax(lost))]
        return f"Find out why {group} lost counts (depth, a filter, one sample) before you read its fold changes."
    return "Find out where counts were lost (a filter, missing values written as 0, single cells) and count again."


def _outliers(result: GoodnessOfFit) -> str:
    value, (at, share) = result.found.whole["outliers"].sure, result.found.outliers_in
    out = f"of all counts lie {OUTLIER:g} standard deviations out or more (limit {100 * WARN_OUTLIERS:g} %"
    words = f"{_percent(value, WARN_OUTLIERS)} {out}"
    if value < WARN_OUTLIERS:
        return f"{words})"
    calls = "" if np.isnan(result.calls.observed) else f"; {percent(result.calls.observed)} of the calls have one"
    return f"{words}; {percent(share)} of them in {result.samples[at]}{calls})"


def _outliers_advice(result: GoodnessOfFit) -> str:
    at, share = result.found.outliers_in
    if share >= MOSTLY:
        return f"See what influence says of {result.samples[at]}, and report the result with and without it."
    return "See in the table of samples where they lie, and check the calls that have one before you report them."


def _spread(result: GoodnessOfFit, b: int) -> str:
    wide, stated = ("wide", "understated") if result.spread > 0.0 else ("narrow", "overstated")
    off = f"{_percent(abs(result.spread), WARN_SPREAD)} too {wide} (limit {100 * WARN_SPREAD:g} %)"
    return f"residuals of genes of mean {span(EDGES[b], EDGES[b + 1])} are {off}: their dispersion is {stated}"


def _distance(result: GoodnessOfFit) -> str:
    value = max(result.found.distance.sure, 0.0)
    limit = FAIL_DISTANCE if value >= FAIL_DISTANCE else WARN_DISTANCE
    return f"the residuals' distribution is {settled(value, limit, digits=2)} from the model's (limit {limit:g})"


def metrics(result: GoodnessOfFit) -> list[Metric]:
    """The numbers of report.json; `..._expected` is the mean of the simulated cohorts with their range."""
    found, sure = result.found, "_beyond_chance"
    return [
        *_beside("ks_distance", found.distance),
        *_beside("zero_ratio", found.whole["zero_ratio"]),
        *_beside("outlier_share", found.whole["outliers"]),
        *_beside("ks_from_uniform", found.uniform_distance),
        *_beside("residual_sd", found.whole["sd"]),
        *_beside("excess_zeros", found.zeros),
        *_beside("calls_with_outlier", result.calls),
        *_beside("worst_sample_rms", found.by_sample[found.worst]["rms"]),
        Metric("worst_sample", result.samples[found.worst]),
        Metric("excess_zeros_in", result.zeros_in),
        Metric("worst_expression", None if result.bin is None else span(EDGES[result.bin], EDGES[result.bin + 1])),
        Metric(f"ks_distance{sure}", found.distance.sure, limit=WARN_DISTANCE),
        Metric(f"excess_zeros{sure}", known(result.found.zeros.sure), limit=WARN_ZEROS),
        Metric(f"outlier_share{sure}", found.whole["outliers"].sure, limit=WARN_OUTLIERS),
        Metric(f"worst_expression_sd{sure}", result.spread, limit=WARN_SPREAD),
        Metric("genes", result.n_genes),
        Metric("simulated_cohorts", result.n_cohorts),
    ]


def _beside(name: str, value: Calibrated) -> tuple[Metric, Metric]:
    expected = Metric(f"{name}_expected", known(value.expected), known(value.low), known(value.high))
    return Metric(name, known(value.observed)), expected


def tables(result: GoodnessOfFit) -> list[Table]:
    """Residuals, outliers and zeros by group, expression and sample."""
    found, role = result.found, {TEST: result.groups[0], REFERENCE: result.groups[1], OTHER: "other"}
    shown = [b for b, part in enumerate(found.by_bin) if part.observed.n]
    what = (
        f"Residuals of {result.n_genes:,} genes: mean, standard deviation, share beyond {OUTLIER:g}; excess zeros as "
        f"a share of the counts, and over the model's; expected: mean of {result.n_cohorts} simulated cohorts."
    )
    by_bin: dict[str, Sequence[object]] = {
        "base_mean": [span(EDGES[b], EDGES[b + 1]) for b in shown],
        "genes": [round(found.by_bin[b].observed.n / len(result.samples)) for b in shown],
        **columns([found.by_bin[b] for b in shown]),
    }
    named = {"sample": list(result.samples), "group": [role[g] for g in result.group]}
    return [
        Table("groups", f"{what} By group.", {"group": list(result.groups), **columns(found.by_group)}),
        Table("expression", f"{what} By base mean.", by_bin),
        Table("samples", f"{what} By sample.", {**named, **columns(found.by_sample)}),
    ]


def draw(result: GoodnessOfFit) -> list[Figure]:
    """The residuals' distribution and spread; zeros by expression, and the samples."""
    return [_draw_residuals(result), _draw_places(result)]


def _draw_residuals(result: GoodnessOfFit) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    data, cohorts = result.found.densities(BARS)
    mean, reach = cohorts.mean(axis=0), 2.0 * cohorts.std(axis=0, ddof=1)
    steps = np.repeat(np.linspace(0.0, 1.0, BARS + 1), 2)[1:-1]
    drawing.ribbon(left, steps, np.repeat(mean - reach, 2), np.repeat(mean + reach, 2), label="expected")
    drawing.curve(left, steps, np.repeat(data, 2), "observed", label="observed")
    left.set(xlabel="probability of a smaller count in the fitted model", ylabel="density of counts (uniform: 1)")
    left.set(title="Where the counts lie", ylim=(0.0, None))
    _by_expression(right, result, "sd", 1.0)
    right.set(ylabel="standard deviation of residuals", title="Spread of the residuals")
    right.set_ylim(0.0, 1.1 * right.get_ylim()[1])
    drawing.legend(left)
    drawing.legend(right)
    off, sd = result.found.distance, result.found.whole["sd"]
    return Figure(
        "residuals",
        drawing.to_svg(figure),
        "Left: where counts lie in the distributions fitted to them. Right: standard deviation of their residuals. "
        f"Expected: {result.n_cohorts} cohorts simulated and fitted alike, mean and 2 standard deviations.",
        f"Distance {off.observed:.3f}, by chance {off.expected:.3f}; standard deviation {sd.observed:.3f}, expected "
        f"{sd.expected:.3f}.",
    )


def _draw_places(result: GoodnessOfFit) -> Figure:
    figure, found = drawing.new_figure(*drawing.PAIR), result.found
    left, right = figure.subplots(1, 2)
    _by_expression(left, result, "excess_zeros", 100.0)
    left.set(ylabel="% of the counts", title="Zeros beyond the fitted model's")
    order = np.argsort([-g for g in result.group], kind="stable")
    group, at = np.array(result.group)[order], np.arange(order.size)
    rms, expected = np.array([found.by_sample[i]["rms"][:2] for i in order]).T
    for number, role, label in zip((TEST, REFERENCE), ("test", "reference"), result.groups, strict=True):
        drawing.cloud(right, at[group == number], rms[group == number], role, label=label, size=36, alpha=0.9)
    drawing.cloud(right, at, expected, "expected", label="expected", size=14)
    name, worst = result.samples[found.worst], int(np.flatnonzero(order == found.worst)[0])
    drawing.tag(right, worst, rms[worst], name)
    right.set(xlabel="sample", ylabel="root mean square of residuals", title="Samples", xticks=[])
    right.set(ylim=(0.0, 1.15 * float(np.nanmax(rms))))
    drawing.legend(left)
    drawing.legend(right)
    return Figure(
        "zeros_and_samples",
        drawing.to_svg(figure),
        "Left: zero counts beyond those that the fitted model gives, in % of all counts. Right: size of each sample's "
        f"residuals; {name} fits worst.",
        f"Root mean square of the residuals of {name}: {rms[worst]:.2f}, expected {expected[worst]:.2f}.",
    )


def _by_expression(ax: Axes, result: GoodnessOfFit, name: str, scale: float) -> None:
    parts = {span(EDGES[b], EDGES[b + 1]): part[name] for b, part in enumerate(result.found.by_bin)}
    shown = {label: (v.observed, v.expected, v.low, v.high) for label, v in parts.items() if np.isfinite(v.sd)}
    drawing.beside_expected(ax, list(shown), *(scale * np.array(list(shown.values())).T))
    ax.set_xlabel("base mean")


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=("ks_distance", "zero_ratio", "outlier_share"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("zero_inflation", strength=0.02, expects=frozenset({"warn", "fail"})),
)
