"""What normalising some of the samples anew does to the fold changes, by size factors alone: no refits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag.model.size_factors import size_factors as estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.cohort import Cohort
    from dediag.model.nbfit import NBFit
    from dediag.model.size_factors import Method

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

PARTS = 10  # random groups of genes; their spread is the error of what all genes together say
SMALLEST_PART = 20  # genes without zeros in each
SPREAD_DRAWS = 20  # draws that are normalised by each part


def normalisation_shift(drawn: Array, full: Array, test: Mask, reference: Mask) -> Array:
    """Log2 by which the size factors of each draw move its fold changes against those of the full fit: (n_draws,).

    drawn: (n_draws, n_samples), NaN where a sample is not in the draw; full: (n_samples,); the masks: (n_samples,).
    """
    change = np.log2(drawn / full)
    return np.asarray(np.nanmean(change[:, reference], axis=1) - np.nanmean(change[:, test], axis=1))


def shift_by_part(fit: NBFit, method: Method, included: Mask, rng: np.random.Generator) -> Array:
    """Mean normalisation shift of draws by each of up to ten random parts of the genes: (n_parts,).

    included: (n_draws, n_samples). Size factors are medians or trimmed means over genes. What a sample does to those
    of the full fit and of the draws is the same to first order and cancels, so the error of the shift is one of genes,
    also where genes go together. Its variance is that of the parts over their number (the method of random groups).
    Raises InputError where a part has no gene to normalise by.
    """
    test, reference = (fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference))
    draws = [np.flatnonzero(draw) for draw in included[:SPREAD_DRAWS]]
    everyone = np.arange(fit.cohort.n_samples)
    found = []
    for genes in _parts(fit.cohort.counts, rng):
        part = fit.cohort.take_genes(genes)

        def factors(members: NDArray[np.intp], part: Cohort = part) -> Array:
            values = np.full(everyone.size, np.nan)
            values[members] = estimate(part.counts[:, members], method, part.normalisation_genes).values
            return values

        drawn = np.stack([factors(members) for members in draws])
        found.append(normalisation_shift(drawn, factors(everyone), test, reference).mean())
    return np.asarray(found)


def _parts(counts: Array, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Random parts of the genes with equally many genes without zeros."""
    order = rng.permutation(len(counts))
    full = counts[order].min(axis=1) > 0.0
    order = np.concatenate([order[full], order[~full]])
    n_parts = int(np.clip(full.sum() // SMALLEST_PART, 2, PARTS)) if full.any() else PARTS
    return [order[k::n_parts] for k in range(n_parts)]
