"""Points that are samples: in the colours of their groups, some of them named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Index = NDArray[np.intp]


def sample_points(
    ax: Axes, x: Array, y: Array, group: Index, groups: tuple[str, str], *, names: Sequence[str], named: Index
) -> None:
    """Points x and y (n_samples,) by group (n_samples,), 0 test and 1 reference; those at `named` with their names."""
    from dediag.drawing import cloud, tag

    for k, role in enumerate(("test", "reference")):
        cloud(ax, x[group == k], y[group == k], role, label=groups[k], size=36.0, alpha=0.9)
    for k in named:
        if np.isfinite((x[k], y[k])).all():
            tag(ax, x[k], y[k], names[k])
