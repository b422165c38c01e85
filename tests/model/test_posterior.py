"""Posterior modes against direct maximisation of the plainly written posterior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import gammaln

from dediag.model import posterior as module
from dediag.model.posterior import Posterior, modes

LN_2 = np.log(2)
GROUPS = np.array([[1.0, 1.0], [1.0, 0.0]])
OTHERS = 15.0**-2


def plain(p: Posterior, gene: int, b: np.ndarray) -> float:
    """The definition: NB likelihood, normal priors, Cauchy prior."""
    y, r = p.counts[gene], 1 / p.dispersion[gene]
    mu = p.size[gene if len(p.size) > 1 else 0] * np.exp(p.cells[p.cell] @ b)
    density = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + y * np.log(mu) - y * np.log(r + mu) - r * np.log1p(mu / r)
    total = np.sum(density * (1.0 if p.weight is None else p.weight[gene]))
    total -= 0.5 * np.sum(p.precision * b**2)
    if p.scale > 0:
        total -= np.log(1 + (b[p.shrunken] / p.scale) ** 2)
    return total


def direct(p: Posterior, gene: int, start: np.ndarray) -> np.ndarray:
    """The best of climbs from several starts."""
    starts = []
    for share in (0.0, 0.3, 1.0):
        at = start.copy()
        at[p.shrunken] *= share
        starts.append(at)
    alone = start.copy()
    alone[0] += p.cells[p.cell, p.shrunken].mean() * start[p.shrunken]
    alone[p.shrunken] = 0.0
    found = [
        minimize(
            lambda b: -plain(p, gene, b),
            s,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12, "maxfev": 4000},
        )
        for s in [*starts, alone]
    ]
    return min(found, key=lambda f: f.fun).x


def cohort(seed: int, n_genes: int, n1: int, n2: int, scale: float) -> tuple[Posterior, np.ndarray]:
    rng = np.random.default_rng(seed)
    cell = np.repeat([0, 1], [n1, n2])
    mean = np.exp(rng.normal(4, 1.8, n_genes))
    effect = rng.normal(0, 1.5, n_genes)
    size = np.exp(rng.normal(0, 0.3, n1 + n2))
    alpha = 0.05 + 2 / mean
    mu = mean[:, None] * np.exp(np.outer(effect, cell == 0)) * size
    counts = rng.poisson(rng.gamma(1 / alpha[:, None], alpha[:, None] * mu)).astype(float)
    start = starts(counts / size, cell)
    return Posterior(counts, size[None], None, alpha, GROUPS, cell, np.array([OTHERS, 0.0]), 1, scale), start


def starts(normalized: np.ndarray, cell: np.ndarray) -> np.ndarray:
    test, reference = (np.log(normalized[:, cell == c].mean(axis=1) + 0.05) for c in (0, 1))
    return np.column_stack([reference, test - reference])


def check(p: Posterior, start: np.ndarray, tolerance: float = 2e-5) -> np.ndarray:
    unit = np.eye(start.shape[1])[p.shrunken]
    found, variance = modes(p, start, unit)
    for gene in range(len(start)):
        expected = direct(p, gene, start[gene])
        assert plain(p, gene, found[gene]) >= plain(p, gene, expected) - 1e-8
        if abs(plain(p, gene, found[gene]) - plain(p, gene, expected)) < 1e-6:
            assert found[gene, p.shrunken] == pytest.approx(expected[p.shrunken], abs=tolerance)
    assert np.all(variance > 0)
    return found


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0])
def test_modes_are_direct_maxima(scale):
    check(*cohort(0, 14, 5, 4, scale))


def test_normal_prior_alone():
    p, start = cohort(1, 15, 4, 4, 0.0)
    p = Posterior(p.counts, p.size, None, p.dispersion, GROUPS, p.cell, np.array([1e-6, 4.0]))
    check(p, start)


def test_weights_offsets_and_covariate():
    rng = np.random.default_rng(2)
    p, start = cohort(2, 8, 5, 5, 0.4)
    covariate = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    cells = np.column_stack([np.ones(10), np.repeat([1.0, 0.0], 5), covariate])
    size = np.exp(rng.normal(0, 0.3, p.counts.shape))
    weight = rng.uniform(0.1, 1, p.counts.shape)
    precision = np.array([OTHERS, 0.0, OTHERS])
    q = Posterior(p.counts, size, weight, p.dispersion, cells, np.arange(10), precision, 1, 0.4)
    check(q, np.column_stack([start, np.zeros(8)]), 1e-4)


ODD = {
    "group all zero": [0, 0, 0, 0, 30, 40, 20, 35],
    "other group all zero": [30, 40, 20, 35, 0, 0, 0, 0],
    "one sample alone": [0, 0, 0, 500, 0, 0, 0, 0],
    "one count": [0, 0, 0, 1, 0, 0, 0, 0],
    "huge counts": [4e9, 5e9, 3e9, 4e9, 1e9, 2e9, 1e9, 1e9],
    "nothing moves": [7, 7, 7, 7, 7, 7, 7, 7],
}


@pytest.mark.parametrize("alpha", [1e-8, 0.1, 10.0])
@pytest.mark.parametrize("name", ODD)
def test_odd_inputs(name, alpha):
    counts = np.array([ODD[name]], dtype=float)
    cell = np.repeat([0, 1], 4)
    p = Posterior(counts, np.ones((1, 8)), None, np.array([alpha]), GROUPS, cell, np.array([OTHERS, 0.0]), 1, 0.5)
    start = starts(counts, cell)
    unit = np.array([0.0, 1.0])
    found, variance = modes(p, start, unit)
    assert np.isfinite(found).all()
    assert variance[0] > 0
    gradient = approx_fprime(found[0], lambda b: plain(p, 0, b), 1e-6)
    assert np.abs(gradient).max() < 1e-2 * np.sqrt(1 + counts.max())
    assert p.value(found)[0] >= p.value(start)[0]
    assert p.value(found)[0] >= p.value(start * [1, 0])[0]
    from_far, _ = modes(p, np.array([[-30.0, 30.0]]), unit)
    np.testing.assert_allclose(from_far, found, atol=1e-4)


def test_the_higher_of_two_modes():
    """One gene after another passes from the outer to the inner mode as its fold change falls: the profile decides."""
    cell = np.repeat([0, 1], 3)
    fold = np.exp(np.linspace(0.3, 4, 40))
    counts = np.round(np.where(cell == 0, 40 * fold[:, None], 40))
    p = Posterior(
        counts, np.ones((1, 6)), None, np.full(40, 0.5), GROUPS, cell, np.array([OTHERS, 0.0]), shrunken=1, scale=0.02
    )
    found, _ = modes(p, starts(counts, cell), np.array([0.0, 1.0]))
    inner, outer = 0, 0
    grid = np.linspace(0, 4.5, 1801)
    for gene in range(40):
        one = p.take(np.repeat(gene, len(grid)))
        held = Posterior(
            one.counts, one.size, None, one.dispersion, GROUPS, cell, np.array([OTHERS, 1e14])
        )  # the intercept that goes with each fold change
        size = np.where(cell == 0, np.exp(grid[:, None]), 1.0)
        moved = Posterior(held.counts, size, None, held.dispersion, GROUPS, cell, held.precision)
        intercept = modes(moved, np.tile([3.0, 0.0], (len(grid), 1)), np.array([1.0, 0.0]))[0][:, 0]
        profile = one.value(np.column_stack([intercept, grid]))[0]
        assert p.take(np.array([gene])).value(found[[gene]])[0] >= profile.max() - 1e-6
        inner, outer = inner + (found[gene, 1] < 0.1), outer + (found[gene, 1] > 1)
    assert inner > 5
    assert outer > 5


def test_variance_is_the_inverse_curvature():
    p, start = cohort(3, 6, 5, 5, 0.5)
    found, variance = modes(p, start, np.array([0.5, 2.0]))
    for gene in range(6):
        h = 1e-4
        hessian = np.empty((2, 2))
        for i in range(2):
            for k in range(2):
                signs = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
                at = [plain(p, gene, found[gene] + h * (a * np.eye(2)[i] + c * np.eye(2)[k])) for a, c in signs]
                hessian[i, k] = (at[0] - at[1] - at[2] + at[3]) / (4 * h * h)
        expected = np.array([0.5, 2.0]) @ np.linalg.inv(-hessian) @ np.array([0.5, 2.0])
        assert variance[gene] == pytest.approx(expected, rel=1e-3)


def test_blocks_do_not_matter(monkeypatch):
    p, start = cohort(4, 50, 4, 4, 0.2)
    whole, variance = modes(p, start, np.array([0.0, 1.0]))
    monkeypatch.setattr(module, "BLOCK", 60)
    parts, part_variance = modes(p, start, np.array([0.0, 1.0]))
    np.testing.assert_allclose(parts, whole, atol=1e-9)
    np.testing.assert_allclose(part_variance, variance, rtol=1e-7)


def test_no_genes():
    p, start = cohort(5, 3, 3, 3, 0.2)
    found, variance = modes(p.take(np.array([], dtype=int)), start[:0], np.array([0.0, 1.0]))
    assert found.shape == (0, 2)
    assert variance.shape == (0,)
