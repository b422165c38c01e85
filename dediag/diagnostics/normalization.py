"""Would another normalisation move the zero point?

What is measured: by how much other ways to normalise the same counts move all fold changes (log2), and what the list
of calls becomes. Size factors say which fold change is none, and every call depends on it.

*Other methods*: median of ratios (genes without a zero), the same over positive counts (poscounts), trimmed mean of M
values (TMM), upper quartile, and by control genes and spike-ins where these are named. `max_shift_log2` is the shift
of largest size; intervals (99 %) take samples as the unit. The table has how many genes carry each method's factors
and their mean count: where few genes have a count in every sample, or zeros are unequal between the groups, the
median of ratios rests on a part of the genes that may not be typical.

*Dispersion shift*: methods on the log scale give the more dispersed group size factors that are too small, since the
median of a log count lies below the log of its mean; all its genes go up, whatever the number of samples: by .15 log2
at dispersions of .4 and .1, by .12 where genes spread widely (`dispersion_shift_log2`: cohorts without effect simulated
with the groups' dispersions and normalised by this study's method; reports/validation_dispersions). TMM does the same,
upper quartiles half the opposite. Recentring by the median fold change of well-expressed genes takes it off.

*Composition*: where a few genes take up much of one group's reads, all others look lower in CPM, FPKM and TPM.
`composition_shift_log2` is by how much normalising to the total would move all fold changes against this fit, whose
method allows for it. `top10_share_max` is the largest share of one sample's reads in its ten most abundant genes.

*Balance*: `balancing_shift_log2`, added to all fold changes, would make as many calls up as down. Far beyond what any
method differs by, the zero point is not what makes the list lean; within it, it could be.

How to read it: a failure means that size factors which were given lie on one side of all methods above; a warning
that one of them, the dispersions, spike-ins or the total surely move the zero point by more than the limit.

What it does not show: all methods but spike-ins assume that most genes, or those in the middle, do not change. If
most genes change one way (a global shift of transcription, fewer RNA molecules per cell) every one of them hides it,
and the data alone cannot tell: it takes spike-ins added in proportion to cells. Spike-ins in turn carry the errors of
pipetting and of the share of RNA that is mRNA: a shift that only they show may be either.

References:
- Anders, Huber (2010) Differential expression analysis for sequence count data, eq. 5. Genome Biol 11:R106
- Robinson, Oshlack (2010) A scaling normalization method for differential expression analysis of RNA-seq data. Genome
  Biol 11:R25
- Bullard, Purdom, Hansen, Dudoit (2010) Evaluation of statistical methods for normalization and differential
  expression in mRNA-Seq experiments. BMC Bioinformatics 11:94
- Lovén et al. (2012) Revisiting global gene expression analysis. Cell 151:476
- Evans, Hardin, Stoebel (2018) Selecting between-sample RNA-Seq normalization methods from the perspective of their
  assumptions. Brief Bioinform 19:776
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import EXPRESSED
from dediag.model.normalisations import CONTROLS, METHODS, SPIKE_INS, columns, group_shift, normalisations, recentred
from dediag.model.size_factors import size_factors
from dediag.rounding import counted, fixed, listed, settled
from dediag.stats.error_model import UNKNOWN
from dediag.stats.zero_point import balancing_shift, mode, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.normalisations import Normalisation
    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]

# Limits on the nearer end of each interval (log2); reports/validation_direction lists alarms of healthy cohorts.
SHIFT_LIMIT = 0.1  # another method: eight real data sets have up to .08
DISPERSION_LIMIT = 0.05  # that of heteroskedasticity
COMPOSITION_LIMIT = 0.3  # the total: shifts of up to .43 in 1,700 healthy cohorts, none of them surely .3
GIVEN = "given size factors"
TOP = 10  # most abundant genes of a sample
NOTHING = "Nothing to do."
UNEVEN = "Most genes changed, or mRNA per RNA differs, or spike-ins were added unevenly: report both normalisations."
HOLD = "Say which normalisation was used and why, and which calls hold under both (table)."


@dataclass(frozen=True)
class Normalization:
    """Shifts of all fold changes (log2), test over reference, and what they make of the calls."""

    groups: tuple[str, str]
    own: str  # the method of the fit
    n_reference_genes: int | None  # that carry its size factors; None: given
    methods: tuple[Normalisation, ...]
    dispersion_shift: Estimate
    composition: Estimate
    mode: float  # of the fold changes of well-expressed genes
    recentred: Normalisation | None
    balancing: float | None
    lfc: Array  # (n_expressed,)
    samples: tuple[str, ...]  # of the two groups
    is_test: NDArray[np.bool_]  # (n_samples,)
    top_share: Array  # (n_samples,) of the reads, in the TOP genes
    top_gene: tuple[str, ...]

    @property
    def widest(self) -> Normalisation | None:
        """The method that moves the zero point most."""
        return max(self.methods, key=lambda m: abs(m.shift.value), default=None)


def compute(study: Study) -> Normalization:
    """Size factors and calls by every method; shifts that dispersions and composition make."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    if study.cohort.offsets is not None:
        raise NotAssessable("normalisation factors were given gene by gene, which no size factor replaces")
    fit, counts = study.fit, study.cohort.counts
    both = np.flatnonzero(study.test_samples | study.reference_samples)
    total = counts.sum(axis=0)
    top = np.partition(counts[:, both], -min(TOP, len(counts)), axis=0)[-TOP:]
    expressed = np.minimum(study.mean_test, study.mean_reference) >= EXPRESSED
    if study.cohort.spike_ins is not None:
        expressed &= ~study.cohort.spike_ins
    tested = np.isfinite(fit.padj) & (fit.lfc_se > 0.0)
    methods, own = normalisations(fit), study.size_factors if isinstance(study.size_factors, str) else GIVEN
    if study.cohort.control_genes is not None and own != GIVEN:
        own = f"{own} of {CONTROLS}"
    given, genes = study.size_factors, study.cohort.normalisation_genes
    carried = size_factors(counts, given, genes).n_genes if isinstance(given, str) else None
    return Normalization(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        own=own,
        n_reference_genes=carried,
        methods=methods,
        dispersion_shift=_dispersion_shift(study),
        composition=group_shift(fit, np.log2(total / fit.size_factors)),
        mode=mode(fit.lfc[expressed]),
        recentred=None if study.recentred is fit else recentred(fit, study.recentred, expressed),
        balancing=balancing_shift(fit.lfc[tested], fit.lfc_se[tested], study.settings.alpha),
        lfc=fit.lfc[expressed],
        samples=tuple(str(name) for name in study.cohort.samples.index[both]),
        is_test=study.test_samples[both],
        top_share=top.sum(axis=0) / total[both],
        top_gene=tuple(str(study.cohort.genes[i]) for i in counts[:, both].argmax(axis=0)),
    )


def _dispersion_shift(study: Study) -> Estimate:
    if study.normalisation_shifts is None:
        return UNKNOWN
    try:
        ratio = study.dispersion_ratio.estimates()[0]
    except (ValueError, ArithmeticError):
        return UNKNOWN
    return study.error_model.shift_estimate(ratio) if ratio.known else UNKNOWN


def judge(result: Normalization) -> Verdict:
    """Limits on the end of each interval that is nearer to zero."""
    usual = [m for m in result.methods if m.name in METHODS and m.name != result.own]
    ends, widest = [nearest(m.shift) for m in usual], result.widest
    ends += [nearest(m.shift) for m in result.methods if m.name not in METHODS]  # genes that the user vouches for
    apart = len(usual) > 1 and (min(ends) >= SHIFT_LIMIT or max(ends) <= -SHIFT_LIMIT)
    if apart and result.own == GIVEN:
        closest = min(usual, key=lambda m: abs(m.shift.value))
        return Verdict(
            Status.FAIL,
            f"The {GIVEN} put the zero point at least {fixed(abs(closest.shift.value), 2)} log2 too "
            f"{'low' if closest.shift.value < 0.0 else 'high'} by all of {listed([m.name for m in usual])} (surely "
            f"{SHIFT_LIMIT:g} and more); with {closest.name} {closest.n_up:,} genes are up, {closest.n_down:,} down.",
            f"Use size factors of one of these methods: {counted(closest.at_risk, 'call')} would not hold.",
            calls_at_risk=closest.at_risk,
        )
    alarms = _alarms(result)
    if alarms:
        return Verdict(
            Status.WARN, " ".join(a.sentence for a in alarms), " ".join(a.advice for a in alarms),
            calls_at_risk=max(a.calls_at_risk for a in alarms),
        )  # fmt: skip
    if widest is None:
        return Verdict(
            Status.NOT_ASSESSABLE, "No other method finds genes to normalise by.", NOTHING, reason="too many zeros"
        )
    surely = settled(max(abs(nearest(m.shift)) for m in result.methods), SHIFT_LIMIT, digits=2)
    sentence = (
        f"Other methods move all fold changes by at most {fixed(abs(widest.shift.value), 2)} log2 ({widest.name}; "
        f"surely {surely}, limit {SHIFT_LIMIT:g})"
    )
    if widest.at_risk + widest.appear:
        up = "" if widest.up_fraction is None else f", {100 * widest.up_fraction:.0f} % are up"
        sentence += f"; with it {counted(widest.at_risk, 'call is', 'calls are')} lost, {widest.appear:,} are new{up}"
    return Verdict(Status.PASS, f"{sentence}.", HOLD if widest.at_risk else NOTHING, calls_at_risk=0)


@dataclass(frozen=True)
class Alarm:
    """One limit that is passed."""

    sentence: str
    advice: str
    calls_at_risk: int


def _alarms(result: Normalization) -> list[Alarm]:
    alarms = []
    beyond = [m for m in result.methods if abs(nearest(m.shift)) >= SHIFT_LIMIT]
    if beyond:
        method = max(beyond, key=lambda m: abs(nearest(m.shift)))
        advice = HOLD
        if method.name == SPIKE_INS:
            advice = UNEVEN
        elif method.name == CONTROLS:
            advice = "Trust the control genes only if they are known not to change here."
        turned = f", {counted(method.turn, 'call')} the other way round" if method.turn else ""
        sentence = (
            f"By {method.name} all fold changes move by {_moved(method.shift, SHIFT_LIMIT)}, and {method.n_up:,} genes "
            f"are up, {method.n_down:,} down{turned}."
        )
        alarms.append(Alarm(sentence, advice, method.at_risk))
    if abs(nearest(result.dispersion_shift)) >= DISPERSION_LIMIT:
        other = result.recentred
        after = f"; recentred, {other.n_up:,} genes are up and {other.n_down:,} down" if other else ""
        moved = _moved(result.dispersion_shift, DISPERSION_LIMIT)
        sentence = f"Unequal dispersions move all fold changes by {moved}{after}."
        alarms.append(Alarm(sentence, "Recentre: `dediag fit --recentre`.", other.at_risk if other else 0))
    if abs(nearest(result.composition)) >= COMPOSITION_LIMIT:
        sentence = (
            f"Normalised to the total, as CPM and FPKM are, all fold changes would move by "
            f"{_moved(result.composition, COMPOSITION_LIMIT)}: the groups' reads are composed differently."
        )
        advice = "Do not compare CPM, FPKM or TPM between these groups; the table names the genes that take the reads."
        alarms.append(Alarm(sentence, advice, 0))
    return alarms


def _moved(shift: Estimate, limit: float) -> str:
    """The shift with the end of its interval that is judged."""
    return f"{_signed(shift.value)} (surely {settled(abs(nearest(shift)), limit, digits=2)}, limit {limit:g})"


def _signed(value: float) -> str:
    return f"{fixed(value, 2, sign=True)} log2"


def metrics(result: Normalization) -> list[Metric]:
    """The numbers of report.json."""
    widest = UNKNOWN if result.widest is None else result.widest.shift
    spikes = next((m.shift for m in result.methods if m.name == SPIKE_INS), UNKNOWN)
    return [
        _metric("max_shift_log2", widest, SHIFT_LIMIT),
        _metric("dispersion_shift_log2", result.dispersion_shift, DISPERSION_LIMIT),
        Metric("balancing_shift_log2", result.balancing, unit="log2"),
        Metric("top10_share_max", float(result.top_share.max())),
        Metric("n_reference_genes", result.n_reference_genes, unit="genes"),
        _metric("composition_shift_log2", result.composition, COMPOSITION_LIMIT),
        _metric("spike_in_shift_log2", spikes, SHIFT_LIMIT),
        Metric("max_shift_up_fraction", None if result.widest is None else result.widest.up_fraction),
        Metric("max_shift_calls_lost", None if result.widest is None else result.widest.at_risk),
        Metric("mode_log2", result.mode if np.isfinite(result.mode) else None, unit="log2"),
    ]


def _metric(name: str, shift: Estimate, limit: float) -> Metric:
    value, low, high = shift if shift.known else (None, None, None)
    return Metric(name, value, low, high, limit, "log2")


def tables(result: Normalization) -> list[Table]:
    """Methods; samples."""
    shown = [*result.methods, *([result.recentred] if result.recentred else [])]
    return [
        Table(
            "methods",
            f"What other size factors do to this fit ({result.own}): shift of all fold changes with its 99 % interval, "
            "and the calls of a fit with them. n_genes and mean_count: the genes that carry the factors.",
            columns(shown),
        ),
        Table(
            "samples",
            f"Share of each sample's reads in its {TOP} most abundant genes, and the first of them.",
            {
                "sample": list(result.samples),
                "group": [result.groups[0] if test else result.groups[1] for test in result.is_test],
                "top10_share": result.top_share.tolist(),
                "top_gene": list(result.top_gene),
            },
        ),
    ]


def draw(result: Normalization) -> list[Figure]:
    """Shifts; fold changes about their zero; composition."""
    return [_draw_shifts(result), _draw_composition(result)]


def _draw_shifts(result: Normalization) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    shown = [(m.name, m.shift) for m in result.methods]
    shown += [("dispersions", result.dispersion_shift)] if result.dispersion_shift.known else []
    shown += [("total (CPM, FPKM)", result.composition)] if result.composition.known else []
    values = np.array([shift for _, shift in shown], float)
    drawing.labelled_intervals(left, [name for name, _ in shown], values[:, 0], values[:, 1], values[:, 2], "observed")
    drawing.reference_line(left, 0.0, role="not_significant")
    if result.balancing is not None:
        drawing.reference_line(left, result.balancing, role="predicted", label="would balance the list")
    left.set(ylabel="shift of all fold changes (log2)")
    left.set_title("What moves the zero point")
    if result.lfc.size:
        reach = max(1.0, float(np.quantile(np.abs(result.lfc), 0.98)))
        drawing.histogram(right, result.lfc, np.linspace(-reach, reach, 61), "observed", label="well-expressed genes")
        drawing.reference_line(right, 0.0, axis="x", role="not_significant", label="zero")
        if np.isfinite(result.mode):
            drawing.reference_line(right, result.mode, axis="x", role="expected", label="mode")
    right.set(xlabel="log2 fold change", ylabel="genes")
    right.set_title("Fold changes about their zero")
    drawing.legend(left)
    drawing.legend(right)
    said = "; ".join(f"{name} {fixed(shift.value, 2, sign=True)}" for name, shift in shown)
    caption = (
        "Left: by how much each way to normalise, the groups' dispersions and normalising to the total move all fold "
        "changes (99 % intervals, samples as the unit). Right: fold changes of genes with a mean of "
        f"{EXPRESSED:g} and more in both groups."
    )
    return Figure("shifts", drawing.to_svg(figure), caption, f"Shifts in log2: {said}.")


def _draw_composition(result: Normalization) -> Figure:
    ax = (figure := drawing.new_figure(*drawing.WIDE)).subplots()
    for test, role, name in ((True, "test", result.groups[0]), (False, "reference", result.groups[1])):
        mine = np.sort(100 * result.top_share[result.is_test == test])
        drawing.cloud(ax, (np.arange(mine.size) + 0.5) / mine.size, mine, role, label=name, size=46, alpha=0.9)
    ax.set(ylim=(0, None), xlabel="samples of each group, from least to most (share)", ylabel="reads in ten genes (%)")
    ax.set_title(f"Share of the reads in the {TOP} most abundant genes")
    drawing.legend(ax)
    means = [100 * float(result.top_share[result.is_test == test].mean()) for test in (True, False)]
    return Figure(
        "composition",
        drawing.to_svg(figure),
        f"Share of each sample's reads that its {TOP} most abundant genes take up.",
        f"On average {means[0]:.0f} % in {result.groups[0]} and {means[1]:.0f} % in {result.groups[1]}.",
    )


NAMES = ("max_shift_log2", "dispersion_shift_log2", "balancing_shift_log2", "top10_share_max", "n_reference_genes")
DIAGNOSTIC = Diagnostic(
    section="direction",
    metric_names=NAMES,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("composition_shift", strength=0.5, expects=frozenset({"warn"})),
)
