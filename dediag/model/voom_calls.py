"""A second opinion on groups of unequal variance: voom, with one trend of the variance or one per group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag.stats import moderated_t
from dediag.stats.adjust import benjamini_hochberg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]


def voom_tests(fit: NBFit, *, by_group: bool) -> tuple[Array, Array]:
    """Moderated t-tests of the contrast of a fit: effects (log2) and adjusted p-values, (n_genes,) each.

    Library sizes follow the fit's size factors, and the adjustment is over the genes whose p-value the fit adjusted:
    the tests differ from the fit's in scale and variance alone. Law et al. (2014); by group: You et al. (2023).
    """
    counts, design = fit.cohort.counts, fit.design.matrix
    adjusted = np.isfinite(fit.padj)
    size = fit.size_factors
    library = size * counts.sum(axis=0).mean() / size.mean()
    groups = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    kept = counts[adjusted]
    if by_group:
        made = moderated_t.voom_by_group(kept, design, library, groups)
    else:
        made = moderated_t.voom(kept, design, library)
    linear = moderated_t.linear_fit(made.log_cpm, design, made.weights)
    found = moderated_t.moderated_t(linear, fit.contrast.vector)
    effect, padj = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    effect[adjusted], padj[adjusted] = found.effect, benjamini_hochberg(found.pvalue)
    return effect, padj
