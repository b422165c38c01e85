"""A panel of plain arrays: the error rate of a test over the ratio of the groups' dispersions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def error_map(
    ax: Axes, log2_ratios: Array, sizes: Array, labels: Sequence[str], here: tuple[float, float, float]
) -> None:
    """Curves of the error rate (n_ratios, n_bins) over ratios (n_ratios,), every other bin from the last backwards.

    here: the study's log2 ratio with its limits.
    """
    known = np.flatnonzero(np.isfinite(sizes).all(axis=0))[::-2][::-1]  # what grey can tell
    for style, k in zip(drawing.SERIES, known, strict=False):
        drawing.curve(ax, 2.0**log2_ratios, sizes[:, k], style, label=labels[k])
    drawing.reference_line(ax, 2.0 ** here[0], axis="x", role="observed")
    drawing.band(ax, 2.0 ** here[1], 2.0 ** here[2], axis="x")
    drawing.reference_line(ax, 0.05, role="not_significant")
    ax.set_xscale("log", base=2)
    ax.set_xticks([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8], ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    drawing.legend(ax, title="base mean")
