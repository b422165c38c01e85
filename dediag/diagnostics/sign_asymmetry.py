"""Is the up:down split of the calls more lopsided than this design would give by itself?

What is measured: the share of calls (genes significant at the audit's cut-off) whose fold change is up, beside the
share that the same design gives when neither direction is favoured. One half is not the right expectation: at low
counts, unequal group sizes, depths and dispersions give one direction more power. With dispersion .2 and two-fold
changes at 5 v 20, up is found 3 times as often as down at a mean count of 2, and equally often at 50; at 20 v 5 it is
the other way round; at 10 v 10 neither.

How: cohorts are simulated from the fit at the same group sizes and depths. Each gene's effect is drawn anew in every
cohort from its posterior (under the likelihood of its counts, which is skewed where they are low, about the median fold
change, so that a shift of all genes passes for no effect), its sign by exchanging the two groups' means: their midpoint
on the log scale stays (holding one group's mean instead would favour "up" even in a balanced study). A gene's
dispersion lies as far from each group's own trend as its shared one does from the shared trend; with fewer than 3
residual degrees of freedom in a group the shared dispersions stand in. Each cohort is normalised, fitted and tested
again. So that genes vary together as in the data, the noise of a simulated sample is a whole column of the data's own
quantile residuals, dealt out anew over both groups. Exchanging the names of the two groups turns every share into one
minus it.

How to read it: `expected_low` to `expected_high` is the 99 % prediction interval of the up share of one study without
a favoured direction, `p_value` the two-sided p of the observed share. Both are read off one distribution, a t of the
arcsine of the square root of the share about that of the simulated cohorts, with their spread: p is below .01 if and
only if the share lies outside the interval. (Below about 1 / the number of cohorts a p-value rests on that shape.) A
share outside is a reason to look for a cause: normalisation, a noise floor in one group, unequal dispersion, one
sample, or one-sided biology. It is never a fault by itself. The table and the second figure show at which expression
the lean sits, each interval for itself; `trend_with_mean` is the rank correlation between direction (up 1, down -1)
and expression among the calls.

What it does not show: which cause it is. What unequal dispersions do to the size factors is part of the expectation,
since each simulated cohort is normalised as the data were: at 40 v 40 and dispersions 4 : 1 it gives two thirds up by
itself, and all fold changes are wrong by .14 log2 (`shift_log2` of heteroskedasticity). Effects are drawn
independently of each other; genes that are regulated together in truth, beyond what their residuals share, make the
interval too narrow. Below a mean count of 30 genes share less in the simulated cohorts than in the data, because the
counting noise is drawn anew. How near the expected share comes to the true one is in reports/validation_direction:
from a mean of 5 on within .024 in 17 of 18 designs of 2,000 genes, worst where all effects have one size and all genes
one low mean (.036 at 5 v 20 and a mean of 5; .016 with 8,000 genes, .023 with genes of many means). A test of up
against down with one half and independent genes (a binomial test) rejects too often where genes are co-regulated and is
not given.

References:
- Love, Huber, Anders (2014) Moderated estimation of fold change and dispersion for RNA-seq data with DESeq2. Genome
  Biol 15:550
- Stephens (2017) False discovery rates: a new deal. Biostatistics 18:275
- Anscombe (1948) The transformation of Poisson, binomial and negative-binomial data. Biometrika 35:246
- Dunn, Smyth (1996) Randomized quantile residuals. J Comput Graph Stat 5:236
- Wu, Smyth (2012) Camera: a competitive gene set test accounting for inter-gene correlation. Nucleic Acids Res
  40:e133
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.resample.plans import Simulations
from dediag.rounding import apart, span
from dediag.stats.agreement import spearman
from dediag.stats.call_split import Calls, Split, columns
from dediag.stats.strata import STRATUM_EDGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dediag.resample.plans import Plan
    from dediag.study import Study

FEWEST_CALLS = 10  # below it a share of calls says nothing about direction
UNEVEN = 0.05  # distance of the expected share from one half, from which on its cause is asked for
LEVEL = 0.99  # of the prediction interval: one healthy cohort in a hundred may warn


@dataclass(frozen=True)
class SignAsymmetry:
    """The split of the calls, overall and by expression, beside that of simulated cohorts."""

    whole: Split
    strata: tuple[Split, ...]
    trend_with_mean: float | None  # Spearman
    own_dispersions: bool  # whether each group had its own
    groups: tuple[str, str]  # test, reference
    sizes: tuple[int, int]


def plan(study: Study) -> Mapping[str, Plan]:
    """Simulated cohorts with swapped effects; none where there are too few calls to ask about."""
    if study.in_interaction or int(study.significant.sum()) < FEWEST_CALLS:
        return {}
    return {"swapped": _swapped(study)}


def _swapped(study: Study) -> Simulations:
    n, by_group = study.settings.bootstraps, study.has_group_dispersions
    return Simulations(n, study.seed, "swapped", "group trend" if by_group else "shared", residuals="permuted", keep=())


def compute(study: Study) -> SignAsymmetry:
    """Count the calls by direction, and the same in the simulated cohorts."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit, called = study.fit, study.significant
    wanted = plan(study)
    simulated = study.ensemble(wanted["swapped"]) if wanted else None
    up, down = (simulated.up, simulated.down) if simulated else (None, None)
    calls = Calls(fit.base_mean, fit.lfc, called, up, down, LEVEL)
    sign = np.where(fit.lfc > 0, 1.0, -1.0)[called]
    return SignAsymmetry(
        whole=calls.between(0.0, np.inf),
        strata=tuple(calls.between(low, high) for low, high in pairwise((0.0, *STRATUM_EDGES, np.inf))),
        trend_with_mean=spearman(sign, np.log(fit.base_mean[called])) if called.any() else None,
        own_dispersions=study.has_group_dispersions,
        groups=(str(fit.contrast.test), str(fit.contrast.reference)),
        sizes=(study.n_test, study.n_reference),
    )


def judge(result: SignAsymmetry) -> Verdict:
    """Warn outside the interval; asymmetry alone never fails."""
    whole = result.whole
    calls = whole.n_up + whole.n_down
    found = f"{whole.n_up:,} up, {whole.n_down:,} down"
    if calls < FEWEST_CALLS:
        return Verdict(
            Status.NOT_ASSESSABLE, f"{found}: too few calls to speak of a lean.", "Nothing to do.",
            reason=f"{calls} calls, fewer than {FEWEST_CALLS}",
        )  # fmt: skip
    if whole.up_share is None or whole.expected is None or whole.expected_low is None or whole.expected_high is None:
        return Verdict(
            Status.NOT_ASSESSABLE, f"{found}; no expectation could be simulated.", "Read the table by expression.",
            reason="too few simulated cohorts have calls",
        )  # fmt: skip
    seen, low, high = apart(100 * whole.up_share, 100 * whole.expected_low, 100 * whole.expected_high)
    sentence = (
        f"{found} ({seen} % up); this design gives {100 * whole.expected:.0f} % up by itself, {low} to {high} % in one "
        "study"
    )
    if whole.expected_low <= whole.up_share <= whole.expected_high:
        uneven = abs(whole.expected - 0.5) >= UNEVEN and result.own_dispersions
        why = "Look at what makes it uneven: power (detection_limit), or shifted size factors (heteroskedasticity)."
        advice = why if uneven else "Nothing to do."
        return Verdict(Status.PASS, f"{sentence}: within the interval.", advice, calls_at_risk=0)
    return Verdict(
        Status.WARN,
        f"{sentence}: more lopsided than the design explains.",
        "Look at which expression the lean sits (table), and at noise_floor and heteroskedasticity, before calling it "
        "biology.",
    )


def metrics(result: SignAsymmetry) -> list[Metric]:
    """The numbers of report.json."""
    whole = result.whole
    return [
        Metric("n_up", whole.n_up, unit="genes"),
        Metric("n_down", whole.n_down, unit="genes"),
        Metric("up_fraction", whole.up_share),
        Metric("expected_up_fraction", whole.expected, whole.expected_low, whole.expected_high),
        Metric("expected_low", whole.expected_low),
        Metric("expected_high", whole.expected_high),
        Metric("p_value", whole.p_value),
        Metric("trend_with_mean", result.trend_with_mean),
    ]


def tables(result: SignAsymmetry) -> list[Table]:
    """Calls by expression and direction."""
    rows = (*result.strata, result.whole)
    return [
        Table(
            "strata",
            "Calls by base mean and direction. expected_up_share and its 99 % prediction interval: what this design "
            "gives when no direction is favoured. The last line is all genes.",
            columns(rows),
        )
    ]


def draw(result: SignAsymmetry) -> list[Figure]:
    """The simulated shares with the observed one; shares by expression."""
    figures = [_draw_strata(result)]
    if result.whole.expected is not None and result.whole.up_share is not None:
        figures.insert(0, _draw_shares(result))
    return figures


def _draw_shares(result: SignAsymmetry) -> Figure:
    whole = result.whole
    figure = drawing.new_figure(7.2, 3.4)
    ax = figure.subplots()
    drawing.histogram(ax, whole.shares, np.linspace(0, 1, 41), "expected", label="simulated, no direction favoured")
    if whole.expected_low is not None and whole.expected_high is not None:
        drawing.band(ax, whole.expected_low, whole.expected_high, axis="x", label="99 % prediction interval")
    if whole.up_share is not None:
        drawing.reference_line(ax, whole.up_share, axis="x", role="observed", label="this study")
    ax.set(xlim=(0, 1), xlabel="share of calls that are up", ylabel="simulated cohorts")
    drawing.legend(ax)
    n1, n2 = result.sizes
    return Figure(
        "expected",
        drawing.to_svg(figure),
        f"Up share of the calls in {len(whole.shares)} cohorts simulated from this study ({n1} "
        f"{result.groups[0]} v {n2} {result.groups[1]}) with the sign of every effect drawn anew, and in the study.",
        f"Histogram of simulated up shares around {whole.expected:.2f}; a line marks the study's {whole.up_share:.2f}.",
    )


def _draw_strata(result: SignAsymmetry) -> Figure:
    rows = result.strata
    figure = drawing.new_figure(7.2, 3.6)
    ax = figure.subplots()
    at = np.arange(len(rows), dtype=float)
    known = np.array([r.expected is not None for r in rows])
    if known.any():
        values = np.array(
            [[r.expected, r.expected_low, r.expected_high] for r in rows if r.expected is not None], float
        )
        drawing.intervals(
            ax, at[known] + 0.12, values[:, 0], values[:, 1], values[:, 2], role="expected",
            label="expected of this design, 99 % interval",
        )  # fmt: skip
    seen = [(x, r.up_share) for x, r in zip(at, rows, strict=True) if r.up_share is not None]
    if seen:
        drawing.cloud(
            ax, [x - 0.12 for x, _ in seen], [y for _, y in seen], "observed", label="observed", size=60, alpha=1
        )
    drawing.reference_line(ax, 0.5, role="not_significant")
    ax.set_xticks(at, [f"{span(r.low, r.high)}\n{r.n_up} up, {r.n_down} down" for r in rows])
    ax.set(ylim=(-0.04, 1.04), xlabel="base mean", ylabel="share of calls that are up", xlim=(-0.5, len(rows) - 0.5))
    drawing.legend(ax)
    shown = "; ".join(f"{span(r.low, r.high)}: {r.up_share:.2f}" for r in rows if r.up_share is not None)
    return Figure(
        "by_expression",
        drawing.to_svg(figure),
        "Up share of the calls by expression: observed, and expected when no direction is favoured.",
        f"Up share by base mean. {shown or 'No calls.'}",
    )


DIAGNOSTIC = Diagnostic(
    section="direction",
    metric_names=(
        *("n_up", "n_down", "up_fraction", "expected_up_fraction", "expected_low", "expected_high"),
        *("p_value", "trend_with_mean"),
    ),
    plan=plan,
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("one_sided", strength=1.0, expects=frozenset({"warn"})),
)
