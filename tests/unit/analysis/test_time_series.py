from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.chart_lines import rate_line
from harness.analysis.time_series import (
    SeriesBuilder,
    counter_total,
    rates_between_scrapes,
    read_series,
    without_resets,
)
from harness.run_folder.scrape_log import Scrape, append_scrape

NAN = float("nan")


def scraped(folder, texts, target="worker-0", names=("x_total", "depth")):
    """Curves of one scrape a second; None is a scrape that failed, a pair has its own time."""
    for second, text in enumerate(texts):
        t_s, text = text if isinstance(text, tuple) else (float(second), text)  # noqa: PLW2901
        append_scrape(folder, Scrape(target, t_s, text or "", "" if text else "refused"))
    return read_series(folder, target, names)


def test_a_series_is_a_curve_over_the_scrapes(tmp_path):
    curves = scraped(tmp_path, ["depth 3\n", "depth 5\n"])
    assert curves.t_s.tolist() == [0.0, 1.0]
    assert curves.total("depth").tolist() == [3.0, 5.0]
    assert curves.maximum("depth") == 5.0


def test_a_failed_scrape_is_a_gap_and_is_counted(tmp_path):
    curves = scraped(tmp_path, ["depth 3\n", None, "depth 5\n"])
    np.testing.assert_array_equal(curves.total("depth"), [3.0, NAN, 5.0])
    assert curves.failed == 1


def test_an_answer_in_no_format_of_ours_is_a_failed_scrape(tmp_path):
    curves = scraped(tmp_path, ["depth three\n", "depth 5\n"])
    assert curves.failed == 1
    np.testing.assert_array_equal(curves.total("depth"), [NAN, 5.0])


def test_a_target_that_was_never_scraped_has_no_curves(tmp_path):
    curves = read_series(tmp_path, "server", ["depth"])
    assert curves.t_s.tolist() == []
    assert curves.total("depth") is None
    assert curves.maximum("depth") is None
    assert curves.final_count("depth") is None
    assert curves.counter("depth") is None


def test_only_whole_names_are_taken(tmp_path):
    curves = scraped(tmp_path, ['depth_max 9\nmy_depth 8\ndepth{a="x y"} 3\ndepth{a="z"} 4\n'])
    assert list(curves.columns) == ["depth"]
    assert curves.total("depth").tolist() == [7.0]


def test_labels_may_hold_braces_quotes_and_blanks_and_a_sample_its_own_time(tmp_path):
    curves = scraped(
        tmp_path, ['depth{a="} x",b="say \\"no\\""} 3 1700000000\n', 'depth{a="} x",b="say \\"no\\""} 4\n']
    )
    ((labels, values),) = curves.columns["depth"].items()
    assert dict(labels) == {"a": "} x", "b": 'say "no"'}
    assert values.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("torn", ['depth{a="x', 'depth{a="x y', 'depth{a="x"}', "depth ", "depth{a=x} 3"])
def test_a_sample_that_is_torn_makes_its_scrape_a_failed_one(tmp_path, torn):
    assert scraped(tmp_path, ["depth 1\n", torn]).failed == 1


def test_labels_are_summed_or_told_apart(tmp_path):
    texts = ['x_total{reason="full"} 2\n', 'x_total{reason="full"} 3\nx_total{reason="late"} 4\n']
    curves = scraped(tmp_path, texts)
    assert curves.final_count("x_total") == 7.0
    assert curves.final_count_by("x_total", "reason") == {"full": 3, "late": 4}
    assert curves.counter("x_total").tolist() == [2.0, 7.0]
    assert curves.counter("x_total", ("reason", {"late"})).tolist() == [0.0, 4.0]


def test_a_counter_that_is_declared_and_has_no_member_has_counted_nothing(tmp_path):
    curves = scraped(tmp_path, ["# HELP x_total X.\n# TYPE x_total counter\ndepth 1\n"])
    assert curves.final_count("x_total") == 0.0
    assert curves.counter("x_total").tolist() == [0.0]
    assert curves.final_count_by("x_total", "reason") == {}


def test_a_restart_loses_nothing_that_was_counted(tmp_path):
    curves = scraped(tmp_path, ["x_total 5\n", "x_total 8\n", "x_total 1\n", "x_total 2\n"])
    assert curves.final_count("x_total") == 10.0
    assert curves.counter("x_total").tolist() == [5.0, 8.0, 9.0, 10.0]


def test_a_counter_without_a_value_has_counted_nothing():
    assert counter_total(np.array([NAN, NAN])) == 0.0
    assert without_resets(np.empty(0)).tolist() == []


def test_a_gauge_is_looked_at_from_the_start_of_the_run_on(tmp_path):
    curves = scraped(tmp_path, [(-1.0, "depth 9\n"), (0.0, "depth 2\n"), (1.0, "depth 4\n")])
    assert curves.maximum("depth") == 4.0


def test_a_rate_is_over_the_scrapes_own_times():
    starts, ends, rates = rates_between_scrapes(np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 8.0]))
    assert (starts.tolist(), ends.tolist(), rates.tolist()) == ([0.0, 1.0], [1.0, 3.0], [1.0, 3.0])


def test_a_missing_scrape_makes_the_interval_longer_not_the_rate_wrong():
    _, ends, rates = rates_between_scrapes(np.array([0.0, 1.0, 2.0]), np.array([1.0, NAN, 5.0]))
    assert (ends.tolist(), rates.tolist()) == ([2.0], [2.0])


def test_a_restart_is_no_negative_rate():
    _, _, rates = rates_between_scrapes(np.array([0.0, 1.0, 2.0]), np.array([7.0, 9.0, 0.5]))
    assert rates.tolist() == [2.0, 0.5]


def test_a_scrape_right_after_another_is_passed_over():
    starts, ends, _ = rates_between_scrapes(np.array([0.0, 1.0, 1.1, 2.0]), np.array([0.0, 1.0, 1.1, 2.0]))
    assert (starts.tolist(), ends.tolist()) == ([0.0, 1.0], [1.0, 2.0])


def totals(line):
    """What a rate line adds up to: bins of a second, the last as wide as its middle tells."""
    widths = np.ones(len(line.t_s))
    widths[-1] = 2 * (line.t_s[-1] - (len(widths) - 1))
    return (line.value * widths).sum()


def test_a_rate_line_has_a_bin_a_second_and_adds_up_to_the_last_scrape(tmp_path):
    curves = scraped(
        tmp_path, [(0.25, "x_total 1\n"), (1.25, "x_total 5\n"), (2.25, "x_total 9\n"), (3.0, "x_total 12\n")]
    )
    line = rate_line([curves], "x_total", "x")
    assert line.t_s.tolist() == [0.5, 1.5, 2.5]
    assert line.value.tolist() == [4.0, 4.0, 4.0]
    assert totals(line) == 12.0


def test_what_is_counted_after_t0_is_not_spread_over_the_time_before_it(tmp_path):
    curves = scraped(
        tmp_path, [(-0.5, "x_total 0\n"), (0.5, "x_total 4\n"), (1.5, "x_total 8\n"), (2.0, "x_total 9\n")]
    )
    line = rate_line([curves], "x_total", "x")
    assert line.value.tolist() == [6.0, 3.0]
    assert totals(line) == 9.0


def test_the_last_bin_ends_with_the_last_scrape(tmp_path):
    curves = scraped(tmp_path, ["x_total 0\n", "x_total 2\n", (1.5, "x_total 5\n")])
    line = rate_line([curves], "x_total", "x")
    assert line.t_s.tolist() == [0.75]
    assert totals(line) == pytest.approx(5.0)


def test_workers_are_summed_though_scraped_at_different_times(tmp_path):
    one = scraped(tmp_path, [(0.0, "x_total 0\n"), (1.0, "x_total 10\n"), (2.0, "x_total 20\n")])
    two = scraped(tmp_path, [(0.5, "x_total 2\n"), (1.5, "x_total 6\n"), (1.9, "x_total 8\n")], target="worker-1")
    line = rate_line([one, two], "x_total", "x")
    assert totals(line) == pytest.approx(28.0)
    assert line.value[0] == pytest.approx(14.0)


def test_a_long_silence_of_one_worker_is_a_gap(tmp_path):
    silent = [(0.0, "x_total 0\n"), (1.0, "x_total 1\n"), (5.0, "x_total 5\n"), (6.0, "x_total 6\n")]
    line = rate_line([scraped(tmp_path, silent)], "x_total", "x")
    np.testing.assert_array_equal(line.value, [1.0, NAN, NAN, NAN, NAN, 1.0])


def test_a_worker_that_falls_silent_for_good_is_a_gap_from_then_on(tmp_path):
    one = scraped(tmp_path, [(float(second), f"x_total {second}\n") for second in range(9)])
    two = scraped(tmp_path, ["x_total 0\n", "x_total 1\n"], target="worker-1")
    line = rate_line([one, two], "x_total", "x")
    np.testing.assert_array_equal(line.value, [2.0, 1.0, 1.0, NAN, NAN, NAN, NAN, NAN])


def test_what_was_not_scraped_soon_after_the_start_is_a_gap(tmp_path):
    line = rate_line([scraped(tmp_path, [(4.0, "x_total 8\n"), (5.0, "x_total 9\n")])], "x_total", "x")
    np.testing.assert_array_equal(line.value, [NAN, NAN, NAN, NAN, 1.0])


def test_a_series_that_nobody_publishes_is_an_empty_line(tmp_path):
    line = rate_line([scraped(tmp_path, ["depth 1\n"])], "x_total", "x")
    assert (line.label, line.t_s.tolist(), line.value.tolist()) == ("x", [], [])


def test_scrapes_from_before_the_start_alone_make_no_line(tmp_path):
    line = rate_line([scraped(tmp_path, [(-1.0, "x_total 1\n"), (0.0, "x_total 1\n")])], "x_total", "x")
    assert line.t_s.tolist() == []


def test_an_hour_of_scrapes_is_read_in_seconds_because_only_wanted_lines_are_parsed(tmp_path):
    noise = "".join(f'noise_bucket{{le="{number}"}} {number}\n' for number in range(300))
    curves = scraped(tmp_path, [f"{noise}x_total {second}\n" for second in range(300)])
    assert curves.final_count("x_total") == 299.0
    assert list(curves.columns) == ["x_total"]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('x_total{a="b"} 500 # {trace_id="q"} 1', 500.0),
        ('x_total{a="b"} 500 1700000000.5 # {trace_id="}"} 1 1700000000', 500.0),
        ('x_total{a="} 9 # {"} 500', 500.0),
        ('x_total{a="\\\\"}\t5e2\t', 500.0),
        ("x_total +Inf", float("inf")),
    ],
)
def test_a_samples_value_is_its_own_not_that_of_its_exemplar(line, value):
    builder = SeriesBuilder("app", ["x_total"])
    builder.add(1.0, f"# TYPE x_total counter\n{line}\n")
    series = builder.build()
    assert (series.failed, float(series.columns["x_total"].popitem()[1][0])) == (0, value)


@pytest.mark.parametrize("line", ["x_total 1_000", "x_total", "x_total {count:1}", 'x_total{a="b} 3', "x_total 1 2 3"])
def test_a_line_that_is_not_a_sample_makes_the_scrape_unreadable(line):
    builder = SeriesBuilder("app", ["x_total"])
    builder.add(1.0, f"{line}\n")
    assert builder.build().failed == 1


def counted(*scrapes):
    """The builder's series of x_total, from (start of the process or None, value) once a second."""
    builder = SeriesBuilder("app", ["x_total"])
    for second, (started, value) in enumerate(scrapes):
        start = "" if started is None else f"process_start_time_seconds {started}\n"
        builder.add(float(second), f"{start}x_total {value}\n")
    return builder.build()


def test_a_restart_is_known_by_the_start_time_even_if_the_counter_did_not_fall():
    series = counted((100.5, 3), (100.5, 5), (107.25, 6), (107.25, 9))
    assert series.final_count("x_total") == 5 + 9
    assert (series.problem, list(series.columns)) == ("", ["x_total"])


def test_a_restart_falls_on_the_next_scrape_that_has_the_counter():
    builder = SeriesBuilder("app", ["x_total"])
    for second, text in enumerate(("process_start_time_seconds 1\nx_total 5\n", "process_start_time_seconds 2\n",
                                   "process_start_time_seconds 2\nx_total 7\n")):  # fmt: skip
        builder.add(float(second), text)
    assert builder.build().final_count("x_total") == 12


def test_without_a_start_time_only_a_fall_is_a_restart():
    assert counted((None, 3), (None, 5), (None, 1), (None, 2)).final_count("x_total") == 7


@pytest.mark.parametrize(
    "scrapes",
    [
        [(100, 5), (200, 2), (100, 6)],  # the start time of one comes back
        [(100, 5), (200, 7), (100, 8), (200, 9)],
        [(None, 50), (None, 2), (None, 51), (None, 3), (None, 52)],
    ],
)
def test_several_processes_behind_one_address_are_noticed(scrapes):
    assert counted(*scrapes).problem.startswith("several processes answer in turn at the /metrics of app")


@pytest.mark.parametrize(
    "scrapes",
    [
        [(100, 5), (200, 2), (300, 6)],
        [(None, 50), (None, 2), (None, 51)],  # one restart, and a busy second
        [(None, 5), (None, 1), (None, 2), (None, 1), (None, 2)],
        [(100, 5), (100, 2), (100, 6), (100, 2), (100, 7)],  # reset by itself: its process says that it is the same
    ],
)
def test_restarts_are_not_taken_for_several_processes(scrapes):
    assert counted(*scrapes).problem == ""


def test_a_native_histogram_is_refused_by_name():
    builder = SeriesBuilder("app", ["x_seconds_count"])
    builder.add(1.0, '# TYPE x_seconds histogram\nx_seconds{a="b"} {count:5,sum:1.5,schema:3,zero_threshold:1e-4}\n')
    series = builder.build()
    assert series.problem == (
        "a scrape of app can't be read: x_seconds is a native histogram: let the server expose it with classic buckets"
    )


def test_what_cannot_be_read_is_quoted():
    builder = SeriesBuilder("app", ["x_total"])
    builder.add(1.0, "x_total 1_000\n")
    assert builder.build().problem == "a scrape of app can't be read: not a sample: x_total 1_000"
