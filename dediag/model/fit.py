"""The fit, from counts to adjusted p-values: the order of the method on one screen.

Love, Huber, Anders (2014) "Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from dediag.cohort import Cohort, InputError, Scalar, frozen
from dediag.model import coefficients as glm
from dediag.model import contrasts, outliers
from dediag.model.blas import ONE_BLAS_THREAD
from dediag.model.blocks import seen
from dediag.model.design import Design, build
from dediag.model.dispersion import gene_wise
from dediag.model.estimates import Estimates, Shared
from dediag.model.filtering import independent_filtering
from dediag.model.group_test import recentring, with_group_dispersions
from dediag.model.nbfit import NBFit
from dediag.model.prior import log_residual_variance, prior_variance
from dediag.model.size_factors import METHODS, size_factors
from dediag.model.trend import TrendError, fit_trend
from dediag.model.weights import checked
from dediag.progress import Progress, silent
from dediag.stats.adjust import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from dediag.model.size_factors import Method
    from dediag.model.trend import TrendKind

SEARCHES = ("reference", "newton")
TESTS = ("wald", "lrt")
DISPERSIONS = ("shared", "group")
STEPS = 5


@dataclass(frozen=True)
class Options:
    """How to fit and test; the defaults are the reference's."""

    search: Literal["reference", "newton"] = "reference"
    test: Literal["wald", "lrt"] = "wald"
    trend: TrendKind = "parametric"
    prior_variance: float | None = None
    alpha: float = 0.1
    lfc_threshold: float = 0.0
    alternative: contrasts.Alternative = "greaterAbs"
    use_t: bool = False
    cooks: bool = True
    replace_outliers: bool = True
    filtering: bool = True
    dispersion: Literal["shared", "group"] = "shared"
    recentre: bool = False

    def __post_init__(self) -> None:
        """Refuse what no fit could mean."""
        if self.search not in SEARCHES or self.test not in TESTS or self.dispersion not in DISPERSIONS:
            known = f"search is one of {', '.join(SEARCHES)}; test is one of {', '.join(TESTS)}"
            raise InputError(f"{known}; dispersion is one of {', '.join(DISPERSIONS)}")
        if self.alternative not in contrasts.ALTERNATIVES:
            raise InputError(f"alternative is one of {', '.join(contrasts.ALTERNATIVES)}")
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"alpha is {self.alpha}; it must lie between 0 and 1")
        if self.lfc_threshold < 0.0 or (self.alternative == "lessAbs" and self.lfc_threshold == 0.0):
            raise InputError("the fold change threshold must be positive for lessAbs and not negative otherwise")
        if self.test == "lrt" and (self.lfc_threshold > 0.0 or self.alternative != "greaterAbs"):
            raise InputError("a threshold test is a Wald test; leave it out with the likelihood-ratio test")
        if self.test == "lrt" and (self.dispersion == "group" or self.recentre):
            raise InputError("group dispersions and recentring go with the Wald test, not the likelihood-ratio test")
        if self.prior_variance is not None and not self.prior_variance > 0.0:
            raise InputError(f"the prior variance is {self.prior_variance}; it must be positive")


def fit(
    cohort: Cohort,
    design: str | Design,
    contrast: Sequence[str] | str | contrasts.Contrast | None = None,
    *,
    search: Literal["reference", "newton"] = "reference",
    test: Literal["wald", "lrt"] = "wald",
    reduced: str | Design | None = None,
    size_factors: str | ArrayLike = "ratio",
    weights: ArrayLike | None = None,
    scale_weights: bool = True,
    trend: TrendKind = "parametric",
    prior_variance: float | None = None,
    alpha: float = 0.1,
    lfc_threshold: float = 0.0,
    alternative: contrasts.Alternative = "greaterAbs",
    use_t: bool = False,
    cooks: bool = True,
    replace_outliers: bool = True,
    filtering: bool = True,
    dispersion: Literal["shared", "group"] = "shared",
    recentre: bool = False,
    progress: Progress = silent,
) -> NBFit:
    """Fit a negative binomial GLM to every gene and test one contrast.

    design: a formula such as "~ batch + group" over the cohort's sample table. contrast: (factor, test[, reference]),
    or the name of a coefficient; None is the last coefficient. search: "reference" follows DESeq2's own line search,
    "newton" climbs the same likelihood by Newton's method, faster. reduced: the formula without the tested terms, for
    test="lrt". size_factors: a method ("ratio", "poscounts", "TMM", "TMMwsp", "RLE", "upperquartile") or one positive
    number per sample. weights: (n_genes, n_samples); scale_weights divides each gene's by their largest, as the
    reference does. prior_variance: of the log dispersions about the trend, instead of an estimate. alpha: of the
    independent filtering. lfc_threshold: log2. use_t: t instead of normal tails. cooks and replace_outliers: whether
    outlying counts void p-values and are replaced. filtering: whether genes of low mean are left out of the
    adjustment. dispersion: one per gene, or one per gene and group of the contrast, with t-tests of Satterthwaite's
    degrees of freedom. recentre: fit again with size factors under which the median fold change of well-expressed genes
    is zero (`group_test.recentring`). Raises InputError for what only the user can mend.
    """
    chosen = Options(
        search,
        test,
        trend,
        prior_variance,
        alpha,
        lfc_threshold,
        alternative,
        use_t,
        cooks,
        replace_outliers,
        filtering,
        dispersion,
        recentre,
    )
    asked = contrasts.references(None if isinstance(contrast, contrasts.Contrast) else contrast, cohort.samples)
    full = design if isinstance(design, Design) else build(design, cohort.samples, asked)
    goal = contrast if isinstance(contrast, contrasts.Contrast) else contrasts.resolve(contrast, full, asked)
    smaller = _reduced(reduced, full, cohort, chosen)
    progress("size factors", 0, STEPS)
    normalisation = _normalisation(cohort, size_factors)
    used_weights, given_weights, usable = checked(weights, cohort.counts.shape, full, scale=scale_weights)
    rows = np.flatnonzero(seen(cohort.counts) & usable)
    if rows.size == 0:
        raise InputError("counts: no gene has a count above zero")
    data = glm.Data(cohort.counts, frozen(rows, np.int64), normalisation, used_weights, given_weights)
    with ONE_BLAS_THREAD:  # more cost a hundred times what they save on small systems
        found = _fit(cohort, data, full, smaller, goal, chosen, progress)
        if recentre:
            centre = recentring(found)
            data = replace(data, size=frozen(normalisation * centre.factors))
            found = _fit(cohort, data, full, smaller, goal, chosen, progress)
            found = replace(found, notices=(*found.notices, centre.notice))
        if cohort.offsets is None and isinstance(size_factors, str):
            found = replace(found, notices=(*found.notices, *_normalisation_notice(cohort)))
        return with_group_dispersions(found, filtering=filtering) if dispersion == "group" else found


def _fit(
    cohort: Cohort, data: glm.Data, design: Design, reduced: Design | None, goal: contrasts.Contrast, options: Options,
    progress: Progress,
) -> NBFit:  # fmt: skip
    reference = options.search == "reference"
    space = glm.Space.of(design)
    rule = outliers.CooksRule.of(design)

    progress("gene-wise dispersions", 1, STEPS)
    first = gene_wise(data, space, reference=reference)
    progress("dispersion trend", 2, STEPS)
    try:
        trend = fit_trend(first.base_mean, first.dispersion, options.trend)
    except TrendError as error:
        raise InputError(f"no dispersion trend can be fitted: {error}") from error
    fitted = trend(first.base_mean)
    residual = log_residual_variance(first.dispersion, fitted)
    prior = options.prior_variance
    if prior is None:
        prior = prior_variance(first.dispersion, fitted, design.matrix.shape[0] - design.matrix.shape[1])
    shared = Shared(design, space, reduced, goal, trend, residual, prior, reference, rule)
    progress("dispersions and coefficients", 3, STEPS)
    estimates = shared.finish(data, first)
    means = shared.means(estimates, first, options.test)
    found = outliers.cooks(data, space, means, estimates.dispersion, rule)
    max_cooks = found.largest
    replaced_counts = np.empty((0, data.n_samples))
    replaced = np.zeros(data.rows.size, np.bool_)
    if options.replace_outliers and rule.replaceable.any() and found.over.any():
        progress("outliers", 4, STEPS)
        replaced = found.over
        replaced_counts = shared.replace(data, estimates, means, replaced)
        every = bool(rule.replaceable.all())
        max_cooks = np.full(data.rows.size, np.nan) if every else found.largest_kept
    progress("tests", STEPS, STEPS)
    return _tested(cohort, data, shared, options, estimates, max_cooks, found.larger, replaced, replaced_counts)


def _tested(
    cohort: Cohort, data: glm.Data, shared: Shared, options: Options, e: Estimates, max_cooks: NDArray[np.float64],
    larger: NDArray[np.int64], replaced: NDArray[np.bool_], replaced_counts: NDArray[np.float64],
) -> NBFit:  # fmt: skip
    """Tests, voided p-values, independent filtering, and everything spread over all genes."""
    goal, rule, n_genes = shared.goal, shared.rule, cohort.n_genes
    lfc = e.beta @ goal.vector * glm.LOG2_E
    lfc_se = e.contrast_se * glm.LOG2_E
    if goal.factor is not None:
        levels = shared.design.frame[goal.factor].astype(str).isin([goal.test, goal.reference]).to_numpy()
        lfc[~seen(data.counts, levels)[data.rows]] = 0.0
    if options.test == "lrt":
        assert shared.reduced is not None  # noqa: S101 - _reduced saw to it
        df = shared.design.matrix.shape[1] - shared.reduced.matrix.shape[1]
        stat, pvalue = contrasts.likelihood_ratio(e.log_likelihood, e.reduced_log_likelihood, df)
    else:
        t_df = float(shared.design.matrix.shape[0] - shared.design.matrix.shape[1]) if options.use_t else None
        stat, pvalue = contrasts.wald(lfc, lfc_se, options.lfc_threshold, options.alternative, t_df)
    outlying = max_cooks > rule.cutoff
    if rule.spare_common:
        outlying &= larger < outliers.LARGER_COUNTS
    if options.cooks:
        pvalue[outlying] = np.nan
    now_zero = replaced & (e.base_mean == 0.0)
    lfc[now_zero], lfc_se[now_zero], stat[now_zero], pvalue[now_zero] = 0.0, 0.0, 0.0, 1.0

    def whole(part: NDArray[Scalar], fill: float = np.nan) -> NDArray[Scalar]:
        values = np.full((n_genes, *part.shape[1:]), fill, dtype=part.dtype)
        values[data.rows] = part
        return frozen(values, values.dtype)

    base_mean, p = whole(e.base_mean, 0.0), whole(pvalue)
    if options.filtering:
        filtered = independent_filtering(base_mean, cohort.of_genes(p), options.alpha)
        padj, threshold, theta = filtered.padj, filtered.threshold, filtered.theta
    else:
        padj, threshold, theta = benjamini_hochberg(cohort.of_genes(p)), 0.0, 0.0
    return NBFit(
        cohort=cohort, design=shared.design, contrast=goal, search=options.search, test=options.test,
        alpha=options.alpha, lfc_threshold=options.lfc_threshold, alternative=options.alternative,
        normalisation=data.size, weights=data.weights, trend=shared.trend, prior_variance=shared.prior_variance,
        residual_variance=shared.residual_variance, base_mean=base_mean, base_variance=whole(e.base_variance, 0.0),
        dispersion_gene=whole(e.dispersion_gene), dispersion_trend=whole(e.dispersion_trend),
        dispersion_map=whole(e.dispersion_map), dispersion=whole(e.dispersion),
        dispersion_outlier=whole(e.dispersion_outlier, False), coefficients=whole(e.beta * glm.LOG2_E),
        coefficient_se=whole(e.se * glm.LOG2_E), lfc=whole(lfc), lfc_se=whole(lfc_se), stat=whole(stat), pvalue=p,
        padj=frozen(padj), max_cooks=whole(max_cooks), cooks_cutoff=rule.cutoff, log_likelihood=whole(e.log_likelihood),
        converged=whole(e.converged, False), iterations=whole(e.iterations, 0), last_step=whole(e.last_step),
        replaced=whole(replaced, False), replaced_counts=frozen(replaced_counts), filter_threshold=threshold,
        filter_theta=theta, notices=shared.design.notices + goal.notices + _small_groups(shared.design, goal),
    )  # fmt: skip


def _small_groups(design: Design, goal: contrasts.Contrast) -> tuple[str, ...]:
    """A sentence for each compared level with one sample."""
    if goal.factor is None:
        return ()
    levels = design.frame[goal.factor].astype(str)
    return tuple(
        f"level '{level}' of '{goal.factor}' has one sample: its variance comes from the other samples alone"
        for level in (goal.test, goal.reference)
        if int((levels == level).sum()) == 1
    )


def _normalisation(cohort: Cohort, method: str | ArrayLike) -> NDArray[np.float64]:
    """Size factors (1, n_samples), or the cohort's gene-by-sample offsets."""
    if cohort.offsets is not None:
        return cohort.offsets
    if isinstance(method, str):
        if method not in METHODS:
            raise InputError(f"size factors: '{method}' is not one of {', '.join(METHODS)}")
        return frozen(size_factors(cohort.counts, cast("Method", method), cohort.normalisation_genes).values[None, :])
    given = np.asarray(method, dtype=np.float64)
    if given.shape != (cohort.n_samples,) or not np.isfinite(given).all() or not (given > 0.0).all():
        raise InputError(f"size factors: give one positive number for each of the {cohort.n_samples} samples")
    return frozen(given[None, :])


def _normalisation_notice(cohort: Cohort) -> tuple[str, ...]:
    """A sentence where size factors do not come from all genes."""
    if cohort.control_genes is not None:
        return (f"size factors are estimated from {int(cohort.control_genes.sum()):,} control genes",)
    if cohort.spike_ins is not None:
        return (f"{int(cohort.spike_ins.sum()):,} spike-ins have no say in the size factors and no adjusted p",)
    return ()


def _reduced(reduced: str | Design | None, full: Design, cohort: Cohort, options: Options) -> Design | None:
    """The reduced design of a likelihood-ratio test, checked to lie within the full one."""
    if options.test != "lrt":
        if reduced is not None:
            raise InputError('a reduced formula goes with the likelihood-ratio test; give test="lrt" (--test lrt) too')
        return None
    if reduced is None:
        raise InputError(
            'the likelihood-ratio test needs the formula without the tested terms: reduced (--reduced "~ 1")'
        )
    if isinstance(reduced, str):
        references = {name: levels[0] for name, levels in full.factors.items()}
        known = {name: level for name, level in references.items() if name in cohort.samples}
        reduced = build(reduced, cohort.samples, known) if reduced != "1" else build("~ 1", cohort.samples)
    outside = reduced.matrix - full.matrix @ np.linalg.lstsq(full.matrix, reduced.matrix, rcond=None)[0]
    scale = np.maximum(np.abs(reduced.matrix).max(axis=0), 1e-300)
    if (np.abs(outside).max(axis=0) > 1e-8 * scale).any() or reduced.matrix.shape[1] >= full.matrix.shape[1]:
        raise InputError(
            f"reduced formula '{reduced.formula}' must be part of the design '{full.formula}', and smaller"
        )
    return reduced
