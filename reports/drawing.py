"""Draws the charts of a page: each wide, into an SVG and a PNG file, and narrow, for phones and print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib import rc_context

from harness.base.garbage import without_collections
from reports import svg
from reports.chart_values import read_values
from reports.charts.layout import NARROW, WIDE
from reports.png import draw_pixels, encode_png

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from reports.png import PixelArray


@dataclass(frozen=True, slots=True)
class Drawings:
    """The texts of a chart's SVG, wide and narrow."""

    wide: str
    narrow: str
    values: str = ""
    """What the chart shows, as JSON for the page's script; see `reports.chart_values`."""


Draw = Callable[[], "Figure"]
"""Makes a chart in the layout of matplotlib's rcParams."""


@contextmanager
def drawing_into(folder: Path) -> Iterator[Callable[[str, Draw], Drawings]]:
    """A function that draws one chart: `name`.svg and `name`.png into the folder, and both texts for the page.

    The files are complete when the block ends. PNGs are compressed in a thread meanwhile, which needs no lock of Python's.
    """
    written: list[Future[None]] = []
    # figures are full of cycles: searching them and all of matplotlib again and again takes a tenth of the time
    with ThreadPoolExecutor(1, thread_name_prefix="png") as thread, without_collections():

        def draw_chart(name: str, draw: Draw) -> Drawings:
            with rc_context(WIDE.style):
                figure = draw()
                wide = svg.write_svg(figure, folder, name)
                pixels = draw_pixels(figure)
            written.append(thread.submit(_write_png, folder / f"{name}.png", pixels))
            with rc_context(NARROW.style):
                small = draw()
                return Drawings(wide, svg.to_svg(small), read_values(figure, small))

        yield draw_chart
        for future in written:
            future.result()


def write_figure(figure: Figure, folder: Path, name: str) -> str:
    """Write `name`.svg and `name`.png into the folder; the text of the SVG file."""
    text = svg.write_svg(figure, folder, name)
    _write_png(folder / f"{name}.png", draw_pixels(figure))
    return text


def _write_png(path: Path, pixels: PixelArray) -> None:
    path.write_bytes(encode_png(pixels))
