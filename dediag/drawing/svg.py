"""A figure as SVG text whose bytes depend on its content alone: the common look, dense clouds as pixels."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from dediag.drawing.legends import FONT_SIZE, lay_out

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DENSE = 2_000  # artists with more points are rasterised inside the SVG
DENSE_DPI = 150
TEXT = "#22272e"
GRID = "#e3e6ea"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

SETTINGS: Any = {  # Any: matplotlib types each key by name
    "svg.hashsalt": "dediag",
    "svg.fonttype": "none",  # text stays text: small files, searchable, readable at any size
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same on every machine
    "font.size": FONT_SIZE,
    "text.color": TEXT,
    "mathtext.fontset": "dejavusans",
    "path.simplify": True,
}


def to_svg(figure: Figure) -> str:
    """The figure as SVG text: the same figure gives the same bytes; dense artists are embedded as pixels.

    The common look is applied here (fonts, spines, grid), so the figure must not be drawn on afterwards.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with rc_context(SETTINGS):
        for ax in figure.axes:
            _style(ax)
            for artist in ax.get_children():
                if _points(artist) > DENSE:
                    artist.set_rasterized(True)
        figure.set_dpi(DENSE_DPI)
        lay_out(figure)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.set_layout_engine("none")  # everything has its place: savefig would lay out and draw once more
        FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]  # without types
        figure.clear()
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]  # without XML declaration and the DTD's address
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return svg.replace("'DejaVu Sans'", FONTS.replace('"', "'"))


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
