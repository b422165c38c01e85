"""The expression of a sample below which its counts say little: by depth, by classes of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dediag.stats.mixture import log_histogram, two_normals
from dediag.stats.seen_counts import seen_mean, seen_mean_under_trend
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
    """Silent and expressed genes of one sample; floors on the scale of log2 counts, None where there is none."""

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


def classes(counts: Array, smallest: float) -> Classes | None:
    """Classes of genes of one sample (n_genes,); an edge below `smallest` (a count) is depth, not biology.

    None where the sample has too few different counts for a density.
    """
    seen = counts[counts > 0]
    try:
        histogram = log_histogram(seen)
        mixture = two_normals(histogram)
        active = half_normal(np.log2(seen))
    except ValueError:
        return None
    edge = mixture.silent_edge
    resolved = mixture.clear and edge > np.log2(smallest)
    lowest = float(np.log2(seen.min()))
    return Classes(histogram, mixture, edge if resolved else None, active.floor if active.floor > lowest else None)


@dataclass(frozen=True)
class SampleFloors:
    """Floors of every sample in counts per million, NaN where a sample has none: (n_samples,) each."""

    library_size: Array
    measurement: Array
    biological: Array
    zfpkm: Array
    separation: Array  # Ashman's D of the two classes
    classes: tuple[Classes | None, ...]

    def columns(self) -> dict[str, list[float]]:
        """The floors as a table; separation is that of the two classes of genes."""
        names = ("library_size", "measurement", "biological", "zfpkm", "separation")
        return {name: getattr(self, name).tolist() for name in names}


def sample_floors(counts: Array, smallest: float) -> SampleFloors:
    """Floors of counts (n_genes, n_samples) of which a gene is seen from the mean count `smallest` on."""
    library = counts.sum(axis=0)
    found = tuple(classes(column, smallest) for column in counts.T)

    def cpm(log2_counts: list[float | None]) -> Array:
        return np.asarray(2.0 ** np.array([np.nan if v is None else v for v in log2_counts]) / library * 1e6)

    return SampleFloors(
        library_size=library,
        measurement=smallest / library * 1e6,
        biological=cpm([c.silent_edge if c else None for c in found]),
        zfpkm=cpm([c.zfpkm if c else None for c in found]),
        separation=np.array([c.mixture.separation if c else np.nan for c in found]),
        classes=found,
    )


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
    """Floors of one group, counts per million."""

    level: str
    mine: Mask  # (n_samples,) which of the samples are its own
    measurement: Median
    measurement_own: float | None  # at the group's own dispersion trend
    own_dispersion: float | None
    biological: Median
    zfpkm: Median

    @property
    def working(self) -> float:
        """The higher of measurement and biological floor."""
        return max(self.measurement.value or 0.0, self.biological.value or 0.0)

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
                name: [getattr(g, name) for g in self.both] for name in ("measurement_own", "own_dispersion", "working")
            },
        }

    def share_between(self, expression: Array) -> float:
        """Share of the genes with any expression (n_genes,) that lie between the two floors of that kind."""
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
        measurement_own=own_floor,
        own_dispersion=own_dispersion,
        biological=median(samples.biological[mine], rng),
        zfpkm=median(samples.zfpkm[mine], rng),
    )
