"""The narrow drawing of every chart, for phones and print: labels above the panels, legible, none cut, none over another."""

from __future__ import annotations

import pytest
from matplotlib import rc_context
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from reports.charts import CHARTS, Chart
from reports.charts.labels import EndLabel, draw_end_labels
from reports.charts.layout import NARROW, WIDE, current_layout
from reports.charts.style import Panel, draw_line, titled_figure
from tests.support import made_up_run
from tests.support.drawn_charts import lines, narrow, shown_texts, usual


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
@pytest.mark.heavy
class TestEveryNarrowChart:
    def test_is_half_as_wide_and_draws_the_same_lines(self, chart: Chart) -> None:
        assert narrow(chart.name).get_figwidth() == 4.5
        assert set(lines(narrow(chart.name))) == set(lines(usual(chart.name)))

    def test_has_no_text_below_nine_points(self, chart: Chart) -> None:
        assert min(float(text.get_fontsize()) for text in shown_texts(narrow(chart.name))) >= 9

    def test_keeps_every_text_within_the_picture(self, chart: Chart) -> None:
        figure = narrow(chart.name)
        for text in shown_texts(figure):
            box = Text.get_window_extent(text)
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()

    def test_writes_no_text_over_another(self, chart: Chart) -> None:
        found = [(text, Text.get_window_extent(text)) for text in shown_texts(narrow(chart.name))]
        for number, (text, box) in enumerate(found):
            over = [
                other.get_text()
                for other, its in found[number + 1 :]
                if box.shrunk(0.9, 0.7).overlaps(its.shrunk(0.9, 0.7))
            ]
            assert not over, text.get_text()


def test_the_layout_follows_the_width_of_matplotlibs_figures() -> None:
    with rc_context(WIDE.style):
        assert current_layout() is WIDE
    with rc_context(NARROW.style):
        assert current_layout() is NARROW


def two_panels(labels: int):
    with rc_context(NARROW.style):
        drawn = titled_figure("A title", [Panel("first", 1.0), Panel("second", 1.0)])
        draw_line(drawn.panels[1], made_up_run.line("x", [1.0, 2.0]), "#00528f", width=2.2, dashed=True)
        named = [EndLabel(2.0, 2.0, f"label number {number}", "#00528f") for number in range(labels)]
        draw_end_labels(drawn.panels[1], named)
    return drawn


def heights_in(drawn) -> list[float]:
    return [axes.get_position().height * drawn.figure.get_figheight() for axes in (drawn.back, *drawn.panels)]


def test_labels_of_a_narrow_chart_make_room_for_themselves_above_their_panel() -> None:
    without, one, four = two_panels(0), two_panels(1), two_panels(4)
    # two fit beside each other
    assert one.figure.get_figheight() - without.figure.get_figheight() == pytest.approx(0.175)
    assert four.figure.get_figheight() - without.figure.get_figheight() == pytest.approx(2 * 0.175)
    back, *panels = heights_in(four)
    assert panels == pytest.approx(heights_in(without)[1:])
    assert back == pytest.approx(heights_in(without)[0] + 2 * 0.175)
    assert four.back.get_ylim()[0] == pytest.approx(-back)
    (heading,) = (text for text in four.panels[1].texts if text.get_text() == "second")
    assert isinstance(heading, Annotation)
    assert heading.xyann == pytest.approx((0, 5 + 72 * 2 * 0.175))


def test_a_label_of_a_narrow_chart_stands_behind_a_sample_of_its_line() -> None:
    figure = two_panels(1).figure
    (sample,) = (artist for artist in figure.artists if isinstance(artist, Line2D))
    assert (sample.get_color(), sample.get_linewidth(), sample.is_dashed()) == ("#00528f", 2.2, True)
