"""Charts are drawn into a folder as SVG and PNG; the PNG has the pixels that were drawn, and nothing of when or by what."""

from __future__ import annotations

import gc
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from reports.charts.layout import NARROW, WIDE, current_layout
from reports.drawing import drawing_into
from reports.png import PNG_DPI, draw_pixels, encode_png


def draw() -> Figure:
    figure = Figure(figsize=(current_layout().width_in, 1.0))
    figure.text(0.1, 0.4, "a chart \N{GREEK SMALL LETTER MU}", color="#a86200")
    return figure


def test_a_png_has_the_pixels_that_were_drawn_at_its_resolution() -> None:
    pixels = draw_pixels(draw())
    assert pixels.shape[:2] == (PNG_DPI, round(PNG_DPI * WIDE.width_in))
    with Image.open(io.BytesIO(encode_png(pixels))) as read:
        assert read.mode == "RGB"
        assert read.info["dpi"] == pytest.approx((150, 150), abs=0.02)
        assert set(read.info) == {"dpi"}
        assert (np.asarray(read) == pixels).all()
    assert len(np.unique(pixels)) > 10


def test_a_figure_has_the_resolution_it_had_before_its_pixels_were_drawn() -> None:
    figure = draw()
    before = figure.dpi
    draw_pixels(figure)
    assert figure.dpi == before


def test_a_chart_is_drawn_wide_into_its_files_and_narrow_beside_them(tmp_path: Path) -> None:
    layouts = []

    def noted() -> Figure:
        layouts.append(current_layout())
        return draw()

    with drawing_into(tmp_path) as draw_chart:
        drawings = [draw_chart(name, noted) for name in ("a", "b")]
    assert layouts == [WIDE, NARROW] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "a.png", "b.svg", "b.png"}
    assert (tmp_path / "b.svg").read_text("utf-8") == drawings[1].wide
    assert f'width="{72 * NARROW.width_in:g}pt"' in drawings[1].narrow
    with rc_context(WIDE.style):
        assert (tmp_path / "a.png").read_bytes() == encode_png(draw_pixels(draw()))


def test_a_png_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError), drawing_into(tmp_path) as draw_chart:
        draw_chart("a", draw)


def test_garbage_is_collected_again_after_a_chart_that_fails(tmp_path: Path) -> None:
    def fail() -> Figure:
        message = f"collecting: {gc.isenabled()}"
        raise ValueError(message)

    with pytest.raises(ValueError, match="collecting: False"), drawing_into(tmp_path) as draw_chart:
        draw_chart("a", fail)
    assert gc.isenabled()
