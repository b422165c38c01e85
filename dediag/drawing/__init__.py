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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dediag.drawing.legends import legend
from dediag.drawing.svg import DENSE, SETTINGS, to_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PAIR", "SEQUENTIAL", "SERIES", "SQUARE", "STYLES", "TAG", "WIDE", "Style", "band", "beside_expected", "cloud",
    "curve", "diagonal", "histogram", "intervals", "labelled_intervals", "legend", "new_figure", "reference_line",
    "ribbon", "tag", "to_svg",
]  # fmt: skip

WIDE = (7.2, 4.0)  # inches: one panel, the width of the report's text
SQUARE = (4.8, 4.6)
PAIR = (9.6, 4.2)  # two panels side by side
TAG: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}  # behind text in a panel


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


def new_figure(width: float = WIDE[0], height: float = WIDE[1]) -> Figure:
    """An empty figure (inches) outside any global state; add axes with `figure.subplots(...)`, finish with `to_svg`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as NewFigure

    with rc_context(SETTINGS):
        return NewFigure(figsize=(width, height), layout="constrained", facecolor="white")


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


def tag(ax: Axes, x: float, y: float, name: str) -> None:
    """A name or number beside x, y: on the outer side, so that names do not meet, but inside the panel as it is now."""
    ax.get_xlim()  # limits that follow the data are set when they are asked for
    across = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[0]
    away, side = (7, "left") if across < 0.25 or 0.5 < across < 0.75 else (-7, "right")
    ax.annotate(name, (x, y), xytext=(away, 0), textcoords="offset points", ha=side, va="center", fontsize=9, bbox=TAG)


def labelled_intervals(
    ax: Axes, labels: Sequence[str], value: ArrayLike, low: ArrayLike, high: ArrayLike, role: str | Style = "observed"
) -> None:
    """Points (n,) with intervals, one place for each label."""
    at = np.arange(len(labels), dtype=float)
    intervals(ax, at, value, low, high, role=role)
    ax.set_xticks(at, labels, rotation=30, ha="right")


def beside_expected(
    ax: Axes, labels: Sequence[str], observed: ArrayLike, expected: ArrayLike, low: ArrayLike, high: ArrayLike
) -> None:
    """Observed values (n,) beside the expected ones and their range, one place for each label."""
    at = np.arange(len(labels), dtype=float)
    intervals(ax, at - 0.1, expected, low, high, role="expected", label="expected")
    cloud(ax, at + 0.1, observed, "observed", label="observed", size=40)
    ax.set_xticks(at, labels, rotation=30, ha="right")


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


def _style_of(role: str | Style) -> Style:
    if isinstance(role, Style):
        return role
    return STYLES[role]


def _finite(*arrays: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    values = [np.asarray(a, dtype=float).ravel() for a in arrays]
    keep = np.logical_and.reduce([np.isfinite(v) for v in values])
    return tuple(v[keep] for v in values)
