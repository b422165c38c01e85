"""Is any sample out of line?

Each sample is asked four things:

- Does it vary more than its fellows, the other samples of its group? Its weight is the reciprocal of its variance, one
  multiple for all genes, by residual likelihood on log counts with precision weights (genes with a mean count of 10 and
  more; geometric mean one). Depth makes shallow samples noisier and is no fault: each weight is divided by the one that
  cohorts simulated from the fit give it at the same depths (each group's own dispersions; shared ones below 3 residual
  degrees of freedom in a group), and then by the median of its fellows. A group that varies more as a whole is a matter
  of heteroskedasticity and not held against its samples. Below a quarter (four times the variance) AND three robust
  standard deviations of the fellows it warns: real samples differ by factors of two and three as a rule. It fails below
  a tenth if a tenth of the calls, five or more, change when the weights are used.
- Is it on the wrong side? The 50 genes that tell the groups apart best WITHOUT the sample vote whether it is nearer to
  the other group's mean. From 80 % of the votes on it looks like the other group: in both groups such samples look
  exchanged (fails), in one they may as well lack the group's effect, like mild cases (warns). Where the typical sample
  is not placed in its own group the check cannot work, and where a fifth of a group is nearer to the other one a factor
  splits them unevenly (warns): `suspected_swap` is null.
- Is it of the recorded sex? Asked where XIST or genes of the Y chromosome are among the genes and a column of the
  sample table holds nothing but sexes. Another sex than recorded fails.
- How far is it from its group? Distances, correlations and SERE (1 is counting noise alone): for reading only.

`n_calls_weighted` counts the calls of a fit with the weights; of few samples, whose weights the test takes for known,
it is too large.

How to read it: a dot far below its bar varies more than the model knows; a dot above the line of votes is nearer to the
other group. Low weight alone is a reason to look and to weigh, not to leave a sample out.

What it does not show: why. A sample may be damaged, contaminated, of another cell mixture, or honestly different. A
batch that splits the groups unevenly can look like a swap. Simulated genes vary independently, so the range of the
expected weights is narrower than that of real samples: of 100 splits of clean replicates of one strain 19 warn and 1
fails. In a group of 3 a bad sample and a group that varies more look alike; 2, like those of a pair with a coefficient
of its own, share one weight. Of 5 v 5 a swapped pair is often missed.

References:
- Ritchie et al. (2006) Empirical array quality weights in the analysis of microarray data. BMC Bioinformatics 7:261
- Liu et al. (2015) Why weight? Modelling sample and observational level variability. Nucleic Acids Res 43:e97
- Smyth (2002) An efficient algorithm for REML in heteroscedastic regression. J Comput Graph Stat 11:836
- Schulze et al. (2012) SERE: single-parameter quality control and sample comparison for RNA-Seq. BMC Genomics 13:524
- Ambroise, McLachlan (2002) Selection bias in gene extraction. PNAS 99:6562
- Toker et al. (2016) Whose sample is it anyway? Widespread misannotation of samples. F1000Research 5:2103
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.drawing.samples import sample_points
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample.expected_weights import beside_model, calls_with, weighed_genes
from dediag.resample.sample_places import places
from dediag.rounding import counted, percent, settled
from dediag.stats.sex_markers import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.resample.expected_weights import Calls, SampleWeights
    from dediag.resample.sample_places import Places
    from dediag.study import Study

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]

# In 472 healthy cohorts (3 v 3 to 71 v 29, 500 to 2,000 genes; no, few or many effects) none warned: weights at least
# .71 of the fellows'. With a bad sample (1.5 log2) 140 of 140 warned or failed and named it: .12 at most. In 5,634
# healthy cohorts no sample was suspected (54 % of the votes at most where the groups are told apart); of swapped pairs
# 1,223 of 1,224 were named and nobody else (5 v 20 to 20 v 8, many effects). The lowest weights of eight real studies:
# .66, .63, .28, .27, .23, .14, .10 and, in schurch2016, .03.
WEIGHT_LIMIT = 0.25  # of the fellows' weight, depth allowed for: four times the variance
SPREADS = 3.0  # robust standard deviations below the fellows
VERY_LOW = 0.1  # of the fellows' weight, fails with ...
CHANGED, CHANGED_CALLS = 0.1, 5  # ... this share of the calls, and so many, vanishing or appearing with the weights
MANY = 0.2  # of the samples out of line: no longer single ones
SWAP_VOTES = 0.8  # share of the genes that place a sample in the other group
COHORTS, FEWEST_GENES, SMALLEST_GROUP = 20, 50, 3


@dataclass(frozen=True)
class SampleQuality:
    """What is known of each sample; arrays over the samples of the two groups."""

    groups: tuple[str, str]
    sizes: tuple[int, int]
    samples: tuple[str, ...]
    group: Index  # (n_samples,) 0: test, 1: reference
    weights: SampleWeights
    places: Places
    sex: tuple[tuple[str, str], ...] | None  # recorded and shown; None: not checked
    calls: Calls | None  # without and with the weights; None: no fit with weights

    @property
    def out_of_line(self) -> Mask:
        """Samples below both limits of the weight: (n_samples,)."""
        low = np.nan_to_num(self.weights.ratio, nan=1.0) < WEIGHT_LIMIT
        return low & (np.nan_to_num(self.weights.spreads) >= SPREADS)

    @property
    def worst(self) -> int:
        """Position of the lowest ratio: of those out of line, else of all."""
        ratio = np.nan_to_num(self.weights.ratio, nan=1.0)
        return int(np.argmin(np.where(self.out_of_line | ~self.out_of_line.any(), ratio, np.inf)))

    @property
    def misplaced(self) -> Index:
        """Positions of the samples that look like the other group."""
        return self.places.swap.misplaced(SWAP_VOTES)

    @property
    def wrong_sex(self) -> list[str]:
        """Names of the samples whose expression shows another sex than was recorded."""
        pairs = zip(self.samples, self.sex or (), strict=False)
        return [name for name, pair in pairs if set(pair) == {"female", "male"}]


def compute(study: Study) -> SampleQuality:
    """Weights, what the model gives, votes, sexes, distances, and the calls with the weights."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    if max(study.n_test, study.n_reference) < SMALLEST_GROUP:
        raise NotAssessable("a group of two has no third sample to say which of them is out of line")
    fit, genes = study.fit, weighed_genes(study.fit)
    if fit.design.matrix.shape[0] - fit.design.matrix.shape[1] < 2:
        raise NotAssessable("the design leaves fewer than 2 residual degrees of freedom")
    if genes.size < FEWEST_GENES:
        raise NotAssessable(f"fewer than {FEWEST_GENES} genes have a mean count of 10 and more")
    group = np.where(study.test_samples, 0, np.where(study.reference_samples, 1, -1))
    names, table, both = study.cohort.genes.astype(str).tolist(), study.cohort.samples, group >= 0
    n_cohorts, seed = min(COHORTS, study.settings.bootstraps), int(study.rng("sample weights").integers(2**31))
    weights = beside_model(fit, genes, group, n_cohorts, seed)
    sex = shown(names, study.cpm, (table[name].tolist() for name in table))
    return SampleQuality(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
        samples=tuple(table.index[both].astype(str)),
        group=group[both],
        weights=weights,
        places=places(fit, genes, group),
        sex=None if sex is None else tuple(pair for pair, taken in zip(sex, both, strict=True) if taken),
        calls=calls_with(fit, weights.everyone, study.size_factors, study.significant),
    )


def judge(result: SampleQuality) -> Verdict:
    """Warn about samples that vary too much or look like the other group; fail where that changes conclusions."""
    alarms = [a for a in (_swap(result), _wrong_sex(result), _low_weight(result)) if a is not None]
    calls, i = result.calls, result.worst
    note = f" With {SMALLEST_GROUP} samples or fewer a bad sample and a group that varies more look alike."
    note = note if min(result.sizes) <= SMALLEST_GROUP else ""
    if alarms:
        first = max(alarms, key=lambda alarm: alarm.status.severity)
        also = "".join(f" Also: {alarm.headline}" for alarm in alarms if alarm is not first)
        return Verdict(first.status, first.headline + note, first.advice + also, None if calls is None else calls.lost)
    lowest = f"the lowest weight, that of {result.samples[i]}, is {_times(result)}"
    headline = f"No sample is out of line: {lowest}; {_placed(result)}.{note}"
    return Verdict(Status.PASS, headline, "Keep all samples.", 0)


def _times(result: SampleQuality) -> str:
    """How the worst weight compares with the fellows'."""
    ratio, spreads = float(result.weights.ratio[result.worst]), float(result.weights.spreads[result.worst])
    times = settled(ratio, WEIGHT_LIMIT, VERY_LOW, digits=2)
    said = f"{times} times that of its fellows, depth allowed for"
    limits = f"out of line below {WEIGHT_LIMIT:g} and by {SPREADS:g} spreads"
    return f"{said} ({limits}{'' if np.isnan(spreads) else f'; it is {settled(spreads, SPREADS, digits=2)} below'})"


def _placed(result: SampleQuality) -> str:
    """What the votes say where they name nobody."""
    swap = result.places.swap
    if swap.most is None or not swap.told_apart:
        return "the groups cannot be told apart without the sample in question, so a swap could not be seen"
    share = settled(100.0 * float(swap.votes[swap.most]), 100.0 * SWAP_VOTES, digits=2)
    placed = f"at most {share} % of the genes place one in the other group"
    return f"{placed} ({result.samples[swap.most]}, limit {percent(SWAP_VOTES)})"


def _swap(result: SampleQuality) -> Verdict | None:
    """What is said of samples that look like the other group."""
    at, swap = result.misplaced, result.places.swap
    if not at.size:
        return None
    if swap.blurred:
        said = (
            f"{at.size} of {len(result.samples)} samples look like the other group (limit 0) and more lie in between:"
        )
        said += " not mistakes one by one but an unrecorded factor that splits the groups unevenly."
        return Verdict(Status.WARN, said, "Look for a factor that splits the groups unevenly: batch, tissue, damage.")
    names = [f"{result.samples[k]} ({percent(swap.votes[k])}, labelled {result.groups[result.group[k]]})" for k in at]
    voting = f"share of the genes chosen without it that place it in the other group, limit {percent(SWAP_VOTES)}"
    if len(set(result.group[at])) == 2:
        said = f"Samples of both groups look exchanged: {', '.join(names)}; {voting}."
        return Verdict(Status.FAIL, said, "Trace their labels (sex, genotype, records) and correct or leave out.")
    said = f"Like the other group: {', '.join(names)}; {voting}. Mislabelled, or without the group's effect."
    return Verdict(Status.WARN, said, "Trace the label (sex, genotype, records), and report the result without it too.")


def _wrong_sex(result: SampleQuality) -> Verdict | None:
    """What is said of samples whose expression shows another sex than the table."""
    names = result.wrong_sex
    if not names:
        return None
    said = f"{counted(len(names), 'sample')} of {len(result.samples)} (limit 0) of another sex than recorded:"
    return Verdict(Status.FAIL, f"{said} {', '.join(names)}.", "Trace these samples: labels or tubes were exchanged.")


def _low_weight(result: SampleQuality) -> Verdict | None:
    """What is said of samples that vary far more than the model gives."""
    i, n, calls, total = result.worst, int(result.out_of_line.sum()), result.calls, len(result.samples)
    if n == 0:
        return None
    effect = ""
    if calls is not None:
        share = settled(100.0 * calls.changed, 100.0 * CHANGED, digits=2)
        effect = f"; with the weights {calls.after} genes are called instead of {calls.before} ({calls.lost} vanish, "
        effect += f"{calls.gained} appear: {share} %, limit {percent(CHANGED)})"
    low = sorted(np.flatnonzero(result.out_of_line), key=lambda k: float(result.weights.ratio[k]))
    others = f", as {n - 1} more are ({', '.join(result.samples[k] for k in low[1:5])})" if n > 1 else ""
    said = f"{result.samples[i]} is out of line{others}: its weight is {_times(result)}{effect}."
    matters = calls is not None and calls.changed >= CHANGED and calls.lost + calls.gained >= CHANGED_CALLS
    fails = float(result.weights.ratio[i]) < VERY_LOW and matters
    name = result.samples[i]
    advice = f"Look at {name} (library, RNA, cell mixture), and see the list without it (`--drop-samples {name}`)."
    if n > MANY * total:
        advice = (
            f"{n} of {total} samples are no single cases: look for a batch or damage that they share, before weighting."
        )
    return Verdict(Status.FAIL if fails else Status.WARN, said, advice)


def metrics(result: SampleQuality) -> list[Metric]:
    """The numbers of report.json."""
    i, weights, swap, calls = result.worst, result.weights, result.places.swap, result.calls
    suspects = ", ".join(result.samples[k] for k in result.misplaced) or "none"
    known = swap.told_apart and not (swap.blurred and result.misplaced.size)
    bounds = float(weights.expected[:, i].min()), float(weights.expected[:, i].max())
    votes = None if swap.most is None else float(swap.votes[swap.most])
    return [
        Metric("worst_sample", result.samples[i]),
        Metric("min_weight", float(weights.weight.min())),
        Metric("suspected_swap", suspects if known else None),
        Metric("weight_worst", float(weights.weight[i])),
        Metric("expected_weight_worst", float(weights.typical[i]), *bounds),
        Metric("weight_ratio_worst", float(weights.ratio[i]), limit=WEIGHT_LIMIT),
        Metric("most_votes_for_other_group", votes, limit=SWAP_VOTES),
        Metric("sex_mismatches", None if result.sex is None else len(result.wrong_sex), limit=0, unit="samples"),
        Metric("n_calls_weighted", None if calls is None else calls.after, unit="genes"),
        Metric("calls_changed", None if calls is None else calls.lost + calls.gained, unit="genes"),
    ]


def tables(result: SampleQuality) -> list[Table]:
    """A row per sample."""
    weights, sex = result.weights, result.sex or ()
    numbers = {
        "weight": weights.weight,
        "expected": weights.typical,
        "expected_low": weights.expected.min(axis=0),
        "expected_high": weights.expected.max(axis=0),
        "ratio": weights.ratio,
        "spreads_below": weights.spreads,
        "votes_for_other": result.places.swap.votes,
        **result.places.measures,
    }
    columns: dict[str, list[object]] = {
        "sample": list(result.samples),
        "group": [result.groups[g] for g in result.group],
        **{name: [float(v) if np.isfinite(v) else None for v in values] for name, values in numbers.items()},
    }
    if sex:
        columns |= {"sex_recorded": [said for said, _ in sex], "sex_shown": [seen for _, seen in sex]}
    caption = (
        f"Weights from {weights.n_genes} genes; expected ones in {len(weights.expected)} cohorts simulated with "
        f"{weights.dispersion} dispersions; ratio: weight over expected, in multiples of the "
        "fellows' median; spreads_below: how far that is below 1, in robust standard deviations of its log; "
        "votes_for_other: share of 50 genes, chosen without the sample; sere: 1 is counting noise alone; distances and "
        "correlations: medians over the samples of the own and of the other group (transformed counts)."
    )
    return [Table("samples", caption, columns)]


def draw(result: SampleQuality) -> list[Figure]:
    """Weights beside what the model gives; components and votes."""
    return [_draw_weights(result), _draw_places(result)]


def _draw_weights(result: SampleQuality) -> Figure:
    figure, weights, i = drawing.new_figure(*drawing.WIDE), result.weights, result.worst
    ax = figure.subplots()
    rank = np.argsort(np.lexsort((weights.ratio, result.group))).astype(np.float64)
    low, high = weights.expected.min(axis=0), weights.expected.max(axis=0)
    drawing.intervals(ax, rank, weights.typical, low, high, role="expected", label="what the model gives")
    named = np.unique([i, *np.flatnonzero(result.out_of_line)[:4]])
    sample_points(ax, rank, weights.weight, result.group, result.groups, names=result.samples, named=named)
    ax.set_yscale("log", base=2)
    ends = np.log2([min(low.min(), weights.weight.min()), max(high.max(), weights.weight.max())])
    powers = 2.0 ** np.arange(np.floor(ends[0]), np.ceil(ends[1]) + 1.0)
    ax.set_yticks(powers, [f"{power:g}" if power >= 1.0 else f"1/{1.0 / power:g}" for power in powers])
    ax.set(xlabel="samples of each group, worst first", ylabel="weight", xticks=[], title="Sample weights")
    ax.margins(x=0.08)
    drawing.legend(ax)
    return Figure(
        "weights",
        drawing.to_svg(figure),
        "Weight of each sample (reciprocal of its variance, geometric mean one), and the weights in cohorts simulated "
        f"from the fitted model (mean and range). {result.samples[i]} is furthest below.",
        f"{result.samples[i]}: weight {weights.weight[i]:.2f}, expected {weights.typical[i]:.2f}.",
    )


def _draw_places(result: SampleQuality) -> Figure:
    figure, places, swap = drawing.new_figure(*drawing.PAIR), result.places, result.places.swap
    left, right = figure.subplots(1, 2)
    named = np.unique([result.worst, *result.misplaced[:4]])
    at, votes = np.arange(len(result.samples), dtype=np.float64), 100.0 * swap.votes
    for ax, x, y in ((left, places.scores[:, 0], places.scores[:, -1]), (right, at, votes)):
        sample_points(ax, x, y, result.group, result.groups, names=result.samples, named=named)
        ax.margins(x=0.12)
    drawing.reference_line(right, 100.0 * SWAP_VOTES, label="limit")
    share = [f"component {k + 1} ({percent(s)} of the variance)" for k, s in enumerate(places.shares)]
    left.set(xlabel=share[0], ylabel=share[-1], title="Principal components")
    right.set(xlabel="samples", ylabel="% of genes nearer to the other group", xticks=[], ylim=(-3.0, 103.0))
    right.set(title="Is it on the wrong side?")
    for ax in (left, right):
        drawing.legend(ax)
    return Figure(
        "places",
        drawing.to_svg(figure),
        "Left: samples by principal component of the transformed counts. Right: share of the genes that tell the "
        "groups apart best without the sample and place it nearer to the other group.",
        f"Samples by component and group; {_placed(result)}.",
    )


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=("worst_sample", "min_weight", "suspected_swap"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("bad_sample", strength=1.5, expects=frozenset({"warn", "fail"})),
)
