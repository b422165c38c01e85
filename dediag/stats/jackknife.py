"""Standard error of a statistic of samples by leaving blocks of them out.

Tukey (1958); Shao and Wu (1989) "A general theory for jackknife variance estimation". Unlike a bootstrap of samples, no
sample is ever used twice, so that a variance within a group is not understated by copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def blocks(samples: NDArray[np.intp], most: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Split samples (n,) at random into blocks of nearly equal size: n of one sample each, or `most`."""
    if samples.size <= most:
        return [samples[i : i + 1] for i in range(samples.size)]
    return [np.sort(part) for part in np.array_split(rng.permutation(samples), most)]


def variance(left_out: Array) -> Array:
    """Variance of a statistic from its values with one block left out at a time: (n_blocks, ...) -> (...)."""
    n = left_out.shape[0]
    return np.asarray((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
