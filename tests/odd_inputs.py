"""One shared collection of odd inputs over which every kernel is compared with its definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OddGene:
    """Counts, size factors and model matrix of one gene."""

    name: str
    y: np.ndarray  # (n_samples,)
    size: np.ndarray  # (n_samples,)
    X: np.ndarray  # (n_samples, n_coefficients)
    alpha: float


def _two_groups(n_test: int, n_reference: int) -> np.ndarray:
    group = np.r_[np.ones(n_test), np.zeros(n_reference)]
    return np.column_stack([np.ones(n_test + n_reference), group])


def _covariate(n: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.column_stack([np.ones(n), rng.normal(7e4, 1e4, n), np.arange(n) % 2])


def odd_genes() -> list[OddGene]:
    rng = np.random.default_rng(11)
    four = _two_groups(4, 4)
    ones = np.ones(8)
    plain = np.array([3.0, 8, 5, 9, 30, 22, 41, 27])
    genes = [
        OddGene("plain", plain, ones, four, 0.2),
        OddGene("zero group", np.array([0.0, 0, 0, 0, 30, 22, 41, 27]), ones, four, 0.2),
        OddGene("one sample alone", np.array([500.0, 0, 0, 0, 0, 0, 0, 0]), ones, four, 2.0),
        OddGene("one count", np.array([0.0, 0, 0, 0, 0, 1, 0, 0]), ones, four, 0.5),
        OddGene("huge counts", plain * 1e9, ones, four, 0.05),
        OddGene("lowest dispersion", plain, ones, four, 1e-8),
        OddGene("highest dispersion", plain, ones, four, 10.0),
        OddGene("tiny and huge size factors", plain, np.array([1e-3, 1e3, 1, 1, 1, 1, 1e2, 1e-2]), four, 0.2),
        OddGene("equal counts", np.full(8, 7.0), ones, four, 0.1),
        OddGene("three against two", np.array([10.0, 12, 7, 30, 44]), np.ones(5), _two_groups(3, 2), 0.1),
        OddGene("covariate of size 70,000", rng.poisson(40, 12).astype(float), np.ones(12), _covariate(12), 0.1),
    ]
    many = rng.negative_binomial(2, 2 / (2 + 50), 100).astype(float)
    return [*genes, OddGene("71 against 29", many, np.exp(rng.normal(0, 0.4, 100)), _two_groups(71, 29), 0.5)]
