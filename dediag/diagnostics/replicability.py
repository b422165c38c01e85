"""How many of these genes would come back?

That draws of samples give lists that differ proves nothing: a gene that 30 samples find with a chance of one half is
in half of all such lists. So everything stands beside the SAME quantity in cohorts simulated from the fit: its sizes,
depths and shared dispersions, genes varying together as in the data, each gene's effect drawn from its posterior.

Draws are without replacement: balanced ones where they leave out a quarter of the larger group or more (the same that
`imbalance` uses), else half of each group. (Refits of bootstrap samples reject .15 to .17 of unchanged genes at .05,
since a sample that is in twice has no variation of its own.) A list is of genes with their direction; its overlap with
another is Jaccard's index, calls in both over calls in either. `jaccard_observed` is the mean over all pairs of draws;
`jaccard_expected` with its 90 % interval is what this study would show if the model were right. The finding warns when
the two lie further apart than .05 and than chance allows (p < .01), or when draws call more or fewer genes than
expected, 1.5 times and beyond chance; it fails at .15 and 3 times.

Draws share samples, in the smaller group often all of them, so they agree more than studies do, and repeat what an odd
sample of that group does. That is why agreement ABOVE the expected one is an alarm too. What an independent repetition
of the whole study would call again is `called_again`, of the simulated repetitions.

The winner's curse: genes are called in part because their estimates came out large. `exaggeration` is the mean size of
the calls' fold changes over that of their expected true effects, `wrong_sign_rate` the expected share of calls whose
sign is wrong, those without effect counted by half (so it is about half the false discovery rate where reversals are
rare), both given each gene's posterior. `n_stable` counts the calls that 90 % of the draws or more repeat.

One p-value from many draws: twice their median is valid if each is, however they depend on each other. Fisher's method
takes draws that share samples for independent (at 6 v 60 it rejects .23 to .28 of unchanged genes at .05): never here.

How to read it: in the first figure, the line within its band means that lists differ as much as they must.

What it does not show: whether calls are right. A fault that all samples of a group share (batch, contamination) comes
back in every draw, and repetitions are simulated from this fit, with its faults. At equal sizes one bad sample, or
unequal dispersion, hardly changes how much lists differ.

References:
- Stephens (2017) False discovery rates: a new deal. Biostatistics 18:275
- Gelman, Carlin (2014) Beyond power calculations: assessing type S and type M errors. Perspect Psychol Sci 9:641
- Meinshausen, Buehlmann (2010) Stability selection. J R Stat Soc B 72:417
- Vovk, Wang (2020) Combining p-values via averaging. Biometrika 107:791
- Owen (2013) Monte Carlo theory, methods and examples, section 8.9 (control variates)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample.list_overlap import by_strength, list_overlap, simulations
from dediag.rounding import apart, counted, percent, settled
from dediag.stats.adjust import benjamini_hochberg
from dediag.stats.combination import twice_median
from dediag.stats.design_analysis import WinnersCurse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.list_overlap import DrawnLists, ListOverlap
    from dediag.resample.plans import Plan
    from dediag.study import Study

    Array = NDArray[np.float64]

COHORTS = 10  # simulated, each with four of the draws and all samples
FEWEST_COHORTS, FEWEST_CALLS = 6, 10  # below these calls of the full fit, lists have nothing to overlap in
STABLE = 0.9  # share of the draws that call a gene
LEVEL = 0.9  # of the intervals that are shown
CHANCE = 0.01  # p-value from which on nothing is said
# In 270 healthy cohorts (nine sizes; 800 genes; 12 simulated, narrower intervals) none warned: overlaps differ by .03
# (sd) at most, calls by 9 %. reports/validation: 1 of 1,510, and 45 of 45 with a smaller group four times noisier.
WARN_DIFFERENCE, FAIL_DIFFERENCE = 0.05, 0.15  # of observed and expected overlap
WARN_TIMES, FAIL_TIMES = 1.5, 3.0  # as many calls per draw as expected, or as few
SHOWN = 200  # genes in the table
NOTHING = (None, None, None)


@dataclass(frozen=True)
class Replicability:
    """Lists of draws and of repetitions; arrays over the calls of the full fit, strongest first, unless said else."""

    groups: tuple[str, str]
    sizes: tuple[int, int]
    drawn: tuple[int, int]  # samples of each group in a draw; the sizes where nothing was drawn
    balanced: bool
    genes: tuple[str, ...]
    curse: WinnersCurse
    ranks: Array  # (n_genes,) share of draws that call the gene of this rank in the full fit
    frequency: Array
    called_again: Array  # share of simulated repetitions that call it, same direction
    padj_median: Array  # adjusted twice-median p of the draws; NaN: no draw has a p-value
    n_by_median: int | None  # genes with it below alpha
    lists: ListOverlap

    @property
    def n_stable(self) -> int | None:
        """Calls that nine of ten draws repeat; None: nothing was drawn."""
        return None if self.lists.draws is None else int((self.frequency >= STABLE).sum())

    @property
    def again_share(self) -> float | None:
        """Mean share of the calls that a repetition calls again; None without calls."""
        return float(self.lists.again.mean()) / len(self.genes) if self.genes else None


def plan(study: Study) -> Mapping[str, Plan]:
    """Draws, if there are any, and cohorts simulated from the fit with the same draws and in full."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so the groups have no one difference")
    if study.settings.bootstraps < FEWEST_COHORTS:
        raise NotAssessable(f"what the model expects needs {FEWEST_COHORTS} simulated cohorts (--bootstraps) or more")
    draws = study.repeated_draws
    cohorts = min(study.settings.bootstraps, COHORTS)
    simulated = simulations(draws, study.cohort.n_samples, cohorts, study.seed)
    return {"expected": simulated} | ({"draws": draws} if draws is not None else {})


def compute(study: Study) -> Replicability:
    """Compare the lists, and set the calls' estimates beside their expected true effects."""
    fit, plans = study.fit, plan(study)
    drawn = study.ensemble(plans["draws"]) if "draws" in plans else None
    lists = list_overlap(fit, drawn, study.ensemble(plans["expected"]))
    if not lists.again.size:
        raise NotAssessable("no simulated cohort could be refitted")
    order = by_strength(fit.pvalue)
    called = order[study.significant[order]]
    frequency, adjusted = np.full(fit.cohort.n_genes, math.nan), np.full(fit.cohort.n_genes, math.nan)
    sizes = drawn_sizes = study.n_test, study.n_reference
    if drawn is not None and lists.draws is not None:
        made = drawn.n_tested[: len(drawn.pvalue)] > 0
        frequency, adjusted = lists.draws.frequency, benjamini_hochberg(twice_median(drawn.pvalue[made]))
        rows = drawn.included[0]
        drawn_sizes = (int(rows[study.test_samples].sum()), int(rows[study.reference_samples].sum()))
    return Replicability(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=sizes,
        drawn=drawn_sizes,
        balanced=drawn is not None and plans["draws"] == study.balanced_draws,
        genes=tuple(map(str, fit.cohort.genes[called])),
        curse=WinnersCurse.of(fit.lfc[called], study.effects.distribution.grid, study.effects.posterior[called]),
        ranks=frequency[order],
        frequency=frequency[called],
        called_again=lists.called_again[called],
        padj_median=adjusted[called],
        n_by_median=None if lists.draws is None else int((adjusted < study.settings.alpha).sum()),
        lists=lists,
    )


def judge(result: Replicability) -> Verdict:
    """Warn or fail where draws agree less or more than the model says, by more than chance and by what matters."""
    n, draws = len(result.genes), result.lists.draws
    if n < FEWEST_CALLS:
        said = f"{counted(n, 'call')} are too few for lists to overlap in." if n else "There are no calls to come back."
        return Verdict(Status.NOT_ASSESSABLE, said, "Nothing to do.", reason=f"fewer than {FEWEST_CALLS} calls")
    again = f" A repetition of the whole study would call about {percent(result.again_share)} of the calls again."
    if draws is None or draws.expected_jaccard is None or math.isnan(draws.jaccard):
        reason = "too few draws or simulated cohorts call any gene"
        if draws is None:
            reason = f"at {_sizes(result.sizes)} fewer than two smaller studies could be drawn and fitted"
        headline = f"Lists of parts of this study cannot be compared ({reason}).{again}"
        return Verdict(Status.NOT_ASSESSABLE, headline, _curse(result), reason=reason)
    kind = "balanced draws" if result.balanced else "draws of half the samples"
    seen, low, high = apart(draws.jaccard, *draws.expected_jaccard.interval(1.0 - CHANCE), decimals=2)
    said = (
        f"Lists of {draws.lengths.size} {kind} ({_sizes(result.drawn)}) overlap by {seen} (Jaccard) where the model "
        f"allows {low} to {high} (99 %)"
    )
    (difference, chance), (times, chance_of_times) = draws.difference, draws.times
    overlap = _graded(abs(difference), chance, WARN_DIFFERENCE, FAIL_DIFFERENCE)
    length = _graded(max(times, 1.0 / times), chance_of_times, WARN_TIMES, FAIL_TIMES)
    if overlap is length is Status.PASS:
        slight = f" ({abs(difference):.2g} apart, limit {WARN_DIFFERENCE:g})" if chance < CHANCE else ""
        stable = f"{result.n_stable} of {n} calls are in 90 % of them or more"
        headline = f"{said}{slight}, so that they differ shows no fault: {stable}.{again}"
        return Verdict(Status.PASS, headline, _curse(result), 0)
    cause = f"fewer samples {'lose more' if times < 1.0 else 'keep more'} of the list than they should"
    advice = "Look whether the groups differ in dispersion, and for odd samples (see heteroskedasticity, influence)."
    if overlap is not Status.PASS:
        by = settled(abs(difference), WARN_DIFFERENCE, FAIL_DIFFERENCE, digits=2)
        said += f" ({by} apart, limit {WARN_DIFFERENCE:g})"
        cause = "something that draws share, and a new study would not, makes the lists"
        whole = [name for name, n, all_ in zip(result.groups, result.drawn, result.sizes, strict=True) if n == all_]
        shared = f"that every draw has, those of {whole[0]}," if whole else "that weigh most"
        advice = f"Look at the samples {shared} (see influence) before the list."
        if difference < 0.0:
            cause = "it matters more than it should which samples are in"
            advice = "Look for a sample or a hidden batch that the model does not know (see influence)."
        advice += " Draws call too few genes: see heteroskedasticity, too." if times < 1.0 / WARN_TIMES else ""
    if length is not Status.PASS:
        calls, low, high = apart(float(draws.lengths.mean()), *(draws.expected_length(1.0 - CHANCE) or NOTHING)[1:])
        said += f", and call {calls} genes each where it allows {low} to {high} (limit {WARN_TIMES:g} times)"
    return Verdict(max(overlap, length, key=lambda s: s.severity), f"{said}: {cause}.{again}", advice)


def _graded(value: float, chance: float, warn: float, fail: float) -> Status:
    """Pass where chance does as much; chance: p-value, NaN where nothing is known."""
    if not chance < CHANCE or value < warn:
        return Status.PASS
    return Status.FAIL if value >= fail else Status.WARN


def _sizes(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]} v {sizes[1]}"


def _curse(result: Replicability) -> str:
    """What to do about the winner's curse."""
    curse = result.curse
    if curse.exaggeration is None or curse.wrong_sign_rate is None:
        return "Report shrunken fold changes: those of calls are exaggerated."
    return (
        f"Report shrunken fold changes: those of the calls are {curse.exaggeration:.2f} times the expected true ones, "
        f"and about {percent(curse.wrong_sign_rate, 1)} have the wrong sign, counting those without effect by half. "
        "Plan a validation with the genes' called_again."
    )


def metrics(result: Replicability) -> list[Metric]:
    """The numbers of report.json."""
    draws, again = result.lists.draws, result.lists.again / max(len(result.genes), 1)
    expected = draws.expected_jaccard if draws else None
    overlap = (expected.value, *expected.interval(LEVEL)) if expected else NOTHING
    length = (draws.expected_length(LEVEL) if draws else None) or NOTHING
    low, high = np.quantile(again, ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)) if result.genes else (None, None)
    return [
        Metric("jaccard_observed", _known(draws.jaccard) if draws else None),
        Metric("jaccard_expected", *overlap),
        Metric("jaccard_difference", _known(draws.difference[0]) if draws else None, limit=WARN_DIFFERENCE),
        Metric("exaggeration", result.curse.exaggeration, unit="times the expected true effect"),
        Metric("wrong_sign_rate", result.curse.wrong_sign_rate),
        Metric("n_stable", result.n_stable, unit="genes"),
        Metric("called_again", result.again_share, low, high, unit="of the calls"),
        Metric("jaccard_repeated", _known(result.lists.jaccard_repeated)),
        Metric("jaccard_new_draw", _known(draws.jaccard_new) if draws else None),
        Metric("calls_per_draw", float(draws.lengths.mean()) if draws and draws.lengths.size else None, unit="genes"),
        Metric("expected_calls_per_draw", *length),
        Metric("calls_ratio", _known(draws.times[0]) if draws else None, limit=WARN_TIMES, unit="times the expected"),
        Metric("n_by_twice_median", result.n_by_median, unit="genes"),
        Metric("draws", draws.lengths.size if draws else 0),
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def tables(result: Replicability) -> list[Table]:
    """The strongest calls: how far they are exaggerated and how often they come back."""
    columns = {
        "log2_fold_change": result.curse.estimate,
        "expected_effect": result.curse.effect,
        "wrong_sign": result.curse.wrong_sign,
        "frequency": result.frequency,
        "called_again": result.called_again,
        "padj_twice_median": result.padj_median,
    }
    shown = result.genes[:SHOWN]
    caption = (
        f"Calls by strength (the first {len(shown)} of {len(result.genes)}): log2 fold change and its expected true "
        "value; probability of the wrong sign; share of the draws and of simulated repetitions of the study that call "
        "the gene; adjusted p from twice the median p of the draws."
    )
    numbers = {name: [_known(value) for value in values[:SHOWN]] for name, values in columns.items()}
    return [Table("genes", caption, {"gene": list(shown), **numbers})]


def draw(result: Replicability) -> list[Figure]:
    """Selection frequency beside the expected one, overlaps, and the winner's curse."""
    draws = result.lists.draws
    figures = (
        [] if draws is None or not result.genes else [_draw_frequency(result, draws), _draw_overlap(result, draws)]
    )
    return figures + ([_draw_curse(result)] if result.genes else [])


def _draw_frequency(result: Replicability, draws: DrawnLists) -> Figure:
    figure = drawing.new_figure()
    ax = figure.subplots()
    n = min(result.ranks.size, max(3 * len(result.genes), 20))
    parts = np.array_split(np.arange(n), min(n, 40))
    at = np.array([part.mean() + 1.0 for part in parts])
    seen = np.array([result.ranks[part].mean() for part in parts])
    expected = np.array([[one[part].mean() for part in parts] for one in draws.rank_frequency]).reshape(-1, at.size)
    if len(expected):
        low, middle, high = np.quantile(expected, ((1.0 - LEVEL) / 2.0, 0.5, (1.0 + LEVEL) / 2.0), axis=0)
        drawing.ribbon(ax, at, low, high, "expected", label="90 % of simulated cohorts")
        drawing.curve(ax, at, middle, "expected", label="expected under the model")
    drawing.curve(ax, at, seen, "observed", label="observed")
    drawing.reference_line(ax, len(result.genes) + 0.5, axis="x", label=f"the {len(result.genes)} calls of all samples")
    ax.set(xlabel="rank of the gene by its p-value with all samples", ylabel="share of draws that call it")
    ax.set(ylim=(0.0, 1.05), title="Selection frequency")
    drawing.legend(ax)
    caption = (
        f"Share of {len(draws.lengths)} draws ({_sizes(result.drawn)}) that call a gene, by its rank with all samples "
        f"({_sizes(result.sizes)}), beside the same in cohorts simulated from the fit. {result.n_stable} calls are in "
        "90 % of the draws or more."
    )
    return Figure("frequency", drawing.to_svg(figure), caption, f"Share of draws by rank; {result.n_stable} stable.")


def _draw_overlap(result: Replicability, draws: DrawnLists) -> Figure:
    figure = drawing.new_figure()
    ax = figure.subplots()
    drawing.histogram(ax, draws.pairs, np.linspace(0.0, 1.0, 51), "not_significant", label="two draws of this study")
    if draws.expected_jaccard is not None:
        drawing.band(ax, *draws.expected_jaccard.interval(LEVEL), axis="x", label="their mean, expected (90 %)")
    others = {
        "their mean, observed": (draws.jaccard, "observed"),
        "a draw here, a draw of a repetition": (draws.jaccard_new, "predicted"),
        "the study, a repetition": (result.lists.jaccard_repeated, "reference"),
    }
    for name, (value, role) in others.items():
        drawing.reference_line(ax, value, axis="x", role=role, label=f"{name}: {value:.2f}")
    ax.set(xlabel="Jaccard index of two lists", ylabel="pairs of draws", title="Overlap", xlim=(0.0, 1.0))
    drawing.legend(ax)
    said = "; ".join(f"{name} {value:.2f}" for name, (value, _) in others.items())
    caption = f"Overlap of lists of draws, and with simulated repetitions of the study, which share nothing: {said}."
    return Figure("overlap", drawing.to_svg(figure), caption, f"Jaccard index: {said}.")


def _draw_curse(result: Replicability) -> Figure:
    figure = drawing.new_figure(*drawing.SQUARE)
    ax = figure.subplots()
    curse = result.curse
    drawing.cloud(ax, curse.estimate, curse.effect, "observed", label="a call")
    drawing.diagonal(ax, label="no exaggeration")
    drawing.reference_line(ax, 0.0, role="not_significant")
    ax.set(xlabel="estimated log2 fold change", ylabel="expected true log2 fold change", title="The winner's curse")
    drawing.legend(ax)
    times = "not known" if curse.exaggeration is None else f"{curse.exaggeration:.2f}"
    caption = f"Calls and the mean of each one's posterior; estimates over true effects on average: {times}."
    return Figure("winners_curse", drawing.to_svg(figure), caption, f"Exaggeration of the calls' effects: {times}.")


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=("jaccard_observed", "jaccard_expected", "exaggeration", "wrong_sign_rate", "n_stable"),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("group_dispersion_ratio", strength=4.0, expects=frozenset({"warn", "fail"})),
)
