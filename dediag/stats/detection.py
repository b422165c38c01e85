"""The power of a Wald test of two groups of negative binomial counts, without simulation.

Notation: group k has n_k samples of equal depth, whose counts have mean mu_k and dispersion phi_k. A fold change moves
the two groups' means apart by its square root each, about their midpoint. The test knows one dispersion, `phi`. With
equal depths the estimate of a group's mean is the mean of its counts, and their sum is negative binomial again: mean
n mu, dispersion phi / n. So the statistic is a function of two independent sums, and its tail probability is a double
sum, taken here over stretches of counts where there are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

FLOOR = 0.5  # fitted mean count below which the fit, as that of DESeq2, goes by a straight line in place of the log
STRETCHES = 32  # of the values of a group's sum; with 96 the power differs by less than .004
REACH = 4.2  # standard deviations to either side that they cover, on the scale of the cube root
POISSON = 1e-6  # dispersion that stands for any smaller one
BLOCK = 2_000  # genes that are worked on at a time


def p_cutoff(n_calls: int, n_adjusted: int, alpha: float) -> float:
    """The p-value that one more gene would have needed to be called: alpha (calls + 1) / n by Benjamini and Hochberg.

    Not the largest p among the calls: of two calls with p = 1e-20 it would say that nothing less is found.
    """
    return alpha * min(n_calls + 1, n_adjusted) / n_adjusted


def effective_depth(mean: Array, phi: Array, size_factors: Array) -> Array:
    """The depth of a sample such that a group of equally deep ones tells as much of the mean: (n_genes,).

    mean, phi: (n_genes,); size_factors: (1 or n_genes, n_samples). The harmonic mean where the dispersion outweighs the
    counting noise, the arithmetic mean where it is outweighed.
    """
    deep = size_factors * mean[:, None]
    information = (deep / (1.0 + phi[:, None] * deep)).mean(axis=1)  # per sample, of the log mean
    return np.asarray(information / (1.0 - phi * information) / mean)


@dataclass(frozen=True)
class Genes:
    """What the power of a gene's test depends on; arrays (n_genes,)."""

    mean_test: Array  # count expected in a sample of the test group without effect; differs by depth alone from ...
    mean_reference: Array  # ... that of the reference group
    phi_test: Array  # true dispersions
    phi_reference: Array
    phi: Array  # of the test

    def exchanged(self) -> Genes:
        """The same with the groups' names exchanged."""
        return Genes(self.mean_reference, self.mean_test, self.phi_reference, self.phi_test, self.phi)

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Genes:
        """Some of them."""
        parts = (self.mean_test, self.mean_reference, self.phi_test, self.phi_reference, self.phi)
        return Genes(*(part[index] for part in parts))

    def alike(self) -> Genes:
        """The same with equal depth and dispersion in both groups."""
        mean = np.sqrt(self.mean_test * self.mean_reference)
        return Genes(mean, mean, self.phi, self.phi, self.phi)


@dataclass(frozen=True)
class Comparison:
    """Group sizes, the two-sided p below which a gene is called, and the power that is asked for."""

    n_test: int
    n_reference: int
    level: float
    power: float

    def exchanged(self) -> Comparison:
        """The same with the groups' names exchanged."""
        return Comparison(self.n_reference, self.n_test, self.level, self.power)

    @property
    def z_level(self) -> float:
        """The statistic at which a gene is called."""
        return float(norm.isf(self.level / 2.0))

    @property
    def z_power(self) -> float:
        """Normal quantile of the power."""
        return float(norm.ppf(self.power))

    def first_order(self, genes: Genes, log_fc: ArrayLike = 0.0) -> Array:
        """z(level / 2) SE + z(power) SD at this log fold change, v = 1/mu + phi: (n_genes,); broadcasts.

        SE is the standard error that the test reports with its one dispersion, SD that with the groups' own.
        """
        half = np.exp(np.asarray(log_fc, np.float64) / 2.0)
        counted = 1.0 / (self.n_test * genes.mean_test * half) + half / (self.n_reference * genes.mean_reference)
        reported = counted + genes.phi / self.n_test + genes.phi / self.n_reference
        true = counted + genes.phi_test / self.n_test + genes.phi_reference / self.n_reference
        return np.asarray(self.z_level * np.sqrt(reported) + self.z_power * np.sqrt(true))


def first_order_limit(genes: Genes, comparison: Comparison, largest: float) -> Array:
    """Log of the smallest fold change up that is found by first order: (n_genes,); inf: no solution below `largest`."""
    tried = np.linspace(0.0, largest, 1_000)[:, None]
    enough = tried >= comparison.first_order(genes, tried)  # (n_tried, n_genes)
    return np.where(enough.any(axis=0), tried[enough.argmax(axis=0), 0], np.inf)


def power_up(genes: Genes, comparison: Comparison, log_fc: ArrayLike, stretches: int = STRETCHES) -> Array:
    """Probability that each gene is called, and higher in the test group, at this log fold change: (n_genes,).

    For the other direction exchange the groups, which makes the two directions one function.
    """
    log_fc = np.broadcast_to(np.asarray(log_fc, np.float64), genes.phi.shape)
    found = np.empty(genes.phi.size)
    for first in range(0, found.size, BLOCK):
        part = slice(first, first + BLOCK)
        g, half = genes.take(part), np.exp(log_fc[part] / 2.0)
        low, high, weight = _stretches(g.mean_test * half, g.phi_test, comparison.n_test, stretches)
        other_low, other_high, other_weight = _stretches(
            g.mean_reference / half, g.phi_reference, comparison.n_reference, stretches
        )
        depth = np.log(g.mean_test / g.mean_reference)[:, None]  # which the test takes out
        log_low, v_low = _log_mean(low, g.phi, comparison.n_test)
        log_high, v_high = _log_mean(high, g.phi, comparison.n_test)
        log_other, v_other = _log_mean((other_low + other_high) / 2.0, g.phi, comparison.n_reference)
        at_low = _statistic(log_low - depth, v_low, log_other, v_other)  # (n_genes, stretches, stretches)
        at_high = _statistic(log_high - depth, v_high, log_other, v_other)
        # within a stretch the statistic is taken as linear; it may fall with the count (Hauck and Donner 1977)
        least, most = np.minimum(at_low, at_high), np.maximum(at_low, at_high)
        share = np.clip((most - comparison.z_level) / np.maximum(most - least, 1e-12), 0.0, 1.0)
        found[part] = np.einsum("gi,gij,gj->g", weight, share, other_weight)
    return found


def _stretches(mean: Array, phi: Array, n: int, stretches: int) -> tuple[Array, Array, Array]:
    """Ends of the stretches of a group's sum, and the probability of each: (n_genes, stretches); a single count is one.

    Evenly spaced on the scale of the cube root, on which a sum is about normal (Wilson and Hilferty 1931).
    """
    phi = np.maximum(phi, POISSON)
    size, total = n / phi, n * mean
    spread = np.sqrt(1.0 / total + 1.0 / size)  # coefficient of variation
    steps = np.linspace(-REACH, REACH, stretches + 1)
    root = 1.0 - spread[:, None] ** 2 / 9.0 + steps * spread[:, None] / 3.0
    edge = np.floor(total[:, None] * np.maximum(root, 0.0) ** 3)  # the last count of a stretch
    edge[:, 0] = np.where(edge[:, 0] < 1.0, -1.0, edge[:, 0])
    below = np.where(edge < 0.0, 0.0, betainc(size[:, None], edge + 1.0, (size / (size + total))[:, None]))
    below[:, 0], below[:, -1] = 0.0, 1.0
    low, high = edge[:, :-1] + 0.5, edge[:, 1:] + 0.5
    single = high - low <= 1.0
    middle = (low + high) / 2.0
    return np.where(single, middle, low), np.where(single, middle, high), np.diff(below, axis=1)


def _log_mean(total: Array, phi: Array, n: int) -> tuple[Array, Array]:
    """The estimated log mean of a group with this sum, and its variance as the test has it: (n_genes, stretches)."""
    mean = total / n
    floored = np.maximum(mean, FLOOR)
    log_mean = np.log(floored) + np.minimum(mean - FLOOR, 0.0) / FLOOR
    return log_mean, (1.0 / floored + phi[:, None]) / n


def _statistic(log_mean: Array, v: Array, log_other: Array, v_other: Array) -> Array:
    difference = log_mean[:, :, None] - log_other[:, None, :]
    return np.asarray(difference / np.sqrt(v[:, :, None] + v_other[:, None, :]))
