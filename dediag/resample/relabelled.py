"""The design of a study whose labels are dealt out anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dediag.cohort import frozen
from dediag.model.contrasts import level_vector
from dediag.model.design import Design, check_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dediag.model.contrasts import Contrast


def relabelled(design: Design, contrast: Contrast, rows: Sequence[int], test: Sequence[int]) -> Design:
    """The design of the samples `rows` (positions) if `test`, some of them, were the test group.

    The other rows of either group become the reference group; samples of further levels keep theirs, and so do all
    covariates. Raises ValueError for a contrast without two groups or a factor in an interaction (its columns would
    change with the label), InputError where the design can no longer be estimated.
    """
    factor, levels = contrast.factor, [str(contrast.test), str(contrast.reference)]
    if factor is None or factor in design.interactions:
        raise ValueError("the contrast is no comparison of two levels of a factor outside interactions")
    index = np.asarray(rows, np.intp)
    before = design.frame[factor].astype(str).to_numpy()[index]
    after = np.where(np.isin(before, levels), str(contrast.reference), before)
    after[np.isin(index, test)] = str(contrast.test)
    columns = {level: level_vector(design, factor, level) for level in {*before.tolist(), *after.tolist()}}
    change = np.array([columns[new] - columns[old] for new, old in zip(after.tolist(), before.tolist(), strict=True)])
    matrix = frozen(design.matrix[index] + change)
    check_rank(matrix, design.names)
    frame = design.frame.iloc[index].copy()
    frame[factor] = pd.Categorical(after, categories=frame[factor].cat.categories)
    return Design(design.formula, matrix, design.names, frame, design.factors, design.interactions)
