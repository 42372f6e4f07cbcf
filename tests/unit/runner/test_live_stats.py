"""The live figures, from scrapes."""

import pytest

from harness.run_folder.layout import PhaseRecord, RunRecord
from harness.run_folder.scrape_log import Scrape
from harness.runner.live_stats import LiveStats

RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=60, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[],
    phases=[PhaseRecord(name="clear", start_s=0, end_s=10), PhaseRecord(name="brownout", start_s=10, end_s=20)],
)  # fmt: skip


def worker(due, delivered, refused, fast, slow):
    return (
        f"harness_pages_due_total {due}\nharness_pages_delivered_total {delivered}\n"
        f'harness_attempts_total{{outcome="accepted"}} {delivered}\nharness_attempts_total{{outcome="refused"}} {refused}\n'
        f'harness_response_seconds_bucket{{le="0.1"}} {fast}\nharness_response_seconds_bucket{{le="1.0"}} {fast + slow}\n'
        f'harness_response_seconds_bucket{{le="+Inf"}} {fast + slow}\nharness_attempts_in_flight 2\n'
        f"harness_stations_completed_total {delivered // 3}\n"
    )


def test_workers_are_summed_and_rates_are_over_the_last_seconds():
    live = LiveStats(RECORD, stations=10, pages=30)
    for second in range(12):
        for name in ("worker-0", "worker-1"):
            live.add(Scrape(name, float(second), worker(2 * second, second, 1, second, 0)))
    live.add(Scrape("server", 11.0, "mock_server_queue_depth 7\nmock_server_workers_busy 4\n"))
    shown = live.snapshot(11.5)
    assert (shown.pages_due, shown.pages_delivered, shown.stations_completed) == (44, 22, 6)
    assert shown.offered_per_s == pytest.approx(4.0, rel=0.1)
    assert shown.goodput_per_s == pytest.approx(2.0, rel=0.1)
    assert shown.failures == {"refused": 2}
    assert (shown.queue_depth, shown.workers_busy, shown.in_flight) == (7, 4, 4)
    assert shown.phase == "brownout"
    assert shown.p95_s == pytest.approx(0.095)


def test_before_the_first_scrape_nothing_is_made_up():
    shown = LiveStats(RECORD, stations=10, pages=30).snapshot(0.0)
    assert (shown.pages_delivered, shown.p50_s, shown.queue_depth, shown.in_flight) == (0, None, None, None)


def test_a_failed_scrape_changes_nothing():
    live = LiveStats(RECORD, stations=10, pages=30)
    live.add(Scrape("worker-0", 1.0, worker(5, 4, 0, 4, 0)))
    live.add(Scrape("worker-0", 2.0, "", "refused"))
    assert live.snapshot(2.5).pages_delivered == 4
