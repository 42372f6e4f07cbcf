"""The list of series against what both exporters publish."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.metrics import MetricWrapperBase

from harness.judge.thresholds.metrics import KNOWN_METRICS, MetricFamily, find_metric, scraped_names
from harness.measure.metrics import WorkerMetrics
from mock_server.http.metrics import ServerMetrics


def published(registry):
    """Series of an exporter by the names that its samples have, those of a histogram by its own."""
    found = {}
    for collector in registry._collector_to_names:
        wrapped = isinstance(collector, MetricWrapperBase)
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = tuple(collector._labelnames) if wrapped else tuple(getattr(family, "_labelnames", ()))
            found[name] = MetricFamily(cast("Any", family.type), labels)
    return found


def test_every_series_of_both_exporters_is_known_with_its_kind_and_labels_and_no_other():
    generator = WorkerMetrics([], {"run": "", "scenario": "", "worker": ""})
    server = ServerMetrics()
    rules = SimpleNamespace(injected={}, states=[], strength=lambda _: 0.0)
    line = SimpleNamespace(utilisation_ratio=0.0, waiting=0)
    traffic = SimpleNamespace(received_bytes=0, sent_bytes=0, ingress=line, egress=line)
    server.watch(cast("Any", SimpleNamespace(depth=0, busy=0)), cast("Any", rules))
    server.watch_traffic(cast("Any", traffic))
    assert {**published(generator.registry), **published(server.registry)} == KNOWN_METRICS


def test_the_counters_of_a_histogram_can_be_named():
    assert find_metric("harness_response_seconds_bucket") == MetricFamily("counter", ("le",))
    assert find_metric("harness_response_seconds_sum") == MetricFamily("counter", ())
    assert find_metric("mock_server_queue_depth_sum") is None
    assert scraped_names("harness_response_seconds") == [
        "harness_response_seconds_sum",
        "harness_response_seconds_count",
    ]
    assert scraped_names("mock_server_queue_depth") == ["mock_server_queue_depth"]
