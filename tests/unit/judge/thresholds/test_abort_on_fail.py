"""When a threshold can't be passed any more, as far as the scrapes tell."""

from __future__ import annotations

import pytest

from harness.base.errors import ConfigurationError
from harness.judge.thresholds.abort_on_fail import AbortMonitor, AbortThreshold, check_abortable
from harness.run_folder.layout import FaultRecord, RunRecord
from harness.run_folder.scrape_log import Scrape

RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=100, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[],
    faults=[FaultRecord(name="brownout", kind="capacity", start_s=10, end_s=20)],
)  # fmt: skip
PAGES = 100


def generator(accepted=0, reset=0, within=0, above=0, seconds=0.0):
    return (
        f'harness_attempts_total{{outcome="accepted"}} {accepted}\nharness_attempts_total{{outcome="reset"}} {reset}\n'
        f"harness_pages_delivered_total {accepted}\nharness_response_seconds_count {within + above}\n"
        f'harness_response_seconds_sum {seconds}\nharness_response_seconds_bucket{{le="1.0"}} {within}\n'
        f'harness_response_seconds_bucket{{le="+Inf"}} {within + above}\n'
    )


def watching(assertion, texts, grace_s=0.0, target="worker-0", **record):
    """What is said once all scrapes, one a second, have come; None is one that failed."""
    watch = AbortMonitor([AbortThreshold(assertion, grace_s)], RECORD.model_copy(update=record), PAGES)
    for second, text in enumerate(texts):
        watch.add(Scrape(target, float(second), text or "", "" if text else "refused"))
    return watch.find_failed()


def queue(*depths):
    return [f"mock_server_queue_depth {depth}\n" for depth in depths]


@pytest.mark.parametrize(
    ("assertion", "fine", "hopeless"),
    [
        ('count(attempts{outcome="reset"}) == 0', generator(9, 0), generator(9, 1)),
        ('count(attempts{outcome="reset"}) <= 3', generator(9, 3), generator(9, 4)),
        ("attempts.by_outcome.reset == 0", generator(9, 0), generator(9, 1)),
        ("attempts.total < 20", generator(9, 10), generator(9, 11)),
        ("rate(attempts) < 1", generator(50, 49), generator(50, 50)),
        # 90 of 100 pages are still to come: with 11 resets the best is 100 of 111, with 12 it is 100 of 112
        ('ratio(attempts{outcome="accepted"}) >= 90%', generator(10, 11), generator(10, 12)),
        ('ratio(attempts{outcome="reset"}) <= 10%', generator(10, 11), generator(10, 12)),
        # 60 pages to come and 40 answers: of 100 at most 5 may be above the limit
        ("p95(response_seconds) < 1s", generator(40, 0, 35, 5), generator(40, 0, 34, 6)),
        ("max(response_seconds) <= 1s", generator(40, 0, 40, 0), generator(40, 0, 39, 1)),
        ("avg(response_seconds) < 1s", generator(40, 0, 0, 40, 99.0), generator(40, 0, 0, 40, 100.0)),
    ],
)
def test_rows_are_hopeless_when_even_the_best_that_can_come_is_not_enough(assertion, fine, hopeless):
    check_abortable([assertion], "mine.toml")
    assert watching(assertion, [generator(), fine]) == ""
    said = watching(assertion, [generator(), hopeless])
    assert said.startswith(f"{assertion} can't be passed any more: ")
    assert "already at 1 s" in said


def test_workers_are_summed():
    watch = AbortMonitor([AbortThreshold('count(attempts{outcome="reset"}) < 2')], RECORD, PAGES)
    watch.add(Scrape("worker-0", 0.0, generator(0, 0)))
    watch.add(Scrape("worker-1", 0.0, generator(0, 0)))
    watch.add(Scrape("worker-0", 1.0, generator(0, 1)))
    assert watch.find_failed() == ""
    watch.add(Scrape("worker-1", 1.0, generator(0, 1)))
    assert "2 already at 1 s" in watch.find_failed()


def test_a_gauge_that_was_past_its_limit_once_stays_a_breach():
    assert watching("max(mock_server_queue_depth) < 50", queue(0, 49, 3)) == ""
    assert "50 already" in watching("max(mock_server_queue_depth) < 50", queue(0, 50, 3))
    assert "1 already" in watching("min(mock_server_queue_depth) > 1", queue(5, 1, 3))


def test_a_counter_that_only_rises_is_past_its_limit_for_good():
    texts = [f"mock_server_wasted_work_total {count}\n" for count in (0, 5, 10)]
    assert watching("count(mock_server_wasted_work_total) <= 10", texts) == ""
    assert "10 already" in watching("count(mock_server_wasted_work_total) < 10", texts)
    assert "0.100/s already" in watching("rate(mock_server_wasted_work_total) < 0.1", texts)
    assert watching("rate(mock_server_wasted_work_total) <= 0.1", texts) == ""


def test_a_window_that_is_over_and_was_breached_is_hopeless_and_one_under_way_is_not():
    assertion = "avg(mock_server_queue_depth) < 10 over 5s"
    assert watching(assertion, queue(50, 50, 50, 50)) == ""
    assert "50, 40" in watching(assertion, queue(50, 50, 50, 50, 50, 50))
    assert watching(assertion, queue(0, 9, 9, 9, 9, 9, 9)) == ""


def test_a_fault_that_is_over_is_hopeless_and_one_under_way_is_not():
    depths = [0] * 10 + [60] * 10
    assert watching('avg(mock_server_queue_depth) < 50 during "brownout"', queue(*depths)) == ""
    assert "60, 10" in watching('avg(mock_server_queue_depth) < 50 during "brownout"', queue(*depths, 60))
    assert "60 already" in watching('max(mock_server_queue_depth) < 50 during "brownout"', queue(*depths[:12]))
    assert watching('max(mock_server_queue_depth) < 50 after "brownout"', queue(*depths, 0, 0)) == ""


def test_a_recovery_is_hopeless_only_after_the_time_that_it_has():
    assertion = 'max(mock_server_queue_depth) < 50 over 2s within 5s of end of "brownout"'
    slow = [0] * 20 + [60] * 6
    assert watching(assertion, queue(*slow)) == ""
    assert watching(assertion, queue(*slow, 60)) == ""
    assert "60, 10" in watching(assertion, queue(*slow, 60, 60))
    assert watching(assertion, queue(*[0] * 20, *[60] * 5, *[0] * 5)) == ""


def test_nothing_is_said_before_the_grace_and_the_warm_up_are_over():
    texts = queue(99, 99, 99, 99, 99)
    assert watching("max(mock_server_queue_depth) < 50", texts, grace_s=5.0) == ""
    assert watching("max(mock_server_queue_depth) < 50", texts, grace_s=4.0) != ""
    assert watching("max(mock_server_queue_depth) < 50", texts, warm_up_s=5.0) == ""


def test_no_data_never_ends_a_run():
    for assertion in ("max(mock_server_queue_depth) < 50", "p95(response_seconds) < 1s", "rate(attempts) < 1"):
        assert watching(assertion, []) == ""
        assert watching(assertion, [None, None]) == ""
        assert watching(assertion, ["something_else 3\n"] * 3) == ""


def test_a_percentile_without_a_bucket_at_its_limit_is_left_to_the_end():
    assert watching("p95(response_seconds) < 2s", [generator(), generator(40, 0, 0, 40)]) == ""


@pytest.mark.parametrize(
    "assertion",
    [
        "p95(delivery_seconds) < 10s",
        "stations.completed_by_deadline_ratio >= 95%",
        "count(attempts) > 10",
        'ratio(attempts{outcome="reset"}) >= 5%',
        'ratio(attempts{outcome="accepted"}) < 5%',
        "p95(response_seconds) > 1s",
        'max(response_seconds{outcome="accepted"}) < 1s',
        'count(attempts{kelurahan="3509191001"}) < 10',
        'count(attempts) < 10 during "brownout"',
        "avg(mock_server_queue_depth) < 10",
        "last(mock_server_queue_depth) < 10",
        "last(mock_server_pages_stored_total) >= 10",
        "attempts.total >= 10",
        "attempts.by_outcome.accepted > 10",
        "pages.undelivered == 0",
        "rate(mock_server_pages_stored_total) > 10",
        "max(mock_server_queue_depth) != 10",
    ],
)
def test_what_nothing_can_rule_out_before_the_end_can_not_be_watched(assertion):
    with pytest.raises(ConfigurationError, match="nothing known during a run can rule this out"):
        check_abortable([assertion], "mine.toml")


@pytest.mark.parametrize(
    ("assertion", "fine", "hopeless"),
    [
        ("last(mock_server_pages_stored_total) == 3", 3, 4),
        ("min(mock_server_queue_depth) == 3", 3, 2),
        ("min(mock_server_queue_depth) >= 3", 3, 2),
    ],
)
def test_what_can_only_rise_or_fall_is_hopeless_past_an_exact_limit(assertion, fine, hopeless):
    check_abortable([assertion], "mine.toml")
    name = assertion[assertion.index("(") + 1 : assertion.index(")")]
    assert watching(assertion, [f"{name} 3\n", *[f"{name} {fine}\n"] * 2]) == ""
    assert watching(assertion, [f"{name} 3\n", *[f"{name} {hopeless}\n"] * 2]) != ""


def test_attempts_of_the_warm_up_are_left_out_until_a_timeout_after_it():
    """Those that began in the warm-up may be counted until then, and would end a run for what its figures leave out."""
    assertion = 'count(attempts{outcome="reset"}) == 0'
    late = [generator(0, 0)] * 7 + [
        generator(0, 4)
    ] * 8  # t = 7 s: after a warm-up of 5 s, but within the timeout of 5 s
    assert watching(assertion, late, warm_up_s=5.0) == ""
    assert watching(assertion, [*late, generator(0, 5)], warm_up_s=5.0) != ""


def test_a_rate_during_a_fault_is_judged_by_the_longest_that_the_fault_may_last():
    assertion = 'rate(mock_server_pages_stored_total) <= 5 during "brownout"'  # from 10 s to 20 s: at most 50 pages
    before = ["mock_server_pages_stored_total 0\n"] * 11
    assert watching(assertion, [*before, *["mock_server_pages_stored_total 50\n"] * 3]) == ""
    assert watching(assertion, [*before, *["mock_server_pages_stored_total 51\n"] * 3]) != ""


@pytest.mark.parametrize("window", ["over 10s", 'during "brownout"', 'within 5s of end of "brownout"'])
def test_every_series_can_be_watched_in_windows(window):
    check_abortable([f"avg(mock_server_queue_depth) < 10 {window}"], "mine.toml")
