"""Size factors: how deeply each sample was sequenced, on a scale whose centre is one.

`ratio` and `poscounts` are the median-of-ratios methods of DESeq2 (Anders and Huber 2010, eq. 5); `TMM`, `TMMwsp`,
`RLE` and `upperquartile` are edgeR's normalisation factors (Robinson and Oshlack 2010; Bullard et al. 2010), which
times the library size are size factors.

A matrix of more than one block (`cohort.blocks`) is gone through in blocks of genes and of samples; what one sample or
one gene gives does not depend on which others are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from dediag.cohort import InputError, gene_blocks
from dediag.model.blocks import Part, seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

NormMethod = Literal["TMM", "TMMwsp", "RLE", "upperquartile"]
Method = Literal["ratio", "poscounts", "TMM", "TMMwsp", "RLE", "upperquartile"]
METHODS: tuple[str, ...] = get_args(Method)

LOG_RATIO_TRIM = 0.3  # share trimmed at each end of the log ratios M (Robinson and Oshlack 2010)
ABUNDANCE_TRIM = 0.05  # share trimmed at each end of the mean log abundances A
SAME_SAMPLE = 1e-6  # largest |M| at which two samples count as the same
NO_COUNT = "none of the genes for normalisation has a count"
NO_GENE = "no gene has a count above zero in every sample, so the {method} method has nothing to compare"


@dataclass(frozen=True)
class SizeFactors:
    """Size factors with the genes that carry them (TMM and TMMwsp: averages, as their genes differ by sample)."""

    values: Array  # (n_samples,) positive
    method: str
    n_genes: int  # genes used
    mean_count: float  # mean count of those genes over all samples (TMM: over the sample at hand)


@dataclass(frozen=True)
class NormFactors:
    """Normalisation factors with geometric mean one, and the genes that carry them as in SizeFactors."""

    values: Array  # (n_samples,) positive, to be multiplied with the library size
    library_size: Array  # (n_samples,)
    n_genes: int
    mean_count: float


def size_factors(counts: Array, method: Method = "ratio", control_genes: Mask | None = None) -> SizeFactors:
    """Size factors of a count matrix.

    counts: (n_genes, n_samples). control_genes: (n_genes,), the genes that may be used; library sizes always count all
    genes. Factors of all methods but `ratio` have geometric mean one. Raises InputError where a method has no genes.
    """
    if method not in METHODS:
        raise InputError(f"unknown size factor method {method!r}: one of {', '.join(METHODS)}")
    if method in get_args(NormMethod):
        norm = norm_factors(counts, method, control_genes)  # type: ignore[arg-type]  # ratio and poscounts are gone
        return SizeFactors(centred(norm.values * norm.library_size), method, norm.n_genes, norm.mean_count)
    return (_median_ratio if method == "ratio" else _positive_counts)(counts, control_genes)


def norm_factors(counts: Array, method: NormMethod = "TMM", control_genes: Mask | None = None) -> NormFactors:
    """Normalisation factors of edgeR's calcNormFactors: size factors divided by the library sizes.

    counts: (n_genes, n_samples). control_genes: (n_genes,), the genes that may be used. Raises InputError for an empty
    sample and where the method has no genes.
    """
    library_size = np.zeros(counts.shape[1])
    for block in gene_blocks(counts):
        library_size += counts[block].sum(axis=0)
    if not library_size.all():
        empty = int(np.flatnonzero(library_size == 0)[0]) + 1
        raise InputError(f"sample number {empty} has no counts at all: drop it")
    expressed = seen(counts)  # genes without a count say nothing and would move the quantiles
    if control_genes is not None:
        expressed &= control_genes
    if not expressed.any():
        raise InputError(NO_COUNT)
    factors, n_genes, mean_count = _NORM_FACTORS[method](Part(counts, np.flatnonzero(expressed)), library_size)
    return NormFactors(centred(factors), library_size, n_genes, mean_count)


def centred(values: Array) -> Array:
    """The values (n,) divided by their geometric mean."""
    return np.asarray(values / np.exp(np.log(values).mean()))


def _never_zero(counts: Array, control_genes: Mask | None) -> Part:
    """The genes with a count in every sample."""
    use = np.ones(counts.shape[0], np.bool_) if control_genes is None else control_genes.copy()
    for block in gene_blocks(counts):
        use[block] &= counts[block].all(axis=1)
    return Part(counts, np.flatnonzero(use))


def _median_ratio(counts: Array, control_genes: Mask | None) -> SizeFactors:
    part = _never_zero(counts, control_genes)
    n_genes = part.genes.size
    if not n_genes:
        raise InputError(NO_GENE.format(method="ratio") + '.\nUse size_factors="poscounts" (--size-factors poscounts).')
    if part.in_one_block:  # then logs are taken once
        (log_ratio,) = part.by_genes()
        mean_count = float(log_ratio.mean())
        np.log(log_ratio, out=log_ratio)
        log_ratio -= log_ratio.mean(axis=0)
        return SizeFactors(np.exp(np.median(log_ratio, axis=1, overwrite_input=True)), "ratio", n_genes, mean_count)
    log_mean = np.concatenate([np.log(values, out=values).mean(axis=0) for values in part.by_genes()])
    median = [np.median(np.log(sample) - log_mean, overwrite_input=True) for sample in part.samples()]
    return SizeFactors(np.exp(np.array(median)), "ratio", n_genes, part.mean_count)


def _positive_counts(counts: Array, control_genes: Mask | None) -> SizeFactors:
    """Geometric means over the positive counts, zeros adding nothing to the sum of logs but one to its length."""
    expressed = seen(counts) if control_genes is None else seen(counts) & control_genes
    part = Part(counts, np.flatnonzero(expressed))
    if not part.genes.size:
        raise InputError(NO_COUNT)
    log_mean = np.concatenate([np.log(np.maximum(values, 1.0)).mean(axis=0) for values in part.by_genes()])
    log_factors = np.empty(part.n_samples)
    for j, sample in enumerate(part.samples()):
        positive = sample > 0
        if not positive.any():
            raise InputError(f"sample number {j + 1} has no counts in the genes for normalisation: drop it")
        log_factors[j] = np.median(np.log(sample[positive]) - log_mean[positive])
    return SizeFactors(centred(np.exp(log_factors)), "poscounts", part.genes.size, part.mean_count)


def _relative_log_expression(part: Part, library_size: Array) -> tuple[Array, int, float]:
    part = Part(part.counts, np.intersect1d(part.genes, _never_zero(part.counts, None).genes))
    n_genes = part.genes.size
    if not n_genes:
        raise InputError(NO_GENE.format(method="RLE") + '.\nUse "TMMwsp" or "poscounts".')
    log_sum = np.concatenate([_sum_of_logs(values) for values in part.by_genes()])
    centre = np.exp(log_sum / part.n_samples)
    median = [np.median(sample / centre, overwrite_input=True) for sample in part.samples()]
    return np.array(median) / library_size, n_genes, part.mean_count


def _sum_of_logs(values: Array) -> Array:
    """Sum over samples of the logs of values (n_samples, n_genes)."""
    total = np.zeros(values.shape[1])
    for row in values:
        total += np.log(row)
    return total


def _upper(part: Part) -> Array:
    """Upper quartile of each sample (n_samples,)."""
    return np.array([np.quantile(sample, 0.75) for sample in part.samples()])


def _upper_quartile(part: Part, library_size: Array) -> tuple[Array, int, float]:
    quartile = _upper(part)  # (n_samples,)
    if not quartile.all():
        worst = int(np.flatnonzero(quartile == 0)[0]) + 1
        raise InputError(
            f'three quarters of the genes are zero in sample number {worst}.\nUse "TMMwsp" or "poscounts".'
        )
    return quartile / library_size, part.genes.size, part.mean_count


def _over_samples(
    part: Part, library_size: Array, reference: int, one: Callable[[Array, Array, float, float], Pair]
) -> tuple[Array, int, float]:
    """Factors of every sample against the reference sample, with average number and mean count of the genes kept."""
    against, size = part.sample(reference), float(library_size[reference])
    pairs = [one(sample, against, float(library_size[j]), size) for j, sample in enumerate(part.samples())]
    used = [pair for j, pair in enumerate(pairs) if j != reference and pair.n_genes] or pairs
    factors = np.array([2.0**pair.log2_factor for pair in pairs])
    n_genes, mean_count = (float(np.mean([getattr(p, name) for p in used])) for name in ("n_genes", "mean_count"))
    return factors, round(n_genes), mean_count


@dataclass(frozen=True)
class Pair:
    """One sample against the reference: log2 factor and the genes kept after trimming."""

    log2_factor: float
    n_genes: int
    mean_count: float


def _trimmed_mean_of_m(part: Part, library_size: Array) -> tuple[Array, int, float]:
    quartile = _upper(part) / library_size
    typical = int(np.argmin(np.abs(quartile - quartile.mean())))
    # Where most samples are zero in three quarters of the genes, the quartiles say nothing.
    reference = _richest(part) if np.median(quartile) < 1e-20 else typical
    return _over_samples(part, library_size, reference, _tmm_pair)


def _tmm_pair(sample: Array, reference: Array, sample_size: float, reference_size: float) -> Pair:
    both = (sample > 0) & (reference > 0)
    sample, reference = sample[both], reference[both]
    share, reference_share = sample / sample_size, reference / reference_size
    m = np.log2(share / reference_share)  # log ratio
    if not len(m) or np.abs(m).max() < SAME_SAMPLE:
        return Pair(0.0, len(m), float(sample.mean()) if len(m) else 0.0)
    a = (np.log2(share) + np.log2(reference_share)) / 2  # mean log abundance
    keep = _within(m, LOG_RATIO_TRIM) & _within(a, ABUNDANCE_TRIM)
    if not keep.any():
        return Pair(0.0, 0, 0.0)
    variance = (sample_size - sample) / sample_size / sample + (reference_size - reference) / reference_size / reference
    weight = 1 / variance[keep]
    return Pair(float((m[keep] * weight).sum() / weight.sum()), int(keep.sum()), float(sample[keep].mean()))


def _within(values: Array, trim: float) -> Mask:
    """Which values (n,) have a rank inside the trimmed range, ties sharing the mean of their ranks."""
    n = len(values)
    ordered = np.sort(values)
    low = int(n * trim) + 1
    first, last = ordered[low - 1], ordered[n - low]
    keep = (values >= first) & (values <= last)
    for edge in {float(first), float(last)}:  # the block of ties at an edge stays or goes as one
        start, stop = np.searchsorted(ordered, edge, "left"), np.searchsorted(ordered, edge, "right")
        if not low <= (start + 1 + stop) / 2 <= n + 1 - low:
            keep &= values != edge
    return np.asarray(keep)


def _richest(part: Part) -> int:
    """The sample with the largest sum of square roots of counts."""
    return int(np.argmax([np.sqrt(sample).sum() for sample in part.samples()]))


def _trimmed_mean_singletons(part: Part, library_size: Array) -> tuple[Array, int, float]:
    reference = _richest(part)
    return _over_samples(part, library_size, reference, _tmmwsp_pair)


def _tmmwsp_pair(sample: Array, reference: Array, sample_size: float, reference_size: float) -> Pair:
    """TMM with singleton pairing: genes seen in one sample only are paired by rank, the largest with the largest."""
    both = (sample > 0) & (reference > 0)
    alone = np.sort(sample[(sample > 0) & ~both])[::-1]
    reference_alone = np.sort(reference[(reference > 0) & ~both])[::-1]
    n_pairs = min(len(alone), len(reference_alone))
    sample = np.concatenate([sample[both], alone[:n_pairs]])
    reference = np.concatenate([reference[both], reference_alone[:n_pairs]])
    n = len(sample)
    share, reference_share = sample / sample_size, reference / reference_size
    m = np.log2(share / reference_share)
    if not n or np.abs(m).max() < SAME_SAMPLE:
        return Pair(0.0, n, float(sample.mean()) if n else 0.0)
    a = 0.5 * np.log2(share * reference_share)
    shrunken = np.log2((sample + 0.5) / (sample_size + 0.5) / ((reference + 0.5) / (reference_size + 0.5)))
    keep = _middle(np.lexsort((shrunken, m)), LOG_RATIO_TRIM) & _middle(np.argsort(a, kind="stable"), ABUNDANCE_TRIM)
    if not keep.any():
        return Pair(0.0, 0, 0.0)
    share, reference_share, m = share[keep], reference_share[keep], m[keep]
    variance = (1 - share) / share / sample_size + (1 - reference_share) / reference_share / reference_size
    weight = (1 + 1e-6) / (variance + 1e-6)
    return Pair(float((m * weight).sum() / weight.sum()), len(m), float(sample[keep].mean()))


def _middle(order: NDArray[np.intp], trim: float) -> Mask:
    """Which positions lie inside the trimmed range of this order."""
    n = len(order)
    cut = int(n * trim)
    keep = np.zeros(n, dtype=bool)
    keep[order[cut : n - cut]] = True
    return keep


_NORM_FACTORS: dict[str, Callable[[Part, Array], tuple[Array, int, float]]] = {
    "TMM": _trimmed_mean_of_m,
    "TMMwsp": _trimmed_mean_singletons,
    "RLE": _relative_log_expression,
    "upperquartile": _upper_quartile,
}
