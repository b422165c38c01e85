"""Would weighting the groups equally change anything?

Weights that let both groups count alike come in two scalings. *Mean one*: n / (2 n1) for a test sample, n / (2 n2) for
a reference sample. *Larger group down*: the same divided by the largest, so that the smaller group keeps one. DESeq2
always fits the second: it divides each gene's weights by their largest (`getAndCheckWeights` in its R sources).
`dediag.fit(..., scale_weights=False)` takes weights as given. Samples of other levels keep weight one.

Measured: (a) with the dispersions held at the main fit's and coefficients at the exact optimum, without the small ridge
that DESeq2 puts on them. In a saturated design (as many coefficients as different kinds of samples) a group's mean is
estimated from its own samples alone; a factor common to them drops out, so the fold changes must not move: an identity
and a check of this engine. With covariates the groups share coefficients, and weights say whose samples decide them:
fold changes move, and lose precision. (b) With dispersions estimated again they
move a little, because the dispersion decides how samples of unequal depth are averaged. (c) Cohorts are simulated from
the fit, one dispersion per gene, with no effect and with the shrunken effects, and fitted without weights and with each
scaling.

Why the error rate goes wrong: to the test a weight of 2 is two samples. It reports v1 / (n1 w1) + v2 / (n2 w2) for a
fold change whose variance is still v1 / n1 + v2 / n2, v = 1 / mean + dispersion. At equal v, weights of mean one make
the standard error .80 of the true one at 5 v 20 (size .12 at nominal .05) and .58 at 3 v 30 (.26); the other scaling
makes it 1.26 times the true one at 5 v 20. Dispersions estimated with the weights add to both: one degree of freedom
per coefficient is taken off whatever the weights are, so at 5 v 20 and 3 v 30 the expected dispersion is .95 and .87
of the true one at mean one, 1.09 and 1.23 in the other scaling. That predicts sizes of .125 and .29, .010 and .004;
simulated ones are .13 to .14 and .30 to .31, .012 to .014 and .007, because a test with estimated dispersions rejects
a little more often than its normal tails say (.055 to .06 without weights).

How to read it: `max_lfc_change` is that of (a), over genes seen in both groups with all fitted means above 0.5;
`median_se_ratio` is the standard error with weights of mean one, dispersions estimated again, over that without;
`size_weighted` is the share of genes without effect with p < .05 at mean one; `power_ratio` says how many of the
study's calls are called again, in their direction, in cohorts with the shrunken effects and the larger group weighted
down, over the same without weights. More calls at mean one are no power: they come with the error rate.

What it does not show: weights for unequal precision (a bad sample, single cells) are another matter and a good one. The
simulated groups have equal dispersions, so that the weights alone are judged; where the groups differ in dispersion,
weights by group size do not mend the error rate.

References:
- McCullagh P, Nelder JA (1989). Generalized Linear Models, 2nd ed., section 2.5: prior weights divide the dispersion.
- Love MI, Huber W, Anders S (2014). Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2,
  eq. 11 to 15. Genome Biology 15:550.
- Van den Berge K et al. (2018). Observation weights unlock bulk RNA-seq tools for zero inflation and single-cell
  applications. Genome Biology 19:24.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.cohort import InputError
from dediag.contract import Diagnostic, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.weights import USED_WEIGHT
from dediag.resample.plans import Simulations
from dediag.resample.reweighted import Predicted, Reweighted, Simulated, compare
from dediag.stats.weighted_error import equal_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dediag.stats.error_model import Estimate
    from dediag.study import Study

    Array = NDArray[np.float64]
    Pair = tuple[float, float]

# log2. In 90 cohorts from 2 v 4 to 3 v 90, a third with outliers, a third with lost counts, at most 8e-7; the ridge
# alone, which is taken off, makes up to 8e-5 in genes of dispersion 10.
IDENTITY = 1e-4
WRONG = 0.01  # by how much a size must differ from the unweighted one to be called wrong
MOST_COHORTS, FEWEST_COHORTS = 15, 4  # simulated per arm, fewer for more genes ...
WANTED_GENES = 60_000  # ... of which the share with p < .05 is known to about .001
NONE, MEAN_ONE, DOWN = "no weights", "mean one", "larger group down"
ROLES = {MEAN_ONE: "test", DOWN: "reference"}  # looks


@dataclass(frozen=True)
class Arm:
    """The fit with one set of weights, or none."""

    name: str
    weights: Pair  # of a test and of a reference sample
    fits: Reweighted
    predicted: Predicted
    simulated: Simulated


@dataclass(frozen=True)
class GroupWeights:
    """Fold changes and error rates without and with weights."""

    sizes: tuple[int, int]  # samples of test and reference group
    formula: str
    saturated: bool
    n_calls: int
    base_mean: Array  # (n_genes,) of the compared genes
    n_left_out: int  # genes not seen in both groups, at the floor, or with replaced counts
    arms: tuple[Arm, ...]  # the first without weights; none: equal groups

    def changes(self, arm: Arm) -> tuple[Array, Array]:
        """Change of each fold change (log2), dispersions held and estimated again: (n_genes,) each."""
        plain = self.arms[0].fits
        return arm.fits.held - plain.held, arm.fits.again - plain.again

    @property
    def largest_change(self) -> float:
        """Over genes and scalings, dispersions held; 0 where all weights are one."""
        return max((float(np.abs(self.changes(arm)[0]).max()) for arm in self.arms), default=0.0)


def _arms(study: Study) -> dict[str, Pair]:
    """Weights of a test and a reference sample in each arm that can be fitted; none for equal groups."""
    n = (study.n_test, study.n_reference)
    if n[0] == n[1]:
        return {}
    down = equal_weights(*n, mean_one=False)
    found = {NONE: (1.0, 1.0), MEAN_ONE: equal_weights(*n, mean_one=True)}
    return found | ({DOWN: down} if min(down) > USED_WEIGHT else {})  # beyond 100 : 1 a group would have no samples


def _of_samples(study: Study, pair: Pair) -> Array:
    weights = np.ones(study.cohort.n_samples)
    weights[study.test_samples], weights[study.reference_samples] = pair
    return weights


def plan(study: Study) -> Mapping[str, Simulations]:
    """Cohorts without effect and, if there are calls, with the shrunken effects, each fitted in every arm."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to weight")
    if study.fit.weights.shape[1]:
        raise NotAssessable("the fit has observation weights of its own")
    wanted = -(-WANTED_GENES // int((study.fit.base_mean > 0).sum()))
    n = min(study.settings.bootstraps, max(FEWEST_COHORTS, min(MOST_COHORTS, wanted)))
    arms = _arms(study)
    if not arms:
        return {}
    weights = tuple(None if name == NONE else tuple(_of_samples(study, pair).tolist()) for name, pair in arms.items())
    null = Simulations(
        n, study.seed, "none", "shared", per_cohort=len(arms), weights=weights, keep=(), what="refits with weights"
    )
    return {"none": null} | ({"fitted": replace(null, effects="fitted")} if study.significant.any() else {})


def compute(study: Study) -> GroupWeights:
    """Both scalings against no weights: dispersions held, estimated again, and in simulated cohorts."""
    plans, pairs, fit = plan(study), _arms(study), study.fit
    weights = {name: None if name == NONE else _of_samples(study, pair) for name, pair in pairs.items()}
    genes, fits = np.zeros(fit.cohort.n_genes, np.bool_), dict[str, Reweighted]()
    if pairs:
        try:
            genes, fits = compare(fit, weights, study.size_factors)
        except InputError as error:  # such as a trend that cannot be fitted
            raise NotAssessable(f"the fit with weights cannot be made: {error}") from error
        if not genes.any():
            raise NotAssessable("no gene is seen in both groups with fitted means above the floor of 0.5")

    found = {effects: study.ensemble(each) for effects, each in plans.items()}
    up, down = study.significant & (fit.lfc > 0), study.significant & (fit.lfc < 0)

    def simulated(arm: int) -> Simulated:
        null, fitted = found["none"].every(len(pairs), arm), found.get("fitted")
        both = () if fitted is None else (fitted.every(len(pairs), arm), fitted.every(len(pairs), 0))
        return Simulated.of(null, both, up, down)

    return GroupWeights(
        sizes=(study.n_test, study.n_reference),
        formula=fit.design.formula,
        saturated=fit.design.saturated,
        n_calls=int(study.significant.sum()),
        base_mean=fit.base_mean[genes],
        n_left_out=int((fit.base_mean > 0).sum() - genes.sum()) if pairs else 0,
        arms=tuple(
            Arm(name, pair, fits[name], Predicted.of(fit, _of_samples(study, pair)), simulated(arm))
            for arm, (name, pair) in enumerate(pairs.items())
        ),
    )


def judge(result: GroupWeights) -> Verdict:
    """Pass with the answer; a saturated fit whose fold changes move by weights is an error of this engine."""
    sizes, largest = f"{result.sizes[0]} v {result.sizes[1]}", result.largest_change
    if not result.arms:
        headline = f"The groups are equally large ({sizes}): all weights would be one."
        return Verdict(Status.PASS, headline, "Nothing to do.", 0)
    if result.saturated and not largest <= IDENTITY:
        headline = (
            f"Weighting {sizes} equally moves a fold change by {largest:.2g} log2 at held dispersions (limit "
            f"{IDENTITY:g}), which {result.formula} does not allow: a defect of this engine."
        )
        return Verdict(Status.ERROR, headline, "Please report it with the command and the version.")
    if result.saturated:
        said = f"leaves every fold change where it is (largest change {largest:.0e} log2, limit {IDENTITY:g})"
    else:
        median = max(float(np.median(np.abs(result.changes(arm)[0]))) for arm in result.arms)
        said = (
            f"moves fold changes (by up to {largest:.2g} log2, median {median:.1g}) only because the groups share "
            f"coefficients in {result.formula}"
        )
    headline = f"Weighting {sizes} equally {said} and {_error_rate(result)}."
    return Verdict(Status.PASS, headline, "Do not weight by group size; weights are for unequal precision.", 0)


def _error_rate(result: GroupWeights) -> str:
    """What the weights do to the error rate and to power, as the end of a sentence."""
    sizes = [arm.simulated.size.value for arm in result.arms]
    wrong = max(abs(size - sizes[0]) for size in sizes) >= WRONG
    text = (
        f"{'makes the error rate wrong' if wrong else 'hardly changes the error rate'}: {100 * sizes[1]:.2g} % of "
        f"genes without effect have p < .05 with weights of mean one (unweighted {100 * sizes[0]:.2g} %)"
    )
    for arm in result.arms[2:]:
        text += f"; with the larger group weighted down {100 * arm.simulated.size.value:.2g} %"
        if arm.simulated.ratio is not None and arm.simulated.ratio.known:
            text += f", and {arm.simulated.ratio.value:.2f} times the power"
    return text


def metrics(result: GroupWeights) -> list[Metric]:
    """The contract's numbers; equal groups have weights of one, which change nothing."""
    arms = {arm.name: arm for arm in result.arms}
    equal = None if arms else 1.0
    se_ratio = float(np.median(arms[MEAN_ONE].fits.se_ratio)) if arms else equal

    def simulated(name: str, arm: str, pick: str, otherwise: float | None, unit: str) -> Metric:
        found = getattr(arms[arm].simulated, pick) if arm in arms else None
        value, low, high = (otherwise, None, None) if found is None else _known(found)
        return Metric(name, value, low, high, unit=unit)

    limit = IDENTITY if result.saturated else None
    return [
        Metric("max_lfc_change", result.largest_change, limit=limit, unit="log2, dispersions held"),
        Metric("median_se_ratio", se_ratio, unit="weights of mean one"),
        simulated("size_weighted", MEAN_ONE, "size", None, "weights of mean one"),
        simulated("power_ratio", DOWN, "ratio", equal, "larger group weighted down"),
        simulated("size_unweighted", NONE, "size", None, "no weights"),
        simulated("size_larger_group_down", DOWN, "size", None, "larger group weighted down"),
        Metric("saturated", result.saturated),
        Metric("n_left_out", result.n_left_out, unit="genes"),
    ]


def _known(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    value, low, high = (x if np.isfinite(x) else None for x in estimate)
    return value, low, high


def tables(result: GroupWeights) -> list[Table]:
    """Each arm in numbers: fold changes, standard errors, error rate, power; predicted and simulated."""
    arms = result.arms
    if not arms:
        return []
    changes = [[np.abs(change) for change in result.changes(arm)] for arm in arms]

    def rates(pick: str, ends: tuple[str, ...] = ("", "_low", "_high")) -> dict[str, list[float | None]]:
        found = [getattr(arm.simulated, pick) for arm in arms]
        known = [(None, None, None) if each is None else _known(each) for each in found]
        return {f"{pick}{end}": [each[k] for each in known] for k, end in enumerate(ends)}

    columns: dict[str, Sequence[object]] = {
        "weights": [arm.name for arm in arms],
        "test_sample": [arm.weights[0] for arm in arms],
        "reference_sample": [arm.weights[1] for arm in arms],
        "max_change_held": [float(held.max()) for held, _ in changes],
        "median_change": [float(np.median(again)) for _, again in changes],
        "max_change": [float(again.max()) for _, again in changes],
        "se_ratio_predicted_held": [arm.predicted.se_held for arm in arms],
        "se_ratio_predicted": [arm.predicted.se for arm in arms],
        "se_ratio": [float(np.median(arm.fits.se_ratio)) for arm in arms],
        "size_predicted_held": [arm.predicted.size_held for arm in arms],
        "size_predicted": [arm.predicted.size for arm in arms],
        **(rates("size") | rates("false_calls", ("",)) | rates("again", ("",)) | rates("ratio")),
    }
    caption = (
        "Weights of a sample that let both groups count alike. Changes of fold changes (log2; held: dispersions held) "
        f"and standard errors are against no weights, over {len(result.base_mean)} genes. size: share of genes without "
        "effect with p < .05, predicted and simulated (95 % interval); false_calls: calls in a cohort without any "
        f"effect; again: share of the study's {result.n_calls} calls that are called in cohorts simulated with their "
        "shrunken effects; ratio: that over the one without weights."
    )
    return [Table("scalings", caption, columns)]


def draw(result: GroupWeights) -> list[Figure]:
    """Fold changes with and without weights, dispersions held and estimated again; standard errors and error rate."""
    return [_draw_fold_changes(result), _draw_error_rate(result)] if result.arms else []


def _draw_fold_changes(result: GroupWeights) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    drawing.diagonal(left, label="no change")
    plain, weighted = result.arms[0], result.arms[1:]
    drawing.cloud(left, plain.fits.held, weighted[0].fits.held, "test", label="a gene")
    for arm in weighted:
        drawing.cloud(right, result.base_mean, result.changes(arm)[1], ROLES[arm.name], label=arm.name)
    left.set(xlabel="log2 fold change without weights", ylabel=f"with weights of {MEAN_ONE}", title="Dispersions held")
    right.set(xscale="log", xlabel="base mean", ylabel="change, log2", title="Dispersions estimated again")
    drawing.legend(left)
    drawing.legend(right)
    held, again = (", ".join(f"{a.name} {np.abs(result.changes(a)[k]).max():.1g}" for a in weighted) for k in (0, 1))
    caption = f"Largest change of a log2 fold change, dispersions held: {held}; estimated with the weights: {again}."
    alt = f"Fold changes with weights against those without lie on the diagonal; largest change {held}."
    return Figure("fold_changes", drawing.to_svg(figure), caption, alt)


def _draw_error_rate(result: GroupWeights) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    low, high = np.quantile([arm.fits.se_ratio for arm in result.arms], (0.002, 0.998))
    for arm in result.arms[1:]:
        ratio, outline = arm.fits.se_ratio, arm.name == DOWN
        drawing.histogram(left, ratio, np.linspace(low, high, 61), ROLES[arm.name], label=arm.name, outline=outline)
        drawing.reference_line(left, arm.predicted.se, axis="x", role="predicted")
    drawing.reference_line(left, 1.0, axis="x", role="observed", label="without weights")
    left.set(xlabel="standard error over that without weights", ylabel="genes", title="Standard errors")
    at, sizes = np.arange(float(len(result.arms))), np.array([arm.simulated.size for arm in result.arms])
    predicted = [arm.predicted.size for arm in result.arms]
    drawing.reference_line(right, 0.05, role="limit", label="nominal")
    drawing.intervals(right, at, *sizes.T, role="observed", label="simulated, 95 % interval")
    drawing.cloud(right, at + 0.15, predicted, "predicted", label="predicted", size=60.0, alpha=1.0)
    right.set_xticks(at, [arm.name for arm in result.arms])
    right.set(xlim=(-0.5, len(at) - 0.5), ylim=(0.0, 1.1 * float(np.nanmax([*sizes.flat, *predicted]))))
    right.set(ylabel="share with p < .05 under no effect", title="Error rate")
    drawing.legend(left)
    drawing.legend(right)
    said = ", ".join(f"{arm.name} {arm.simulated.size.value:.3f}" for arm in result.arms)
    caption = (
        "Left: standard errors with weights over those without, dispersions estimated again; dash-dotted: predicted. "
        f"Right: share of genes without effect with p < .05 in cohorts simulated from the fit: {said}."
    )
    alt = f"Histograms of standard error ratios on either side of one; error rates {said}."
    return Figure("error_rate", drawing.to_svg(figure), caption, alt)


DIAGNOSTIC = Diagnostic(
    section="design",
    metric_names=("max_lfc_change", "median_se_ratio", "size_weighted", "power_ratio"),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    no_fault_reason="what weights do follows from the group sizes and the model alone; no fault of the data changes it",
)
