"""The exposition of a simulation is, byte for byte, what prometheus-client would have written."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from harness.base.model import Outcome
from harness.measure.metrics import WorkerMetrics
from harness.simulate.exposition import ExpositionWriter
from mock_server.overload.server_counters import ServerCounters


def test_both_exporters_are_written_as_generate_latest_does_each_time():
    metrics, counters = (
        WorkerMetrics([1.25], {"run": 'a "b"\\c', "scenario": "", "worker": "0"}, simulated=True),
        ServerCounters(),
    )
    writer = ExpositionWriter()
    for number in range(3):
        metrics.pages_due += number
        metrics.retry(Outcome.CLOSED)
        counters.request("POST", "/v1/login", 200 + number, 0.1 * number)
        counters.shed["codel"] += 1
        assert writer.write(metrics.registry) == metrics.exposition().decode()
        assert writer.write(counters) == generate_latest(counters).decode()


def test_labels_are_sorted_and_escaped():
    registry = CollectorRegistry()
    Gauge("g", "Help", ["b", "a"], registry=registry).labels(b='q"\n', a="\\").set(1.5e9)
    assert ExpositionWriter().write(registry) == generate_latest(registry).decode()
