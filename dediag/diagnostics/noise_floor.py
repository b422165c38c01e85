"""Below which expression does each group's data stop carrying information?

Three different things are called noise floor; each is measured on its own, in counts per million (CPM).

*Measurement floor* (depth): the expression at which a gene is seen at all - at least one read - with probability
0.95. One read is the limit because only zeros carry no information on where a mean lies, and because the chance of a
zero has a closed form under the negative binomial, (1 + phi mu)^(-1/phi), so that the floor follows from the library
size alone. One dispersion is used for all samples, that of the dispersion trend at the floor of a sample of average
depth; a second figure takes each group's own dispersion, which moves this floor too.

*Biological floor* (leakage, contamination): the expression that only one in twenty silent genes exceeds, from a
mixture of two normal distributions in each sample's log2 CPM. (Where the two classes meet lies close by in clean
samples, but hardly moves when stray reads lift the silent genes; their upper edge does.) A sample without two clear
classes of genes, or whose edge lies below its measurement floor, has none; a group has one where at least half of its
samples do. zFPKM stands beside it as a second opinion. Both depend on depth: compare groups of similar depth.

*Model floor*: voom's trend of the square-root residual standard deviation falls with the mean count. Toward low means
it ends in a peak where discreteness takes over: genes of one or two reads look less variable again. Below the peak
the trend no longer describes precision. No peak, no floor. (The lowess uses a fifth of the genes; voom's half smooths
the peak away.)

The figures of a group are medians over its samples with 95 % bootstrap intervals (samples resampled). The proposed
filter does not look at the groups: keep genes whose average CPM over all samples is at least the higher of the
groups' floors. A filter that looks at one group at a time would bias the test. How to read it: a warning means that
the groups' floors lie far apart, with calls below the higher one or many genes between the two (these one group sees
and the other does not, so that a missing call there says nothing); or that the calls below the floor run in another
direction than those above it, as leakage, contamination and unequal zeros make them do.

What it does not show: whether a gene below the floor is expressed; whether leakage came from other samples or from
genomic DNA. Two clear classes are not guaranteed to be silent and expressed genes.

References:
- Hart et al. (2013) Finding the active genes in deep RNA-seq gene expression studies. BMC Genomics 14:778
- Hebenstreit et al. (2011) RNA sequencing reveals two major classes of gene expression levels in metazoan cells. Mol
  Syst Biol 7:497
- Law, Chen, Shi, Smyth (2014) voom: precision weights unlock linear model analysis tools for RNA-seq read counts.
  Genome Biol 15:R29
- Bourgon, Gentleman, Huber (2010) Independent filtering increases detection power for high-throughput experiments.
  PNAS 107:9546
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.rounding import counted, settled
from dediag.stats import sample_floors
from dediag.stats.call_sides import Sides
from dediag.stats.sample_floors import TwoFloors
from dediag.stats.seen_counts import seen_mean, seen_mean_under_trend
from dediag.stats.turning_trend import TurningTrend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dediag.stats.sample_floors import Classes, GroupFloors, SampleFloors
    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SEEN_SHARE = 0.95  # of samples in which a gene at the measurement floor has at least one read
RATIO_LIMIT = 2.5  # of the groups' floors: one of 320 healthy simulated cohorts lies beyond it (2.6 at 3 v 3)
BETWEEN_LIMIT = 0.05  # share of the genes between the two floors that is worth a warning without any call below them
LEAN_LIMIT = 0.25  # difference of the up-fractions below and above the floor
NOTHING = "Nothing to do."
LEAN_P = 0.001  # of Fisher's exact test of that difference, so that a few calls do not make a lean


@dataclass(frozen=True)
class NoiseFloor:
    """Floors per sample and group, and the calls about them."""

    names: tuple[str, ...]  # (n_samples,) of the two groups
    samples: SampleFloors
    dispersion: float  # common, at the floor
    common_count: float  # mean count at the measurement floor
    floors: TwoFloors
    mean_cpm: Array  # (n_genes,) over the samples of both groups
    lfc: Array  # (n_genes,) log2
    called: Mask  # (n_genes,)
    trend: TurningTrend

    @property
    def sides(self) -> Sides:
        """The calls on either side of the filter."""
        return Sides.of(self.mean_cpm, self.lfc, self.called, self.floors.highest)


def compute(study: Study) -> NoiseFloor:
    """The floors; not assessable where the contrast is no comparison of two groups."""
    if study.in_interaction:
        raise NotAssessable("the contrast factor is part of an interaction, so there are no two groups to compare")
    fit = study.fit
    typical = seen_mean_under_trend(fit.trend, SEEN_SHARE)
    if not np.isfinite(typical):
        raise NotAssessable("under the dispersion trend no expression is seen in 95 % of samples")
    dispersion = float(fit.trend(np.array([typical]))[0])
    common_count = float(seen_mean(dispersion, SEEN_SHARE))
    used = np.flatnonzero(study.test_samples | study.reference_samples)
    samples = sample_floors.sample_floors(study.cohort.counts[:, used], common_count)
    return NoiseFloor(
        names=tuple(str(name) for name in study.cohort.samples.index[used]),
        samples=samples,
        dispersion=dispersion,
        common_count=common_count,
        floors=TwoFloors(
            test=_group(study, samples, study.test_samples[used], is_test=True),
            reference=_group(study, samples, study.reference_samples[used], is_test=False),
        ),
        mean_cpm=study.cpm[:, used].mean(axis=1),
        lfc=fit.lfc,
        called=study.significant,
        trend=TurningTrend.of(study.cohort.counts, fit.design.matrix),
    )


def _group(study: Study, samples: SampleFloors, mine: Mask, *, is_test: bool) -> GroupFloors:
    """Medians over one group's samples, and its measurement floor at its own dispersion trend where it has one."""
    level = str(study.fit.contrast.test if is_test else study.fit.contrast.reference)
    try:
        own = study.group_dispersion_test.curve if is_test else study.group_dispersion_reference.curve
    except ArithmeticError as reason:  # no trend: no more than Poisson variance
        raise NotAssessable(f"one group has no dispersion of its own: {reason}") from reason
    except ValueError:  # fewer than 3 residual degrees of freedom
        own = None
    return sample_floors.group_floors(level, samples, mine, own, SEEN_SHARE, study.rng(f"noise floor {level}"))


def judge(result: NoiseFloor) -> Verdict:
    """Warn where the groups' floors lie far apart with genes at stake, or calls below them run one way."""
    sides = result.sides
    n_below = sides.up_below + sides.down_below
    test, reference = result.floors.both
    kind, ratio = result.floors.apart
    share, factor = result.floors.share_between(result.mean_cpm), max(ratio, 1 / ratio)
    times = settled(factor, RATIO_LIMIT, digits=2)
    floors = f"{test.level} {_cpm(getattr(test, kind).value)}, {reference.level} {_cpm(getattr(reference, kind).value)}"
    between = f"{settled(100 * share, 100 * BETWEEN_LIMIT, digits=2)} % of the genes lie between the two"
    below = f"{n_below:,} of {counted(int(result.called.sum()), 'call')} lie below the working floor"
    advice = (
        f"Read fold changes and missing calls only above an average of {_cpm(result.floors.highest)}; filter on the "
        "average over all samples, never on one group."
    )
    if factor >= RATIO_LIMIT and (n_below > 0 or share >= BETWEEN_LIMIT):
        higher, lower = (test, reference) if ratio > 1 else (reference, test)
        headline = (
            f"The {kind} floor of {higher.level} is {times} times that of {lower.level} (limit {RATIO_LIMIT:g}): "
            f"{floors}; {between}, and {below}."
        )
        return Verdict(Status.WARN, headline, advice, calls_at_risk=n_below)
    low, high = sides.up_fraction_below, sides.up_fraction_above
    if low is not None and high is not None and abs(low - high) >= LEAN_LIMIT and sides.lean_p < LEAN_P:
        gap = f"{settled(100 * abs(low - high), 100 * LEAN_LIMIT, digits=2)} % apart, limit {100 * LEAN_LIMIT:g} %"
        headline = (
            f"Of the {counted(n_below, 'call')} below the noise floor {100 * low:.0f} % are up, of those above it "
            f"{100 * high:.0f} % ({gap}): what happens at the floor is not what happens elsewhere. Floors: {floors}."
        )
        return Verdict(Status.WARN, headline, advice, calls_at_risk=n_below)
    apart = "" if factor < RATIO_LIMIT else f"; but only {between} (limit {100 * BETWEEN_LIMIT:g} %)"
    return Verdict(
        Status.PASS,
        f"The groups' {kind} floors differ by a factor of {times} (limit {RATIO_LIMIT:g}): {floors}{apart}; {below}.",
        f"Confirm the {counted(n_below, 'call')} below the floor before you rely on them." if n_below else NOTHING,
        calls_at_risk=n_below,
    )


def metrics(result: NoiseFloor) -> list[Metric]:
    """The named numbers."""
    floors = {
        f"{kind}_floor_{role}": getattr(getattr(result.floors, role), kind)
        for kind in ("measurement", "biological")
        for role in ("test", "reference")
    }
    return [
        *(Metric(name, m.value, m.low, m.high, unit="CPM") for name, m in floors.items()),
        Metric("model_floor", result.trend.floor, unit="CPM"),
        Metric("floor_ratio", result.floors.ratio, limit=RATIO_LIMIT),
        Metric("n_de_below", result.sides.up_below + result.sides.down_below),
        Metric("up_fraction_above", result.sides.up_fraction_above),
        Metric("up_fraction_below", result.sides.up_fraction_below),
    ]


def tables(result: NoiseFloor) -> list[Table]:
    """Floors per group, per sample, and the calls about the filter."""
    groups, s = result.floors.both, result.sides
    return [
        Table(
            "groups",
            "Floors in CPM, medians over samples. Measurement floor at the common dispersion "
            f"{result.dispersion:.3f}, and at each group's own; zFPKM as second opinion on the biological floor.",
            result.floors.columns(),
        ),
        Table(
            "samples",
            "Floors of each sample in CPM; separation is Ashman's D of its two classes of genes.",
            {
                "sample": list(result.names),
                "group": np.where(groups[0].mine, groups[0].level, groups[1].level).tolist(),
                **result.samples.columns(),
            },
        ),
        Table(
            "calls",
            f"Calls below and above an average of {_cpm(result.floors.highest)} over all samples (group-blind filter).",
            {"side": ["below", "above"], "up": [s.up_below, s.up_above], "down": [s.down_below, s.down_above]},
        ),
    ]


def draw(result: NoiseFloor) -> list[Figure]:
    """Floors by depth; classes of genes; the trend that turns and the calls about the floor."""
    return [_draw_floors(result), _draw_classes(result), _draw_calls(result)]


def _draw_floors(result: NoiseFloor) -> Figure:
    figure = drawing.new_figure(*drawing.WIDE)
    ax = figure.subplots()
    for group, role in zip(result.floors.both, ("test", "reference"), strict=True):
        depth = result.samples.library_size[group.mine] / 1e6
        drawing.cloud(
            ax, depth, result.samples.measurement[group.mine], role, label=f"{group.level}: measurement floor"
        )
        biological, style = result.samples.biological[group.mine], drawing.STYLES[role]
        if np.isfinite(biological).any():
            ax.scatter(
                depth, biological, s=46, marker=style.marker, facecolors="none", edgecolors=style.color,
                linewidths=1.4, label=f"{group.level}: biological floor",
            )  # fmt: skip
        if group.working:
            drawing.reference_line(ax, group.working, role=role)
    if result.trend.floor is not None:
        drawing.reference_line(ax, result.trend.floor, label="model floor")
    ax.set(xscale="log", yscale="log", xlabel="library size (million reads)", ylabel="floor (CPM)")
    ax.set_title("Noise floors by sequencing depth")
    drawing.legend(ax)
    caption = (
        "Each sample's measurement floor (filled) falls in proportion to its depth; the biological floor (hollow) is "
        "the upper edge of the silent genes, for samples that have two clear classes. Horizontal lines: working "
        "floor of each group."
    )
    medians = " and ".join(f"{_cpm(g.measurement.value)} in {g.level}" for g in result.floors.both)
    alt = f"Scatter of noise floors against library size. Median measurement floor {medians}."
    return Figure("floors", drawing.to_svg(figure), caption, alt)


def _draw_classes(result: NoiseFloor) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, group, role in zip(axes, result.floors.both, ("test", "reference"), strict=True):
        shown = group.median_sample(result.samples.library_size)
        classes, library = result.samples.classes[shown], float(result.samples.library_size[shown])
        ax.set_title(f"{group.level}: sample of median depth")
        ax.set(xlabel="log2 CPM")
        if classes is not None:
            _draw_mixture(ax, classes, float(np.log2(1e6 / library)), role)
        floor = float(np.log2(result.common_count / library * 1e6))
        drawing.reference_line(ax, floor, axis="x", label="measurement floor")
        drawing.legend(ax)
    axes[0].set_ylabel("density of genes with a read")
    caption = (
        "Log expression of the genes seen in one sample of each group, with the two fitted classes of genes (lines). "
        "A biological floor exists only where the density has a clear valley between them."
    )
    clear = ", ".join(g.level for g in result.floors.both if g.biological.value is not None) or "neither group"
    alt = f"Two densities of log2 CPM with mixture components; a clear silent class in: {clear}."
    return Figure("classes", drawing.to_svg(figure), caption, alt)


def _draw_mixture(ax: Axes, classes: Classes, shift: float, role: str) -> None:
    """Density of one sample with its components, on the scale of log2 CPM."""
    x = classes.histogram.centre
    width = x[1] - x[0]
    ax.fill_between(x + shift, classes.histogram.share / width, color=drawing.STYLES[role].color, alpha=0.35, lw=0)
    low, high = classes.mixture.density(x)
    drawing.curve(ax, x + shift, low, "expected", label="lower class")
    drawing.curve(ax, x + shift, high, "observed", label="higher class")
    if classes.silent_edge is not None:
        drawing.reference_line(ax, classes.silent_edge + shift, axis="x", role="predicted", label="biological floor")


def _draw_calls(result: NoiseFloor) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    s = result.sides
    drawing.cloud(left, result.trend.cpm, result.trend.root_sd, "not_significant")
    drawing.curve(left, result.trend.cpm, result.trend.trend, "observed", label="trend")
    if result.trend.floor is not None:
        drawing.reference_line(left, result.trend.floor, axis="x", label="model floor")
    left.set(xscale="log", xlabel="mean expression (CPM)", ylabel="square root of residual SD (log2)")
    left.set_title("Where the trend turns")
    seen = result.mean_cpm > 0
    drawing.cloud(right, result.mean_cpm[seen & ~result.called], result.lfc[seen & ~result.called], "not_significant")
    for up, role in ((True, "up"), (False, "down")):
        some = seen & result.called & ((result.lfc > 0) == up)
        n = s.up_below if up else s.down_below
        drawing.cloud(
            right, result.mean_cpm[some], result.lfc[some], role, label=f"called {role} ({n} below the floor)"
        )
    drawing.reference_line(right, result.floors.highest, axis="x", label="group-blind filter")
    right.set(xscale="log", xlabel="average over all samples (CPM)", ylabel="log2 fold change")
    right.set_title("Calls about the floor")
    drawing.legend(left)
    drawing.legend(right)
    caption = (
        "Left: voom's mean-variance trend; below its peak, discreteness makes low counts look precise. Right: calls "
        "on either side of the proposed filter."
    )
    alt = f"Trend, and fold changes by expression: below the floor {s.up_below} calls up, {s.down_below} down."
    return Figure("calls", drawing.to_svg(figure), caption, alt)


def _cpm(value: float | None) -> str:
    return "none" if value is None else f"{value:.2g} CPM" if value < 10 else f"{value:.0f} CPM"


METRICS = """measurement_floor_test measurement_floor_reference biological_floor_test biological_floor_reference
    model_floor floor_ratio n_de_below up_fraction_above up_fraction_below"""
DIAGNOSTIC = Diagnostic(
    section="floors",
    metric_names=tuple(METRICS.split()),
    compute=compute,
    judge=judge,
    metrics=metrics,
    tables=tables,
    draw=draw,
    fault=Fault("depth_ratio", 0.1, frozenset({"warn"})),
)
