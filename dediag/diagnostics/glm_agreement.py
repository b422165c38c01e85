"""Does statsmodels give the same fit?

What is measured: a sample of genes, stratified by expression, is fitted again with statsmodels, another program by
other authors. Its negative binomial GLM gets our dispersion (alpha), the log size factors as offset and the counts
that our estimates rest on (outliers replaced where ours are). Then the same maximum has two roads to it: fold changes
must agree to 1e-4 log2 and standard errors to 1 %. This is a self-check of our engine, and its only way to fail.

Genes that cannot be compared so are counted apart: floor genes (a fitted mean below 0.5, where our engine, like the
published method, stops the mean from falling), separated genes (a group without counts: no finite maximum), genes on
which either search did not converge, and those of a flat likelihood on which the published stopping rule (deviance
within 1e-8) leaves our fit further than the limit from a maximum on which both programs agree. Where more than half of
the sample fell out, the check warns that it rests on too few.

Beside it stand three other fits of the same genes, which answer another question each: alpha by maximum likelihood,
gene by gene, without sharing between genes; quasi-Poisson, whose variance is proportional to the mean; and alpha left
at 1, the default of many programs - a known mistake, as it takes every gene's biological spread for 100 % and so
hides effects. Where the maximum likelihood fit disagrees with ours, the table names the reason: separation, floor,
outlier, low count, or the shrinkage of the dispersion toward the trend.

How to read it: agreement of the first kind says that the numbers are right for the model. It does not say that the
model is right for the data: other diagnostics ask that.

References:
- Seabold, Perktold (2010) statsmodels: econometric and statistical modeling with Python. Proc 9th Python in Science
  Conf
- Love, Huber, Anders (2014) Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2. Genome
  Biol 15:550
- Lawless (1987) Negative binomial and mixed Poisson regression. Can J Stat 15:209-225
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.coefficients import fit_coefficients
from dediag.rounding import percent, settled
from dediag.stats.agreement import spearman
from dediag.stats.peer_glm import FitColumn, peer_fits
from dediag.stats.peer_states import COMPARED, Traits, stratified

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SAMPLE_SIZE = 200  # genes, unless all are asked for
STRATA = 10  # of base mean
LFC_LIMIT = 1e-4  # log2
OPTIMUM_STEP = 1e-11  # natural log, last step of a search that goes on to the maximum
SE_LIMIT = 1.01  # ratio, either way
FEWEST_COMPARED = 0.5  # of the sampled genes: agreement on a minority says nothing about the rest of the fit
DISCORDANT_Z = 0.5  # difference of Wald statistics that a reason is sought for ...
DISCORDANT_SHARE = 0.1  # ... if it is also this share of ours
EPSILON = 1e-12  # agreement to the last digit has no logarithm


@dataclass(frozen=True)
class GlmAgreement:
    """Our fit of the sampled genes beside four of statsmodels."""

    genes: tuple[str, ...]  # (n_sampled,)
    base_mean: Array  # (n_sampled,)
    dispersion: Array  # (n_sampled,)
    lfc: Array  # (n_sampled,) log2
    se: Array  # (n_sampled,) log2
    significant: Mask  # (n_sampled,)
    state: tuple[str, ...]  # (n_sampled,) "compared", or why not
    reason: tuple[str, ...]  # (n_sampled,) why the maximum likelihood fit differs, "" where it does not
    replaced: Mask  # (n_sampled,) compared on replaced counts
    given: FitColumn  # our alpha
    default: FitColumn  # alpha = 1
    likelihood: FitColumn
    quasi: FitColumn

    @property
    def compared(self) -> Mask:
        """Genes on which both programs look for the same finite maximum: (n_sampled,)."""
        return np.array([s == COMPARED for s in self.state])

    @property
    def lfc_difference(self) -> Array:
        """|log2 fold change - statsmodels'| of the compared genes, NaN elsewhere: (n_sampled,)."""
        return np.where(self.compared, np.abs(self.lfc - self.given.lfc), np.nan)

    @property
    def se_ratio(self) -> Array:
        """Larger over smaller standard error of the compared genes, NaN elsewhere: (n_sampled,)."""
        ratio = self.given.se / self.se
        return np.where(self.compared, np.maximum(ratio, 1 / ratio), np.nan)

    @property
    def violated(self) -> Mask:
        """Compared genes beyond a limit; what is not a number is beyond it too: (n_sampled,)."""
        within = (self.lfc_difference <= LFC_LIMIT) & (self.se_ratio <= SE_LIMIT)
        return np.asarray(self.compared & ~within)


def compute(study: Study) -> GlmAgreement:
    """Fit the sampled genes again; not assessable with observation weights, or where no gene can be compared."""
    fit = study.fit
    if fit.weights.shape[1]:
        raise NotAssessable("the fit has observation weights, which statsmodels' fit of alpha does not take")
    rows = _sampled(study)
    contrast = fit.contrast.vector
    offset = np.log(np.broadcast_to(fit.normalisation, fit.cohort.counts.shape))
    counts = fit.fitted_counts
    fits = [peer_fits(counts[g], fit.design.matrix, offset[g], contrast, float(fit.dispersion[g])) for g in rows]
    given, likelihood = (FitColumn.of([getattr(f, name) for f in fits]) for name in ("given", "likelihood"))
    ours, traits = fit.lfc[rows], _traits(study, rows)
    apart, from_maximum = (np.abs(lfc - given.lfc) for lfc in (ours, _optimum(study, rows)))
    state = traits.states(given.converged, apart, from_maximum, LFC_LIMIT)
    if not (state == COMPARED).any():
        raise NotAssessable("no gene of the sample has a finite maximum in both programs")
    z = ours / fit.lfc_se[rows]
    discordant = np.abs(likelihood.z - z) > np.maximum(DISCORDANT_Z, DISCORDANT_SHARE * np.abs(z))
    broken = ~(likelihood.converged & np.isfinite(likelihood.z))
    reason = np.where(discordant | broken, traits.reasons(state, likelihood.alpha), "")
    return GlmAgreement(
        genes=tuple(str(name) for name in study.cohort.genes[rows]),
        base_mean=fit.base_mean[rows],
        dispersion=fit.dispersion[rows],
        lfc=fit.lfc[rows],
        se=fit.lfc_se[rows],
        significant=study.significant[rows],
        state=tuple(state.tolist()),
        reason=tuple(reason.tolist()),
        replaced=fit.replaced[rows],
        given=given,
        default=FitColumn.of([f.default for f in fits]),
        likelihood=likelihood,
        quasi=FitColumn.of([f.quasi for f in fits]),
    )


def _sampled(study: Study) -> NDArray[np.intp]:
    """Rows of the genes to fit: all, or equally many from each stratum of base mean."""
    fit = study.fit
    usable = np.flatnonzero((fit.base_mean > 0) & np.isfinite(fit.lfc_se) & (fit.lfc_se > 0))
    if study.settings.all_genes or len(usable) <= SAMPLE_SIZE:
        return usable
    return usable[stratified(fit.base_mean[usable], SAMPLE_SIZE, STRATA, study.rng("glm agreement"))]


def _optimum(study: Study, rows: NDArray[np.intp]) -> Array:
    """log2 fold changes (n_sampled,) at our dispersions when the search does not stop before the maximum."""
    data, space = study.fit.data_and_space()
    part = replace(data, rows=rows.astype(np.int64))
    label = np.zeros(len(space.cells), np.int64)
    best = fit_coefficients(
        part, space, study.fit.dispersion[rows], contrast=study.fit.contrast.vector, label=label, reference=False,
        tolerance=OPTIMUM_STEP,
    )  # fmt: skip
    return np.asarray(best.beta @ study.fit.contrast.vector / np.log(2))


def _traits(study: Study, rows: NDArray[np.intp]) -> Traits:
    """Our fit of the sampled genes."""
    fit = study.fit
    counts = fit.fitted_counts[rows]
    return Traits(
        seen=np.asarray(counts[:, study.test_samples].any(axis=1) & counts[:, study.reference_samples].any(axis=1)),
        lowest_mean=fit.mu()[rows].min(axis=1),
        converged=fit.converged[rows],
        outlying=fit.replaced[rows] | (fit.max_cooks[rows] > fit.cooks_cutoff),
        mean=fit.base_mean[rows],
        dispersion=fit.dispersion[rows],
    )


def judge(result: GlmAgreement) -> Verdict:
    """Fail when a comparable gene differs: then our engine is wrong."""
    n = int(result.compared.sum())
    bad = result.violated
    if bad.any():
        return Verdict(
            Status.FAIL,
            f"{int(bad.sum())} of {n} genes differ from statsmodels by more than {LFC_LIMIT:g} in log2 fold change "
            f"or {percent(SE_LIMIT - 1)} in standard error: a defect of this engine.",
            f"Report it with the counts of gene {result.genes[int(np.argmax(bad))]}; do not use the fit of these "
            "genes.",
            calls_at_risk=int((bad & result.significant).sum()),
        )
    if n < FEWEST_COMPARED * len(result.state):
        fallen = [s for s in result.state if s != COMPARED]
        why = ", ".join(f"{s} {fallen.count(s)}" for s in sorted(set(fallen)))
        headline = (
            f"{len(fallen)} of {len(result.state)} sampled genes could not be compared with statsmodels ({why}; limit "
            f"{percent(1 - FEWEST_COMPARED)})."
        )
        return Verdict(Status.WARN, headline, "Leave out genes with few counts, or compare all genes.", 0)
    lfc = settled(float(np.nanmax(result.lfc_difference)), LFC_LIMIT, digits=1)
    se = settled(float(np.nanmax(result.se_ratio)) - 1, SE_LIMIT - 1, digits=1)
    return Verdict(
        Status.PASS,
        f"On {n} genes statsmodels gives the same fit: fold changes within {lfc} log2 (limit {LFC_LIMIT:g}), standard "
        f"errors within {se} of ours (limit {SE_LIMIT - 1:g}).",
        "Nothing to do.",
        calls_at_risk=0,
    )


def metrics(result: GlmAgreement) -> list[Metric]:
    """The named numbers; spearman_mle compares Wald statistics with those of alpha by maximum likelihood."""
    both = result.likelihood.converged & result.compared
    return [
        Metric("n_compared", int(result.compared.sum())),
        Metric("max_lfc_difference", float(np.nanmax(result.lfc_difference)), limit=LFC_LIMIT, unit="log2"),
        Metric("max_se_ratio", float(np.nanmax(result.se_ratio)), limit=SE_LIMIT),
        Metric("spearman_mle", spearman(result.likelihood.z[both], (result.lfc / result.se)[both])),
    ]


def tables(result: GlmAgreement) -> list[Table]:
    """What was compared, the four fits in brief, and the genes."""
    states = sorted(set(result.state))
    reasons = sorted(set(result.reason) - {""})
    fits = {
        "alpha ours": result.given,
        "alpha by maximum likelihood": result.likelihood,
        "quasi-Poisson": result.quasi,
        "alpha = 1 (mistake)": result.default,
    }
    ours = FitColumn(result.lfc, result.se, result.compared, result.dispersion)
    compared = [other.beside(ours) for other in fits.values()]
    return [
        Table(
            "summary",
            "statsmodels' fits of the sampled genes that can be compared, beside ours: median standard error over "
            "ours, rank correlation of Wald statistics, number beyond 1.96 (ours in the last column).",
            {"fit": list(fits)} | {name: [row[name] for row in compared] for name in compared[0]},
        ),
        Table(
            "reasons",
            "Genes compared or left out of the self-check, and why Wald statistics of the maximum likelihood fit "
            f"differ from ours by more than {DISCORDANT_Z:g} and a tenth.",
            {
                "what": [f"self-check: {s}" for s in states] + [f"maximum likelihood differs: {r}" for r in reasons],
                "genes": [result.state.count(s) for s in states] + [result.reason.count(r) for r in reasons],
            },
        ),
        Table(
            "genes",
            "The sampled genes; log2 fold changes and standard errors.",
            {
                "gene": list(result.genes),
                "base_mean": result.base_mean.tolist(),
                "state": list(result.state),
                "replaced": result.replaced.tolist(),
                "lfc": result.lfc.tolist(),
                "se": result.se.tolist(),
                "dispersion": result.dispersion.tolist(),
                **{f"{name}_lfc": fit.lfc.tolist() for name, fit in fits.items()},
                **{f"{name}_se": fit.se.tolist() for name, fit in fits.items()},
                "alpha by maximum likelihood": result.likelihood.alpha.tolist(),
                "reason": list(result.reason),
            },
        ),
    ]


def draw(result: GlmAgreement) -> list[Figure]:
    """The self-check, and what other choices of alpha do to the standard error."""
    return [_draw_check(result), _draw_alpha(result)]


def _draw_check(result: GlmAgreement) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    drawing.cloud(left, result.base_mean, np.maximum(result.lfc_difference, EPSILON), label="compared genes")
    drawing.reference_line(left, LFC_LIMIT, label=f"limit {LFC_LIMIT:g}")
    _label(left, "Fold changes: ours against statsmodels", "base mean", "difference of log2 fold changes")
    drawing.cloud(right, result.base_mean, np.maximum(result.se_ratio - 1, EPSILON), label="compared genes")
    drawing.reference_line(right, SE_LIMIT - 1, label=f"limit {SE_LIMIT - 1:g}")
    _label(right, "Standard errors", "base mean", "ratio of standard errors minus one")
    caption = "The same model fitted by two programs with the same dispersions. Every point must lie below the line."
    worst = f"{np.nanmax(result.lfc_difference):.1g} log2 fold change, {np.nanmax(result.se_ratio) - 1:.1g} in SE ratio"
    alt = f"Largest differences over {int(result.compared.sum())} genes: {worst}."
    return Figure("check", drawing.to_svg(figure), caption, alt)


def _draw_alpha(result: GlmAgreement) -> Figure:
    figure = drawing.new_figure(*drawing.WIDE)
    ax = figure.subplots()
    kinds = {"alpha = 1, left at its default (mistake)": result.default, "quasi-Poisson": result.quasi}
    kinds["alpha by maximum likelihood"] = result.likelihood
    for style, (label, other) in zip(drawing.SERIES, kinds.items(), strict=False):
        good = other.converged & result.compared
        drawing.cloud(ax, result.base_mean[good], (other.se / result.se)[good], style, label=label)
    drawing.reference_line(ax, 1.0, label="as ours")
    _label(ax, "What other dispersions do to the standard error", "base mean", "standard error over ours")
    typical = np.nanmedian(np.where(result.default.converged & result.compared, result.default.se / result.se, np.nan))
    caption = (
        "Fold changes hardly depend on alpha; standard errors do. Alpha left at 1 inflates them most where counts "
        "are high and true dispersions small. Around one: genes whose dispersion is shrunken up or down by our fit."
    )
    alt = f"With alpha = 1 the median standard error is {typical:.1f} times ours."
    return Figure("alpha", drawing.to_svg(figure), caption, alt)


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    ax.set_title(title)
    drawing.legend(ax)


DIAGNOSTIC = Diagnostic(
    section="methods",
    metric_names=("n_compared", "max_lfc_difference", "max_se_ratio", "spearman_mle"),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    no_fault_reason="it checks our engine, which must agree with statsmodels whatever is wrong with the data",
)
