"""What every chart draws, read back from the figure itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle, StepPatch
from matplotlib.text import Annotation, Text

from harness.analysis.chart_types import (
    AttemptsPerPage,
    ChartData,
    ChartLine,
    CompletionLines,
    PhaseDelivery,
    RateLines,
    ServerHealth,
    ServerLimits,
    TimeBreakdown,
)
from harness.analysis.summary import Distribution
from harness.base.model import Outcome
from reports import palette
from reports.charts import CHARTS
from reports.charts.failures import MAX_PANELS, OTHER_FAILURES
from reports.charts.responses import shade_levels
from reports.charts.style import downsample_means, downsample_points
from reports.charts.tries import attempt_bars
from tests.support import made_up_run
from tests.support.drawn_charts import BY_NAME, draw, lines, texts


def assert_drawn(figure: Figure, *wanted: ChartLine) -> None:
    drawn = lines(figure)
    for line in wanted:
        candidates = [(x, y) for x, y, _ in drawn[line.label]]
        assert any(np.array_equal(x, line.t_s) and np.array_equal(y, line.value, equal_nan=True) for x, y in candidates)


def test_the_throughput_chart_draws_exactly_the_three_rates_and_the_backlog() -> None:
    rates = made_up_run.series().rates
    figure = draw("throughput")
    assert_drawn(figure, rates.offered, rates.goodput, rates.throughput, made_up_run.backlog().outstanding)
    assert len(lines(figure)) == 4
    assert "backlog: pages due and not acknowledged" in texts(figure)
    backlog = made_up_run.backlog().outstanding
    (label,) = (text for text in figure.findobj(Annotation) if text.get_text().startswith("at most"))
    assert label.get_text() == f"at most {backlog.value.max():.0f}"
    assert label.xy == (backlog.t_s[backlog.value.argmax()], backlog.value.max())


def test_without_scrapes_the_rates_are_drawn_from_the_rows() -> None:
    nothing, backlog = made_up_run.empty(), made_up_run.backlog()
    figure = draw("throughput", made_up_run.series(rates=RateLines(nothing, nothing, nothing, []), backlog=backlog))
    assert_drawn(figure, backlog.due, backlog.delivered, backlog.outstanding)


def test_the_backlog_is_labelled_with_what_is_left_and_what_was_given_up() -> None:
    t_s = np.arange(73.0)
    backlog = made_up_run.backlog(
        outstanding=made_up_run.line("backlog", np.minimum(10 * t_s, 715), t_s),
        given_up=made_up_run.line("given up", np.where(t_s > 40, 12, 0), t_s),
    )
    figure = draw("throughput", made_up_run.series(backlog=backlog))
    assert_drawn(figure, backlog.outstanding, backlog.given_up)
    assert {"715 at the deadline", "given up 12"} <= set(texts(figure))


def test_answers_are_seen_where_every_answer_is_a_delivery() -> None:
    drawn = {str(line.get_gid()): line for line in draw("throughput").axes[1].lines}
    # a fringe of their colour is left on both sides of the goodput that is drawn over them
    assert drawn["throughput"].get_linewidth() >= 2 * drawn["goodput"].get_linewidth()
    assert list(drawn).index("throughput") < list(drawn).index("goodput")


def test_the_throughput_chart_labels_its_lines_with_the_means_of_the_summary() -> None:
    assert {"goodput, mean 14.6/s", "offered, mean 15.1/s", "all answers, mean 17.8/s"} <= set(
        texts(draw("throughput"))
    )


@pytest.mark.heavy
def test_the_failures_chart_draws_a_panel_for_each_failure_and_none_for_what_was_accepted() -> None:
    figure = draw("failures")
    _, unavailable, timeout, reset = made_up_run.series().rates.outcomes
    assert_drawn(figure, unavailable, timeout, reset)
    assert "accepted" not in lines(figure)


@pytest.mark.heavy
def test_the_failures_chart_names_each_outcome_with_its_total() -> None:
    assert {"unavailable\n230 in all", "timed out waiting\n80 in all", "connection reset\n6 in all"} <= set(
        texts(draw("failures"))
    )


@pytest.mark.heavy
def test_failures_beyond_six_kinds_are_summed_into_the_last_panel() -> None:
    kinds = [
        outcome for outcome in Outcome if outcome not in {"accepted", "replayed", "pending", "censored", "withheld"}
    ]
    outcomes = [made_up_run.line(kind, np.full(72, float(number + 1))) for number, kind in enumerate(reversed(kinds))]
    rates = made_up_run.rates()
    drawn = lines(
        draw("failures", made_up_run.series(rates=RateLines(rates.offered, rates.goodput, rates.throughput, outcomes)))
    )
    assert len(drawn) == MAX_PANELS
    assert drawn[OTHER_FAILURES][0][1][0] == sum(range(MAX_PANELS, len(kinds) + 1))


@pytest.mark.heavy
def test_the_responses_chart_draws_accepted_uploads_with_their_gaps_and_refusals_beside_them() -> None:
    figure, responses = draw("responses"), made_up_run.series().responses
    assert_drawn(figure, *responses.percentiles, responses.failed)
    assert {"accepted uploads: from due to the end of the answer", "refused or failed, p50"} <= set(texts(figure))
    assert {"p50, overall 400 ms", "p95, overall 1.2 s"} <= set(texts(figure))


def test_the_heat_map_covers_every_cell_with_a_count_and_none_without() -> None:
    covered = np.zeros((42, 72), dtype=int)
    edges = made_up_run.responses().edges_response_s
    for patch in _patches(draw("responses")):
        for box in np.asarray(patch.get_path().vertices).reshape(-1, 5, 2):
            row = int(np.searchsorted(edges, box[0, 1] * 1.0001)) - 1
            covered[row, int(box[0, 0]) : int(box[1, 0])] += 1
    assert np.array_equal(covered, (made_up_run.responses().counts > 0).astype(int))


def test_the_heat_map_is_darker_where_more_responses_are() -> None:
    colours = [to_hex(patch.get_facecolor()) for patch in _patches(draw("responses"))]
    assert colours == [shade for shade in palette.HEAT if shade in colours]


def test_shades_of_the_heat_map_begin_with_one_and_stay_below_the_fullest_cell() -> None:
    responses = made_up_run.responses()
    least = shade_levels(responses.counts)
    assert least[0] == 1
    assert least == sorted(set(least))
    assert least[-1] <= responses.counts.max()


@pytest.mark.heavy
def test_the_completion_chart_draws_the_total_what_was_due_and_every_kelurahan() -> None:
    completion = made_up_run.series().completion
    assert_drawn(draw("completion"), completion.total, completion.planned, *completion.kelurahan)


def test_the_completion_chart_names_every_kelurahan_at_its_end_and_colours_the_slowest() -> None:
    figure = draw("completion")
    named = " ".join(texts(figure))
    for name, _ in made_up_run.KELURAHAN.values():
        assert name in named
    assert lines(figure)["Tegalbesar"][0][2] == palette.VERMILION
    assert lines(figure)["Mangli"][0][2] == palette.GREY


def test_a_few_kelurahan_have_a_small_chart_each_the_slowest_first_and_all_stations_beside_it() -> None:
    figure, completion = draw("completion"), made_up_run.series().completion
    small = [axes for axes in figure.axes if any(line.get_gid() == "Mangli" for line in axes.lines)]
    assert len(small) == 1
    named = [text.get_text() for axes in figure.axes[2:] for text in axes.texts]
    assert len(named) == len(made_up_run.KELURAHAN)
    assert named[0].startswith("Tegalbesar")
    (beside,) = (line for line in small[0].lines if to_hex(line.get_color()) == palette.GOODPUT)
    assert np.array_equal(beside.get_ydata(), completion.total.value)


def test_the_completion_chart_has_a_second_axis_in_the_elections_own_time() -> None:
    figure = draw("completion", made_up_run.series(time_scale=1800.0))
    assert [child.get_xlabel() for axes in figure.axes for child in axes.child_axes] == [
        "hours of the election, 1 s is 30 min"
    ]


def test_where_a_second_is_an_hour_one_axis_stands_for_both() -> None:
    figure = draw("completion")
    assert not [child for axes in figure.axes for child in axes.child_axes]
    assert "seconds since the start = hours of the election" in texts(figure)


@pytest.mark.heavy
def test_a_kelurahan_is_named_with_what_it_reached_by_the_deadline_and_not_after() -> None:
    late = np.where(np.arange(91) < 80, 0.5, 1.0)
    made = made_up_run.series().completion
    completion = CompletionLines(made.total, made.planned, [made_up_run.line("Mangli", late, np.arange(91))])
    named = texts(draw("completion", made_up_run.series(completion=completion, end_s=90.0)))
    assert "Mangli 50 % → 100 %" in named
    assert "share of stations complete; labels: at the deadline → at the end" in named


def test_the_kelurahan_that_is_named_as_the_last_is_the_one_that_is_coloured() -> None:
    made = made_up_run.series().completion
    # at the deadline both have half; Sukorejo got there later
    early = made_up_run.line("Mangli", np.where(np.arange(73) < 30, 0.2, 0.5), np.arange(73))
    late = made_up_run.line("Sukorejo", np.where(np.arange(73) < 60, 0.2, 0.5), np.arange(73))
    series = made_up_run.series(completion=CompletionLines(made.total, made.planned, [early, late]))
    assert BY_NAME["completion"].finding(series, made_up_run.summary()).endswith("; Sukorejo was last with 50 %")
    drawn = lines(draw("completion", series))
    assert (drawn["Sukorejo"][0][2], drawn["Mangli"][0][2]) == (palette.VERMILION, palette.GREY)


@pytest.mark.heavy
def test_a_run_in_its_own_time_has_no_second_axis() -> None:
    assert not [
        child for axes in draw("completion", made_up_run.series(time_scale=1.0)).axes for child in axes.child_axes
    ]


@pytest.mark.heavy
def test_of_many_kelurahan_only_the_slowest_three_are_named() -> None:
    completion = made_up_run.series().completion
    many = [made_up_run.line(f"village {n}", np.linspace(0, (n + 1) / 40, 73), np.arange(73)) for n in range(40)]
    figure = draw(
        "completion", made_up_run.series(completion=CompletionLines(completion.total, completion.planned, many))
    )
    named = [text for text in texts(figure) if text.startswith("village")]
    assert sorted(named) == ["village 0 2.5 %", "village 1 5 %", "village 2 7.5 %"]
    assert len([name for name in lines(figure) if name.startswith("village")]) == 40


@pytest.mark.heavy
def test_of_two_kelurahan_of_one_name_only_the_slower_is_coloured() -> None:
    completion = made_up_run.series().completion
    twins = [made_up_run.line("Sukorejo", np.linspace(0, share, 73), np.arange(73)) for share in (0.9, 0.4)]
    figure = draw(
        "completion", made_up_run.series(completion=CompletionLines(completion.total, completion.planned, twins))
    )
    assert [(values[-1], colour) for _, values, colour in lines(figure)["Sukorejo"]] == [
        (0.4, palette.VERMILION),
        (0.9, palette.GREY),
    ]


def test_more_kelurahan_than_an_eye_can_follow_become_a_band_with_the_slowest_three() -> None:
    completion = made_up_run.series().completion
    many = [made_up_run.line(f"village {n}", np.linspace(0, (n + 1) / 100, 73), np.arange(73)) for n in range(100)]
    figure = draw(
        "completion", made_up_run.series(completion=CompletionLines(completion.total, completion.planned, many))
    )
    assert len([name for name in lines(figure) if name.startswith("village")]) == 3
    (band,) = (artist for axes in figure.axes[1:] for artist in axes.collections if artist.get_gid() == "nine tenths")
    assert band.get_datalim(figure.axes[1].transData).y1 == pytest.approx(0.9505)


@pytest.mark.heavy
def test_the_server_chart_draws_each_of_its_series_in_a_panel_of_its_own() -> None:
    health = made_up_run.series().server
    figure = draw("server")
    assert_drawn(figure, health.queue_depth, health.workers_busy, health.active_requests, health.shed, health.wasted)
    assert {
        "uploads shed per second; 216 in all",
        "jobs finished after their client had left, per second; 31 in all",
        "at most 64",
    } <= set(texts(figure))


def server_of(queue: np.ndarray, **changed: Any) -> ChartData:
    made, nothing = made_up_run.series().server, made_up_run.empty()
    health = ServerHealth(made_up_run.line("queue_depth", queue), made.workers_busy, nothing, nothing, nothing)
    return made_up_run.series(server=health, **changed)


def test_a_peak_is_labelled_where_it_was_and_not_at_the_lines_end() -> None:
    figure = draw("server", server_of(np.concatenate([np.linspace(0, 2398, 40), np.zeros(32)])))
    (label,) = (text for text in figure.findobj(Annotation) if text.get_text() == "at most 2,398")
    assert label.xy == (40.0, 2398.0)
    assert figure.axes[1].yaxis.get_major_formatter()(2000.0, 0) == "2,000"


@pytest.mark.heavy
def test_what_the_server_can_bear_is_a_line_in_its_panel() -> None:
    limited = server_of(np.full(72, 20.0), server_limits=ServerLimits(workers=8, queue_capacity=64))
    figure = draw("server", limited)
    assert [list(y) for _, y, _ in lines(figure)["limit"]] == [[64, 64], [8, 8]]
    assert {
        "workers busy; dotted: 8, all of them",
        "uploads waiting in the queue; dotted: 64, its capacity",
    } <= set(texts(figure))
    assert "limit" not in lines(draw("server", server_of(np.full(72, 20.0))))


def test_what_the_harness_drained_after_the_end_is_shaded_and_named() -> None:
    queue = np.append(np.linspace(0, 900, 72), np.linspace(900, 0, 6))
    back = draw("server", server_of(queue, end_s=72.0)).axes[0]
    assert "drained after the end" in [text.get_text() for text in back.texts]
    assert back.get_xlim() == (0.0, 78.0)
    assert "drained after the end" not in texts(draw("server", server_of(queue[:72], end_s=72.0)))


def test_a_queue_that_the_harness_emptied_at_once_does_not_fall_to_zero_before_the_end() -> None:
    queue = np.append(np.linspace(0, 900, 71), 0.0)
    ((t_s, waiting, _),) = lines(draw("server", server_of(queue, end_s=71.9)))["queue_depth"]
    assert (t_s[-1], waiting[-1]) == (71.0, 900.0)


def test_the_server_chart_leaves_out_what_the_server_does_not_publish() -> None:
    health = made_up_run.series().server
    nothing = made_up_run.empty()
    part = ServerHealth(nothing, nothing, health.active_requests, nothing, nothing)
    assert set(lines(draw("server", made_up_run.series(server=part)))) == {"active_requests"}


def test_the_generator_chart_draws_lateness_cpu_memory_and_requests_in_flight() -> None:
    health = made_up_run.series().generator
    assert_drawn(draw("generator"), *health.lateness, *health.cpu, *health.memory, health.in_flight)


def test_the_generator_chart_marks_the_limit_of_its_core() -> None:
    assert list(lines(draw("generator"))["limit"][0][1]) == [0.9, 0.9]


def test_the_spectrum_draws_each_percentile_that_the_sample_can_bear() -> None:
    drawn = lines(draw("spectrum", None, made_up_run.summary(delivery_seconds=made_up_run.spread(1086, 0.4))))
    places, seconds, _ = drawn["all pages"][0]
    assert list(seconds) == pytest.approx([0.4, 0.8, 1.2, 2.0])
    assert list(places) == pytest.approx([-np.log10(1 - q) for q in (0.5, 0.9, 0.95, 0.99)])


def test_the_spectrum_shows_pages_and_stations_and_no_single_attempts() -> None:
    parts = [
        PhaseDelivery(name, Distribution.model_validate(made_up_run.spread(500, p50)))
        for name, p50 in (("clear", 0.4), ("brownout", 2.4))
    ]
    drawn = lines(draw("spectrum", made_up_run.series(delivery_by_phase=parts)))
    assert set(drawn) == {"due while clear", "due during brownout", "whole stations", "all pages"}
    assert drawn["due during brownout"][0][1][0] == pytest.approx(2.4)


def test_the_spectrum_of_delivery_is_cut_where_pages_never_arrive() -> None:
    _, seconds, _ = lines(draw("spectrum"))["all pages"][0]
    assert list(seconds) == pytest.approx([0.6, 1.2, 1.8])


def bands(figure: Figure) -> dict[str, StepPatch]:
    found = (artist for artist in figure.findobj(StepPatch) if isinstance(artist, StepPatch))
    return {str(patch.get_gid()): patch for patch in found}


@pytest.mark.heavy
def test_the_time_chart_stacks_the_parts_to_the_whole_and_draws_that_above() -> None:
    drawn = bands(draw("timespent"))
    spent = made_up_run.time_spent()
    low = np.zeros(72)
    whole = np.sum([part.value for part in spent.parts], axis=0)
    assert lines(draw("timespent"))["whole"][0][1] == pytest.approx(whole, nan_ok=True)
    for part in spent.parts:
        top, edges, base = drawn[part.label].get_data()
        known = spent.attempts > 0
        assert np.asarray(base)[known] == pytest.approx(low[known])
        assert np.asarray(top)[known] - low[known] == pytest.approx((part.value / whole)[known])
        assert list(edges) == list(range(73))
        low = np.asarray(top)
    assert low[known] == pytest.approx(np.ones(known.sum()))
    assert {"queue 67 %", "service 31 %"} <= set(texts(draw("timespent")))
    assert "time of a delivered attempt, 1.6 s in the mean" in texts(draw("timespent"))


def test_the_time_chart_ends_with_the_last_delivery_where_the_rest_would_be_empty() -> None:
    spent = made_up_run.time_spent()
    assert draw("timespent").axes[1].get_xlim() == (0.0, 72.0)
    brief = TimeBreakdown(spent.parts, np.where(np.arange(72) < 16, 15, 0))
    figure = draw("timespent", made_up_run.series(time_spent=brief))
    assert figure.axes[1].get_xlim() == (0.0, 16.0)
    assert "nothing due after 16 s was delivered →" in texts(figure)


@pytest.mark.heavy
def test_the_tries_chart_has_a_bar_for_every_number_of_attempts_split_by_delivery() -> None:
    bars = [bar.get_width() for bar in draw("tries").axes[1].patches if isinstance(bar, Rectangle)]
    assert bars == [0, 900, 120, 20, 9, 6, 0, 4, 12, 15]
    assert not [bar for bar in attempt_bars(AttemptsPerPage(np.array([0, 5, 0, 0, 1]), np.zeros(5, int))) if not bar[1]]
    assert {"900 delivered", "12 not acknowledged", "6 not acknowledged"} <= set(texts(draw("tries")))


def test_many_tries_are_put_together_without_losing_a_page() -> None:
    many = AttemptsPerPage(np.arange(30), np.zeros(30, dtype=np.int64))
    found = attempt_bars(many)
    assert found[-1] == ("10 to 29", sum(range(10, 30)), 0)
    assert sum(delivered for _, delivered, _ in found) == sum(range(30))


def test_exactly_ten_tries_are_called_ten() -> None:
    assert attempt_bars(AttemptsPerPage(np.ones(11, dtype=np.int64), np.zeros(11, dtype=np.int64)))[-1][0] == "10"


def test_numbers_of_attempts_that_no_page_took_have_no_row() -> None:
    delivered = np.zeros(41, dtype=np.int64)
    delivered[[1, 2, 38, 40]] = (1080, 4, 1, 1)
    found = attempt_bars(AttemptsPerPage(delivered, np.zeros(41, dtype=np.int64)))
    assert found == [("1", 1080, 0), ("2", 4, 0), ("38 to 40", 2, 0)]


@pytest.mark.heavy
def test_a_run_that_ended_early_has_its_labels_beside_the_lines_and_not_in_the_far_margin() -> None:
    made = made_up_run.rates()
    offered, goodput, throughput = (
        ChartLine(line.label, line.t_s[:36], line.value[:36]) for line in (made.offered, made.goodput, made.throughput)
    )
    figure = draw("throughput", made_up_run.series(rates=RateLines(offered, goodput, throughput, [])))
    figure.draw_without_rendering()
    (label,) = (text for text in figure.findobj(Text) if text.get_text().startswith("goodput"))
    panel = figure.axes[1]
    assert 36 < panel.transData.inverted().transform(Text.get_window_extent(label))[0][0] < 40


@pytest.mark.parametrize("name", [chart.name for chart in CHARTS if chart.over_time])
@pytest.mark.heavy
def test_a_run_that_ended_early_has_axes_to_its_end_and_the_deadline_named_beyond(name: str) -> None:
    figure = draw(name, made_up_run.series(end_s=72.0, deadline_s=200.0))
    back = figure.axes[0]
    assert back.get_xlim()[1] <= 72.0
    if back.get_xlim()[1] == 72.0:
        assert "deadline 3 min 20 s →" in [text.get_text() for text in back.texts]
    assert not back.lines


def test_a_long_run_is_drawn_with_at_most_four_hundred_points_whose_means_are_the_lines() -> None:
    t = np.arange(7200) + 0.5
    line = made_up_run.line("offered", np.arange(7200.0), t)
    shown = downsample_means(line)
    assert len(shown.t_s) == 400
    assert shown.value.mean() == pytest.approx(line.value.mean())
    assert shown.value[0] == pytest.approx(line.value[:18].mean())
    assert shown.t_s[0] == pytest.approx(9.0)


def test_thinning_leaves_out_gaps_and_keeps_a_gap_that_is_nothing_else() -> None:
    value = np.ones(800)
    value[[0, 2, 3]] = np.nan
    shown = downsample_means(made_up_run.line("x", value))
    assert shown.value[0] == 1.0
    assert np.isnan(shown.value[1])


def test_a_rising_curve_is_sampled_with_its_last_point() -> None:
    shown = downsample_points(made_up_run.line("x", np.arange(1000.0)))
    assert len(shown.t_s) <= 401
    assert shown.value[-1] == 999.0
    assert set(shown.value) <= set(range(1000))


def test_a_point_between_two_gaps_is_drawn_as_a_dot() -> None:
    made = made_up_run.rates()
    value = np.full(72, np.nan)
    value[[5, 20, 21]] = 3.0
    figure = draw(
        "throughput",
        made_up_run.series(rates=RateLines(made.offered, made.goodput, made_up_run.line("throughput", value), [])),
    )
    (line,) = (line for line in figure.axes[1].lines if line.get_gid() == "throughput")
    assert line.get_marker() == "o"
    assert line.get_markevery() == [5]


def _patches(figure: Figure) -> list[PathPatch]:
    return [artist for artist in figure.findobj(PathPatch) if isinstance(artist, PathPatch)]
