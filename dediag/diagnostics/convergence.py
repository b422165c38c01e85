"""Did the smaller group's coefficients converge as well as the larger's?

The reference fits each gene by reweighted least squares and stops when the deviance of ALL samples changes by less than
1e-8 of itself. The larger group makes up most of that deviance, so the rule could in principle stop before the smaller
group has settled. How far could that go? Near the optimum the deviance falls by the square of the distance, counted in
standard errors, so the rule lets a last step of about sqrt(1e-8 (|deviance| + 0.1)) standard errors pass: .003 to .005
for a hundred samples, .007 to .01 for five hundred. What is left after that step is smaller still.

What is measured: the log mean of each group (with covariates, at their average) where the fit stopped, beside its exact
optimum at the SAME dispersion, in standard errors of that log mean. The exact optimum is the fixed point at a tolerance
of 1e-12, finished by Newton's method where a gene is more than 1e-10 standard errors away. `max_change_se_test` and
`max_change_se_reference` are the largest such changes over the genes that can be compared: they are about the stopping
rule of the coefficients alone, whatever found the optimum in the end (a few genes go on to L-BFGS-B). The table
`changes` has, apart from them, what the reference's search for the dispersion leaves: the change from the optimum at
its dispersions to the optimum at the exact ones (Newton's method, same trend and prior). That search can move standard
errors, but hardly a mean, and has nothing to do with group size.

How to read it: a point of the figure is a gene's change in one group against its base mean; the second panel shows how
many genes had stopped after so many iterations, together and - in a saturated design, where a group's estimates after k
iterations are the same with and without the other group - as each group would have stopped by itself. A change of .01
standard errors moves a p-value of .05 by 2 %.

What it does not show: whether the model is right, or whether the optimum is a good estimate. Genes with a fitted mean
below 0.5 in any sample (`n_floor`) are counted apart: there the reference's iteration holds means at 0.5 and stops at
no optimum of the likelihood. Among them are those that a whole group did not show once (`n_separated`): their fold
change has no finite optimum and stops where the rule, the ridge or the bound of 30 log2 ends it; do not read it.
`n_not_converged` are genes that neither search brought to an end.

References:
- McCullagh, Nelder (1989) Generalized Linear Models, 2nd ed., section 2.5. Chapman and Hall
- Love, Huber, Anders (2014) Moderated estimation of fold change and dispersion for RNA-seq data. Genome Biol 15:550
- Boyd, Vandenberghe (2004) Convex Optimization, section 9.5 (Newton decrement). Cambridge University Press
- Albert, Anderson (1984) On the existence of maximum likelihood estimates in logistic regression models. Biometrika
  71:1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.contract import Diagnostic, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.coefficients import DEVIANCE_TOLERANCE, LARGEST_COEFFICIENT, MAX_ITERATIONS
from dediag.model.contrasts import wald
from dediag.model.dispersion import SMALLEST, largest
from dediag.model.exact import exact_dispersions, floor_genes, iterations_alone, optimum
from dediag.model.group_means import group_vectors
from dediag.rounding import settled
from dediag.stats.adjust import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dediag.model.exact import Optimum
    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Standard errors: moves a p-value of .05 by 2 %. The largest change of a compared gene was .0004 in simulated cohorts
# (6 v 15 to 3 v 500, outliers in 30 % of genes, a hundredfold difference in depth) and .0009 in eight real ones.
LIMIT = 0.01
FAIL_SHARE = 0.01  # of the genes beyond the limit: no longer single genes
EXACT = 1e-6  # standard errors; an "exact" optimum further away than this is a defect of ours
SHOWN = 100  # genes in the table
SMALLEST_SHOWN = 1e-9  # of the figure's axis


@dataclass(frozen=True)
class Convergence:
    """Where the fit stopped beside the exact optimum; changes in SE of the log means of test and reference, and LFC."""

    groups: tuple[str, str]
    sizes: tuple[int, int]
    genes: tuple[str, ...]  # (n_seen,) with counts
    base_mean: Array  # (n_seen,)
    floor: Mask  # (n_seen,)
    separated: Mask  # (n_seen,)
    at_bound: Mask  # (n_seen,) a dispersion or a coefficient
    converged: Mask  # (n_seen,)
    iterations: NDArray[np.int64]  # (n_seen,)
    alone: NDArray[np.int64] | None  # (n_seen, 2) of each group by itself; None: the design is not saturated
    by_rule: Array  # (n_seen, 3) left by the stopping rule of the coefficients
    by_search: Array  # (n_seen, 3) left by the search for the dispersion
    log2_se_ratio: Array  # (n_seen,) of the contrast: at the fit's dispersion over that at the exact one
    reach: Array  # (n_seen,) largest last step that the rule lets pass, standard errors
    calls_changed: tuple[int, int] | None  # at the exact coefficients; at exact dispersions too

    @property
    def compared(self) -> Mask:
        """Genes whose optimum exists and is what the fit climbs to: (n_seen,)."""
        return ~(self.floor | self.separated)

    @property
    def worst(self) -> tuple[float, float]:
        """Largest change by the stopping rule in the test and in the reference group."""
        test, reference, _ = np.abs(self.by_rule[self.compared]).max(axis=0)
        return float(test), float(reference)

    @property
    def beyond(self) -> Mask:
        """Compared genes that are beyond the limit in either group: (n_seen,)."""
        return self.compared & (np.abs(self.by_rule[:, :2]) > LIMIT).any(axis=1)


def compute(study: Study) -> Convergence:
    """Both optima, and how far the fit stopped from them."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so a group has no one mean")
    fit, exact = study.fit, study.exact
    seen = np.flatnonzero(np.isfinite(fit.dispersion) & (fit.base_mean > 0.0))
    final = optimum(fit, exact_dispersions(fit))
    vectors = (*group_vectors(fit), fit.contrast.vector)
    empty = [fit.fitted_counts[:, group].max(axis=1) == 0.0 for group in (study.test_samples, study.reference_samples)]
    floor, separated = floor_genes(fit)[seen], (empty[0] | empty[1])[seen]
    if (floor | separated).all():
        raise NotAssessable("every gene has a fitted mean below 0.5 in some sample")
    left = max(np.nanmax(found.distance[seen], initial=0.0) for found in (exact, final))
    if not left < EXACT:
        raise ArithmeticError(f"the exact optimum was missed by {left:.2g} standard errors")
    by_rule = np.stack([(fit.coefficients @ v - exact.of(v)) / exact.se(v) for v in vectors], axis=1)
    by_search = np.stack([(exact.of(v) - final.of(v)) / final.se(v) for v in vectors], axis=1)
    ratio = np.log2(exact.se(fit.contrast.vector) / final.se(fit.contrast.vector))
    alone = [iterations_alone(fit, str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    calls = [_calls(study, found) for found in (exact, final)]
    bounds = (SMALLEST * 1.001, largest(fit.cohort.n_samples) * 0.999)
    return Convergence(
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
        genes=tuple(map(str, fit.cohort.genes[seen])),
        base_mean=fit.base_mean[seen],
        floor=floor,
        separated=separated,
        at_bound=(fit.dispersion[seen] <= bounds[0])
        | (fit.dispersion[seen] >= bounds[1])
        | (np.abs(fit.coefficients[seen]) >= 0.999 * LARGEST_COEFFICIENT).any(axis=1),
        converged=fit.converged[seen],
        iterations=fit.iterations[seen],
        alone=None if alone[0] is None or alone[1] is None else np.stack([alone[0][seen], alone[1][seen]], axis=1),
        by_rule=by_rule[seen],
        by_search=by_search[seen],
        log2_se_ratio=ratio[seen],
        reach=np.sqrt(DEVIANCE_TOLERANCE * (2.0 * np.abs(fit.log_likelihood[seen]) + 0.1)),
        calls_changed=None
        if fit.test != "wald"
        else (int((study.significant != calls[0]).sum()), int((study.significant != calls[1]).sum())),
    )


def _calls(study: Study, found: Optimum) -> Mask:
    """Calls by Wald tests at an optimum; which genes are tested and adjusted together stays as in the fit."""
    fit, vector = study.fit, study.fit.contrast.vector
    p = wald(found.of(vector), found.se(vector), fit.lfc_threshold, fit.alternative)[1]
    return np.asarray(benjamini_hochberg(np.where(np.isfinite(fit.padj), p, np.nan)) < study.settings.alpha)


def judge(result: Convergence) -> Verdict:
    """Limits on the change of either group's log mean by the stopping rule."""
    test, reference = result.worst
    n, beyond = int(result.compared.sum()), int(result.beyond.sum())
    sizes = f"{result.sizes[0]} v {result.sizes[1]}"
    n_floor, n_separated = int(result.floor.sum()), int(result.separated.sum())
    apart = f" {n_floor} genes with a fitted mean below 0.5 ({n_separated} with a group all zero) are counted apart."
    apart = apart if n_floor else ""
    names = [f"{name} ({size} samples)" for name, size in zip(result.groups, result.sizes, strict=True)]
    if not beyond:
        headline = (
            f"Both groups converged, whatever their sizes ({sizes}): where the iteration stopped, the log mean "
            f"of {names[0]} is at most {_plain(test)} and that of {names[1]} {_plain(reference)} standard errors "
            f"from its exact optimum (limit {LIMIT:g}, {n} genes)."
        )
        return Verdict(Status.PASS, headline, f"Nothing to do.{apart}", 0)
    headline = (
        f"The iteration stopped too early ({sizes}): in {beyond} of {n} genes a group's log mean is more than "
        f"{LIMIT:g} standard errors from its exact optimum; {names[0]}: up to {_plain(test)}, {names[1]}: "
        f"{_plain(reference)}."
    )
    advice = f"Fit again with --search newton, or a smaller tolerance and more iterations.{apart}"
    changed = None if result.calls_changed is None else result.calls_changed[0]
    return Verdict(Status.FAIL if beyond > FAIL_SHARE * n else Status.WARN, headline, advice, changed)


def _plain(value: float) -> str:
    """A distance from the optimum without an exponent: to one digit where it is far below the limit."""
    if value > LIMIT / 10.0:
        return settled(value, LIMIT, digits=2)
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")


def metrics(result: Convergence) -> list[Metric]:
    """The numbers of report.json; changes over the compared genes."""
    test, reference = result.worst
    changed = result.calls_changed or (None, None)
    unit = "standard errors"
    return [
        Metric("max_change_se_test", test, limit=LIMIT, unit=unit),
        Metric("max_change_se_reference", reference, limit=LIMIT, unit=unit),
        Metric("n_not_converged", int((~result.converged).sum()), unit="genes"),
        Metric("n_separated", int(result.separated.sum()), unit="genes"),
        Metric("n_floor", int(result.floor.sum()), unit="genes"),
        Metric("n_compared", int(result.compared.sum()), unit="genes"),
        Metric("n_beyond_limit", int(result.beyond.sum()), unit="genes"),
        Metric("n_at_bounds", int(result.at_bound.sum()), unit="genes"),
        Metric("n_by_optimiser", int((result.iterations >= MAX_ITERATIONS).sum()), unit="genes"),
        Metric("max_change_se_dispersion_search", float(np.abs(result.by_search[result.compared]).max()), unit=unit),
        Metric("calls_changed_by_rule", changed[0], unit="genes"),
        Metric("calls_changed_by_dispersion_search", changed[1], unit="genes"),
    ]


def tables(result: Convergence) -> list[Table]:
    """Changes by their cause and group, iterations, and the genes that changed most."""
    return [_changes(result), _iterations(result), _genes(result)]


def _changes(result: Convergence) -> Table:
    apart = {"compared": result.compared, "floor, not separated": result.floor & ~result.separated}
    apart = {name: mask for name, mask in apart.items() if mask.any()}
    causes = {"stopping rule": result.by_rule, "dispersion search": result.by_search}
    rows = [
        (cause, kind, quantity, np.abs(change[mask, k]))
        for kind, mask in apart.items()
        for cause, change in causes.items()
        for k, quantity in enumerate((*result.groups, "log2 fold change"))
    ]
    ratios = [
        ("dispersion search", kind, "log2 ratio of standard errors", np.abs(result.log2_se_ratio[mask]))
        for kind, mask in apart.items()
    ]
    reach = [
        ("largest last step of the rule", kind, "either group", result.reach[mask]) for kind, mask in apart.items()
    ]
    everything = [row for row in (*rows, *ratios, *reach) if np.isfinite(row[3]).all()]
    return Table(
        "changes",
        "How far the fit stopped from the exact optimum, by cause: absolute values over genes, in standard errors of "
        "each quantity (ratios in log2). Separated genes have no finite optimum and are left out.",
        {
            "cause": [row[0] for row in everything],
            "genes": [row[1] for row in everything],
            "quantity": [row[2] for row in everything],
            "n_genes": [row[3].size for row in everything],
            "median": [float(np.median(row[3])) for row in everything],
            "percentile_99": [float(np.quantile(row[3], 0.99)) for row in everything],
            "largest": [float(row[3].max()) for row in everything],
        },
    )


def _stopped(result: Convergence) -> dict[str, NDArray[np.int64]]:
    """Iterations of the compared genes: all samples, and each group by itself."""
    test, reference = (f"{name} alone" for name in result.groups)
    series = {"all samples": result.iterations[result.compared]}
    if result.alone is not None:
        series |= {test: result.alone[result.compared, 0], reference: result.alone[result.compared, 1]}
    return series


def _iterations(result: Convergence) -> Table:
    series = _stopped(result)
    steps = np.unique(np.concatenate(list(series.values())))
    columns: dict[str, Sequence[object]] = {"iterations": [int(k) for k in steps]}
    columns |= {name: [int((values == k).sum()) for k in steps] for name, values in series.items()}
    return Table(
        "iterations",
        "Genes by the number of iterations after which the stopping rule was met, over all samples and, in a saturated "
        f"design, over each group's samples alone ({result.groups[0]}: {result.sizes[0]}, {result.groups[1]}: "
        f"{result.sizes[1]}). {MAX_ITERATIONS}: left to L-BFGS-B.",
        columns,
    )


def _genes(result: Convergence) -> Table:
    order = np.argsort(-np.where(result.compared, np.abs(result.by_rule[:, :2]).max(axis=1), -1.0), kind="stable")
    chosen = order[: min(SHOWN, int(result.compared.sum()))]
    return Table(
        "genes",
        f"The {chosen.size} compared genes that the stopping rule left furthest from their optimum (standard errors).",
        {
            "gene": [result.genes[i] for i in chosen],
            "base_mean": [float(result.base_mean[i]) for i in chosen],
            "change_test": [float(result.by_rule[i, 0]) for i in chosen],
            "change_reference": [float(result.by_rule[i, 1]) for i in chosen],
            "change_log2_fold_change": [float(result.by_rule[i, 2]) for i in chosen],
            "iterations": [int(result.iterations[i]) for i in chosen],
            "converged": [bool(result.converged[i]) for i in chosen],
            "at_bound": [bool(result.at_bound[i]) for i in chosen],
        },
    )


def draw(result: Convergence) -> list[Figure]:
    """Changes by expression, and when genes stopped."""
    from dediag import drawing

    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    keep = result.compared
    for k, role in enumerate(("reference", "test")):
        column = 1 - k
        label = f"{result.groups[column]} ({result.sizes[column]})"
        change = np.maximum(np.abs(result.by_rule[keep, column]), SMALLEST_SHOWN)
        drawing.cloud(left, result.base_mean[keep], change, role, label=label)
    drawing.reference_line(left, LIMIT, label=f"limit {LIMIT:g}")
    left.set(xscale="log", yscale="log", xlabel="base mean", ylabel="standard errors from the exact optimum")
    left.set(
        title="Where the iteration stopped", ylim=(0.5 * SMALLEST_SHOWN, max(10.0 * LIMIT, 3.0 * max(result.worst)))
    )
    drawing.legend(left)
    series = _stopped(result)
    top = max(int(values.max()) for values in series.values())
    steps = np.arange(top + 1)
    for (name, values), role in zip(series.items(), ("observed", "test", "reference"), strict=False):
        share = np.cumsum(np.bincount(values, minlength=top + 1)) / values.size
        drawing.curve(right, steps, share, role, label=name)
    right.set(xlabel="iterations", ylabel="share of genes that have stopped", title="When it stopped", ylim=(0.0, 1.03))
    drawing.legend(right)
    test, reference = result.worst
    return [
        Figure(
            "changes",
            drawing.to_svg(figure),
            "Left: distance of each group's log mean from its exact optimum, by base mean; values below "
            f"{SMALLEST_SHOWN:g} stand at the bottom. Right: share of genes that the stopping rule has ended, by "
            "number of iterations.",
            f"Largest distance {test:.1g} standard errors in {result.groups[0]}, {reference:.1g} in "
            f"{result.groups[1]}; limit {LIMIT:g}.",
        )
    ]


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=("max_change_se_test", "max_change_se_reference", "n_not_converged", "n_separated", "n_floor"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    no_fault_reason=(
        "counts decide where the optimum is, not where the iteration stops: cohorts of 3 v 500, with outliers or a "
        "hundredfold difference in depth, stop within .0004 standard errors of it; that the check fails where an "
        "iteration is cut short is shown on fits that are"
    ),
)
