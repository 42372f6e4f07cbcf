"""Thresholds with labels and windows, on rows and on scrapes: each passes, has a failing twin, and fails without data."""

from __future__ import annotations

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import summarise
from harness.base.model import Outcome
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import evaluate_condition
from tests.support.run_builder import Labels, RunBuilder, brownout, make_pages

END_S = 60.0
CODES = [f"350919100{1 if number < 30 else 2}{number % 30 + 1:03d}" for number in range(60)]
SERVER = 5.0
"""The mock's counters go up by so much a second, but for the ten seconds of the brownout."""


def made_run(path):
    """Sixty stations, one a second.

    100 ms in Mangli (the first 30), 200 ms in Sempusari. In the brownout from 20 s to 30 s a first attempt is refused after
    1 s, the second accepted after 50 ms. The last page of all never arrives: its attempt times out after 500 ms.
    """
    made = RunBuilder(
        path,
        pages=make_pages([float(number) for number in range(60)], 1, CODES),
        workers=2,
        **brownout(20.0, 30.0, END_S),
    )
    for page in range(60):
        due_s = float(page)
        if page == 59:
            made.attempt(page, outcome=Outcome.TIMEOUT_RESPONSE, due_s=due_s, done_s=due_s + 0.5, worker=1)
        elif 20 <= page < 30:
            made.attempt(page, outcome=Outcome.UNAVAILABLE, due_s=due_s, done_s=due_s + 1.0, worker=page % 2)
            made.attempt(page, attempt=2, due_s=due_s + 1.0, done_s=due_s + 1.05, worker=page % 2)
        else:
            made.attempt(page, due_s=due_s, done_s=due_s + (0.1 if page < 30 else 0.2), worker=page % 2)
    for second in range(62):
        shed = min(max(second - 20, 0), 10)
        counted = SERVER * (second - shed)
        made.scrape(
            "server", float(second),
            {
                ("mock_server_queue_depth", ()): 50.0 if 20 <= second < 30 else 2.0,
                ("mock_server_pages_stored_total", ()): counted,
                ("mock_server_shed_total", (("reason", "queue_full"),)): 3.0 * shed,
                ("mock_server_shed_total", (("reason", "codel"),)): 1.0 * shed,
                ("mock_server_service_seconds_sum", ()): 0.1 * counted,
                ("mock_server_service_seconds_count", ()): counted,
                ("process_resident_memory_bytes", ()): 2e8,
            },
        )  # fmt: skip
        buckets: dict[tuple[str, Labels], float] = {("harness_response_seconds_bucket", (("le", le),)): count for le, count in
                   (("0.5", 0.9 * second), ("1.0", 0.99 * second), ("+Inf", 1.0 * second))}  # fmt: skip
        for worker in ("worker-0", "worker-1"):
            made.scrape(worker, float(second), {**buckets, ("process_resident_memory_bytes", ()): 1e8})
    made.store_all(but=[59])
    return made.finish("deadline", at_s=END_S, deadline_s=END_S)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = made_run(tmp_path_factory.mktemp("run") / "run")
    return summarise(folder), RunData(folder, load_rows(folder))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    folder = RunBuilder(tmp_path_factory.mktemp("nothing") / "run", due_s=[99.0], **brownout(20.0, 30.0, END_S)).finish(
        at_s=END_S
    )
    return summarise(folder), RunData(folder, load_rows(folder))


def held(figures, assertion):
    return evaluate_condition(parse_condition(assertion), *figures)


ROWS = [
    ('max(response_seconds{kelurahan="3509191002"}) {} {}', 0.5, "<", "600ms", "500ms"),
    ('p50(response_seconds{kelurahan="3509191002", outcome="accepted"}) {} {}', 0.2, "<", "250ms", "200ms"),
    ('avg(response_seconds{phase="brownout", outcome="unavailable"}) {} {}', 1.0, "<=", "1s", "999ms"),
    ('min(response_seconds{outcome!="accepted"}) {} {}', 0.5, ">", "400ms", "500ms"),
    ('last(response_seconds{outcome="accepted"}) {} {}', 0.2, "<", "201ms", "199ms"),
    ('last(delivery_seconds{station=~"3509191001.*"}) {} {}', 1.05, "<", "1.1s", "1s"),
    ('count(attempts{outcome="unavailable"}) {} {}', 10, "==", "10", "9"),
    ('count(attempts{outcome="throttled"}) {} {}', 0, "<", "1", "0"),
    ('count(attempts{worker="1", kecamatan="350919"}) {} {}', 35, "==", "35", "34"),
    ('ratio(attempts{outcome="accepted"}) {} {}', 59 / 70, ">", "84%", "85%"),
    ('ratio(attempts{outcome="accepted", phase="brownout"}) {} {}', 9 / 19, ">", "47%", "48%"),
    ("rate(attempts) {} {}", 70 / 60, "<", "1.2/s", "1.1/s"),
    ('ratio(delivery_seconds{kelurahan="3509191002"}) {} {}', 29 / 30, ">=", "96%", "97%"),
    ('max(completion_seconds{kelurahan="3509191001"}) {} {}', 1.05, "<", "2s", "1s"),
    ('count(deliveries{form="ppwp"}) {} {}', 59, ">=", "59", "60"),
    ('count(deliveries{kelurahan!="3509191001"}) {} {}', 29, ">=", "29", "30"),
    ('count(deliveries{phase="brownout"}) {} {}', 9, ">=", "9", "10"),
    ('count(deliveries{kelurahan="3509191002", form="ppwp"}) {} {}', 29, ">=", "29", "30"),
    ('count(deliveries{station="3509191001003", kelurahan="3509191001"}) {} {}', 1, ">=", "1", "2"),
    ('max(response_seconds) {} {} during "brownout"', 1.0, "<=", "1s", "999ms"),
    ('avg(response_seconds) {} {} after "brownout"', (0.05 + 29 * 0.2 + 0.5) / 31, "<", "250ms", "200ms"),
    ('rate(attempts) {} {} during "brownout"', 1.9, "<", "2", "1.9"),
    ('count(deliveries) {} {} after "brownout"', 30, ">=", "30", "31"),
    ("max(response_seconds) {} {} over 10s", 1.0, "<", "1.1s", "1s"),
    ('avg(response_seconds{outcome="accepted"}) {} {} over 10s', 0.2, "<=", "201ms", "199ms"),
    ("count(attempts) {} {} over 10s", 20, "<=", "20", "19"),
    ("rate(deliveries) {} {} over 10s", 0.9, ">=", "0.9", "0.91"),
    ('ratio(attempts{outcome="accepted"}) {} {} over 10s', 9 / 19, ">", "47%", "48%"),
    ('max(response_seconds) {} {} within 15s of end of "brownout"', 0.5, "<", "501ms", "500ms"),
    ('max(response_seconds) {} {} over 20s within 5s of end of "brownout"', 0.5, "<", "501ms", "500ms"),
]  # fmt: skip
SERIES = [
    ("max(mock_server_queue_depth) {} {}", 50, "<=", "50", "49"),
    ("min(mock_server_queue_depth) {} {}", 2, ">=", "2", "3"),
    ("last(mock_server_queue_depth) {} {}", 2, "<", "3", "2"),
    ('avg(mock_server_queue_depth) {} {} during "brownout"', 50, "<=", "50", "49"),
    ("p50(mock_server_queue_depth) {} {}", 2, "<", "3", "2"),
    ("count(mock_server_queue_depth) {} {} over 10s", 10, ">=", "10", "11"),
    ('max(mock_server_queue_depth) {} {} within 0s of end of "brownout"', 2, "<", "3", "2"),
    ("max(process_resident_memory_bytes{{target=~'worker-.*'}}) {} {}", 1e8, "<", "101MB", "99MB"),
    ('max(process_resident_memory_bytes{{target="server"}}) {} {}', 2e8, "<", "201MB", "199MB"),
    ("count(mock_server_shed_total) {} {}", 40, "<=", "40", "39"),
    ('count(mock_server_shed_total{{reason="codel"}}) {} {}', 10, "<=", "10", "9"),
    ('count(mock_server_shed_total{{reason="none"}}) {} {}', 0, "<", "1", "0"),
    ('ratio(mock_server_shed_total{{reason="codel"}}) {} {}', 0.25, "<=", "25%", "24%"),
    ('rate(mock_server_shed_total) {} {} during "brownout"', 4, "<=", "4/s", "3.9/s"),
    ('rate(mock_server_pages_stored_total) {} {} after "brownout"', 5, ">=", "5/s", "5.1/s"),
    ("rate(mock_server_pages_stored_total) {} {} over 10s", 0, ">=", "0", "0.1"),
    ("last(mock_server_pages_stored_total) {} {}", 255, ">=", "255", "256"),
    ("avg(mock_server_service_seconds) {} {}", 0.1, "<", "101ms", "99ms"),
    ("count(mock_server_service_seconds) {} {}", 255, ">=", "255", "256"),
    ('rate(mock_server_service_seconds_sum) {} {} after "brownout"', 0.5, "<", "51%", "49%"),
    ('ratio(harness_response_seconds_bucket{{le="1"}}) {} {}', 0.99, ">=", "98.9%", "99.1%"),
]  # fmt: skip


def both(template, compare, good, bad):
    fill = template.replace("{} {}", "{0} {1}")
    if "{{" not in fill:
        fill = fill.replace("{", "{{").replace("}", "}}").replace("{{0}}", "{0}").replace("{{1}}", "{1}")
    return fill.format(compare, good), fill.format(compare, bad)


@pytest.mark.heavy
@pytest.mark.parametrize(("template", "observed", "compare", "good", "bad"), [*ROWS, *SERIES])
def test_a_threshold_passes_its_twin_fails_and_both_fail_without_data(run, nothing, template, observed, compare, good, bad):  # fmt: skip
    passing, failing = (held(run, assertion) for assertion in both(template, compare, good, bad))
    assert passing.observed == pytest.approx(observed)
    assert failing.observed == pytest.approx(observed)
    assert (passing.passed, passing.reason) == (True, "")
    assert failing.passed is False
    assert failing.reason
    assert (passing.window is None) == (not any(word in template for word in (" over ", "during", "after", "within")))
    for assertion in both(template, compare, good, bad):
        without = held(nothing, assertion)
        assert (without.passed, without.observed) == (False, None)
        assert without.reason


def test_the_worst_of_several_windows_is_named_and_how_many_breach_it(run):
    found = held(run, "count(attempts) < 15 over 10s")
    assert found.window is not None
    assert (found.window.from_s, found.window.to_s) == (21.0, 31.0)
    assert found.reason == "5 (33 %) above the limit, from 21 s to 31 s (11 of 51 windows breach it)"


def test_one_window_without_data_is_enough_to_fail(run):
    found = held(run, 'max(response_seconds{outcome="unavailable"}) < 9s over 10s')
    assert (found.passed, found.observed) == (False, None)
    assert found.reason.startswith("no data: there is nothing to count, from 0 s to 10 s (")
    assert found.reason.endswith("windows have no figure)")


def test_a_percentile_that_a_window_can_not_bear_says_which_size_it_needs(run):
    found = held(run, "p95(response_seconds) < 9s over 10s")
    assert (found.passed, found.observed) == (False, None)
    assert found.reason == "n/a (needs 200; there are 10), from 0 s to 10 s (51 of 51 windows have no figure)"


def test_a_page_that_never_arrived_breaks_every_window_that_it_fell_due_in(run):
    assert held(run, "max(delivery_seconds) < 2s").reason == "it is infinite: 1 of 60 pages was never acknowledged"
    found = held(run, "max(delivery_seconds) < 2s over 10s")
    assert found.reason.startswith("it is infinite: 1 of 10 pages was never acknowledged, from 50 s to 60 s")


@pytest.mark.parametrize(
    "assertion",
    [
        'count(attempts{kelurahan="3509191999", outcome="reset"}) == 0',
        'count(attempts{station="3509191001099"}) == 0',
        'count(attempts{station=~"3509191001"}) == 0',  # a regular expression must match the whole value
        'count(attempts{phase="brown", outcome="reset"}) == 0',
        'count(attempts{form="pdpr"}) == 0',
        'count(attempts{worker="7"}) == 0',
        'count(deliveries{kecamatan="1"}) == 0',
        'count(deliveries{phase="brown"}) == 0',
        'count(mock_server_shed_total{target="worker-9"}) == 0',
        "count(mock_server_dropped_total) == 0",
    ],
)
def test_a_label_that_chooses_nothing_there_was_is_no_zero(run, assertion):
    found = held(run, assertion)
    assert (found.passed, found.observed) == (False, None)
    assert found.reason


def test_a_server_that_answered_no_scrape_in_a_window_has_no_figure_there(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0)
    for second in range(31):
        samples: dict[tuple[str, Labels], float] = {
            ("mock_server_queue_depth", ()): 1.0,
            ("mock_server_wasted_work_total", ()): 0.0,
        }
        made.scrape("server", float(second), None if 10 < second < 20 else samples)
    folder = made.finish(at_s=30.0)
    figures = summarise(folder), RunData(folder, load_rows(folder))
    for subject in ("max(mock_server_queue_depth)", "rate(mock_server_wasted_work_total)"):
        assert held(figures, f"{subject} < 9").passed
        assert held(figures, f"{subject} < 9 over 15s").passed
        found = held(figures, f"{subject} < 9 over 5s")
        assert (found.passed, found.observed) == (False, None)
        assert "windows have no figure" in found.reason


def test_a_restart_of_the_server_loses_nothing_that_it_had_counted(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0)
    for second in range(11):
        made.scrape(
            "server",
            float(second),
            {("mock_server_wasted_work_total", ()): float(second if second < 6 else second - 6)},
        )
    folder = made.finish(at_s=10.0)
    condition = parse_condition("count(mock_server_wasted_work_total) == 9")
    found = evaluate_condition(condition, summarise(folder), RunData(folder, load_rows(folder)))
    assert found.observed == pytest.approx(9.0)


def test_the_whole_run_agrees_with_the_summary(run):
    summary, _ = run
    for metric in ("response_seconds", "service_seconds", "delivery_seconds", "completion_seconds", "lateness_seconds"):
        spread = getattr(summary, metric)
        assert held(run, f"count({metric}) > 0").observed == spread.count
        assert held(run, f"p50({metric}) >= 0").observed == spread.p50
        assert held(run, f"max({metric}) >= 0").observed == spread.max
    by_outcome = summary.response_seconds.by_outcome["unavailable"]
    assert held(run, 'max(response_seconds{outcome="unavailable"}) > 0').observed == by_outcome.max
    assert held(run, 'count(attempts{outcome="timeout_response"}) > 0').observed == 1
    assert summary.attempts.by_outcome["timeout_response"] == 1
    assert held(run, "count(deliveries) > 0").observed == summary.pages.delivered


@pytest.mark.heavy
def test_the_warm_up_is_in_no_threshold(tmp_path):
    made = RunBuilder(tmp_path / "run", due_s=[0.0, 5.0, 6.0], warm_up_s=5.0, deadline_s=20.0)
    for page, due_s in enumerate((0.0, 5.0, 6.0)):
        made.attempt(page, due_s=due_s, done_s=due_s + (9.0 if page == 0 else 0.1))
    folder = made.finish(at_s=20.0)
    figures = summarise(folder), RunData(folder, load_rows(folder))
    assert held(figures, "count(attempts) == 2").passed
    assert held(figures, "max(response_seconds) < 1s").passed
    assert held(figures, "rate(attempts) > 0").observed == pytest.approx(2 / 15)


def test_a_station_that_does_not_lie_in_the_place_is_not_selected(run):
    for place in ('station="3509191001003", kelurahan="3509191002"', 'kelurahan="3509191002", station="3509191001003"'):
        found = held(run, f"count(deliveries{{{place}}}) < 9")
        assert (found.passed, found.observed) == (False, None)
