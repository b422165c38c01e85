"""The variance-stabilising transformation against DESeq2 and against its definition as an integral."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import quad

from dediag.model.transformation import stabilize


@dataclass(frozen=True)
class Curve:
    """A dispersion trend."""

    kind: str
    coefficients: tuple[float, float] | None = None
    level: float = 0.0

    def __call__(self, mean):
        if self.kind == "mean":
            return np.full_like(mean, self.level)
        a, b = self.coefficients or (0.05, 2.0)
        return a + b / mean


def test_equals_deseq2(simulated):
    info = simulated.info["trend_coefficients"]
    if simulated.info["fit_type"] != "parametric":
        pytest.skip("only parametric trends are kept in the results")
    size = simulated.table("samples")["size_factor"].to_numpy()
    found = stabilize(simulated.cohort.counts / size, Curve("parametric", (info["asymptDisp"], info["extraPois"])))
    np.testing.assert_allclose(found, simulated.table("deseq2_vst"), rtol=1e-6)


@pytest.mark.parametrize(
    ("trend", "poisson", "dispersion"),
    [(Curve("parametric", (0.05, 2.0)), 3.0, 0.05), (Curve("mean", level=0.2), 1.0, 0.2)],
)
def test_closed_forms_are_the_integral(trend, poisson, dispersion):
    q = np.array([[0.0, 0.5, 3.0], [40.0, 700.0, 1e6]])
    found = stabilize(q, trend)
    scale = np.sqrt(dispersion) / np.log(2)  # slope of log2 q over the slope of the integral, for large q
    for value, transformed in zip(q.flat, found.flat, strict=True):
        integral = 2 * quad(lambda u: 1 / np.sqrt(poisson + dispersion * u * u), 0, np.sqrt(value), epsabs=1e-12)[0]
        assert transformed - found[0, 0] == pytest.approx(scale * integral, abs=1e-8)
    assert found[1, 2] == pytest.approx(np.log2(1e6), abs=1e-3)


def test_a_local_trend_gives_the_integral_scaled_to_log2():
    rng = np.random.default_rng(0)
    q = rng.poisson(np.exp(rng.normal(4, 2, (2000, 1))) * np.ones(4)).astype(float)
    numerical = stabilize(q, Curve("local"), 1.0)
    exact = stabilize(q, Curve("parametric", (0.05, 2.0)))  # the same variance: an affine map of the same integral
    slope, intercept = np.polyfit(exact.ravel(), numerical.ravel(), 1)
    np.testing.assert_allclose(numerical, intercept + slope * exact, atol=2e-4)
    order = np.argsort(q, axis=None)
    assert np.all(np.diff(numerical.ravel()[order]) >= 0)
    mean = q.mean(axis=1)
    low, high = np.quantile(mean, [0.95, 0.999])
    top = stabilize(np.vstack([q, [[low] * 4]]), Curve("local"), 1.0)
    assert top[-1, 0] == pytest.approx(np.log2(low), abs=0.01)
    assert high > low


def test_variance_is_stable():
    rng = np.random.default_rng(1)
    mean, alpha = np.geomspace(5, 5000, 30)[:, None], 0.1
    counts = rng.poisson(rng.gamma(1 / alpha, mean * alpha * np.ones((30, 4000)))).astype(float)
    spread = stabilize(counts, Curve("mean", level=alpha)).std(axis=1)
    assert spread.max() / spread.min() < 1.25
