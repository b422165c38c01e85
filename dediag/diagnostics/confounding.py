"""Is the contrast entangled with something else?

Every column of the sample table, and depth, number of detected genes and size factor, is set beside the two groups:
Cramer's V for levels (with two groups their canonical correlation), the point-biserial correlation for measurements,
each with the p-value of permuted group labels (times the number of columns of the table). With few samples both are
large by chance, so an alarm needs size (.5) and p < .01, or a covariate that can hardly be told apart from the groups.

- A covariate that goes with the groups and is not in the design: what it does is taken for the contrast. With it in the
  design the calls change by `calls_changed`, and the variance of the contrast by `inflation` (the price of telling them
  apart); where it is infinite they cannot be told apart.
- A covariate in the design costs precision: `vif_contrast` is the variance of the contrast over that of the two groups
  alone; from 4 on (standard errors doubled) the finding warns.
- Depth: a correlation of .5 with a 2.5-fold ratio of the groups' median depths warns (see noise_floor); a 4-fold ratio
  always does, since below 5 v 5 no permutation is rare enough. Detected genes and size factor are shown only.
- Individuals with several samples: values that recur, two samples to a value or fewer, or several values in each group
  and none in both. Unless they are in the design, pairs waste precision, and repeated measurements within a group
  understate the standard errors (pseudo-replication).

Principal components of log2(normalised count + 1) show whether a covariate shapes the data at all: R squared of each
component on groups and covariates. `calls_with_surrogate` is the number of calls with the first component of what the
design leaves over added to it: a sensitivity analysis, not a remedy.

How to read it: bars beyond the line with a small p are entangled with the contrast; a hollow bar is in the design.

What it does not show: confounders that no column names, unless they move depth or a component.

References:
- Leek et al. (2010) Tackling the widespread and critical impact of batch effects. Nat Rev Genet 11:733
- Hurlbert (1984) Pseudoreplication and the design of ecological field experiments. Ecol Monogr 54:187
- Leek, Storey (2007) Capturing heterogeneity by surrogate variable analysis. PLoS Genet 3:e161
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.cohort import InputError
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample.covariates import columns, refit_with, surrogate, technical, variable_genes
from dediag.rounding import counted, percent, settled
from dediag.stats import association

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.covariates import Column
    from dediag.study import Study

    Array = NDArray[np.float64]

# Chance alone makes an association in at most 1 % of studies, whatever the sizes: the p-values are of permutations.
ASSOCIATION_LIMIT = 0.5  # of Cramer's V or the correlation: a quarter of the groups' variance
CHANCE = 0.01  # p-value; of the table's columns times their number
DEPTH_LIMIT = 2.5  # ratio of the groups' median depths, or its inverse; in 1,700 healthy cohorts 1/2.9 to 2.2
FAR_APART = 4.0  # such a ratio that needs no permutation: beyond all of those (reports/validation)
INFLATION_LIMIT = 4.0  # of the variance of the contrast: standard errors doubled
PERMUTATIONS = 4_999
COMPONENTS, COMPONENT_GENES = 5, 1_000  # of the most variable ones


@dataclass(frozen=True)
class Covariate:
    """What goes with the groups."""

    name: str
    measured: bool  # a correlation; else Cramer's V
    association: float
    p_value: float  # of permuted labels; of the table's columns times their number, at most 1
    in_design: bool
    inflation: float | None  # of the contrast's variance with it in the design; None: it is there, or technical
    explained: Array  # (n_components,) R squared of each component on it

    @property
    def entangled(self) -> bool:
        """Whether it goes with the groups by what matters, and by more than chance or hardly to be told apart."""
        apart = self.inflation is None or self.inflation < INFLATION_LIMIT
        return self.association >= ASSOCIATION_LIMIT and (self.p_value < CHANCE or not apart)


@dataclass(frozen=True)
class Confounding:
    """The contrast beside everything else that is known of its samples."""

    groups: tuple[str, str]
    n_calls: int
    covariates: tuple[Covariate, ...]  # of the sample table
    technical: tuple[Covariate, ...]  # depth, detected genes, size factor
    vif: float
    depth_ratio: float  # median of the test group over that of the reference group
    individuals: tuple[tuple[str, int, int, bool], ...]  # column, repeated ones, of them in both groups, in the design
    calls_changed: int | None  # lost or gained with the worst covariate in the design
    scores: Array  # (n_samples, 2) first components
    shares: Array  # (n_components,) of the variance
    is_test: NDArray[np.bool_]  # (n_samples,) of those
    explained: Array  # (n_components,) R squared on the groups
    calls_with_surrogate: int | None

    @property
    def worst(self) -> Covariate | None:
        """The covariate outside the design that goes most closely with the groups, entangled ones first."""
        outside = [c for c in self.covariates if not c.in_design]
        return max(outside, key=lambda c: (c.entangled, c.association), default=None)

    @property
    def deep(self) -> bool:
        """Whether the groups differ in depth by more than chance and by what matters."""
        far, apart = (abs(math.log(self.depth_ratio)) >= math.log(x) for x in (FAR_APART, DEPTH_LIMIT))
        return far or (apart and self.technical[0].entangled)


def compute(study: Study) -> Confounding:
    """Associations, inflation, components, and the calls with the worst covariate or a surrogate in the design."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit, both = study.fit, study.test_samples | study.reference_samples
    is_test, rng = study.test_samples[both], study.rng("confounding labels")
    groups = association.labels(is_test, PERMUTATIONS, rng)
    depth = study.cohort.counts[:, both].sum(axis=0)
    known = columns(fit, both)
    repeated = [c for c in known if c.individuals or _nested(c, is_test)]
    listed = [c for c in known if c not in repeated]
    varying = variable_genes(study.normalized[:, both], COMPONENT_GENES)
    scores, shares = association.principal_components(varying, min(COMPONENTS, is_test.size - 1))
    sizes = (study.n_test, study.n_reference)

    def covariate(column: Column, *, listed_in_table: bool) -> Covariate:
        if column.values is None:
            found = association.cramers_v(column.codes, groups)
        else:
            found = association.correlation(column.values, groups)
        inflation, times = None, max(len(listed), 1) if listed_in_table else 1
        if listed_in_table and not column.in_design:
            wider = np.hstack([fit.design.matrix[both], column.matrix])
            vector = np.r_[fit.contrast.vector, np.zeros(column.matrix.shape[1])]
            inflation = association.variance_inflation(wider, vector, sizes)
        return Covariate(
            column.name, column.values is not None, float(found[0]),
            min(1.0, association.p_value(found) * times), column.in_design, inflation,
            association.variance_explained(scores, column.matrix),
        )  # fmt: skip

    covariates = tuple(covariate(c, listed_in_table=True) for c in listed)
    result = Confounding(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        n_calls=int(study.significant.sum()),
        covariates=covariates,
        technical=tuple(covariate(c, listed_in_table=False) for c in technical(fit, both)),
        vif=association.variance_inflation(fit.design.matrix, fit.contrast.vector, sizes),
        depth_ratio=float(np.median(depth[is_test]) / np.median(depth[~is_test])),
        individuals=tuple(_individuals(c, is_test) for c in repeated),
        calls_changed=None,
        calls_with_surrogate=None,
        scores=scores[:, :2],
        shares=shares,
        is_test=is_test,
        explained=association.variance_explained(scores, is_test[:, None].astype(np.float64)),
    )
    worst = next((c for c in listed if result.worst is not None and c.name == result.worst.name), None)
    factor = surrogate(varying, fit.design.matrix[both])
    with_worst = None if worst is None else _calls_with(study, worst.matrix, both)
    with_surrogate = None if factor is None else _calls_with(study, factor, both)
    before = _calls(fit)
    return replace(
        result,
        calls_changed=None if with_worst is None else int((with_worst != before).any(axis=0).sum()),
        calls_with_surrogate=None if with_surrogate is None else int(with_surrogate.sum()),
    )


def _calls(fit: NBFit) -> NDArray[np.bool_]:
    """Which genes are called up, and which down: (2, n_genes)."""
    return np.array([fit.significant & (fit.lfc > 0.0), fit.significant & (fit.lfc < 0.0)])


def _calls_with(study: Study, extra: Array, both: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The calls with further columns in the design; None where it cannot be fitted."""
    wider = refit_with(study.fit, extra, both, study.size_factors)
    return None if isinstance(wider, InputError) else _calls(wider)


def _nested(column: Column, is_test: NDArray[np.bool_]) -> bool:
    """Whether every level is within one group, and each group has several: samples of a level are repeats."""
    of_test, of_reference = np.bincount(column.codes, is_test), np.bincount(column.codes, ~is_test)
    within = column.values is None and not ((of_test > 0) & (of_reference > 0)).any()
    return bool(within and (of_test > 0).sum() > 1 and (of_reference > 0).sum() > 1)


def _individuals(column: Column, is_test: NDArray[np.bool_]) -> tuple[str, int, int, bool]:
    """Name, individuals with several samples, those of them in both groups, whether the column is in the design."""
    n, of_test = np.bincount(column.codes), np.bincount(column.codes, is_test)
    return column.name, int((n > 1).sum()), int(((of_test > 0) & (of_test < n)).sum()), column.in_design


def judge(result: Confounding) -> Verdict:
    """Warn where something outside the design goes with the groups; fail where it cannot be told apart from them."""
    worst, ratio = result.worst, settled(result.depth_ratio, DEPTH_LIMIT, 1.0 / DEPTH_LIMIT, digits=2)
    inflation = settled(result.vif, INFLATION_LIMIT, digits=2)
    alarms = [alarm for alarm in (_entangled(result), _repeated(result)) if alarm is not None]
    if result.vif >= INFLATION_LIMIT:
        said = (
            f"The design's covariates go with the groups: the contrast has {inflation} times the variance of two groups"
        )
        said += f" alone (limit {INFLATION_LIMIT:g})."
        alarms.append(Verdict(Status.WARN, said, "Leave out covariates that the question does not need."))
    if result.deep:
        depths = f"{result.groups[0]} has {ratio} times the depth of {result.groups[1]}"
        said = f"Depth goes with the groups: {depths} (limit {DEPTH_LIMIT:g} or {1 / DEPTH_LIMIT:g})."
        alarms.append(Verdict(Status.WARN, said, "Read noise_floor before low-expressed calls."))
    if alarms:
        also = "".join(f" Also: {alarm.headline}" for alarm in alarms[1:])
        return replace(alarms[0], advice=alarms[0].advice + also)
    named = "the sample table has no other column that could be"
    if worst is not None:
        named = f"of {counted(len(result.covariates), 'column')} '{worst.name}' goes with them most closely"
        named += f" ({_size(worst)}, p = {worst.p_value:.2g}; limits {ASSOCIATION_LIMIT:g} and {CHANCE:g})"
    elif result.covariates:
        named = ", ".join(f"'{c.name}' ({_size(c)}) is in it" for c in result.covariates)
    chance = abs(math.log(result.depth_ratio)) >= math.log(DEPTH_LIMIT)
    ratio += f" (limit {DEPTH_LIMIT:g}; not surely more than chance)" if chance else ""
    headline = (
        f"Nothing outside the design is known to be entangled with the groups: {named}; depth ratio {ratio}, variance "
        f"inflation {inflation} (limit {INFLATION_LIMIT:g})."
    )
    return Verdict(Status.PASS, headline, "Nothing to do; record batch, date and operator of every sample.", 0)


def _entangled(result: Confounding) -> Verdict | None:
    """What is said where a covariate outside the design goes with the groups."""
    worst = result.worst
    if worst is None or worst.inflation is None or not worst.entangled:
        return None
    said = f"'{worst.name}', which is not in the design, goes with the groups ({_size(worst)}, limit"
    said += f" {ASSOCIATION_LIMIT:g}, p = {worst.p_value:.2g})"
    if not math.isfinite(worst.inflation):
        advice = f"Unless '{worst.name}' is another name of the groups, the comparison says nothing about them alone."
        return Verdict(Status.FAIL, f"{said}: no analysis can tell the two apart.", advice, result.n_calls)
    changed = result.calls_changed
    effect = f"; with it {counted(changed or 0, 'call')} would appear or vanish ({result.n_calls} now)"
    advice = f"Add '{worst.name}' to the design (at {worst.inflation:.2g} times the variance)."
    return Verdict(Status.WARN, f"{said}{'' if changed is None else effect}.", advice, changed)


def _repeated(result: Confounding) -> Verdict | None:
    """What is said where individuals have several samples and the design does not know."""
    for name, repeated, shared, in_design in result.individuals:
        if repeated and not in_design:
            where = f"{shared} of them in both groups" if shared else "each within its group"
            said = f"{counted(repeated, 'value')} of '{name}' have several samples, {where}"
            advice = f"Add '{name}' to the design." if shared else f"Add up the counts of the same '{name}'."
            return Verdict(
                Status.WARN, f"The samples are not independent: {said}, and the design does not know.", advice
            )
    return None


def _size(covariate: Covariate) -> str:
    measure = "correlation" if covariate.measured else "Cramer's V"
    return f"{measure} {settled(covariate.association, ASSOCIATION_LIMIT, digits=2)}"


def metrics(result: Confounding) -> list[Metric]:
    """The numbers of report.json."""
    worst, repeated = result.worst, sum(n for _, n, _, in_design in result.individuals if not in_design)
    return [
        Metric("worst_covariate", None if worst is None else worst.name),
        Metric("association_worst", None if worst is None else worst.association, limit=ASSOCIATION_LIMIT),
        Metric("vif_contrast", result.vif, limit=INFLATION_LIMIT),
        Metric("depth_ratio", result.depth_ratio, limit=DEPTH_LIMIT),
        Metric("repeated_individuals", repeated),
        Metric("p_value_worst", None if worst is None else worst.p_value, limit=CHANCE),
        Metric("calls_changed", result.calls_changed, unit="genes"),
        Metric("calls_with_surrogate", result.calls_with_surrogate, unit="genes"),
    ]


def tables(result: Confounding) -> list[Table]:
    """Everything that was set beside the groups, and what the components go with."""
    everything = (*result.covariates, *result.technical)
    beside = Table(
        "covariates",
        "Association with the groups (Cramer's V of levels, correlation of measurements), p-value of permuted labels "
        "(times the number of the table's columns), variance of the contrast with it in the design over the groups'.",
        {
            "covariate": [c.name for c in everything],
            "kind": ["measurement" if c.measured else "levels" for c in everything],
            "in_design": [c.in_design for c in everything],
            "association": [c.association for c in everything],
            "p_value": [c.p_value for c in everything],
            "inflation": [c.inflation if c.inflation and math.isfinite(c.inflation) else None for c in everything],
        },
    )
    names = [f"component {k + 1}" for k in range(result.shares.size)]
    explained = {"groups": result.explained} | {c.name: c.explained for c in everything}
    components = Table(
        "components",
        "Principal components of the samples: share of the variance, and R squared on groups and covariates.",
        {"component": names, "share_of_variance": result.shares.tolist()}
        | {f"r2 {name}": values.tolist() for name, values in explained.items()},
    )
    return [beside, components]


def draw(result: Confounding) -> list[Figure]:
    """Associations beside their limit; the first two components."""
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    everything = (*result.covariates, *result.technical)[::-1]
    for k, c in enumerate(everything):
        style = drawing.STYLES["test" if c.entangled else "not_significant"]
        face = "white" if c.in_design else style.color
        bar = left.barh(k, c.association, color=face, edgecolor=style.color, linewidth=1.5)
        left.bar_label(bar, [f"p = {c.p_value:.2g}"], padding=4, fontsize=9, bbox=drawing.TAG)
    left.set_yticks(range(len(everything)), [c.name for c in everything])
    drawing.reference_line(left, ASSOCIATION_LIMIT, axis="x", label=f"limit {ASSOCIATION_LIMIT:g}")
    left.set(xlim=(0.0, 1.25), xlabel="association with the groups", title="What goes with the groups")
    left.set_xticks(np.linspace(0.0, 1.0, 6))
    for role, name, members in zip(
        ("test", "reference"), result.groups, (result.is_test, ~result.is_test), strict=True
    ):
        drawing.cloud(right, result.scores[members, 0], result.scores[members, -1], role, label=name, size=34.0)
    share = [f"component {k + 1} ({percent(s)} of the variance)" for k, s in enumerate(result.shares[:2])]
    right.set(xlabel=share[0], ylabel=share[-1], title="Principal components")
    drawing.legend(left)
    drawing.legend(right)
    said = ", ".join(f"{c.name} {c.association:.2f}" for c in everything[::-1])
    caption = (
        "Left: Cramer's V or correlation with the groups; hollow bars are in the design. Right: samples by principal "
        f"component; of the first the groups explain {percent(result.explained[0])}."
    )
    return [Figure("covariates", drawing.to_svg(figure), caption, f"Association with the groups: {said}.")]


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=("worst_covariate", "association_worst", "vif_contrast", "depth_ratio", "repeated_individuals"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("confounded_covariate", strength=0.9, expects=frozenset({"warn", "fail"})),
)
