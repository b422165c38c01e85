"""Is the p-value histogram the one that valid tests give?

What is measured: the shape of the histogram of p-values of genes with a mean count of 10 and more (tests of low counts
are discrete and pile up at one), as one of six classes; the share of genes without effect that it implies (pi0); and
how far the bins from .8 to 1 rise above the middle, .3 to .7 (`right_excess`).

How to read it: genes without effect have p-values between 0 and 1 in equal numbers, and effects add some near 0.
*uniform* or *anti_conservative*: as valid tests give without or with effects; a liberal test looks the same, see
null_calibration. *spike_at_one*: low counts in all but name. *conservative* (a hill toward 1, or a dip at 0) and
*u_shaped* (both ends): most tests are too cautious, or the variance that they use holds something which the groups
share; then adjusted p-values are too large and effects are missed. *other*: a hump in the middle. A part of the
histogram must rise or fall by a fifth, and by 3 binomial standard errors, before it counts.

What makes a hill: three causes can be told apart, and the finding says how much of the hill each leaves standing.
Groups of unequal dispersion make a test conservative where the larger group is the more dispersed: then cohorts
without effect, simulated with the groups' own dispersions, have the same hill. A hidden batch adds to every gene's
variance but not to the difference of the groups: then one surrogate factor in the design (the first component of the
residuals) takes the hill away. Counts that are not negative binomial (too many zeros, outliers) inflate the
dispersions: then neither does.

What it does not show: pi0 assumes that large p-values come from genes without effect; under a hill it is too high, and
small effects in many genes count as none. Genes go together, so that a histogram can be uneven by chance: of 100
splits of clean replicates of one strain 60 had a hill. A good shape proves nothing about single genes. The surrogate
is a means of telling causes apart, no analysis to report: it may be the biology in question.

References:
- Breheny, Stromberg, Lambert (2018) p-value histograms: inference and diagnostics. High-Throughput 7:23
- Päll, Luidalepp, Tenson, Maiväli (2023) A field-wide assessment of differential expression profiling by
  high-throughput sequencing reveals widespread bias. PLoS Biol 21:e3002007
- Storey, Taylor, Siegmund (2004) Strong control, conservative point estimation and simultaneous conservative
  consistency of false discovery rates. J R Stat Soc B 66:187
- Leek, Storey (2007) Capturing heterogeneity in gene expression studies by surrogate variable analysis. PLoS Genet
  3:e161
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.cohort import InputError
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.drawing import STYLES
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.group_test import EXPRESSED
from dediag.resample.covariates import refit_with, surrogate, variable_genes
from dediag.rounding import fixed, settled, span
from dediag.stats.p_value_shape import BINS, EDGES, LARGE, SURE, Shape, shape, storey_pi0
from dediag.stats.strata import STRATUM_EDGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dediag.resample.plans import Plan
    from dediag.study import Study

FEWEST = 200  # genes whose histogram has a shape
SURROGATE_GENES = 1_000
EXPLAINED = 0.5  # of the hill: what takes away, or has by itself, half of it is a cause
WRONG = ("conservative", "u_shaped", "other")
WORDS = {
    "uniform": "uniform",
    "anti_conservative": "flat with a rise near 0",
    "conservative": "conservative, a hill toward 1 or a dip at 0",
    "u_shaped": "U-shaped",
    "spike_at_one": "flat with a spike at 1",
    "other": "a hump in the middle",
}


@dataclass(frozen=True)
class Stratum:
    """The histogram of the genes of a stretch of expression; None: too few."""

    low: float
    high: float
    n_genes: int
    shape: Shape | None
    pi0: float | None


@dataclass(frozen=True)
class PValueShape:
    """The histogram, what it would be without effect, and with a surrogate factor in the design."""

    shape: Shape
    pi0: float
    n_genes: int
    strata: tuple[Stratum, ...]
    simulated: Shape | None  # of cohorts without effect, each group with its own dispersion
    n_simulated: int
    with_surrogate: Shape | None  # only where there is a hill
    remedy: str  # the command for unequal dispersions


def plan(study: Study) -> Mapping[str, Plan]:
    """Cohorts without effect, those of null_calibration."""
    if study.in_interaction or not study.has_group_dispersions:
        return {}
    return {"without effect": study.without_effect}


def compute(study: Study) -> PValueShape:
    """Shapes of the histogram, of its strata, and of what could explain it."""
    fit = study.fit
    tested = np.isfinite(fit.pvalue) & (fit.base_mean > 0)
    used = tested & (fit.base_mean >= EXPRESSED)
    if used.sum() < FEWEST:
        raise NotAssessable(f"fewer than {FEWEST} tested genes have a mean count of {EXPRESSED:g}")
    found, simulated, n_simulated = shape(fit.pvalue[used]), None, 0
    for wanted in plan(study).values():
        p = study.ensemble(wanted).pvalue[:, used]
        simulated, n_simulated = shape(p), int(np.isfinite(p).any(axis=1).sum())
    return PValueShape(
        shape=found,
        pi0=storey_pi0(fit.pvalue[used]),
        n_genes=int(used.sum()),
        strata=tuple(_stratum(study, tested, low, high) for low, high in pairwise((0.0, *STRATUM_EDGES, np.inf))),
        simulated=simulated,
        n_simulated=n_simulated,
        with_surrogate=_with_surrogate(study, used) if found.name in WRONG else None,
        remedy=study.remedy,
    )


def _stratum(study: Study, tested: NDArray[np.bool_], low: float, high: float) -> Stratum:
    values = study.fit.pvalue[tested & (study.fit.base_mean >= low) & (study.fit.base_mean < high)]
    enough = values.size >= FEWEST
    return Stratum(low, high, values.size, shape(values) if enough else None, storey_pi0(values) if enough else None)


def _with_surrogate(study: Study, used: NDArray[np.bool_]) -> Shape | None:
    """The histogram with one surrogate factor in the design; None where it cannot be fitted."""
    both = study.test_samples | study.reference_samples
    varying = variable_genes(study.normalized[:, both], SURROGATE_GENES)
    factor = surrogate(varying, study.fit.design.matrix[both])
    refit = None if factor is None else refit_with(study.fit, factor, both, study.size_factors)
    return None if refit is None or isinstance(refit, InputError) else shape(refit.pvalue[used])


def judge(result: PValueShape) -> Verdict:
    """The classes carry their own limits; those of tests that are not valid warn."""
    found = result.shape
    hill, limit = 100 * found.right_excess, 100 * LARGE
    more = f"{settled(abs(hill), limit, digits=2)} % {'more' if hill > 0 else 'less'} frequent"
    errors = settled(abs(found.right_errors), SURE, digits=2)
    sentence = (
        f"The histogram is {WORDS[found.name]}: p from .8 to 1 is {more} than from .3 to .7 ({errors} standard errors; "
        f"a hill would need {limit:g} % more and {SURE:g} standard errors), pi0 is {fixed(result.pi0, 2)}"
    )
    if found.name not in WRONG:
        return Verdict(Status.PASS, f"{sentence}.", "Nothing to do.", calls_at_risk=0)
    return Verdict(Status.WARN, f"{sentence}.", _cause(result), None)


def _cause(result: PValueShape) -> str:
    """What the hill comes from, by what it would be without effect and with a surrogate factor."""
    hill, simulated, cleared = result.shape.right_excess, result.simulated, result.with_surrogate
    if hill < LARGE:
        return "Look at the strata: something other than effects moves the p-values (confounding, goodness_of_fit)."
    said = []
    if simulated is not None:
        said.append(f"{fixed(100 * simulated.right_excess, 0, sign=True)} % in simulated cohorts without effect")
    if cleared is not None:
        said.append(f"{fixed(100 * cleared.right_excess, 0, sign=True)} % with one surrogate factor in the design")
    evidence = f" ({', '.join(said)})" if said else ""
    if simulated is not None and simulated.right_excess >= EXPLAINED * hill:
        advice = "The groups' unequal dispersions make this hill{}: use `" + result.remedy + "`."
    elif cleared is not None and cleared.right_excess <= (1.0 - EXPLAINED) * hill:
        advice = "A hidden batch makes this hill{}: find what the samples share (confounding) and put it in the design."
    else:
        advice = (
            "Neither unequal dispersions nor a hidden batch makes this hill{}: see whether the counts fit the model"
            " (goodness_of_fit), and which sample stands out (sample_quality)."
        )
    return advice.format(evidence)


def metrics(result: PValueShape) -> list[Metric]:
    """The numbers of report.json."""
    simulated, cleared = result.simulated, result.with_surrogate
    return [
        Metric("shape", result.shape.name),
        Metric("pi0", result.pi0),
        Metric("right_excess", result.shape.right_excess, limit=LARGE),
        Metric("left_excess", result.shape.left_excess),
        Metric("n_genes", result.n_genes, unit="genes"),
        Metric("right_excess_simulated", None if simulated is None else simulated.right_excess),
        Metric("right_excess_surrogate", None if cleared is None else cleared.right_excess),
    ]


def tables(result: PValueShape) -> list[Table]:
    """Shapes by expression, and the histogram."""
    strata, simulated = result.strata, result.simulated
    columns: dict[str, list[object]] = {
        "base_mean": [span(s.low, s.high) for s in strata],
        "n_genes": [s.n_genes for s in strata],
        "shape": [None if s.shape is None else s.shape.name for s in strata],
        "pi0": [s.pi0 for s in strata],
        "left_excess": [None if s.shape is None else s.shape.left_excess for s in strata],
        "right_excess": [None if s.shape is None else s.shape.right_excess for s in strata],
    }
    expected = [None] * BINS if simulated is None else (simulated.counts / max(result.n_simulated, 1)).tolist()
    return [
        Table("strata", f"Shape by base mean; none where fewer than {FEWEST} genes were tested.", columns),
        Table(
            "histogram",
            f"Genes of base mean {EXPRESSED:g} and more by p-value; without_effect: of a simulated cohort in which "
            "no gene has an effect, each group with its own dispersions.",
            {
                "from": EDGES[:-1].tolist(),
                "to": EDGES[1:].tolist(),
                "n_genes": result.shape.counts.tolist(),
                "without_effect": expected,
            },
        ),
    ]


def draw(result: PValueShape) -> list[Figure]:
    """The histogram with its middle and what it would be without effect; the strata beside it."""
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    level = result.shape.level
    left.bar(middle, result.shape.counts, width=0.9 / BINS, color=STYLES["not_significant"].color, label="this study")
    drawing.reference_line(left, level, role="observed", label="middle (p from .3 to .7)")
    if result.simulated is not None:
        expected = result.simulated.counts / result.simulated.level * level
        drawing.curve(left, middle, expected, "predicted", label="without effect, to the same middle")
    left.set(xlabel="p-value", ylabel="genes", title=f"Base mean {EXPRESSED:g} and more", xlim=(0, 1))
    drawing.legend(left)
    known = [(s, s.shape) for s in result.strata if s.shape is not None]
    for style, (stratum, own) in zip(drawing.SERIES, known, strict=False):
        counts = own.counts / max(stratum.n_genes, 1) * BINS
        drawing.curve(right, middle, counts, style, label=span(stratum.low, stratum.high))
    drawing.reference_line(right, 1.0, role="not_significant")
    right.set(xlabel="p-value", ylabel="density", title="By base mean", xlim=(0, 1), ylim=(0, None))
    drawing.legend(right, title="base mean")
    return [
        Figure(
            "histogram",
            drawing.to_svg(figure),
            "Left: p-values of this study, and the form they would have if no gene had an effect and each group "
            "had its own dispersion. Right: density of p-values by base mean; 1 is uniform.",
            f"Histogram of p-values: {WORDS[result.shape.name]}; pi0 {result.pi0:.2f}.",
        )
    ]


DIAGNOSTIC = Diagnostic(
    section="variance",
    metric_names=("shape", "pi0", "right_excess"),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("zero_inflation", strength=0.1, expects=frozenset({"warn"})),
)
