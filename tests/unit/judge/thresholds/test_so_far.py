"""How thresholds stand while a run goes on."""

import numpy as np
import pytest

from harness.judge.thresholds.so_far import DurationsSoFar, KeySoFar, RowsSoFar, ThresholdsSoFar
from harness.run_folder.layout import FaultRecord, RunRecord
from harness.run_folder.scrape_log import Scrape

RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=60, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[],
    faults=[FaultRecord(name="brownout", kind="capacity", start_s=10, end_s=20)],
)  # fmt: skip


def stand(assertion, rows=None, scrapes=(), pages=100):
    found = ThresholdsSoFar([assertion], RECORD, pages)
    for one in scrapes:
        found.add(one)
    (threshold,) = found.evaluate(found.scraped(), rows or RowsSoFar())
    return threshold


def deliveries(arrived, waiting=(), never=0, planned=100):
    durations = DurationsSoFar(np.array(arrived, dtype=float), np.array(waiting, dtype=float), planned, never)
    return RowsSoFar(durations={"delivery_seconds": durations})


@pytest.mark.parametrize(
    ("rows", "state", "observed"),
    [
        (deliveries([1.0] * 20), "holding", 1.0),
        (deliveries([1.0] * 20 + [9.0] * 2), "breached", 9.0),  # 2 of 22 are late, but 5 of 100 may be
        (deliveries([1.0] * 20 + [9.0] * 6), "failed", 9.0),
        (deliveries([1.0] * 20, waiting=[9.0] * 6), "failed", 9.0),  # they will have taken at least that long
        (deliveries([1.0] * 20, waiting=[3.0] * 6), "holding", 3.0),
        (deliveries([1.0] * 20, never=6), "failed", None),
        (deliveries([1.0] * 95 + [9.0] * 5), "holding", 1.0),
        (deliveries([]), "pending", None),
    ],
)
def test_a_percentile_fails_for_good_once_too_many_are_past_the_limit(rows, state, observed):
    found = stand("p95(delivery_seconds) < 5s", rows)
    assert (found.state, found.observed) == (state, observed)


def test_a_single_late_page_fails_a_maximum():
    assert stand("max(delivery_seconds) < 5s", deliveries([1.0])).state == "holding"
    assert stand("max(delivery_seconds) < 5s", deliveries([1.0], waiting=[5.0])).state == "failed"


def test_a_percentile_of_the_summary_is_the_same():
    assert stand("delivery_seconds.p95 < 5s", deliveries([1.0] * 20 + [9.0] * 6)).state == "failed"


RATIO = "stations.completed_by_deadline_ratio"


@pytest.mark.parametrize(
    ("value", "most", "state"),
    [(0.3, 1.0, "pending"), (0.95, 1.0, "holding"), (0.3, 0.95, "holding?"), (0.3, 0.9, "failed")],
)
def test_what_has_to_be_reached_is_pending_until_it_is_out_of_reach(value, most, state):
    found = stand(f"{RATIO} >= 95%", RowsSoFar(keys={RATIO: KeySoFar(value, most)}))
    assert found.state == ("pending" if state == "holding?" else state)
    assert found.observed == value


@pytest.mark.parametrize(
    ("value", "least", "state"), [(2.0, 1.2, "holding"), (4.0, 1.2, "breached"), (4.0, 3.5, "failed")]
)
def test_an_amplification_may_still_fall(value, least, state):
    key = KeySoFar(value, None, least)
    assert stand("attempts.amplification < 3", RowsSoFar(keys={"attempts.amplification": key})).state == state


def test_a_figure_that_is_known_only_at_the_end_is_said_to_be():
    assert stand("pages.unattempted == 0").state == "at_end"
    assert stand('p95(delivery_seconds{kelurahan="3509191001"}) < 5s', deliveries([9.0] * 50)).state == "at_end"
    assert stand('p95(delivery_seconds) < 5s during "brownout"', deliveries([9.0] * 50)).state == "at_end"


def queue(*depths):
    return [
        Scrape("server", float(t_s), f"# TYPE mock_server_queue_depth gauge\nmock_server_queue_depth {depth}\n")
        for t_s, depth in enumerate(depths, 1)
    ]


def test_a_series_stands_as_it_was_scraped_so_far():
    assert stand("max(mock_server_queue_depth) < 10", scrapes=queue(3, 9, 9)).state == "holding"
    failed = stand("max(mock_server_queue_depth) < 10", scrapes=queue(3, 12, 12))
    assert (failed.state, failed.observed) == ("failed", 12.0)
    assert "12" in failed.why
    assert stand("avg(mock_server_queue_depth) < 5", scrapes=queue(3, 12, 12)).state == "breached"
    assert stand("avg(mock_server_queue_depth) < 5").state == "pending"


def test_attempts_fail_by_the_generators_counters():
    def scrape(refused):
        text = f'# TYPE harness_attempts counter\nharness_attempts_total{{outcome="refused"}} {refused}\nharness_attempts_total{{outcome="accepted"}} 5\nharness_pages_delivered_total 5\n'
        return [Scrape("worker-0", 0.0, text.replace(str(refused), "0")), Scrape("worker-0", 1.0, text)]

    assert stand('count(attempts{outcome="refused"}) < 10', scrapes=scrape(3)).state == "at_end"
    assert stand('count(attempts{outcome="refused"}) < 10', scrapes=scrape(30)).state == "failed"
