"""The smallest fold change that each gene's test would have found, up and down.

The limit by first order, with the variances of no effect, is right for many reads and small changes. What it lacks is
tabulated from the power proper (`detection.power_up`) on a grid of midpoint, dispersion and ratio of the groups'
dispersions, as a factor on the log fold change, which is smooth; genes are interpolated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.stats import norm

from dediag.stats.detection import Genes, power_up
from dediag.stats.error_rate import pooled_dispersion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.stats.detection import Comparison

    Array = NDArray[np.float64]

LARGEST = math.log(1000.0)  # log fold change beyond which a change counts as not detectable at all
FARTHEST = math.log(1e6)  # to which limits are sought, so that those near LARGEST are interpolated between numbers
LOG_MIDPOINTS = (
    math.log(0.1),
    math.log(10_000.0),
)  # counts between which the factor is tabulated, and beyond which it is held constant
LOG_DISPERSIONS = (math.log(0.001), math.log(5.0))
RATIOS = (-5.0, 5.0)  # log2, test over reference
STEP_MIDPOINT, STEP_DISPERSION, STEP_RATIO = math.log(2.0), math.log(3.0), 1.7
ROUNDS = 40  # of the search for the limit, most of which end after 6
CLOSE = 0.004  # of the power


def limits(genes: Genes, comparison: Comparison) -> tuple[Array, Array]:
    """Log of the smallest fold change that the test finds, up and down: (n_genes,) each; inf: none below LARGEST.

    Exchanging the groups exchanges the two.
    """
    return _limit_up(genes, comparison), _limit_up(genes.exchanged(), comparison.exchanged())


def _limit_up(genes: Genes, comparison: Comparison) -> Array:
    """The limit up of each gene: first order at the midpoint times the interpolated factor."""
    if not genes.phi.size:
        return np.empty(0)
    midpoint = np.sqrt(genes.mean_test * genes.mean_reference)
    at = [
        _places(np.log(midpoint), LOG_MIDPOINTS, STEP_MIDPOINT),
        _places(np.log(genes.phi), LOG_DISPERSIONS, STEP_DISPERSION),
        _places(np.log2(genes.phi_test / genes.phi_reference), RATIOS, STEP_RATIO),
    ]
    log_mean, log_phi, log2_ratio = (x.ravel() for x in np.meshgrid(*(knots for knots, _ in at), indexing="ij"))
    reference = np.exp(log_phi) / pooled_dispersion(np.exp2(log2_ratio), 1.0, comparison.n_test, comparison.n_reference)
    # the groups' depths as those of a typical gene: what differs from gene to gene is in the first order
    half = float(np.median(np.log(genes.mean_test / genes.mean_reference))) / 2.0
    means = np.exp(log_mean + half), np.exp(log_mean - half)
    grid = Genes(*means, np.exp2(log2_ratio) * reference, reference, np.exp(log_phi))
    table = np.log(solve(grid, comparison) / comparison.first_order(grid)).reshape([knots.size for knots, _ in at])
    factor = np.exp(map_coordinates(table, np.array([where for _, where in at]), order=1, mode="nearest"))
    limit = comparison.first_order(genes) * factor
    return np.where(limit > LARGEST, np.inf, limit)


def _places(values: Array, within: tuple[float, float], step: float) -> tuple[Array, Array]:
    """Evenly spaced knots over the values, as far as they lie `within`, and each value's place among them."""
    inside = np.clip(values, *within)
    least, most = float(inside.min()), float(inside.max())
    n = 1 + math.ceil((most - least) / step - 1e-9)
    knots = np.linspace(least, most, n)
    return knots, (inside - least) / max(most - least, 1e-12) * (n - 1)


def solve(genes: Genes, comparison: Comparison) -> Array:
    """Log fold change up at which the power proper is that of the test: (n_genes,), at most FARTHEST.

    Regula falsi (Illinois) on the probit of the power against the log fold change, which is nearly a straight line.
    """

    def excess(log_fc: Array, which: NDArray[np.intp]) -> Array:
        p = power_up(genes.take(which), comparison, log_fc)
        return np.asarray(norm.ppf(np.clip(p, 1e-9, 1.0 - 1e-9)) - comparison.z_power)

    every = np.arange(genes.phi.size)
    low, high = np.zeros(every.size), np.minimum(1.3 * comparison.first_order(genes), FARTHEST)
    at_low, at_high = np.full(every.size, -comparison.z_level - comparison.z_power), excess(high, every)
    short = every[(at_high < 0.0) & (high < FARTHEST)]
    while short.size:
        low[short], at_low[short] = high[short], at_high[short]
        high[short] = np.minimum(1.5 * high[short], FARTHEST)
        at_high[short] = excess(high[short], short)
        short = short[(at_high[short] < 0.0) & (high[short] < FARTHEST)]
    found = np.where(at_high < 0.0, FARTHEST, high)
    active = every[at_high > 0.0]
    for _ in range(ROUNDS):
        if not active.size:
            break
        a, b, at_a, at_b = low[active], high[active], at_low[active], at_high[active]
        middle = b - at_b * (b - a) / (at_b - at_a)
        at_middle = excess(middle, active)
        found[active], above = middle, at_middle > 0.0
        # an end that stays counts half, or regula falsi creeps
        high[active], at_high[active] = np.where(above, middle, b), np.where(above, at_middle, at_b / 2.0)
        low[active], at_low[active] = np.where(above, a, middle), np.where(above, at_a / 2.0, at_middle)
        active = active[np.abs(norm.cdf(at_middle + comparison.z_power) - comparison.power) > CLOSE]
    return found
