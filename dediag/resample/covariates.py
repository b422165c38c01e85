"""The columns of a sample table that a contrast may be entangled with, and the fit with further columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import InputError, frozen
from dediag.model.design import FEW_LEVELS, Design, check_rank
from dediag.model.fit import fit as fit_cohort
from dediag.stats import association

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dediag.model.nbfit import NBFit

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """A column of the sample table over the samples of the two groups."""

    name: str
    values: Array | None  # (n_samples,) of a measurement; None: levels
    codes: NDArray[np.intp]  # (n_samples,) of the levels; of a measurement its ranks
    in_design: bool
    counter: bool  # its values are 1, 2, ... without a gap, such as numbers of replicates within a group

    @property
    def individuals(self) -> bool:
        """Whether its values look like names of individuals of which some have several samples."""
        levels = int(self.codes.max()) + 1
        return self.values is None and not self.counter and 4 <= levels < self.codes.size <= 2 * levels

    @property
    def matrix(self) -> Array:
        """Columns that it adds to a design with an intercept: (n_samples, k)."""
        if self.values is not None:
            return np.asarray((self.values - self.values.mean()) / (self.values.std() or 1.0))[:, None]
        return np.eye(int(self.codes.max()) + 1)[self.codes][:, 1:]


def columns(fit: NBFit, both: Mask) -> list[Column]:
    """The columns that vary and recur among the samples `both` (n_samples,): not the contrast's factor, not row names.

    Numbers are measurements unless they are whole, of few values, or levels in the design; a missing level is a level,
    a column of measurements with a gap is left out.
    """
    found = []
    for name, column in fit.cohort.samples.items():
        values = column[both]
        if name == fit.contrast.factor or values.nunique(dropna=False) < 2:
            continue
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        whole = pd.api.types.is_integer_dtype(values) and values.nunique() <= FEW_LEVELS
        measured = numeric and not whole and name not in fit.design.factors
        if measured and not np.isfinite(values.to_numpy(np.float64)).all():
            continue
        names = ["missing" if pd.isna(value) else str(value) for value in values]
        codes = np.unique(values.to_numpy() if measured else names, return_inverse=True)[1].reshape(-1)
        if not measured and int(codes.max()) + 1 == codes.size:
            continue  # a name of its own for every sample
        in_design = name in fit.design.frame.columns
        counter = set(names) == {str(k + 1) for k in range(len(set(names)))}
        found.append(Column(str(name), values.to_numpy(np.float64) if measured else None, codes, in_design, counter))
    return found


def technical(fit: NBFit, both: Mask) -> list[Column]:
    """Depth and size factor (logarithms) and number of detected genes of the samples `both` (n_samples,)."""
    counts = fit.cohort.counts[:, both]
    measures = {
        "depth": np.log(counts.sum(axis=0)),
        "detected genes": (counts > 0.0).sum(axis=0).astype(np.float64),
        "size factor": np.log(fit.size_factors[both]),
    }
    ranks = np.arange(counts.shape[1])
    return [Column(name, values, ranks, in_design=False, counter=False) for name, values in measures.items()]


def variable_genes(normalised: Array, most: int) -> Array:
    """log2(x + 1) of the most variable genes of normalised counts (n_genes, n_samples): (at most `most`, n_samples)."""
    values = np.log2(normalised + 1.0)
    return np.asarray(values[np.argsort(-values.var(axis=1), kind="stable")[:most]])


def surrogate(values: Array, matrix: Array) -> Array | None:
    """What moves these genes (n_genes, n_samples) together beside the design (n_samples, p): (n_samples, 1), scaled.

    The first component of the residuals; None where the design leaves nothing over.
    """
    left = association.residuals(values.T, matrix).T
    scores = association.principal_components(left, 1)[0]
    spread = float(scores.std())
    return scores / spread if spread > 0.0 else None


def refit_with(fit: NBFit, extra: Array, both: Mask, size_factors: str | ArrayLike) -> NBFit | InputError:
    """The fit with further columns (n_both, k), zero for samples of other levels; why not, where it cannot be.

    size_factors: the method of the main fit, or its given factors.
    """
    added = np.zeros((fit.cohort.n_samples, extra.shape[1]))
    added[both] = extra
    design = fit.design
    names = (*design.names, *(f"added {k + 1}" for k in range(extra.shape[1])))
    matrix = np.hstack([design.matrix, added])
    contrast = replace(fit.contrast, vector=frozen(np.r_[fit.contrast.vector, np.zeros(extra.shape[1])]))
    try:
        check_rank(matrix, names)
        wider = Design(design.formula, frozen(matrix), names, design.frame, design.factors, design.interactions)
        return fit_cohort(
            fit.cohort, wider, contrast, size_factors=size_factors, search="newton", alpha=fit.alpha,
            weights=fit.weights if fit.weights.shape[1] else None,
        )  # fmt: skip
    except InputError as error:
        return error
