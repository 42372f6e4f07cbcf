"""Scrapes as columns: rates, percentiles, gauges; merged when there are many."""

import numpy as np
import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.live.columns import COLUMN_FIELDS, EDGES_S, MOST_COLUMNS, Columns
from harness.measure.metrics import BUCKETS_S, WorkerMetrics
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.scrape_log import Scrape


class Worker:
    """A worker's exporter."""

    def __init__(self):
        self.metrics = WorkerMetrics([], {"run": "x", "scenario": "x", "worker": "0"})

    def send(self, outcome, response_s, number=1, late_s=0.0):
        records = np.zeros(number, dtype=RECORD)
        records["kind"], records["outcome"] = RecordKind.END, OUTCOMES.index(outcome)
        records["sent_s"], records["done_s"] = late_s, response_s
        self.metrics.count(records)

    def scrape(self, t_s, name="worker-0"):
        return Scrape(name, t_s, self.metrics.exposition().decode())


def part(columns, name):
    return [row[COLUMN_FIELDS.index(name)] for row in columns.rows(0)]


def test_the_edges_of_the_heat_map_are_buckets_of_the_histograms():
    assert set(EDGES_S[:-1]) <= set(BUCKETS_S)
    assert EDGES_S[-1] == float("inf")


def test_a_column_has_the_rates_and_percentiles_of_its_time():
    worker, columns = Worker(), Columns(["worker-0"])
    columns.add(worker.scrape(1.0))
    worker.metrics.pages_due = 8
    worker.send(Outcome.ACCEPTED, 0.2, 4)
    worker.send(Outcome.UNAVAILABLE, 0.002, 2)
    columns.add(worker.scrape(3.0))
    assert (part(columns, "from"), part(columns, "to")) == ([0.0, 1.0], [1.0, 3.0])
    assert part(columns, "offered") == [0.0, 4.0]
    assert part(columns, "goodput") == [0.0, 2.0]
    assert part(columns, "failures") == [0.0, 1.0]
    assert part(columns, "p50")[0] is None
    assert 0.15 < part(columns, "p95")[1] <= 0.25
    heat = dict(zip(EDGES_S, part(columns, "heat")[1], strict=True))
    assert {edge: count for edge, count in heat.items() if count} == {0.25: 4, 0.0025: 2}


def test_workers_are_added_up_and_a_column_waits_for_all_of_them():
    one, other, columns = Worker(), Worker(), Columns(["worker-0", "worker-1"])
    for t_s in (1.0, 2.0):
        for worker, name in ((one, "worker-0"), (other, "worker-1")):
            columns.add(worker.scrape(t_s + 0.01, name))
            worker.metrics.pages_due += 5
    assert part(columns, "offered")[-1] == pytest.approx(10.0, rel=0.03)


def test_a_target_that_does_not_answer_stops_no_column():
    worker, columns = Worker(), Columns(["worker-0", "server"])
    columns.add(Scrape("server", 0.9, "mock_server_queue_depth 7.0\nmock_server_workers_busy 3.0\n"))
    columns.add(worker.scrape(1.0))
    for t_s in (2.0, 3.0, 4.0):
        columns.add(Scrape("server", t_s - 0.1, "", "refused"))
        columns.add(worker.scrape(t_s))
    assert part(columns, "to") == [1.0, 2.0, 3.0]  # the last one may still become complete
    assert part(columns, "queue")[0] == 7.0


def test_metrics_of_a_server_of_the_users_own_are_left_alone():
    columns = Columns(["worker-0"])
    columns.add(Scrape("target", 1.0, "mock_server_queue_depth 7.0\n"))
    assert columns.recent() is None


def test_a_restarted_server_takes_nothing_away():
    columns = Columns(["server"])
    for t_s, hits in ((1.0, 5), (2.0, 0), (3.0, 2)):
        columns.add(
            Scrape(
                "server",
                t_s,
                f'mock_server_queue_depth {hits}.0\nmock_server_faults_injected_total{{fault="x"}} {hits}.0\n',
            )
        )
    assert part(columns, "queue") == [5.0, 0.0, 2.0]
    assert columns.gauge("mock_server_faults_injected_total") == {"x": 2.0}


@pytest.mark.heavy
def test_many_columns_are_merged_and_nothing_is_lost():
    worker, columns = Worker(), Columns(["worker-0"])
    seconds = 3 * MOST_COLUMNS
    for t_s in range(1, seconds + 1):
        worker.metrics.pages_due += 2
        worker.send(Outcome.ACCEPTED, 0.2)
        columns.add(worker.scrape(float(t_s)))
    rows = columns.rows(0)
    assert MOST_COLUMNS / 2 <= len(rows) <= MOST_COLUMNS
    assert columns.generation == 2
    assert rows[0][:2] == [0.0, 4.0]
    assert part(columns, "offered") == [2.0] * len(rows)
    total = columns.total()
    assert total is not None
    assert (total.due, total.delivered, float(total.responses.sum())) == (2 * seconds, seconds, seconds)
    assert [row[1] for row in rows[:-1]] == [row[0] for row in rows[1:]]


def test_lateness_is_the_generators_own_and_no_part_of_the_heat():
    worker, columns = Worker(), Columns(["worker-0"])
    worker.send(Outcome.ACCEPTED, 0.2, 10, late_s=0.05)
    columns.add(worker.scrape(1.0))
    assert 0.04 < part(columns, "late")[0] <= 0.06
