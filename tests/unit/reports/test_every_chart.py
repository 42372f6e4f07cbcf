"""What holds for every chart of the registry, and so for one that is added tomorrow."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from harness.analysis.chart_types import (
    ChartData,
    ChartLine,
    CompletionLines,
    FaultWindow,
    GeneratorHealth,
    RateLines,
    ServerHealth,
)
from reports import palette, svg
from reports.charts import CHARTS, Chart
from tests.support import made_up_run
from tests.support.counted_work import count_calls
from tests.support.drawn_charts import BY_NAME, draw, lines, once_saved, saved, texts


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
class TestEveryChart:
    @pytest.mark.heavy
    def test_is_titled_with_its_finding(self, chart: Chart) -> None:
        finding = chart.finding(made_up_run.series(), made_up_run.summary())
        assert finding == " ".join(draw(chart.name).texts[0].get_text().split())
        assert not finding.endswith(".")

    def test_shades_and_names_the_fault_window_where_x_is_time(self, chart: Chart) -> None:
        if not chart.over_time:
            assert not draw(chart.name).axes[0].collections
            return
        figure = draw(chart.name)
        back = figure.axes[0]
        extent = back.collections[0].get_datalim(back.transData)
        assert (extent.x0, extent.x1) == (20.0, 30.0)
        assert "brownout" in [text.get_text() for text in back.texts]

    def test_marks_the_deadline_where_x_is_time(self, chart: Chart) -> None:
        if not chart.over_time:
            assert "deadline" not in texts(draw(chart.name))
            return
        back = draw(chart.name).axes[0]
        assert list(np.asarray(back.lines[-1].get_xdata())) == [72.0, 72.0]
        assert "deadline" in [text.get_text() for text in back.texts]

    @pytest.mark.heavy
    def test_says_in_words_that_there_is_nothing_to_draw(self, chart: Chart) -> None:
        empty = made_up_run.summary(
            attempts={"total": 0, "by_outcome": {}},
            response_seconds=made_up_run.spread(0, by_outcome={}),
            lateness_seconds=made_up_run.spread(0),
            delivery_seconds=made_up_run.spread(0),
            completion_seconds=made_up_run.spread(0),
            phases=[],
            recapitulation=None,
            generator={"cpu_max_ratio": None},
            server={"queue_depth_max": None, "shed": None, "wasted_work": None},
        )
        figure = draw(chart.name, made_up_run.no_series(), empty)
        assert not lines(figure)
        assert len([text for text in texts(figure) if text.startswith("no ")]) == 1
        svg.to_svg(figure)

    @pytest.mark.heavy
    def test_never_writes_a_label_over_another(self, chart: Chart) -> None:
        figure = draw(chart.name)
        figure.draw_without_rendering()
        for axes in figure.axes:
            boxes = [Text.get_window_extent(label) for label in _end_labels(axes)]
            for number, box in enumerate(boxes):
                assert not [other for other in boxes[number + 1 :] if box.shrunk(1, 0.8).overlaps(other.shrunk(1, 0.8))]

    @pytest.mark.heavy
    def test_keeps_every_label_within_the_picture(self, chart: Chart) -> None:
        figure = draw(chart.name)
        figure.draw_without_rendering()
        hidden = {label for axes in figure.axes for label in _ticks_out_of_view(axes)}
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible() and text not in hidden:
                box = text.get_window_extent()
                assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
                assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()

    @pytest.mark.heavy
    def test_is_the_same_bytes_each_time(self, chart: Chart) -> None:
        first, second = once_saved(chart.name), saved(chart.name)
        assert hashlib.sha256(first.encode()).digest() == hashlib.sha256(second.encode()).digest()

    def test_uses_only_colours_that_have_a_dark_twin(self, chart: Chart) -> None:
        used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", once_saved(chart.name)))
        assert used
        assert used <= set(palette.DARK)

    @pytest.mark.heavy
    def test_survives_lines_of_gaps_only(self, chart: Chart) -> None:
        def holes(line: ChartLine) -> ChartLine:
            return ChartLine(line.label, line.t_s, np.full(len(line.t_s), np.nan))

        svg.to_svg(draw(chart.name, _with_lines(holes)))


def test_two_fault_windows_that_overlap_are_both_named_in_rows_of_their_own() -> None:
    series = made_up_run.series(
        windows=[FaultWindow("brownout", 20, 30), FaultWindow("latency", 24, 34), FaultWindow("down", 60, float("inf"))]
    )
    with rc_context(palette.STYLE):
        back = BY_NAME["throughput"].draw(series, made_up_run.summary()).axes[0]
    heights = {text.get_text(): text.get_position()[1] for text in back.texts}
    assert heights["brownout"] > heights["latency"]
    assert set(heights) == {"brownout", "latency", "down", "deadline"}


@pytest.mark.heavy
def test_all_charts_of_a_run_are_drawn_with_a_bounded_number_of_calls_however_many_samples_it_has() -> None:
    def fine(line: ChartLine) -> ChartLine:
        t_s = np.linspace(line.t_s[0], line.t_s[-1], 20 * len(line.t_s)) if len(line.t_s) else line.t_s
        return ChartLine(line.label, t_s, np.interp(t_s, line.t_s, line.value) if len(t_s) else line.value)

    def draw_all(series: ChartData) -> None:
        for name in BY_NAME:
            svg.to_svg(draw(name, series))

    usual, long = _with_lines(lambda line: line), _with_lines(fine)
    calls = count_calls(lambda: draw_all(usual))
    assert 1_000_000 < calls < 5_000_000, "measured: 2.7 million, in about as many seconds of CPU"
    long_calls = count_calls(lambda: draw_all(long))
    assert long_calls < 1.2 * calls


def _with_lines(change: Callable[[ChartLine], ChartLine]) -> ChartData:
    """The made-up run with its lines changed."""
    full = made_up_run.series()
    rates, completion, server, own = full.rates, full.completion, full.server, full.generator
    return made_up_run.series(
        rates=RateLines(
            change(rates.offered), change(rates.goodput), change(rates.throughput), [*map(change, rates.outcomes)]
        ),
        completion=CompletionLines(
            change(completion.total), change(completion.planned), [*map(change, completion.kelurahan)]
        ),
        server=ServerHealth(*(change(getattr(server, name)) for name in server.__slots__)),
        generator=GeneratorHealth(
            [*map(change, own.lateness)], [*map(change, own.cpu)], [*map(change, own.memory)], change(own.in_flight)
        ),
    )


def _end_labels(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation) and text.xyann[0] > 1 and text.xyann[0] < 1.5]


def _ticks_out_of_view(axes: Axes) -> list[Text]:
    """Labels of ticks beyond the axis: they exist, and are not drawn."""
    found = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        found += [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return found
