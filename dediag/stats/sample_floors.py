"""The expression of a sample below which its counts say little: by depth, by classes of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.mixture import log_histogram, two_normals
from dediag.stats.seen_counts import seen_mean, seen_mean_under_trend
from dediag.stats.two_samples import welch_interval
from dediag.stats.zfpkm import half_normal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dediag.stats.mixture import Histogram, TwoNormals

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Trend = Callable[[Array], Array]

RESAMPLES = 1000
SMALLEST_GROUP = 3  # samples below which the bootstrap of a median says nothing


@dataclass(frozen=True)
class Classes:
    """Silent and expressed genes of one sample; floors are log2 CPM or TPM, None where there is none."""

    histogram: Histogram
    mixture: TwoNormals
    silent_edge: float | None  # what one in twenty of the silent genes exceeds
    zfpkm: float | None  # three standard deviations below the expressed genes


@dataclass(frozen=True)
class Median:
    """Median over samples with its 95 % bootstrap interval; None where too few samples have a value."""

    value: float | None
    low: float | None = None
    high: float | None = None


def classes(counts: Array, smallest: float, per_read: float | Array = 1.0) -> Classes | None:
    """Classes of genes of one sample (n_genes,); an edge below `smallest` (expression) is depth, not biology.

    per_read: the expression that one read stands for, (n_genes,) where it depends on their length. None where the
    sample has too few different counts for a density.
    """
    seen = counts > 0
    expression = np.log2((counts * per_read)[seen])
    try:
        histogram = log_histogram(counts, per_read)
        mixture = two_normals(histogram)
        active = half_normal(expression)
    except ValueError:
        return None
    edge = mixture.silent_edge
    resolved = mixture.clear and edge > np.log2(smallest)
    lowest = float(expression.min())
    return Classes(histogram, mixture, edge if resolved else None, active.floor if active.floor > lowest else None)


@dataclass(frozen=True)
class SampleFloors:
    """Floors of every sample, NaN where a sample has none: (n_samples,) each; biological ones in TPM with lengths."""

    library_size: Array
    measurement: Array  # counts per million
    measurement_tpm: Array | None  # of a gene of median length; None without lengths
    biological: Array
    silent_level: Array  # mean of the silent genes, zeros included; NaN where no three samples have a biological floor
    zfpkm: Array
    separation: Array  # Ashman's D of the two classes
    classes: tuple[Classes | None, ...]
    active_share: Array  # (n_genes,) of the samples: the gene has reads, and zFPKM > -3
    mean_tpm: Array | None  # (n_genes,)

    @property
    def unit(self) -> str:
        """Of the biological floors."""
        return "CPM" if self.measurement_tpm is None else "TPM"

    @property
    def shown(self) -> Array:
        """The measurement floors in the unit of the biological ones: (n_samples,)."""
        return self.measurement if self.measurement_tpm is None else self.measurement_tpm

    def columns(self) -> dict[str, list[float]]:
        """The floors as a table; separation is that of the two classes of genes."""
        names = ("library_size", "measurement", "measurement_tpm", "biological", "silent_level", "zfpkm", "separation")
        return {name: getattr(self, name).tolist() for name in names if getattr(self, name) is not None}


def sample_floors(counts: Array, smallest: float, lengths: Array | None = None) -> SampleFloors:
    """Floors of counts (n_genes, n_samples) of which a gene is seen from the mean count `smallest` on.

    lengths: (n_genes,) base pairs.
    """
    library = counts.sum(axis=0)
    kilobases = np.ones(len(counts)) if lengths is None else lengths / 1e3
    typical = float(np.median(kilobases[counts.any(axis=1)]))
    found, measured = [], []
    active, total = np.zeros(len(counts)), np.zeros(len(counts))
    for column in counts.T:
        per_read = 1e6 / kilobases / (column / kilobases).sum()  # (n_genes,) CPM or TPM
        measured.append(smallest * 1e6 / typical / (column / kilobases).sum())
        found.append(classes(column, measured[-1], per_read))
        floor = found[-1].zfpkm if found[-1] is not None else None
        expression = column * per_read
        active += (column > 0) & (expression > (0.0 if floor is None else 2.0**floor))
        total += expression

    def natural(log2: list[float | None]) -> Array:
        return np.asarray(2.0 ** np.array([np.nan if v is None else v for v in log2]))

    biological = natural([c.silent_edge if c else None for c in found])
    return SampleFloors(
        library_size=library,
        measurement=smallest / library * 1e6,
        measurement_tpm=None if lengths is None else np.array(measured),
        biological=biological,
        silent_level=_silent_level(counts, kilobases, total / counts.shape[1], biological),
        zfpkm=natural([c.zfpkm if c else None for c in found]),
        separation=np.array([c.mixture.separation if c else np.nan for c in found]),
        classes=tuple(found),
        active_share=active / counts.shape[1],
        mean_tpm=None if lengths is None else total / counts.shape[1],
    )


def _silent_level(counts: Array, kilobases: Array, mean: Array, floors: Array) -> Array:
    """Mean expression in each sample (n_samples,) of the genes whose mean over all samples is below the median floor.

    The same genes in every sample, whichever its group, and with their zeros: so stray reads raise it by what they are.
    """
    known = floors[np.isfinite(floors)]
    silent = (mean > 0) & (mean < np.median(known)) if len(known) >= SMALLEST_GROUP else np.zeros(len(mean), bool)
    if not silent.any():
        return np.full(counts.shape[1], np.nan)
    rates = [column / kilobases for column in counts.T]
    return np.array([rate[silent].mean() / rate.sum() * 1e6 for rate in rates])


def median(values: Array, rng: np.random.Generator) -> Median:
    """Median of the values (n_samples,) that are finite, if these are at least half; interval by resampling samples."""
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values) or not len(known):
        return Median(None)
    centre = float(np.median(known))
    if len(known) < SMALLEST_GROUP:
        return Median(centre)
    draws = np.median(rng.choice(known, (RESAMPLES, len(known))), axis=1)
    return Median(centre, *(float(q) for q in np.quantile(draws, [0.025, 0.975])))


@dataclass(frozen=True)
class GroupFloors:
    """Floors of one group: measurement in counts per million, the others in TPM where lengths are known."""

    level: str
    mine: Mask  # (n_samples,) which of the samples are its own
    measurement: Median
    measurement_tpm: float | None  # of a gene of median length; None without lengths
    measurement_own: float | None  # at the group's own dispersion trend
    own_dispersion: float | None
    biological: Median
    zfpkm: Median

    @property
    def working(self) -> float:
        """The higher of measurement and biological floor, in the unit of the latter."""
        measured = self.measurement.value if self.measurement_tpm is None else self.measurement_tpm
        return max(measured or 0.0, self.biological.value or 0.0)

    def passed(self, cpm: Array, expression: Array) -> Mask:
        """Genes that reach both floors: cpm (n_genes,), and expression in the unit of the biological floor."""
        return np.asarray((cpm >= (self.measurement.value or 0.0)) & (expression >= (self.biological.value or 0.0)))

    def median_sample(self, library_size: Array) -> int:
        """Position of the group's sample of median depth."""
        own = np.flatnonzero(self.mine)
        return int(own[np.argsort(library_size[own])[len(own) // 2]])


@dataclass(frozen=True)
class TwoFloors:
    """Floors of the test and the reference group."""

    test: GroupFloors
    reference: GroupFloors

    @property
    def both(self) -> tuple[GroupFloors, GroupFloors]:
        """Test, then reference."""
        return self.test, self.reference

    @property
    def highest(self) -> float:
        """The higher of the two working floors."""
        return max(self.test.working, self.reference.working)

    def highest_of(self, kind: str) -> float | None:
        """The higher of the groups' floors of one kind."""
        return max((v for g in self.both if (v := getattr(g, kind).value) is not None), default=None)

    def passed(self, cpm: Array, expression: Array) -> Mask:
        """Genes above the floors of both groups; the same mean over all samples is asked for both."""
        return self.test.passed(cpm, expression) & self.reference.passed(cpm, expression)

    def biological_differences(self, samples: SampleFloors) -> dict[str, Median]:
        """Log2 differences of the biological floors and of the levels of the silent genes, test minus reference.

        Intervals have samples as their unit, and are None with fewer than 2 samples in a group. No difference of the
        floors where one of the groups has none.
        """
        found = {}
        for name, values in (("biological_floor", samples.biological), ("silent_level", samples.silent_level)):
            usable = np.isfinite(values) & (values > 0)
            first, second = (np.log2(values[g.mine & usable]) for g in self.both)
            apart = name == "biological_floor" and any(group.biological.value is None for group in self.both)
            if apart or not min(len(first), len(second)):
                difference = Median(None)
            elif min(len(first), len(second)) < 2:
                difference = Median(float(first.mean() - second.mean()))
            else:
                difference = Median(*welch_interval(first, second))
            found[f"{name}_log2_difference"] = difference
        return found

    @property
    def ratio(self) -> float:
        """Measurement floor of the test group over the reference's, at the common dispersion."""
        return (self.test.measurement.value or np.nan) / (self.reference.measurement.value or np.nan)

    @property
    def apart(self) -> tuple[str, float]:
        """Which kind of floor differs more, and its ratio; the biological only where both groups have one."""
        test, reference = self.test.biological.value, self.reference.biological.value
        kinds = [("measurement", self.ratio), ("biological", test / reference if test and reference else 1.0)]
        return max(kinds, key=lambda kind: abs(np.log(kind[1])))

    def columns(self) -> dict[str, list[object]]:
        """Both groups as a table."""
        return {
            "group": [g.level for g in self.both],
            "samples": [int(g.mine.sum()) for g in self.both],
            **{name: [getattr(g, name).value for g in self.both] for name in ("measurement", "biological", "zfpkm")},
            **{
                name: [getattr(g, name) for g in self.both]
                for name in ("measurement_tpm", "measurement_own", "own_dispersion", "working")
                if name != "measurement_tpm" or self.test.measurement_tpm is not None
            },
        }

    def share_between(self, cpm: Array, expression: Array) -> float:
        """Share of the genes with any expression (n_genes,) that lie between the two floors that are further apart."""
        expression = cpm if self.apart[0] == "measurement" else expression
        low, high = sorted(getattr(group, self.apart[0]).value for group in (self.test, self.reference))
        inside = (expression > 0) & (expression >= low) & (expression < high)
        return float(inside.sum() / max(int((expression > 0).sum()), 1))


def group_floors(
    level: str, samples: SampleFloors, mine: Mask, own: Trend | None, share: float, rng: np.random.Generator
) -> GroupFloors:
    """Medians over the samples `mine` (n_samples,), and the measurement floor under the group's own trend."""
    own_floor = own_dispersion = None
    mean = seen_mean_under_trend(own, share) if own else np.nan
    if own and np.isfinite(mean):
        own_dispersion = float(own(np.array([mean]))[0])
        own_floor = float(seen_mean(own_dispersion, share) * np.median(1e6 / samples.library_size[mine]))
    return GroupFloors(
        level=level,
        mine=mine,
        measurement=median(samples.measurement[mine], rng),
        measurement_tpm=None if samples.measurement_tpm is None else float(np.median(samples.measurement_tpm[mine])),
        measurement_own=own_floor,
        own_dispersion=own_dispersion,
        biological=median(samples.biological[mine], rng),
        zfpkm=median(samples.zfpkm[mine], rng),
    )
