"""Legends off the data: each stands below its panel, in as many columns as fit, and the figure grows by its height."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

    Place = Literal[
        "below", "upper right", "upper left", "lower left", "lower right", "center left", "center right",
        "lower center", "upper center",
    ]  # fmt: skip

FONT_SIZE = 10.0
GAP = 0.08  # inches between a panel's axis and its legend
BELOW = "below"  # marks a legend whose place is found when everything else has its own


def legend(ax: Axes, *, location: Place = "below", title: str | None = None) -> None:
    """The legend of everything with a label, below the panel, off the data; nothing when there is none.

    Another location is inside the panel: only where the axes leave room that no data can take.
    """
    handles, _ = ax.get_legend_handles_labels()
    if handles and location == "below":
        _make(ax, title).set_gid(BELOW)
    elif handles:
        _make(ax, title, location=location)


def lay_out(figure: Figure) -> None:
    """Give panels their places, the legends that stand below them theirs and columns, and the figure room for them."""
    from matplotlib.transforms import ScaledTranslation

    below = [ax for ax in figure.axes if (made := ax.get_legend()) is not None and made.get_gid() == BELOW]
    _place_panels(figure)
    if not below:
        return
    rows: dict[int, float] = {}  # first row of the grid -> height of its highest legend, inches
    for ax in below:
        made = _in_columns(ax)
        spec = ax.get_subplotspec()
        row = 0 if spec is None else spec.rowspan.start
        rows[row] = max(rows.get(row, 0.0), made.get_window_extent().height / figure.dpi)
        axis = ax.xaxis.get_tightbbox()
        depth = GAP + (0.0 if axis is None else (ax.bbox.y0 - axis.y0) / figure.dpi)
        made.set_bbox_to_anchor((0.0, 0.0), ax.transAxes + ScaledTranslation(0.0, -depth, figure.dpi_scale_trans))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + sum(rows.values()) + GAP * len(rows))
    _place_panels(figure)


def _place_panels(figure: Figure) -> None:
    """What drawing does about the layout, without drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _in_columns(ax: Axes) -> Legend:
    """The legend again with as many columns as the panel is wide."""
    old = ax.get_legend()
    title = None if old is None else old.get_title().get_text()
    handles, _ = ax.get_legend_handles_labels()
    for columns in range(len(handles), 1, -1):
        made = _make(ax, title, columns)
        if made.get_window_extent().width <= ax.bbox.width:
            return made
    return _make(ax, title)


def _make(ax: Axes, title: str | None, columns: int = 1, location: Place = "below") -> Legend:
    below = location == "below"
    handles, labels = ax.get_legend_handles_labels()
    made = ax.legend(
        handles, labels, loc="upper left" if location == "below" else location, title=title or None, ncols=columns,
        fontsize=FONT_SIZE - 1, title_fontsize=FONT_SIZE - 1, alignment="left", frameon=not below, framealpha=0.9,
        edgecolor="none", borderpad=0.4, borderaxespad=0.0 if below else 0.5, handlelength=2.4, columnspacing=1.6,
        scatterpoints=1,
    )  # fmt: skip
    for handle in made.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([36.0])
            handle.set_alpha(0.95)
    return made
