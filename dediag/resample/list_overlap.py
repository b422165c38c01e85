"""Lists of draws of samples, and the same of simulated cohorts: overlap, length, and what a new study would find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from dediag.resample.plans import Simulations
from dediag.resample.streams import stream
from dediag.stats.control_variate import expect
from dediag.stats.overlap import DrawVariance, jaccard_between, mean_defined, pairwise_jaccard, predicted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.model.nbfit import NBFit
    from dediag.resample.ensemble import Ensemble
    from dediag.resample.plans import Subsets
    from dediag.stats.control_variate import Expectation

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

DRAWS_PER_COHORT = 4  # fewest that tell the noise of drawing from the spread between cohorts
LARGEST_Z = 38.0  # of a p-value that float64 can still hold
OFFSET = 0.5  # call, so that an empty list has a logarithm


@dataclass(frozen=True)
class DrawnLists:
    """Lists of a study's draws beside those of the same draws from simulated cohorts."""

    frequency: Array  # (n_genes,) share of the draws that call the gene, in the direction of all samples
    lengths: Array  # (n_draws,)
    pairs: Array  # (n_pairs,) Jaccard index of every pair of draws; NaN: no call in either
    jaccard: float  # their mean; NaN: no pair with a call
    expected_jaccard: Expectation | None
    expected_log_length: Expectation | None  # natural logarithm of the mean length + OFFSET
    rank_frequency: Array  # (n_cohorts, n_genes) share of draws that call the gene of this rank in the cohort's own fit
    jaccard_new: float  # mean over lists of a draw here and of a draw in a repetition of the study

    @property
    def difference(self) -> tuple[float, float]:
        """Observed less expected overlap, and the p-value of it; NaN: not known."""
        if self.expected_jaccard is None or np.isnan(self.jaccard):
            return np.nan, np.nan
        return self.jaccard - self.expected_jaccard.value, self.expected_jaccard.p_value(self.jaccard)

    @property
    def times(self) -> tuple[float, float]:
        """Calls per draw in multiples of the expected, and the p-value of that; NaN: not known."""
        if self.expected_log_length is None or not self.lengths.size:
            return np.nan, np.nan
        log = float(np.log(self.lengths.mean() + OFFSET))
        return float(np.exp(log - self.expected_log_length.value)), self.expected_log_length.p_value(log)

    def expected_length(self, level: float) -> tuple[float, float, float] | None:
        """Calls per draw: expected value and interval; None: not known."""
        if self.expected_log_length is None:
            return None
        logs = (self.expected_log_length.value, *self.expected_log_length.interval(level))
        value, low, high = (max(float(np.exp(x)) - OFFSET, 0.0) for x in logs)
        return value, low, high


@dataclass(frozen=True)
class ListOverlap:
    """What repetitions of a study, simulated from its fit, would call; a list is of genes with their direction."""

    again: Array  # (n_cohorts,) calls of the full fit that a repetition of the study calls again, same direction
    called_again: Array  # (n_genes,) share of repetitions that call the gene, in the direction of the full fit
    jaccard_repeated: float  # mean over repetitions: its list and the study's
    draws: DrawnLists | None  # None: nothing was drawn


def simulations(draws: Subsets | None, n_samples: int, n_cohorts: int, seed: int) -> Simulations:
    """Simulated cohorts, each refitted in a few of the draws and, last, in full: what `list_overlap` asks for."""
    drawn = draws.rows if draws else ()
    per_cohort = min(DRAWS_PER_COHORT, len(drawn))
    everyone = tuple(range(n_samples))
    rng = stream(seed, "draws of simulated cohorts")  # neighbours may share more samples than others do
    rows: list[tuple[int, ...]] = []
    for _ in range(n_cohorts):
        rows += [drawn[k] for k in rng.permutation(len(drawn))[:per_cohort]] + [everyone]
    return Simulations(
        n_cohorts, seed, "posterior", "shared", "standardised", rows=tuple(rows), per_cohort=per_cohort + 1,
        what="refits of draws from simulated cohorts",
    )  # fmt: skip


def list_overlap(fit: NBFit, drawn: Ensemble | None, simulated: Ensemble) -> ListOverlap:
    """Compare the lists of draws with those of `simulations` of the same draws. Refits that failed are left out.

    drawn: None where there is nothing to draw; where fewer than two draws could be refitted, or no cohort, only
    repetitions of the whole study are known, if these.
    """
    plan = simulated.plan
    if not isinstance(plan, Simulations):
        raise ValueError("the second ensemble is not one of simulated cohorts")
    per, n_genes = plan.per_cohort, simulated.n_genes
    made = np.asarray((simulated.n_tested > 0).reshape(-1, per).all(axis=1))
    lists = _lists(simulated).reshape(len(made), per, 2 * n_genes)[made]
    of_draws, whole = lists[:, :-1], lists[:, -1]
    full = np.concatenate([fit.significant & (fit.lfc > 0.0), fit.significant & (fit.lfc < 0.0)])
    again = whole & full
    return ListOverlap(
        again=again.sum(axis=1).astype(np.float64),
        called_again=(again[:, :n_genes] | again[:, n_genes:]).mean(axis=0) if len(again) else np.full(n_genes, np.nan),
        jaccard_repeated=mean_defined(jaccard_between(full[None], whole)),
        draws=_drawn_lists(fit, drawn, simulated, of_draws, made)
        if drawn is not None and made.any() and np.count_nonzero(drawn.n_tested) > 1
        else None,
    )


def _drawn_lists(fit: NBFit, drawn: Ensemble, simulated: Ensemble, of_draws: Mask, made: Mask) -> DrawnLists:
    """of_draws: (n_cohorts, n_draws, 2 n_genes) lists of the simulated draws; made: which cohorts those are."""
    n_genes, per = drawn.n_genes, of_draws.shape[1] + 1
    own = _lists(drawn)[drawn.n_tested > 0]
    kept = [a.reshape(-1, per, n_genes)[:, -1][made] for a in (simulated.lfc, simulated.pvalue, simulated.padj)]
    share = _information(fit, drawn.included[drawn.n_tested > 0])
    known = np.array([predicted(_z(*one), share, fit.alpha) for one in zip(*kept, strict=True)]).reshape(-1, 2)
    own_known = predicted(_z(fit.lfc, fit.pvalue, fit.padj), share, fit.alpha)
    indices = np.array([pairwise_jaccard(part) for part in of_draws]).reshape(len(of_draws), -1)
    means = np.array([mean_defined(row) for row in indices])
    noise = DrawVariance.of(indices)
    pairs = pairwise_jaccard(own)
    return DrawnLists(
        frequency=_frequency(own, fit.lfc),
        lengths=own.sum(axis=1).astype(np.float64),
        pairs=pairs,
        jaccard=mean_defined(pairs),
        expected_jaccard=expect(
            means, known[:, 0], own_known[0], noise=noise.of_mean(per - 1), own_noise=noise.of_mean(len(own))
        ),
        expected_log_length=expect(
            np.log(of_draws.sum(axis=2).mean(axis=1) + OFFSET), np.log(known[:, 1] + OFFSET),
            float(np.log(own_known[1] + OFFSET)),
        ),
        rank_frequency=np.array(
            [_frequency(d, lfc)[by_strength(p)] for d, lfc, p in zip(of_draws, *kept[:2], strict=True)]
        ),
        jaccard_new=mean_defined(jaccard_between(own, of_draws.reshape(-1, 2 * n_genes))),
    )  # fmt: skip


def _lists(found: Ensemble) -> Mask:
    """Genes called up, then genes called down: (n_refits, 2 n_genes)."""
    return np.concatenate([found.up, found.down], axis=1)


def by_strength(pvalue: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions of genes from the smallest p-value to the largest and those without one: (n_genes,)."""
    return np.argsort(np.nan_to_num(pvalue, nan=2.0), kind="stable")


def _frequency(lists: Mask, lfc: NDArray[np.floating]) -> Array:
    """Share of lists (n_lists, 2 n_genes) with each gene in the direction of its fold change (n_genes,): (n_genes,)."""
    up, down = np.split(lists.mean(axis=0), 2)
    return np.where(lfc > 0.0, up, down)


def _z(lfc: NDArray[np.floating], pvalue: NDArray[np.floating], padj: NDArray[np.floating]) -> Array:
    """z-values that stand for two-sided p-values, signed as the fold change; NaN for a gene without adjusted p."""
    size = np.minimum(-ndtri(np.asarray(pvalue, np.float64) / 2.0), LARGEST_Z)
    return np.where(np.isfinite(padj), np.copysign(size, lfc), np.nan)


def _information(fit: NBFit, included: Mask) -> float:
    """Information of a draw on the fold change over that of all samples, at equal variance of all log counts."""
    groups = [fit.group_mask(str(level)) for level in (fit.contrast.test, fit.contrast.reference)]
    full = sum(1.0 / g.sum() for g in groups)
    return float(full / sum(1.0 / included[:, g].sum(axis=1).mean() for g in groups))
