"""The design: formula and sample table to model matrix, checked so that every coefficient can be estimated."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import InputError, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FEW_LEVELS = 10  # a whole-number covariate with at most this many values is probably a batch, not a measurement


@dataclass(frozen=True)
class Design:
    """A model matrix with its meaning; `frame` holds the sample columns that the formula uses."""

    formula: str
    matrix: NDArray[np.float64]  # (n_samples, n_coefficients)
    names: tuple[str, ...]  # (n_coefficients,)
    frame: pd.DataFrame  # (n_samples, n_variables)
    factors: Mapping[str, tuple[str, ...]]  # levels of each categorical variable, reference first
    interactions: frozenset[str] = frozenset()  # variables that are part of an interaction
    notices: tuple[str, ...] = ()

    @cached_property
    def _cells(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        rows, first, inverse = np.unique(self.matrix, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return rows[order], np.argsort(order)[inverse.reshape(-1)]

    @property
    def cells(self) -> NDArray[np.float64]:
        """The distinct rows of the matrix, in order of appearance: (n_cells, n_coefficients)."""
        return self._cells[0]

    @property
    def cell(self) -> NDArray[np.intp]:
        """The row of `cells` that each sample has: (n_samples,)."""
        return self._cells[1]

    @property
    def saturated(self) -> bool:
        """Whether there are as many distinct rows as coefficients: then each cell is fitted from its own samples."""
        return bool(self.cells.shape[0] == self.matrix.shape[1])

    @property
    def is_intercept(self) -> bool:
        """Whether the design is one column of ones."""
        return self.matrix.shape[1] == 1 and bool((self.matrix == 1.0).all())

    @property
    def single_two_level_factor(self) -> bool:
        """Whether the formula has one variable, a factor with two levels (Cook's rule treats it apart)."""
        return len(self.frame.columns) == 1 and [len(levels) for levels in self.factors.values()] == [2]

    def replicates(self) -> NDArray[np.intp]:
        """Number of samples in each sample's cell: (n_samples,)."""
        return np.bincount(self.cell)[self.cell]

    def take(self, index: Sequence[int] | NDArray[np.intp]) -> Design:
        """The design of these samples; raises InputError when it can no longer be estimated."""
        matrix = frozen(self.matrix[np.asarray(index)])
        check_rank(matrix, self.names)
        frame = self.frame.iloc[np.asarray(index)]
        return Design(self.formula, matrix, self.names, frame, self.factors, self.interactions)


def build(formula: str, samples: pd.DataFrame, releveled: Mapping[str, str] | None = None) -> Design:
    """Design of a formula such as "~ batch + group" over a sample table.

    Text, category and boolean columns are factors with treatment coding; the first level in sorted order is the
    reference unless `releveled` (factor -> reference level) says otherwise. Raises InputError for an unknown column, a
    missing value, a formula that cannot be read, or coefficients that cannot be estimated.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        parsed = Formula(formula)
        variables = sorted(str(v) for v in parsed.required_variables)
    except (FormulaicError, SyntaxError, AttributeError) as error:
        raise InputError(f"design '{formula}' cannot be read as a formula: {_first_line(error)}") from error
    if "~" in formula and not formula.strip().startswith("~"):
        raise InputError(f"design '{formula}': leave out what stands before '~'; counts are the response")
    frame, factors = _frame(variables, samples, releveled or {})
    try:
        model = parsed.get_model_matrix(frame, na_action="raise")
    except (FormulaicError, ValueError, TypeError, NameError) as error:
        raise InputError(f"design '{formula}' cannot be built from the sample table: {_first_line(error)}") from error
    names = tuple(str(name) for name in model.columns)
    matrix = frozen(model.to_numpy(dtype=np.float64))
    if not np.isfinite(matrix).all():
        column = names[int(np.argmin(np.isfinite(matrix).all(axis=0)))]
        raise InputError(f"design '{formula}': column {column} of the model matrix is not finite; check the covariate")
    check_rank(matrix, names)
    crossed = [factor.expr for term in parsed if len(term.factors) > 1 for factor in term.factors]
    interactions = frozenset(v for expression in crossed for v in _variables_in(expression, variables))
    return Design(formula, matrix, names, frame, factors, interactions, _notices(formula, frame, factors))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _variables_in(expression: str, variables: Sequence[str]) -> set[str]:
    return {v for v in variables if re.search(rf"(?<!\w){re.escape(v)}(?!\w)", expression)}


def _frame(
    variables: Sequence[str], samples: pd.DataFrame, releveled: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """The used columns, factors as categories with the reference level first."""
    columns, factors = {}, {}
    for name in variables:
        if name not in samples.columns:
            listed = ", ".join(map(str, samples.columns))
            raise InputError(f"design: column '{name}' is not in the sample table; its columns are: {listed}")
        values = samples[name]
        if values.isna().any():
            row = str(samples.index[int(np.argmax(values.isna().to_numpy()))])
            raise InputError(
                f"sample table: column '{name}' has no value for sample '{row}'\n"
                "fill it in, leave the column out of the design, or drop the sample with --drop-samples"
            )
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numeric and name not in releveled:
            columns[name] = values.astype(np.float64) if not pd.api.types.is_integer_dtype(values) else values
            continue
        levels = [str(level) for level in (sorted(values.unique()) if numeric else sorted(values.astype(str).unique()))]
        if name in releveled:
            reference = releveled[name]
            if reference not in levels:
                raise unknown_level(name, reference, levels)
            levels = [reference, *(level for level in levels if level != reference)]
        columns[name] = pd.Series(pd.Categorical(values.astype(str), categories=levels), index=samples.index)
        factors[name] = tuple(levels)
    return pd.DataFrame(columns, index=samples.index), factors


def unknown_level(factor: str, level: str, levels: Sequence[str]) -> InputError:
    """The error for a level that a factor does not have; lists those that it has."""
    near = difflib.get_close_matches(level.casefold(), [name.casefold() for name in levels], n=1)
    meant = next((name for name in levels if near and name.casefold() == near[0]), None)
    ask = "" if meant is None else f"\ndid you mean '{meant}'?"
    return InputError(f"contrast: '{level}' is not a level of '{factor}'; its levels are: {', '.join(levels)}{ask}")


def check_rank(matrix: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise InputError naming the first column that is a combination of those before it, or too few samples."""
    m, p = matrix.shape
    scaled = matrix / np.maximum(np.abs(matrix).max(axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled) < p:
        rank = 0
        for k in range(p):
            new_rank = int(np.linalg.matrix_rank(scaled[:, : k + 1]))
            if new_rank == rank:
                weights = np.linalg.lstsq(scaled[:, :k], scaled[:, k], rcond=None)[0] if k else np.empty(0)
                partners = [names[int(i)] for i in np.flatnonzero(np.abs(weights) > 1e-6)]
                what = f"a combination of {', '.join(partners)}" if partners else "zero for every sample"
                raise InputError(
                    f"design: column {names[k]} is {what}, so its effect cannot be told apart\n"
                    "leave out one of these variables, or the samples that cause it"
                )
            rank = new_rank
    if m <= p:
        raise InputError(
            f"design: {m} samples for {p} coefficients leave no replicates to estimate a dispersion\n"
            "use a smaller design"
        )


def _notices(formula: str, frame: pd.DataFrame, factors: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    notices = []
    for name in frame.columns:
        values = frame[name]
        if name in factors or f"C({name}" in formula.replace(" ", ""):
            continue
        distinct = np.unique(values.to_numpy(dtype=np.float64))
        if distinct.size <= min(FEW_LEVELS, len(values) // 2) and np.all(distinct == np.round(distinct)):
            shown = ", ".join(f"{v:g}" for v in distinct)
            notices.append(
                f"'{name}' has {distinct.size} whole-number values ({shown}) and enters the design as one slope; "
                f"write C({name}) if they are labels"
            )
    return tuple(notices)
