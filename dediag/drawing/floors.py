"""Panels about noise floors, of plain arrays: floors by depth, classes of genes, the mean-variance trend, the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dediag import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def floors_by_depth(ax: Axes, depth: Array, measurement: Array, biological: Array, role: str, level: str) -> None:
    """Measurement floors (filled) and biological ones (hollow) of one group's samples (n_samples,)."""
    drawing.cloud(ax, depth, measurement, role, label=f"{level}: measurement floor")
    if np.isfinite(biological).any():
        style = drawing.STYLES[role]
        ax.scatter(
            depth, biological, s=46, marker=style.marker, facecolors="none", edgecolors=style.color, linewidths=1.4,
            label=f"{level}: biological floor",
        )  # fmt: skip


def axes_of_floors(ax: Axes, unit: str, model_floor: float | None) -> None:
    """Axes, title and legend of the panel, and the model floor where there is one."""
    if model_floor is not None:
        drawing.reference_line(ax, model_floor, label="model floor")
    ax.set(xscale="log", yscale="log", xlabel="library size (million reads)", ylabel=f"floor ({unit})")
    ax.set_title("Noise floors by sequencing depth")
    drawing.legend(ax)


def density_of_classes(
    ax: Axes, centre: Array, share: Array, components: Array, edge: float | None, role: str
) -> None:  # fmt: skip
    """Shares of the genes in bins of equal width about `centre` (n_bins,), and two components' densities (2, n_bins).

    edge: the upper edge of the lower class, drawn where there is one. role: whose sample it is.
    """
    ax.fill_between(centre, share / (centre[1] - centre[0]), color=drawing.STYLES[role].color, alpha=0.35, lw=0)
    for component, style, label in zip(components, ("expected", "observed"), ("lower", "higher"), strict=True):
        drawing.curve(ax, centre, component, style, label=f"{label} class")
    if edge is not None:
        drawing.reference_line(ax, edge, axis="x", role="predicted", label="biological floor")


def axes_of_classes(ax: Axes, title: str, unit: str, measurement: float) -> None:
    """Axis, title and legend of the panel, and the measurement floor (log2)."""
    ax.set_title(title)
    ax.set(xlabel=f"log2 {unit}")
    drawing.reference_line(ax, measurement, axis="x", label="measurement floor")
    drawing.legend(ax)


def turning_trend(ax: Axes, cpm: Array, root_sd: Array, trend: Array, floor: float | None) -> None:
    """The trend (n_genes,) of the square-root residual SD over mean expression, and where it turns."""
    drawing.cloud(ax, cpm, root_sd, "not_significant")
    drawing.curve(ax, cpm, trend, "observed", label="trend")
    if floor is not None:
        drawing.reference_line(ax, floor, axis="x", label="model floor")
    ax.set(xscale="log", xlabel="mean expression (CPM)", ylabel="square root of residual SD (log2)")
    ax.set_title("Where the trend turns")
    drawing.legend(ax)


def calls_about_the_floor(
    ax: Axes, cpm: Array, lfc: Array, called: Mask, below: tuple[int, int], level: float, filter_words: str
) -> None:  # fmt: skip
    """Fold changes by mean expression (n_genes,); below: calls up and down below the filter; level: its CPM."""
    seen = cpm > 0
    drawing.cloud(ax, cpm[seen & ~called], lfc[seen & ~called], "not_significant")
    for role, up, n in (("up", True, below[0]), ("down", False, below[1])):
        some = seen & called & ((lfc > 0) == up)
        drawing.cloud(ax, cpm[some], lfc[some], role, label=f"called {role} ({n} below the floor)")
    drawing.reference_line(ax, level, axis="x", label=f"group-blind filter: {filter_words}")
    ax.set(xscale="log", xlabel="average over all samples (CPM)", ylabel="log2 fold change")
    ax.set_title("Calls about the floor")
    drawing.legend(ax)
