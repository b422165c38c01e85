"""What one study should show, from simulated studies and from what is known of it and of them without simulation.

A quantity t of a study and a cheap prediction p of it go together: where p is high, t is high. So the difference t - p
varies less between studies than t does, and its mean over simulated studies, added to the p of the study at hand, is
what t should be there (control variates; Owen 2013, Monte Carlo theory, methods and examples, section 8.9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FEWEST = 5  # simulated studies
# Of effects all of one size a simulation from a fit has too wide a distribution. The overlap of lists at 6 v 60 then
# moves by .4 to 1.2 of what the prediction moves by (reports/validation_refits.md has the coverage that follows).
UNSURE = 1 / 3
# Satterthwaite's degrees of freedom are too few where most of the spread is noise, and intervals too wide. See
# tests/stats/test_control_variate.py for what they cover with this floor.
FEWEST_DF = 4.0


@dataclass(frozen=True)
class Expectation:
    """What one study should show."""

    value: float
    sd: float  # of one study about it, error of the value included
    df: float

    def interval(self, level: float) -> tuple[float, float]:
        """Limits that hold the study's value with this probability."""
        reach = float(student.isf((1.0 - level) / 2.0, self.df)) * self.sd
        return self.value - reach, self.value + reach

    def p_value(self, observed: float) -> float:
        """Probability of a value as far from the expected one as the observed, in either direction."""
        return float(2.0 * student.sf(abs(observed - self.value) / self.sd, self.df))


def expect(
    simulated: Array, predicted: Array, own_prediction: float, *, noise: float = 0.0, own_noise: float = 0.0
) -> Expectation | None:
    """Expected value of the study with this prediction; None with fewer than FEWEST simulated studies, or equal ones.

    simulated, predicted: (n_studies,), NaN left out in pairs. noise: the part of the variance of a simulated value that
    comes from refitting few draws of it; own_noise: the same of the observed value. The variance between studies is
    that of the differences less `noise`, but at least half its own standard error: the difference of two estimates may
    be near zero by chance. Where the study's prediction is far from the simulated ones', the relation of the two may be
    another than among these: UNSURE of the distance is added as a standard deviation.
    """
    known = np.isfinite(simulated - predicted)
    difference = (simulated - predicted)[known]
    n = difference.size
    if n < FEWEST or not math.isfinite(own_prediction):
        return None
    total = float(difference.var(ddof=1))
    between = max(total - noise, total * math.sqrt(0.5 / (n - 1)))
    if total <= 0.0:
        return None
    distance = own_prediction - float(predicted[known].mean())
    variance = between + own_noise + total / n + (UNSURE * distance) ** 2
    # only `total` is estimated: Satterthwaite's degrees of freedom of a sum of it and what is taken as given
    df = (n - 1) * (variance / (total * (1.0 + 1.0 / n))) ** 2
    df = min(max(df, FEWEST_DF), n - 1.0)
    return Expectation(own_prediction + float(difference.mean()), math.sqrt(variance), df)
