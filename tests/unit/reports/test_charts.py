"""What every chart draws, read back from the figure itself."""

from __future__ import annotations

import hashlib
import re
import time
from functools import cache

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Annotation, Text

from harness.figures.series import Completion, GeneratorHealth, Line, Rates, Series, ServerHealth, Window
from harness.figures.summary import Summary
from harness.model import Outcome
from reports import palette, svg
from reports.charts import CHARTS, Chart
from reports.charts.failures import MOST_PANELS, OTHERS
from reports.charts.placing import nudge, rows
from reports.charts.responses import levels
from tests.unit.reports import evening

BY_NAME = {chart.name: chart for chart in CHARTS}


@cache
def usual(name: str) -> Figure:
    """The chart of the usual evening, drawn once for all tests that only look at it."""
    with rc_context(palette.STYLE):
        return BY_NAME[name].draw(evening.series(), evening.summary())


def draw(name: str, series: Series | None = None, summary: Summary | None = None) -> Figure:
    if series is None and summary is None:
        return usual(name)
    with rc_context(palette.STYLE):
        return BY_NAME[name].draw(series or evening.series(), summary or evening.summary())


def lines(figure: Figure) -> dict[str, list[tuple[np.ndarray, np.ndarray, str]]]:
    """Every named line that a figure draws: times, values, colour."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray, str]]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_gid():
                x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
                found.setdefault(str(line.get_gid()), []).append((x, y, to_hex(line.get_color())))
    return found


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def assert_drawn(figure: Figure, *wanted: Line) -> None:
    drawn = lines(figure)
    for line in wanted:
        candidates = [(x, y) for x, y, _ in drawn[line.label]]
        assert any(np.array_equal(x, line.t_s) and np.array_equal(y, line.value, equal_nan=True) for x, y in candidates)


def test_the_throughput_chart_draws_exactly_the_three_rates() -> None:
    rates = evening.series().rates
    figure = draw("throughput")
    assert_drawn(figure, rates.offered, rates.goodput, rates.throughput)
    assert len(lines(figure)) == 3


def test_the_throughput_chart_labels_its_lines_with_the_means_of_the_summary() -> None:
    assert {"goodput, mean 14.6/s", "offered, mean 15.1/s", "all answers, mean 17.8/s"} <= set(
        texts(draw("throughput"))
    )


def test_the_failures_chart_draws_a_panel_for_each_failure_and_none_for_what_was_accepted() -> None:
    figure = draw("failures")
    _, unavailable, timeout, reset = evening.series().rates.outcomes
    assert_drawn(figure, unavailable, timeout, reset)
    assert "accepted" not in lines(figure)


def test_the_failures_chart_names_each_outcome_with_its_total() -> None:
    assert {"unavailable (503)\n230", "timed out waiting\n80", "connection reset\n6"} <= set(texts(draw("failures")))


def test_failures_beyond_six_kinds_are_summed_into_the_last_panel() -> None:
    kinds = [
        outcome for outcome in Outcome if outcome not in {"accepted", "replayed", "pending", "censored", "withheld"}
    ]
    outcomes = [evening.line(kind, np.full(72, float(number + 1))) for number, kind in enumerate(reversed(kinds))]
    rates = evening.rates()
    drawn = lines(
        draw("failures", evening.series(rates=Rates(rates.offered, rates.goodput, rates.throughput, outcomes)))
    )
    assert len(drawn) == MOST_PANELS
    assert drawn[OTHERS][0][1][0] == sum(range(MOST_PANELS, len(kinds) + 1))


def test_the_responses_chart_draws_the_percentiles_with_their_gaps() -> None:
    figure = draw("responses")
    assert_drawn(figure, *evening.series().responses.percentiles)


def test_the_heat_map_has_a_cell_for_every_count_and_none_for_zero() -> None:
    cells = sum(len(np.asarray(patch.get_path().vertices)) // 5 for patch in _patches(draw("responses")))
    assert cells == int((evening.series().responses.counts > 0).sum())


def test_the_heat_map_is_darker_where_more_responses_are() -> None:
    colours = [to_hex(patch.get_facecolor()) for patch in _patches(draw("responses"))]
    assert colours == [shade for shade in palette.HEAT if shade in colours]


def test_shades_of_the_heat_map_begin_with_one_and_stay_below_the_fullest_cell() -> None:
    responses = evening.responses()
    least = levels(responses)
    assert least[0] == 1
    assert least == sorted(set(least))
    assert least[-1] <= responses.counts.max()


def test_the_completion_chart_draws_the_total_what_was_due_and_every_kelurahan() -> None:
    completion = evening.series().completion
    assert_drawn(draw("completion"), completion.total, completion.planned, *completion.kelurahan)


def test_the_completion_chart_names_every_kelurahan_at_its_end_and_colours_the_slowest() -> None:
    figure = draw("completion")
    named = " ".join(texts(figure))
    for name, _ in evening.KELURAHAN.values():
        assert name in named
    assert lines(figure)["Tegalbesar"][0][2] == palette.VERMILION
    assert lines(figure)["Mangli"][0][2] == palette.GREY


def test_the_completion_chart_has_a_second_axis_in_the_elections_own_time() -> None:
    figure = draw("completion")
    assert "hours of the election, at 1 h a second" in [
        child.get_xlabel() for axes in figure.axes for child in axes.child_axes
    ]


def test_a_run_in_its_own_time_has_no_second_axis() -> None:
    assert not [child for axes in draw("completion", evening.series(time_scale=1.0)).axes for child in axes.child_axes]


def test_of_many_kelurahan_only_the_slowest_three_are_named() -> None:
    completion = evening.series().completion
    many = [evening.line(f"village {n}", np.linspace(0, (n + 1) / 40, 73), np.arange(73)) for n in range(40)]
    figure = draw("completion", evening.series(completion=Completion(completion.total, completion.planned, many)))
    named = [text for text in texts(figure) if text.startswith("village")]
    assert sorted(named) == ["village 0 2.5 %", "village 1 5 %", "village 2 7.5 %"]
    assert len([name for name in lines(figure) if name.startswith("village")]) == 40


def test_the_server_chart_draws_each_of_its_series_in_a_panel_of_its_own() -> None:
    health = evening.series().server
    figure = draw("server")
    assert_drawn(figure, health.queue_depth, health.workers_busy, health.active_requests, health.shed, health.wasted)
    assert {"216 shed", "31 wasted", "at most 64"} <= set(texts(figure))


def test_the_server_chart_leaves_out_what_the_server_does_not_publish() -> None:
    health = evening.series().server
    nothing = evening.empty()
    part = ServerHealth(nothing, nothing, health.active_requests, nothing, nothing)
    assert set(lines(draw("server", evening.series(server=part)))) == {"active_requests"}


def test_the_generator_chart_draws_lateness_cpu_and_requests_in_flight() -> None:
    health = evening.series().generator
    assert_drawn(draw("generator"), *health.lateness, *health.cpu, health.in_flight)


def test_the_generator_chart_marks_the_limit_of_its_core() -> None:
    assert list(lines(draw("generator"))["limit"][0][1]) == [0.9, 0.9]


def test_the_spectrum_draws_each_percentile_that_the_sample_can_bear() -> None:
    drawn = lines(draw("spectrum"))
    assert set(drawn) == {"while clear", "during brownout", "all responses", "delivery"}
    places, seconds, _ = drawn["all responses"][0]
    assert list(seconds) == pytest.approx([0.41, 0.82, 1.23, 2.05])
    assert list(places) == pytest.approx([-np.log10(1 - q) for q in (0.5, 0.9, 0.95, 0.99)])


def test_the_spectrum_of_delivery_is_cut_where_pages_never_arrive() -> None:
    _, seconds, _ = lines(draw("spectrum"))["delivery"][0]
    assert list(seconds) == pytest.approx([0.6, 1.2, 1.8])


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
class TestEveryChart:
    def test_is_titled_with_its_finding(self, chart: Chart) -> None:
        finding = chart.finding(evening.series(), evening.summary())
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

    def test_says_in_words_that_there_is_nothing_to_draw(self, chart: Chart) -> None:
        empty = evening.summary(
            attempts={"total": 0, "by_outcome": {}},
            response_seconds=evening.spread(0, by_outcome={}),
            lateness_seconds=evening.spread(0),
            delivery_seconds=evening.spread(0),
            phases=[],
            generator={"cpu_max_ratio": None},
            server={"queue_depth_max": None, "shed": None, "wasted_work": None},
        )
        figure = draw(chart.name, evening.no_series(), empty)
        assert not lines(figure)
        assert len([text for text in texts(figure) if text.startswith("no ")]) == 1
        svg.to_svg(figure)

    def test_never_writes_a_label_over_another(self, chart: Chart) -> None:
        figure = draw(chart.name)
        figure.draw_without_rendering()
        for axes in figure.axes:
            boxes = [Text.get_window_extent(label) for label in _end_labels(axes)]
            for number, box in enumerate(boxes):
                assert not [other for other in boxes[number + 1 :] if box.shrunk(1, 0.8).overlaps(other.shrunk(1, 0.8))]

    def test_keeps_every_label_within_the_picture(self, chart: Chart) -> None:
        figure = draw(chart.name)
        figure.draw_without_rendering()
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text.get_text()
                assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text.get_text()

    def test_is_the_same_bytes_each_time(self, chart: Chart) -> None:
        first, second = (hashlib.sha256(_saved(chart.name).encode()).digest() for _ in range(2))
        assert first == second

    def test_uses_only_colours_that_have_a_dark_twin(self, chart: Chart) -> None:
        used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", _saved(chart.name)))
        assert used
        assert used <= set(palette.DARK)

    def test_survives_lines_of_gaps_only(self, chart: Chart) -> None:
        def holes(line: Line) -> Line:
            return Line(line.label, line.t_s, np.full(len(line.t_s), np.nan))

        full = evening.series()
        rates, completion, server, own = full.rates, full.completion, full.server, full.generator
        series = evening.series(
            rates=Rates(
                holes(rates.offered), holes(rates.goodput), holes(rates.throughput), [*map(holes, rates.outcomes)]
            ),
            completion=Completion(
                holes(completion.total), holes(completion.planned), [*map(holes, completion.kelurahan)]
            ),
            server=ServerHealth(*(holes(getattr(server, name)) for name in server.__slots__)),
            generator=GeneratorHealth(
                [*map(holes, own.lateness)], [*map(holes, own.cpu)], [*map(holes, own.memory)], holes(own.in_flight)
            ),
        )
        svg.to_svg(draw(chart.name, series))


def _patches(figure: Figure) -> list[PathPatch]:
    return [artist for artist in figure.findobj(PathPatch) if isinstance(artist, PathPatch)]


def _saved(name: str) -> str:
    with rc_context(palette.STYLE):
        return svg.to_svg(BY_NAME[name].draw(evening.series(), evening.summary()))


def _end_labels(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation) and text.xyann[0] > 1 and text.xyann[0] < 1.5]


def test_two_fault_windows_that_overlap_are_both_named_in_rows_of_their_own() -> None:
    series = evening.series(
        windows=[Window("brownout", 20, 30), Window("latency", 24, 34), Window("down", 60, float("inf"))]
    )
    with rc_context(palette.STYLE):
        back = BY_NAME["throughput"].draw(series, evening.summary()).axes[0]
    heights = {text.get_text(): text.get_position()[1] for text in back.texts}
    assert heights["brownout"] > heights["latency"]
    assert set(heights) == {"brownout", "latency", "down", "deadline"}


def test_all_charts_of_a_run_are_drawn_within_a_few_seconds() -> None:
    began = time.process_time()
    for name in BY_NAME:
        _saved(name)
    assert time.process_time() - began < 5


def test_a_run_that_ended_early_has_its_labels_beside_the_lines_and_not_in_the_far_margin() -> None:
    made = evening.rates()
    offered, goodput, throughput = (
        Line(line.label, line.t_s[:36], line.value[:36]) for line in (made.offered, made.goodput, made.throughput)
    )
    figure = draw("throughput", evening.series(rates=Rates(offered, goodput, throughput, [])))
    figure.draw_without_rendering()
    (label,) = (text for text in figure.findobj(Text) if text.get_text().startswith("goodput"))
    panel = figure.axes[1]
    assert 36 < panel.transData.inverted().transform(Text.get_window_extent(label))[0][0] < 40


def test_a_point_between_two_gaps_is_drawn_as_a_dot() -> None:
    made = evening.rates()
    value = np.full(72, np.nan)
    value[[5, 20, 21]] = 3.0
    figure = draw(
        "throughput", evening.series(rates=Rates(made.offered, made.goodput, evening.line("throughput", value), []))
    )
    (line,) = (line for line in figure.axes[1].lines if line.get_gid() == "throughput")
    assert line.get_marker() == "o"
    assert line.get_markevery() == [5]


def test_nudged_labels_keep_their_gap_their_order_and_their_bounds() -> None:
    placed = nudge([0.0, 0.1, 0.1, 5.0], gap=1.0, low=0.0, high=5.0)
    assert placed == pytest.approx([0.0, 1.0, 2.0, 5.0])


def test_a_label_with_room_stays_where_it_is() -> None:
    assert nudge([3.0, 1.0], gap=1.0, low=0.0, high=5.0) == [3.0, 1.0]


def test_names_that_touch_go_into_different_rows() -> None:
    assert rows([(0, 2), (1, 3), (2, 4)]) == [0, 1, 0]


def test_every_outcome_has_a_colour_and_words() -> None:
    assert set(palette.OUTCOME) == set(Outcome)
    assert set(palette.WORDS) == set(Outcome)
    assert len(set(palette.WORDS.values())) == len(Outcome)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    "colour", sorted({palette.INK, palette.MUTED, *palette.OUTCOME.values(), palette.GOOD, palette.BAD, palette.UNSURE})
)
def test_every_colour_of_text_has_a_contrast_of_four_and_a_half_on_a_light_and_a_dark_page(colour: str) -> None:
    assert _contrast(colour, palette.PAPER) >= 4.5
    assert _contrast(palette.DARK[colour], palette.DARK[palette.PAPER]) >= 4.5


def test_the_shades_of_the_heat_map_get_steadily_darker_in_greyscale() -> None:
    light = [_luminance(shade) for shade in palette.HEAT]
    dark = [_luminance(palette.DARK[shade]) for shade in palette.HEAT]
    assert light == sorted(light, reverse=True)
    assert dark == sorted(dark)
