"""The live figures, from scrapes."""

import numpy as np
import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.measure.metrics import WorkerMetrics
from harness.run_folder.journal import RECORD as RECORD_TYPE
from harness.run_folder.journal import RecordKind
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
        f'harness_accepted_seconds_bucket{{le="0.1"}} {fast}\nharness_accepted_seconds_bucket{{le="1.0"}} {fast + slow}\n'
        f'harness_accepted_seconds_bucket{{le="+Inf"}} {fast + slow}\nharness_attempts_in_flight 2\n'
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
    assert shown.offered_per_s == pytest.approx(4.0, rel=0.2)
    assert shown.goodput_per_s == pytest.approx(2.0, rel=0.2)
    assert shown.failures == {"refused": 2}
    assert (shown.queue_depth, shown.workers_busy, shown.in_flight) == (7, 4, 4)
    assert shown.phase == "brownout"
    assert shown.accepted_p95 is not None
    assert (shown.accepted_p95.low_s, shown.accepted_p95.high_s) == (0.0, 0.1)
    assert shown.accepted_p95.estimate_s == pytest.approx(0.095)


def test_before_the_first_scrape_nothing_is_made_up():
    shown = LiveStats(RECORD, stations=10, pages=30).snapshot(0.0)
    assert (shown.pages_delivered, shown.accepted_p50, shown.queue_depth, shown.in_flight) == (0, None, None, None)


def test_a_failed_scrape_changes_nothing():
    live = LiveStats(RECORD, stations=10, pages=30)
    live.add(Scrape("worker-0", 1.0, worker(5, 4, 0, 4, 0)))
    live.add(Scrape("worker-0", 2.0, "", "refused"))
    assert live.snapshot(2.5).pages_delivered == 4


def journal_of(outcomes, responses_s):
    """Records of attempts that ended, one for each response time."""
    records = np.zeros(len(responses_s), dtype=RECORD_TYPE)
    records["kind"] = RecordKind.END
    records["outcome"] = [OUTCOMES.index(outcome) for outcome in outcomes]
    records["done_s"] = responses_s
    return records


def shown_for(outcomes, responses_s, client_timeout_s=10.0):
    """The live figures of attempts that a worker counted, through its exporter's text."""
    metrics = WorkerMetrics([], {"run": "x", "scenario": "x", "worker": "0"})
    live = LiveStats(RECORD.model_copy(update={"client_timeout_s": client_timeout_s}), stations=10, pages=30)
    live.add(Scrape("worker-0", 1.0, metrics.exposition().decode()))
    metrics.count(journal_of(outcomes, responses_s))
    live.add(Scrape("worker-0", 2.0, metrics.exposition().decode()))
    return live.snapshot(2.0)


@pytest.mark.parametrize("quick_s", [0.00027, 0.0034, 0.3, 3.0, 9.0])
def test_live_percentiles_are_within_a_fifth_of_what_the_rows_have(quick_s):
    rows = quick_s * np.random.default_rng(1).lognormal(0.0, 0.1, 400)
    shown = shown_for([Outcome.ACCEPTED] * 400, rows, client_timeout_s=100.0)
    for found, quantile in ((shown.accepted_p50, 0.5), (shown.accepted_p95, 0.95)):
        true_s = np.quantile(rows, quantile)
        assert found.low_s <= true_s <= found.high_s
        assert found.estimate_s == pytest.approx(true_s, rel=0.2)


def test_no_live_percentile_exceeds_the_clients_timeout():
    shown = shown_for([Outcome.ACCEPTED] * 100, np.full(100, 6.9), client_timeout_s=7.0)
    assert shown.accepted_p95.high_s == 7.0
    assert 6.0 < shown.accepted_p95.estimate_s <= 7.0
    late = shown_for([Outcome.ACCEPTED] * 100, np.full(100, 7.001), client_timeout_s=6.0)
    assert str(late.accepted_p95) == "6 s"


def test_below_the_lowest_bucket_only_its_bound_is_known():
    assert str(shown_for([Outcome.ACCEPTED] * 10, np.full(10, 0.0001)).accepted_p50) == "< 250 µs"


def test_quick_refusals_do_not_make_the_live_percentiles_dive():
    outcomes = [Outcome.ACCEPTED] * 20 + [Outcome.UNAVAILABLE] * 200
    shown = shown_for(outcomes, np.concatenate([np.full(20, 2.2), np.full(200, 0.002)]))
    assert (shown.accepted_p50.low_s, shown.accepted_p50.high_s) == (2.0, 2.5)
    assert {name: number for name, number in shown.failures.items() if number} == {"unavailable": 200}
