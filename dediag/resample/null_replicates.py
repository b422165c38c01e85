"""What a pipeline finds again and again where there is nothing to find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dediag.resample.ensemble import Ensemble

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class NullReplicates:
    """Refits of labels or cohorts in which no gene differs."""

    sizes: Array  # (n_replicates,) share of tested genes with p < .05
    hits: Array  # (n_replicates,) calls
    called: Array  # (n_genes,) share of the replicates in which a gene is called

    @classmethod
    def of(cls, refits: Ensemble) -> NullReplicates | None:
        """From the refits of a plan; None where none of them could be made."""
        made = refits.n_tested > 0
        if not made.any():
            return None
        called = (refits.up | refits.down)[made]
        return cls(refits.n_small[made] / refits.n_tested[made], called.sum(axis=1) * 1.0, called.mean(axis=0))

    @property
    def size(self) -> float:
        """Mean share of genes with p < .05."""
        return float(self.sizes.mean())

    @property
    def size_p90(self) -> float:
        """90th percentile of that share."""
        return float(np.quantile(self.sizes, 0.9))

    @property
    def hits_mean(self) -> float:
        """Mean number of calls."""
        return float(self.hits.mean())

    @property
    def hits_median(self) -> float:
        """Median number of calls."""
        return float(np.median(self.hits))

    @property
    def hits_p90(self) -> float:
        """90th percentile of the number of calls."""
        return float(np.quantile(self.hits, 0.9))


@dataclass(frozen=True)
class FalseCalls:
    """Which genes are called most often where nothing is to be found, and which samples hold their largest counts."""

    genes: NDArray[np.intp]  # positions, most often called first
    holders: NDArray[np.intp]  # (n_genes,) position of the sample with the largest normalised count
    samples: NDArray[np.intp]  # positions of all samples, those that hold most first
    shares: Array  # (n_samples,) of the false calls

    @classmethod
    def of(cls, nulls: list[NullReplicates], normalised: Array, most: int) -> FalseCalls:
        """normalised: (n_genes, n_samples) counts; most: genes that are named."""
        times = np.sum([null.called * len(null.hits) for null in nulls], axis=0) if nulls else np.zeros(len(normalised))
        genes = np.argsort(-times, kind="stable")[:most]
        holder = normalised.argmax(axis=1)
        shares = np.bincount(holder, weights=times, minlength=normalised.shape[1]) / max(float(times.sum()), 1.0)
        order = np.argsort(-shares, kind="stable")
        genes = genes[times[genes] > 0]
        return cls(genes, holder[genes], order, shares[order])
