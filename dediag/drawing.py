"""How every figure looks: colours, sizes, shared primitives, and SVG whose bytes depend on its content alone.

    figure = drawing.new_figure(7.2, 4.0)
    ax = figure.subplots()
    drawing.cloud(ax, x, y, "test", label="71 cases")
    drawing.legend(ax)
    svg = drawing.to_svg(figure)

Colours follow Okabe and Ito (2008), chosen so that what stands side by side also differs in lightness, marker and
line: a figure must survive a grey printer and every kind of colour vision. matplotlib is imported only when used.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

WIDE = (7.2, 4.0)  # inches: one panel, the width of the report's text
SQUARE = (4.8, 4.6)
PAIR = (9.6, 4.2)  # two panels side by side

LegendPlace = Literal[
    "best", "upper right", "upper left", "lower left", "lower right", "center left", "center right", "lower center",
    "upper center", "outside upper right", "outside right upper", "outside lower center", "outside upper center",
]  # fmt: skip
DENSE = 2_000  # artists with more points are rasterised inside the SVG
DENSE_DPI = 150
FONT_SIZE = 10.0
TEXT = "#22272e"
GRID = "#e3e6ea"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Style:
    """One role in a figure: colour, marker and line, each enough to tell it from its neighbour."""

    color: str
    marker: str
    line: str


STYLES = {
    "test": Style("#0b4f8a", "o", "-"),  # dark
    "reference": Style("#e69f00", "s", "--"),  # light
    "up": Style("#a63a0a", "^", "-"),  # dark
    "down": Style("#56b4e9", "v", "--"),  # light
    "not_significant": Style("#a3abb5", "o", "-"),
    "observed": Style("#22272e", "o", "-"),
    "expected": Style("#009e73", "D", "--"),
    "predicted": Style("#b3578e", "P", "-."),
    "limit": Style("#8b1a1a", "X", ":"),
}
SERIES = (  # for what has no role of its own, such as methods or factor levels: from dark to light
    Style("#0b4f8a", "o", "-"),
    Style("#e69f00", "s", "--"),
    Style("#007a5a", "^", "-."),
    Style("#d06fa5", "D", ":"),
    Style("#7a2c05", "v", "-"),
    Style("#56b4e9", "P", "--"),
)
SEQUENTIAL = "cividis"  # the colour map for an ordered quantity

_SETTINGS: Any = {  # Any: matplotlib types each key by name
    "svg.hashsalt": "dediag",
    "svg.fonttype": "none",  # text stays text: small files, searchable, readable at any size
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same on every machine
    "font.size": FONT_SIZE,
    "text.color": TEXT,
    "mathtext.fontset": "dejavusans",
    "path.simplify": True,
}


def new_figure(width: float = WIDE[0], height: float = WIDE[1]) -> Figure:
    """An empty figure (inches) outside any global state; add axes with `figure.subplots(...)`, finish with `to_svg`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as NewFigure

    with rc_context(_SETTINGS):
        return NewFigure(figsize=(width, height), layout="constrained", facecolor="white")


def to_svg(figure: Figure) -> str:
    """The figure as SVG text: the same figure gives the same bytes; dense artists are embedded as pixels.

    The common look is applied here (fonts, spines, grid), so the figure must not be drawn on afterwards.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        for ax in figure.axes:
            _style(ax)
            for artist in ax.get_children():
                if _points(artist) > DENSE:
                    artist.set_rasterized(True)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", dpi=DENSE_DPI, metadata=metadata)
        figure.clear()
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]  # without XML declaration and the DTD's address
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return svg.replace("'DejaVu Sans'", FONTS.replace('"', "'"))


def cloud(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    role: str | Style = "observed",
    *,
    label: str | None = None,
    size: float | None = None,
    alpha: float | None = None,
) -> None:
    """Scatter of points (n,); pairs that are not finite are left out; size and opacity follow the number of points."""
    style = _style_of(role)
    across, up = _finite(x, y)
    crowd = float(np.clip(np.log10(max(across.size, 1)) / 4.0, 0.0, 1.0))  # 0: a few, 1: 10,000 and more
    ax.scatter(
        across,
        up,
        s=size if size is not None else 30.0 - 25.0 * crowd,
        c=style.color,
        marker=style.marker,
        alpha=alpha if alpha is not None else 0.9 - 0.45 * crowd,
        linewidths=0,
        label=label,
        rasterized=across.size > DENSE,
    )


def curve(ax: Axes, x: ArrayLike, y: ArrayLike, role: str | Style = "observed", *, label: str | None = None) -> None:
    """A line through points (n,) in the given order; gaps where a value is not finite."""
    style = _style_of(role)
    ax.plot(np.asarray(x), np.asarray(y), color=style.color, linestyle=style.line, linewidth=2.0, label=label)


def ribbon(
    ax: Axes,
    x: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    role: str | Style = "expected",
    *,
    label: str | None = None,
) -> None:
    """The area between two curves (n,), such as an interval along expression."""
    style = _style_of(role)
    ax.fill_between(
        np.asarray(x, float), np.asarray(low, float), np.asarray(high, float), color=style.color, alpha=0.18, lw=0,
        label=label,
    )  # fmt: skip


def histogram(
    ax: Axes,
    values: ArrayLike,
    bins: int | Sequence[float] | NDArray[np.float64] = 40,
    role: str | Style = "observed",
    *,
    label: str | None = None,
    outline: bool = False,
    density: bool = False,
) -> None:
    """Histogram of the finite values (n,); `outline` draws only its edge, for a second one in front of the first."""
    style = _style_of(role)
    (finite,) = _finite(values)
    if outline:
        look = {"histtype": "step", "color": style.color, "linestyle": style.line, "linewidth": 1.8}
    else:
        look = {"histtype": "stepfilled", "color": style.color, "alpha": 0.55, "linewidth": 0}
    edges = bins if isinstance(bins, int) else np.asarray(bins, float)
    ax.hist(finite, bins=edges, density=density, label=label, **look)  # type: ignore[arg-type]  # a look is plain keywords


def intervals(
    ax: Axes,
    x: ArrayLike,
    value: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    role: str | Style = "observed",
    label: str | None = None,
) -> None:
    """Points (n,) with vertical interval bars from low to high."""
    style = _style_of(role)
    at, middle, bottom, top = (np.asarray(a, float) for a in (x, value, low, high))
    error = np.abs(np.vstack([middle - bottom, top - middle]))  # (2, n)
    ax.errorbar(
        at, middle, yerr=error, color=style.color, marker=style.marker, linestyle="none", markersize=6.0,
        elinewidth=1.4, capsize=3.0, label=label,
    )  # fmt: skip


def reference_line(
    ax: Axes,
    at: float,
    *,
    axis: Literal["x", "y"] = "y",
    role: str | Style = "limit",
    label: str | None = None,
) -> None:
    """A straight line over the whole panel at one value of the axis: a limit, a zero, a prediction."""
    style = _style_of(role)
    draw = ax.axhline if axis == "y" else ax.axvline
    draw(at, color=style.color, linestyle=style.line, linewidth=1.5, label=label, zorder=1.5)


def diagonal(ax: Axes, *, role: str | Style = "limit", label: str | None = None) -> None:
    """The line of equality."""
    style = _style_of(role)
    ax.axline((0.0, 0.0), slope=1.0, color=style.color, linestyle=style.line, linewidth=1.5, label=label, zorder=1.5)


def band(
    ax: Axes,
    low: float,
    high: float,
    *,
    axis: Literal["x", "y"] = "y",
    role: str | Style = "expected",
    label: str | None = None,
) -> None:
    """A shaded stretch of one axis over the whole panel: what would be expected, what is allowed."""
    style = _style_of(role)
    draw = ax.axhspan if axis == "y" else ax.axvspan
    draw(low, high, color=style.color, alpha=0.14, linewidth=0, label=label, zorder=0.5)


def legend(ax: Axes, *, location: LegendPlace = "best", title: str | None = None) -> None:
    """The legend of everything with a label; nothing when there is none."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    made = ax.legend(
        handles, labels, loc=location, title=title, fontsize=FONT_SIZE - 1, title_fontsize=FONT_SIZE - 1,
        frameon=True, framealpha=0.9, edgecolor="none", borderpad=0.4, handlelength=2.4, scatterpoints=1,
    )  # fmt: skip
    for handle in made.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([36.0])
            handle.set_alpha(0.95)


def _style_of(role: str | Style) -> Style:
    if isinstance(role, Style):
        return role
    return STYLES[role]


def _finite(*arrays: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    values = [np.asarray(a, dtype=float).ravel() for a in arrays]
    keep = np.logical_and.reduce([np.isfinite(v) for v in values])
    return tuple(v[keep] for v in values)


def _points(artist: Artist) -> int:
    """How many points an artist would write into the SVG as vectors."""
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D

    if isinstance(artist, Line2D):
        return int(np.size(artist.get_xdata()))
    if isinstance(artist, Collection):
        corners = sum(int(np.shape(path.vertices)[0]) for path in artist.get_paths())
        return max(int(np.shape(artist.get_offsets())[0]), corners)
    return 0


def _style(ax: Axes) -> None:
    """Give a panel the common look: quiet frame, light grid behind the data, title at the left."""
    ax.set_axisbelow(True)
    if ax.axison:
        ax.grid(visible=True, color=GRID, linewidth=0.8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color("#8a929c")
    ax.tick_params(labelsize=FONT_SIZE - 1, colors="#444b54", which="both", length=3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(FONT_SIZE)
        axis.label.set_color(TEXT)
        _plain_numbers(axis)
    title = ax.get_title() or ax.get_title(loc="left")
    ax.set_title("")
    ax.set_title(title, loc="left", fontsize=FONT_SIZE + 1, fontweight="bold", color=TEXT)


def _plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis 0.1, 1, 20 instead of powers of ten; which ticks get a label stays as it was."""
    from matplotlib.ticker import LogFormatter, LogFormatterSciNotation

    class PlainNumbers(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    for get, put, minor in (
        (axis.get_major_formatter, axis.set_major_formatter, False),
        (axis.get_minor_formatter, axis.set_minor_formatter, True),
    ):
        if type(get()) is LogFormatterSciNotation:  # the default; what a figure chose for itself stays
            put(PlainNumbers(labelOnlyBase=not minor))
