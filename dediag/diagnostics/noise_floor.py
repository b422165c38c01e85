"""Below which expression does each group's data stop carrying information?

Three different things are called noise floor; each is measured on its own, in counts per million (CPM); where gene
lengths are known, the biological floor in transcripts per million (TPM).

*Measurement floor* (depth): the expression at which a gene is seen at all - at least one read - with probability
0.95. One read is the limit because only zeros carry no information on where a mean lies, and because the chance of a
zero has a closed form under the negative binomial, (1 + phi mu)^(-1/phi), so that the floor follows from the library
size alone. One dispersion is used for all samples, that of the dispersion trend at the floor of a sample of average
depth; a second figure takes each group's own dispersion, which moves this floor too.

*Biological floor* (leakage, contamination): the expression that only one in twenty silent genes exceeds, from a
mixture of two normal distributions in each sample's log2 CPM or TPM. A sample without two clear classes, or whose edge
lies below its measurement floor, has none; a group has one where half of its samples do. zFPKM is a second opinion.
Both depend on depth: compare groups of similar depth. The groups' difference has samples as its unit (Welch's t of log2
values). Stray reads lift the edge of a narrow class of silent genes, but narrow a wide one, so that its edge falls. The
mean level of the silent genes, the same in all samples and with their zeros, always rises.

*Model floor*: voom's trend of the square-root residual standard deviation falls with the mean count. Toward low means
it ends in a peak where discreteness takes over: genes of one or two reads look less variable again. Below the peak
the trend no longer describes precision. No peak, no floor. (The lowess uses a fifth of the genes; voom's half smooths
the peak away.)

The figures of a group are medians over its samples with 95 % bootstrap intervals (samples resampled; of 3, 4 and 5
samples the interval cannot be surer than 75, 88 and 94 %, since it ends at the outermost). The model floor is the
study's: one trend is fitted to all samples. Whether the dispersion trend fits the genes of low expression is asked by
goodness_of_fit. The proposed
filter does not look at the groups: keep genes whose average over all samples is at least the higher of the groups'
floors (with lengths: the measurement floor in CPM, and the biological floor in TPM). A filter that looks at one group
at a time would bias the test. Beside it stand zFPKM > -3 in half of the samples, the fit's independent filtering, and
edgeR's filterByExpr: 10 reads in as many samples as the smallest group has, blind to which samples these are.

How to read it: a warning means that the groups' floors lie far apart, with calls below the higher one or many genes
between the two (these one group sees and the other does not, so that a missing call there says nothing); or that calls
below the floor run in another direction than those above it, as leakage, contamination and unequal zeros make them.

What it does not show: whether a gene below the floor is expressed; whether leakage came from other samples or from
genomic DNA. Two clear classes are not guaranteed to be silent and expressed genes. The calls kept by a filter are those
of the main fit: filtering before the fit would change the adjustment.

References:
- Hart et al. (2013) Finding the active genes in deep RNA-seq gene expression studies. BMC Genomics 14:778
- Hebenstreit et al. (2011) RNA sequencing reveals two major classes of gene expression levels. Mol Syst Biol 7:497
- Law et al. (2014) voom: precision weights unlock linear model analysis tools for RNA-seq. Genome Biol 15:R29
- Chen, Lun, Smyth (2016) From reads to genes to pathways. F1000Research 5:1438 (filterByExpr)
- Bourgon, Gentleman, Huber (2010) Independent filtering increases detection power. PNAS 107:9546
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing
from dediag.contract import Diagnostic, Fault, NotAssessable
from dediag.drawing import floors as panels
from dediag.finding import Figure, Metric, Status, Table, Verdict
from dediag.model.trend import Trend, TrendError
from dediag.rounding import counted, settled
from dediag.stats import sample_floors
from dediag.stats.call_sides import kept_calls
from dediag.stats.expression_filters import filter_by_expr
from dediag.stats.noise_floors import LEAN_P, NoiseFloor, amount
from dediag.stats.sample_floors import TwoFloors
from dediag.stats.seen_counts import seen_mean, seen_mean_under_trend
from dediag.stats.turning_trend import TurningTrend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.stats.sample_floors import GroupFloors, SampleFloors
    from dediag.study import Study

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

SEEN_SHARE = 0.95  # of samples in which a gene at the measurement floor has at least one read
ACTIVE_SHARE = 0.5  # of the samples in which a gene that zFPKM keeps is active: the median one
RATIO_LIMIT = (
    2.5  # of the groups' floors: one of 1,700 healthy cohorts warned, the furthest lay at 2.9 (reports/validation)
)
BETWEEN_LIMIT = 0.05  # share of the genes between the two floors that is worth a warning without any call below them
LEAN_LIMIT = 0.25  # difference of the up-fractions below and above the floor
POISSON = Trend("mean", level=0.0)  # of a group whose counts vary no more
NOTHING = "Nothing to do."


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
    counts = study.cohort.counts
    samples = sample_floors.sample_floors(counts[:, used], common_count, study.cohort.gene_lengths)
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
        trend=TurningTrend.of(counts, fit.design.matrix),
        others={
            "none": fit.base_mean > 0,
            "zFPKM > -3": samples.active_share >= ACTIVE_SHARE,
            "filterByExpr": filter_by_expr(counts, fit.design.matrix),
            "independent filtering": (fit.base_mean > 0) & (fit.base_mean >= fit.filter_threshold),
        },
    )


def _group(study: Study, samples: SampleFloors, mine: Mask, *, is_test: bool) -> GroupFloors:
    """Medians over one group's samples, and its measurement floor at its own dispersion trend where it has one."""
    level = str(study.fit.contrast.test if is_test else study.fit.contrast.reference)
    try:
        own = study.group_dispersion_test.curve if is_test else study.group_dispersion_reference.curve
    except TrendError:
        own = POISSON
    except ValueError:  # fewer than 3 residual degrees of freedom
        own = None
    return sample_floors.group_floors(level, samples, mine, own, SEEN_SHARE, study.rng(f"noise floor {level}"))


def judge(result: NoiseFloor) -> Verdict:
    """Warn where the groups' floors lie far apart with genes at stake, or calls below them run one way."""
    sides = result.sides
    n_below = sides.up_below + sides.down_below
    test, reference = result.floors.both
    kind, ratio = result.floors.apart
    share, factor = result.floors.share_between(result.mean_cpm, result.expression), max(ratio, 1 / ratio)
    times = settled(factor, RATIO_LIMIT, digits=2)
    unit = "CPM" if kind == "measurement" else result.samples.unit
    floors = ", ".join(f"{group.level} {amount(getattr(group, kind).value, unit)}" for group in (test, reference))
    between = f"{settled(100 * share, 100 * BETWEEN_LIMIT, digits=2)} % of the genes lie between the two"
    below = f"{n_below:,} of {counted(int(result.called.sum()), 'call')} lie below the working floor"
    below += f", {sides.up_above:,} up and {sides.down_above:,} down above it"
    drift = _drift(result)
    advice = (
        f"Read fold changes and missing calls only above an average of {result.threshold}; filter on the average over "
        "all samples, never on one group."
    )
    if factor >= RATIO_LIMIT and (n_below > 0 or share >= BETWEEN_LIMIT):
        higher, lower = (test, reference) if ratio > 1 else (reference, test)
        headline = (
            f"The {kind} floor of {higher.level} is {times} times that of {lower.level} (limit {RATIO_LIMIT:g}): "
            f"{floors}; {between}, and {below}.{drift}"
        )
        return Verdict(Status.WARN, headline, advice, calls_at_risk=n_below)
    low, high = sides.up_fraction_below or 0.0, sides.up_fraction_above or 0.0
    if sides.differ(LEAN_LIMIT, LEAN_P):
        gap = f"{settled(100 * abs(low - high), 100 * LEAN_LIMIT, digits=2)} % apart, limit {100 * LEAN_LIMIT:g} %"
        headline = (
            f"Of the {counted(n_below, 'call')} below the noise floor {100 * low:.0f} % are up, of those above it "
            f"{100 * high:.0f} % ({gap}): what happens at the floor is not what happens elsewhere. Floors: {floors}."
            f"{drift}"
        )
        return Verdict(Status.WARN, headline, advice, calls_at_risk=n_below)
    keep = f"; to filter, keep genes of an average of {result.threshold} over all samples, whatever their group."
    apart = "" if factor < RATIO_LIMIT else f"; but only {between} (limit {100 * BETWEEN_LIMIT:g} %)"
    return Verdict(
        Status.PASS,
        f"The groups' {kind} floors differ by a factor of {times} (limit {RATIO_LIMIT:g}): {floors}{apart}; {below}."
        f"{drift}",
        f"Confirm the {counted(n_below, 'call')} below the floor before you rely on them{keep}" if n_below else NOTHING,
        calls_at_risk=n_below,
    )


def _drift(result: NoiseFloor) -> str:
    """A sentence where fold changes at the floor lean though nothing is called."""
    if not result.drifts:
        return ""
    others = result.uncalled
    low, high = (f"{100 * (share or 0.0):.0f} %" for share in (others.up_fraction_below, others.up_fraction_above))
    n = others.up_below + others.down_below
    return f" At the floor fold changes lean by themselves: {low} of {n:,} uncalled genes are up, above it {high}."


def metrics(result: NoiseFloor) -> list[Metric]:
    """The named numbers."""
    floors = [
        (f"{kind}_floor_{role}", getattr(getattr(result.floors, role), kind), unit)
        for kind, unit in (("measurement", "CPM"), ("biological", result.samples.unit))
        for role in ("test", "reference")
    ]
    apart = result.floors.biological_differences(result.samples)
    return [
        *(Metric(name, floor.value, floor.low, floor.high, unit=unit) for name, floor, unit in floors),
        *(Metric(name, d.value, d.low, d.high, unit="log2") for name, d in apart.items()),
        Metric("model_floor", result.trend.floor, unit="CPM"),
        Metric("floor_ratio", result.floors.ratio, limit=RATIO_LIMIT),
        Metric("n_de_below", result.sides.up_below + result.sides.down_below),
        Metric("up_fraction_above", result.sides.up_fraction_above),
        Metric("up_fraction_below", result.sides.up_fraction_below),
        Metric("uncalled_genes_drift", result.drifts),
        Metric("uncalled_up_fraction_above", result.uncalled.up_fraction_above),
        Metric("uncalled_up_fraction_below", result.uncalled.up_fraction_below),
    ]


def tables(result: NoiseFloor) -> list[Table]:
    """Floors per group, per sample, and the calls about the filter."""
    groups = result.floors.both
    in_unit = "in CPM" if result.samples.unit == "CPM" else "in TPM (measurement and measurement_own in CPM)"
    filters = {"none": result.others["none"], "noise floor": result.kept, **result.others}

    def kept(masks: list[Mask]) -> dict[str, list[object]]:
        return kept_calls([mask & filters["none"] for mask in masks], result.lfc, result.called)

    return [
        Table(
            "groups",
            f"Floors {in_unit}, medians over samples. Measurement floor at the common dispersion "
            f"{result.dispersion:.3f}, and at each group's own; zFPKM as second opinion on the biological floor; genes "
            "and calls whose average over all samples is above this group's floors.",
            {**result.floors.columns(), **kept([g.passed(result.mean_cpm, result.expression) for g in groups])},
        ),
        Table(
            "samples",
            f"Floors of each sample {in_unit}; separation is Ashman's D of its two classes of genes.",
            {
                "sample": list(result.names),
                "group": np.where(groups[0].mine, groups[0].level, groups[1].level).tolist(),
                **result.samples.columns(),
            },
        ),
        Table(
            "calls",
            f"Calls below and above an average of {result.threshold} over all samples (group-blind filter), and the "
            "share with a positive fold change of them and of the genes that are not called.",
            result.sides.columns() | {"up_share_of_others": result.uncalled.columns()["up_share"]},
        ),
        Table(
            "filters",
            "What other filters keep: genes, and calls of the main fit. Only the noise floor's and the fit's own go by "
            "the average over all samples; filterByExpr counts samples, whichever group they belong to.",
            {"filter": list(filters), **kept(list(filters.values()))},
        ),
    ]


def draw(result: NoiseFloor) -> list[Figure]:
    """Floors by depth; classes of genes; the trend that turns and the calls about the floor."""
    return [_draw_floors(result), _draw_classes(result), _draw_calls(result)]


def _draw_floors(result: NoiseFloor) -> Figure:
    figure, s, unit = drawing.new_figure(*drawing.WIDE), result.samples, result.samples.unit
    ax = figure.subplots()
    for group, role in zip(result.floors.both, ("test", "reference"), strict=True):
        mine = group.mine
        panels.floors_by_depth(ax, s.library_size[mine] / 1e6, s.shown[mine], s.biological[mine], role, group.level)
        if group.working:
            drawing.reference_line(ax, group.working, role=role)
    panels.axes_of_floors(ax, unit, result.trend.floor if unit == "CPM" else None)
    of_length = "" if unit == "CPM" else " of a gene of median length"
    caption = (
        f"Each sample's measurement floor{of_length} (filled) falls in proportion to its depth; the biological floor "
        "(hollow) is the upper edge of the silent genes, for samples that have two clear classes. Horizontal lines: "
        "working floor of each group."
    )
    medians = " and ".join(f"{amount(g.measurement.value)} in {g.level}" for g in result.floors.both)
    alt = f"Scatter of noise floors against library size. Median measurement floor {medians}."
    return Figure("floors", drawing.to_svg(figure), caption, alt)


def _draw_classes(result: NoiseFloor) -> Figure:
    figure = drawing.new_figure(*drawing.PAIR)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, group, role in zip(axes, result.floors.both, ("test", "reference"), strict=True):
        shown = group.median_sample(result.samples.library_size)
        classes, floor = result.samples.classes[shown], float(np.log2(result.samples.shown[shown]))
        if classes is not None:
            x, share = classes.histogram.centre, classes.histogram.share
            panels.density_of_classes(ax, x, share, classes.mixture.density(x), classes.silent_edge, role)
        panels.axes_of_classes(ax, f"{group.level}: sample of median depth", result.samples.unit, floor)
    axes[0].set_ylabel("density of genes with a read")
    caption = (
        "Log expression of the genes seen in one sample of each group, with the two fitted classes of genes (lines). "
        "A biological floor exists only where the density has a clear valley between them."
    )
    clear = ", ".join(g.level for g in result.floors.both if g.biological.value is not None) or "neither group"
    alt = f"Two densities of log2 {result.samples.unit} with mixture components; a clear silent class in: {clear}."
    return Figure("classes", drawing.to_svg(figure), caption, alt)


def _draw_calls(result: NoiseFloor) -> Figure:
    figure, s, trend = drawing.new_figure(*drawing.PAIR), result.sides, result.trend
    left, right = figure.subplots(1, 2)
    panels.turning_trend(left, trend.cpm, trend.root_sd, trend.trend, trend.floor)
    level = result.floors.highest if result.samples.unit == "CPM" else result.floors.highest_of("measurement")
    panels.calls_about_the_floor(
        right, result.mean_cpm, result.lfc, result.called, (s.up_below, s.down_below), level or 0.0, result.threshold
    )
    caption = (
        "Left: below the peak of the trend, discreteness makes low counts look precise. Right: calls by expression."
    )
    alt = f"Trend, and fold changes by expression: below the floor {s.up_below} calls up, {s.down_below} down."
    return Figure("calls", drawing.to_svg(figure), caption, alt)


METRICS = """measurement_floor_test measurement_floor_reference biological_floor_test biological_floor_reference
    biological_floor_log2_difference silent_level_log2_difference model_floor floor_ratio n_de_below
    up_fraction_above up_fraction_below"""
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
