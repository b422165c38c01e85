"""Figures: the same content gives the same bytes, dense clouds stay small, roles differ in more than hue."""

from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from dediag import drawing
from dediag.drawing import legends


def figure_of(n_points: int, seed: int = 1) -> str:
    rng = np.random.default_rng(seed)
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = figure.subplots(1, 2)
    x, y = rng.normal(size=(2, n_points))
    y[0] = np.nan
    drawing.cloud(left, x, y, "test", label="log₂ fold change & <more>")
    drawing.reference_line(left, 0.0, label="zero")
    drawing.diagonal(left)
    drawing.band(left, -0.5, 0.5)
    left.set(title="A title", xlabel="x", ylabel="y")
    drawing.legend(left, title="What")
    drawing.histogram(right, y, 20, "test", label="all")
    drawing.histogram(right, x, np.linspace(-3, 3, 21), "reference", outline=True)
    drawing.curve(right, [0, 1, 2], [1.0, np.nan, 2.0], "predicted")
    drawing.ribbon(right, [0, 1, 2], [0, 1, 2], [1, 2, 3])
    drawing.intervals(right, [0, 1], [5, 6], [4, 5], [6, 8], role="expected")
    drawing.reference_line(right, 0.0, axis="x")
    drawing.band(right, 0, 1, axis="x")
    return drawing.to_svg(figure)


def test_same_figure_same_bytes() -> None:
    assert figure_of(300) == figure_of(300)
    assert figure_of(3_000) == figure_of(3_000)
    assert figure_of(300) != figure_of(300, seed=2)


def test_dense_cloud_is_rasterised_and_small() -> None:
    svg = figure_of(60_000)
    assert "<image" in svg
    assert len(svg.encode()) < 300_000
    assert "<image" not in figure_of(300)


def test_any_dense_artist_is_rasterised() -> None:
    figure = drawing.new_figure()
    ax = figure.subplots()
    ax.plot(np.random.default_rng(0).normal(size=20_000), "o")
    svg = drawing.to_svg(figure)
    assert "<image" in svg
    assert len(svg.encode()) < 300_000


def test_svg_is_well_formed_and_names_nothing_outside() -> None:
    svg = figure_of(300)
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    for word in ("<?xml", "DOCTYPE", "metadata", "<script", "DejaVu"):
        assert word not in svg
    text = "".join(root.itertext())
    assert "log₂ fold change & <more>" in text  # text stays text


@pytest.mark.parametrize(("low", "high", "labels"), [(1.5, 4.5, {"2", "3", "4"}), (0.05, 2e4, {"0.1", "1", "10000"})])
def test_logarithmic_axes_have_plain_numbers(low, high, labels) -> None:
    figure = drawing.new_figure()
    figure.subplots().set(xscale="log", xlim=(low, high))
    texts = {element.text for element in ElementTree.fromstring(drawing.to_svg(figure)).iter() if element.text}
    assert labels <= texts


def test_legends_stand_off_the_data_and_inside_the_figure() -> None:
    figure = drawing.new_figure(*drawing.PAIR)
    left, right = axes = figure.subplots(1, 2)
    for k in range(5):
        drawing.curve(left, [0, 1], [k, 5 - k], drawing.SERIES[k], label=f"a name that takes room, {k}")
    drawing.curve(right, [0, 1], [0, 1], label="one")
    left.set(xlabel="x")
    right.set_xticks([0, 1], ["slanted words", "more of them"], rotation=30)
    for ax in axes:
        drawing.legend(ax, title="What")
    before = [ax.bbox.height for ax in axes]
    legends.lay_out(figure)
    figure.draw_without_rendering()
    for ax, height in zip(axes, before, strict=True):
        box = ax.get_legend().get_window_extent()
        assert box.y1 <= ax.xaxis.get_tightbbox().y0
        assert box.y0 >= 0.0
        assert box.width <= ax.bbox.width
        assert ax.bbox.height == pytest.approx(height, rel=0.35)  # the figure grew, the panel did not pay
    assert len({ax.bbox.y0 for ax in axes}) == 1


def test_no_global_state() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figure_of(10)
    assert dict(mpl.rcParams) == before


def lightness(color: str) -> float:
    """CIE L* of a #rrggbb colour: what is left of it in grey."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * luminance ** (1 / 3) - 16


@pytest.mark.parametrize(("one", "other"), [("test", "reference"), ("up", "down"), ("observed", "expected")])
def test_partners_differ_in_grey_marker_and_line(one: str, other: str) -> None:
    a, b = drawing.STYLES[one], drawing.STYLES[other]
    assert abs(lightness(a.color) - lightness(b.color)) > 25
    assert a.marker != b.marker
    assert a.line != b.line


def test_every_marker_is_filled() -> None:
    """A marker of strokes alone would vanish, as clouds are drawn without outlines."""
    from matplotlib.lines import Line2D

    for style in (*drawing.STYLES.values(), *drawing.SERIES):
        assert style.marker in Line2D.filled_markers


def test_series_can_be_told_apart_without_colour() -> None:
    for a, b in combinations(drawing.SERIES, 2):
        assert a.marker != b.marker
