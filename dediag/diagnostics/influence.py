"""Do single samples or genes carry the result?

What is measured: the whole analysis again without one sample (size factors, dispersions, trend, tests), for every
sample of the two groups or, of more than 50, for those with most of Cook's distance. Leaving out any sample of a small
group costs power, so what happens without a sample is judged beside what happens without its FELLOWS, the other samples
of its group. Two things make it stand out:

- influence: its share of Cook's distance (mean over genes, so that each has one vote; counts as they came, outliers not
  replaced), over the share that its leverage gives it, is 2.5 times that of its fellows or more, AND without it the
  fold changes move by a quarter of a standard error or more (root mean square over genes);
- the list: without it the number of calls changes by a quarter more than without its fellows, and by four times the
  spread among them (or the square root of the number of calls, if that is more).

One of the two warns, both fail. `worst_sample` is the most influential of those that stand out, else of all;
`de_change_worst` is the change in calls without it, `cooks_share_worst` its share of Cook's distance. The table `genes`
says which calls are lost without how many samples.

Does the larger group have more voting power? `cross_group_score` is the part of the information on a group's log mean
that comes from samples OUTSIDE the group: 1 - I_own / I_all, I being the efficient information (all other coefficients
eliminated, dispersions held) of the group's own samples and of all; median over genes, of the two groups the larger. If
the design gives each group coefficients of its own (~ group), it is exactly 0 at any group sizes: each log mean rests
on its own samples, and at the optimum each group's part of the score is zero by itself (but for the ridge of the fit).
If a covariate is shared (~ batch + group), it is positive: its effect is estimated from all samples, mostly those of
the larger group, and both log means (at the covariates' average) use it. The table `votes` has the score's parts.

How to read it: points right of the vertical and above the horizontal line of the first figure are influential.

What it does not show: a fault that several samples share. A group of two is not judged: leaving out either is the same.
In a group of three a bad sample reaches about 2 times its fellows' influence, so only the list can tell, and a bad
sample and a bad group look alike. Genes with a fitted mean below 0.5 are left out of shares and scores.

References:
- Cook (1977) Detection of influential observation in linear regression. Technometrics 19:15
- Belsley, Kuh, Welsch (1980) Regression Diagnostics, section 2.1 (DFBETAS). Wiley
- van der Vaart (1998) Asymptotic Statistics, section 25.4 (efficient score). Cambridge University Press
- Gierlinski et al. (2015) Statistical models for RNA-seq data derived from a two-condition 48-replicate experiment.
  Bioinformatics 31:3625
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.sample_shares import score_parts
from dediag.rounding import percent, settled
from dediag.stats.fellows import over_fellows
from dediag.stats.left_out import compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.plans import Subsets
    from dediag.stats.left_out import LeftOut
    from dediag.stats.score_shares import ScoreParts
    from dediag.study import Study

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]

# In 280 healthy cohorts (40 each of 3 v 9, 4 v 12, 12 v 4, 5 v 20, 6 v 15, 10 v 10, 20 v 8; 500 to 800 genes; no, few
# or many effects) none warned: influence at most 1.3, changes of a list over CALLS_LIMIT at most 3.1 spreads. With a
# bad sample (1.5 log2) 84 of 84 warned or failed and named it: influence at least 1.9 among 3 samples, 2.6 among 4, 5.4
# among 10, shift at least .30. In eight real cohorts three have a sample beyond both limits of influence, the furthest
# (17, .38) a replicate of schurch2016 that its authors left out; no list depends on one sample.
SMALLEST_GROUP = 3  # samples: each has two fellows or more
INFLUENCE_LIMIT = 2.5  # times the fellows' influence
SHIFT_LIMIT = 0.25  # standard errors of the fold change
CALLS_LIMIT = 0.25  # of the calls with or without the sample, whichever are more
SPREAD_LIMIT = 4.0  # times the spread among the fellows
NO_VOTE = 1e-9  # share of the information that is rounding error
SHOWN = 100  # genes in the table


@dataclass(frozen=True)
class Influence:
    """The result without each sample; arrays over the samples that were left out unless another shape is given."""

    groups: tuple[str, str]
    sizes: tuple[int, int]
    samples: tuple[str, ...]
    group: Index  # 0: test, 1: reference
    share: Array  # of Cook's distance
    influence: Array  # share over fair share, in multiples of the fellows'; NaN: not judged
    genes: tuple[str, ...]  # (n_calls,) called with all samples
    lfc: Array  # (n_calls,) log2, with all samples
    without: LeftOut
    votes: tuple[ScoreParts, ScoreParts]  # test and reference, (n_genes above the floor,) each

    @property
    def influential(self) -> Mask:
        """Samples over both limits of influence."""
        return (np.nan_to_num(self.influence) >= INFLUENCE_LIMIT) & (self.without.shift >= SHIFT_LIMIT)

    @property
    def decisive(self) -> Mask:
        """Samples over both limits of the list."""
        relative, spreads = np.nan_to_num(self.without.relative), np.nan_to_num(self.without.spreads)
        return (relative >= CALLS_LIMIT) & (spreads >= SPREAD_LIMIT)

    @property
    def worst(self) -> int:
        """Position of the most influential sample: of those that stand out, else of all."""
        out = self.influential | self.decisive
        return int(np.argmax(np.where(out | ~out.any(), np.nan_to_num(self.influence, nan=-1.0), -2.0)))

    @property
    def change(self) -> Array:
        """Change in the number of calls."""
        return self.without.calls - len(self.genes)

    @property
    def cross(self) -> tuple[float, float]:
        """Median and largest over genes of the share from outside the group: the larger of the two groups'."""
        shares = [parts.share for parts in self.votes]
        return max(float(np.median(s)) for s in shares), max(float(s.max()) for s in shares)


def plan(study: Study) -> Mapping[str, Subsets]:
    """All samples but one, for each sample in question."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so the groups have no one difference")
    if max(study.n_test, study.n_reference) < SMALLEST_GROUP:
        raise NotAssessable("a group of two has no third sample to say which of them is out of line")
    if not study.above_floor.size:
        raise NotAssessable("every gene has a fitted mean below 0.5 in some sample")
    if study.leave_one_out is None:
        raise NotAssessable("without any one sample the design cannot be estimated")
    return {"leave_one_out": study.leave_one_out}


def compute(study: Study) -> Influence:
    """Compare each refit with the full fit."""
    fit, found = study.fit, study.ensemble(plan(study)["leave_one_out"])
    made = found.n_tested > 0
    if not made.any():
        raise NotAssessable(f"no refit could be made: {found.failed[0][1] if found.failed else 'no counts'}")
    left_out = found.included[made].argmin(axis=1)
    both = np.where(study.test_samples, 0, np.where(study.reference_samples, 1, -1))
    influence = over_fellows(study.cooks_shares.observed / study.cooks_shares.fair, both)[left_out]
    large = np.array((study.n_test, study.n_reference))[both[left_out]] >= SMALLEST_GROUP
    if not np.isfinite(influence[large]).any():
        raise NotAssessable("every sample determines a coefficient alone, so none can be compared with another")
    called = np.flatnonzero(study.significant)
    refits = (found.lfc[made].astype(np.float64), found.up[made], found.down[made])
    return Influence(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
        samples=tuple(fit.cohort.samples.index[left_out].astype(str)),
        group=both[left_out],
        share=study.cooks_shares.observed[left_out],
        influence=np.where(large, influence, np.nan),
        genes=tuple(map(str, fit.cohort.genes[called])),
        lfc=fit.lfc[called],
        without=compare(fit.lfc, fit.lfc_se, called, refits, study.above_floor, np.where(large, both[left_out], -1)),
        votes=score_parts(fit, study.exact, study.above_floor),
    )


def judge(result: Influence) -> Verdict:
    """Warn where a sample is influential or decides the list, fail where it does both."""
    i, without = result.worst, result.without
    name, group, n = result.samples[i], result.groups[result.group[i]], len(result.genes)
    influential, decisive = bool(result.influential[i]), bool(result.decisive[i])
    times = settled(float(result.influence[i]), INFLUENCE_LIMIT, digits=2)
    weighs = f"{times} times the influence of its fellows (limit {INFLUENCE_LIMIT:g})"
    shift = settled(float(without.shift[i]), SHIFT_LIMIT, digits=2)
    if result.influence[i] >= INFLUENCE_LIMIT:  # no evidence without the other limit
        beside = f"moves the fold changes by {shift} standard errors (limit {SHIFT_LIMIT:g})"
        weighs += f" {'and' if influential else 'but'} {beside}"
    if result.cross[1] < NO_VOTE:
        votes = "each group's mean rests on its own samples alone, so the larger group has no vote on the smaller one"
    else:
        votes = f"shared covariates bring {percent(result.cross[0], 1)} of what is known of a group's mean from outside"
    if not (influential or decisive):
        headline = (
            f"No sample stands out: without one the {n:,} calls change by {result.change.min():+,.0f} to "
            f"{result.change.max():+,.0f}, and the most influential, {name}, has {weighs}; {votes}."
        )
        return Verdict(Status.PASS, headline, "Keep all samples.", 0)
    fellows = without.calls[(result.group == result.group[i]) & (np.arange(result.group.size) != i)]
    apart = f", {percent(without.relative[i])} apart, limit {percent(CALLS_LIMIT)}" if decisive else ""
    headline = (
        f"Sample {name} {'carries the result' if decisive else 'stands out'}: without it {without.calls[i]:,.0f} genes "
        f"are called instead of {n:,} (without another {group} sample {fellows.min():,.0f} to {fellows.max():,.0f}"
        f"{apart}); it has {weighs}."
    )
    advice = f"Look at {name} (swap, batch, library) and report the result with and without it; {votes}."
    return Verdict(Status.FAIL if influential and decisive else Status.WARN, headline, advice, int(without.lost[i]))


def metrics(result: Influence) -> list[Metric]:
    """The numbers of report.json."""
    i, without, change = result.worst, result.without, result.change
    influence = float(result.influence[i]) if np.isfinite(result.influence[i]) else None
    return [
        Metric("worst_sample", result.samples[i]),
        Metric("de_change_worst", int(change[i]), float(change.min()), float(change.max()), unit="genes"),
        Metric("cooks_share_worst", float(result.share[i])),
        Metric("cross_group_score", result.cross[0], high=result.cross[1]),
        Metric("influence_worst", influence, limit=INFLUENCE_LIMIT, unit="times its fellows"),
        Metric("shift_worst", float(without.shift[i]), limit=SHIFT_LIMIT, unit="standard errors"),
        Metric("samples_left_out", len(result.samples)),
        Metric("calls_lost_without_some_sample", int((without.times_lost > 0).sum()), unit="genes"),
    ]


def tables(result: Influence) -> list[Table]:
    """The result without each sample; the calls that depend on one; whose samples a log mean rests on."""
    return [_samples(result), _genes(result), _votes(result)]


def _numbers(values: Array) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]


def _samples(result: Influence) -> Table:
    without = result.without
    return Table(
        "samples",
        f"The analysis without each sample, beside {len(result.genes)} calls with all. influence: share of Cook's "
        "distance over that of the leverage, in multiples of the fellows'; shift: root mean square change of the fold "
        "changes in standard errors; beyond_fellows: change in calls minus the median of the fellows'; in_spreads: its "
        f"size in spreads of the fellows' (limits {CALLS_LIMIT:g} of the calls and {SPREAD_LIMIT:g}).",
        {
            "sample": list(result.samples),
            "group": [result.groups[g] for g in result.group],
            "cooks_share": _numbers(result.share),
            "influence": _numbers(result.influence),
            "shift": _numbers(without.shift),
            "calls": [int(n) for n in without.calls],
            "up_share": _numbers(without.up_share),
            "lost": [int(n) for n in without.lost],
            "gained": [int(n) for n in without.gained],
            "changed_sign": [int(n) for n in without.flipped],
            "beyond_fellows": _numbers(without.beyond),
            "in_spreads": _numbers(without.spreads),
        },
    )


def _genes(result: Influence) -> Table:
    without = result.without
    order = np.lexsort((-np.abs(without.furthest - result.lfc), -without.times_lost))[:SHOWN]
    return Table(
        "genes",
        f"Calls by the number of samples without which they are lost (the first {order.size} of {len(result.genes)}); "
        "log2 fold change with all samples, and without the sample that moves it most.",
        {
            "gene": [result.genes[k] for k in order],
            "lost_without": [int(without.times_lost[k]) for k in order],
            "log2_fold_change": [float(result.lfc[k]) for k in order],
            "log2_fold_change_without": _numbers(without.furthest[order]),
            "sample": [result.samples[without.by[k]] for k in order],
        },
    )


def _votes(result: Influence) -> Table:
    return Table(
        "votes",
        "Whose samples each group's log mean rests on: part of the information from samples outside the group, and "
        "the group's and the other samples' part of the efficient score at the optimum in standard errors (largest).",
        {
            "log_mean_of": list(result.groups),
            "outside_share_median": [float(np.median(v.share)) for v in result.votes],
            "outside_share_largest": [float(v.share.max()) for v in result.votes],
            "own_score_largest": [float(np.abs(v.own).max()) for v in result.votes],
            "outside_score_largest": [float(np.abs(v.cross).max()) for v in result.votes],
        },
    )


def draw(result: Influence) -> list[Figure]:
    """Influence and calls without each sample; whose samples a log mean rests on."""
    return [_draw_samples(result), _draw_votes(result)]


def _draw_samples(result: Influence) -> Figure:
    from dediag import drawing

    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    at, i, change, shift = np.arange(len(result.samples)), result.worst, result.change, result.without.shift
    for k, role in enumerate(("test", "reference")):
        members = result.group == k
        label = f"a {result.groups[k]} sample left out (of {result.sizes[k]})"
        drawing.cloud(left, result.influence[members], shift[members], role, label=label, size=36, alpha=0.9)
        drawing.cloud(right, at[members], change[members], role, label=label, size=36, alpha=0.9)
    drawing.reference_line(left, INFLUENCE_LIMIT, axis="x", label="limits, both to be passed")
    drawing.reference_line(left, SHIFT_LIMIT)
    drawing.reference_line(right, 0.0, role="not_significant", label=f"all samples: {len(result.genes)} calls")
    left.set(xscale="log", xlabel="influence, in multiples of the fellows'", ylabel="shift of fold changes (SE)")
    left.set(title="How far a sample moves the fit", ylim=(0.0, 1.15 * max(float(shift.max()), SHIFT_LIMIT)))
    right.set(xlabel="sample left out", ylabel="change in the number of calls", title="Calls without one sample")
    right.set(xticks=[])
    right.margins(x=0.08, y=0.15)
    for ax, x, y in ((left, result.influence[i], shift[i]), (right, at[i], change[i])):
        if np.isfinite((x, y)).all():
            drawing.tag(ax, x, y, result.samples[i])
        drawing.legend(ax)
    return Figure(
        "samples",
        drawing.to_svg(figure),
        "The whole analysis again without each sample. Left: share of Cook's distance over that of its leverage, in "
        "multiples of the other samples of its group, and root mean square change of the fold changes; right: change "
        f"in the number of calls. {result.samples[i]} is named as the most influential.",
        f"{result.samples[i]}: influence {result.influence[i]:.1f}, shift {shift[i]:.2f}, change in calls "
        f"{change[i]:+.0f}; all samples: {change.min():+.0f} to {change.max():+.0f}.",
    )


def _draw_votes(result: Influence) -> Figure:
    from dediag import drawing

    figure = drawing.new_figure(7.2, 2.2)
    ax = figure.subplots()
    outside = np.array([100.0 * np.median(parts.share) for parts in result.votes])
    own, other = drawing.STYLES["test"], drawing.STYLES["reference"]
    ax.barh(result.groups, 100.0 - outside, color=own.color, label="the group's own samples")
    ax.barh(result.groups, outside, left=100.0 - outside, color=other.color, hatch="//", label="all other samples")
    ax.set(xlim=(0, 100), xlabel="% of the information on the log mean (median over genes)", ylabel="log mean of")
    ax.set(title="Whose samples a group's mean rests on")
    drawing.legend(ax)
    return Figure(
        "votes",
        drawing.to_svg(figure),
        "Whose samples the log mean of each group rests on: information after all other coefficients are eliminated.",
        "; ".join(f"{g}: {o:.1f} % from other samples" for g, o in zip(result.groups, outside, strict=True)) + ".",
    )


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=("worst_sample", "de_change_worst", "cooks_share_worst", "cross_group_score"),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("bad_sample", strength=1.5, expects=frozenset({"warn", "fail"})),
)
