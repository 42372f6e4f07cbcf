"""What a server counts, as a Prometheus registry exposes it."""

from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest, openmetrics

from mock_server.overload.server_counters import SecondsHistogram, ServerCounters


def exposed(counters: ServerCounters) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(counters)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_duration_that_equals_a_bound_belongs_to_the_bucket_below_it():
    histogram = SecondsHistogram()
    for seconds in (0.005, 0.0051, 100.0):
        histogram.observe(seconds)
    row = histogram.row()
    buckets = dict(zip(row.bounds, row.counts, strict=True))
    assert (buckets["0.005"], buckets["0.01"], buckets["60.0"], buckets["+Inf"]) == (1, 2, 2, 3)


def test_requests_are_counted_by_method_route_and_status():
    counters = ServerCounters()
    counters.request("POST", "/v1/login", 200, 0.1)
    counters.request("POST", "/v1/login", None, 0.3)
    found = exposed(counters)
    name = 'http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="%s",http_route="/v1/login"}'
    assert (found[name % "200"], found[name % "none"]) == (1.0, 1.0)


def test_requests_of_one_kind_are_added_up():
    counters = ServerCounters()
    for seconds in (0.25, 0.5):
        counters.request("GET", "/", 200, seconds)
    labels = 'http_request_method="GET",http_response_status_code="200",http_route="/"'
    found = exposed(counters)
    assert found[f"http_server_request_duration_seconds_count{{{labels}}}"] == 2.0
    assert found[f"http_server_request_duration_seconds_sum{{{labels}}}"] == 0.75


def test_work_is_wasted_only_for_a_client_that_has_left():
    counters = ServerCounters()
    counters.served(0.5, is_wasted=False)
    assert exposed(counters)["mock_server_wasted_work_total"] == 0.0
    counters.served(0.25, is_wasted=True)
    counters.served(0.25, is_wasted=True)
    found = exposed(counters)
    assert found["mock_server_wasted_work_total"] == 2.0
    assert found["mock_server_service_seconds_sum"] == 1.0
    assert found["mock_server_service_seconds_count"] == 3.0


def test_everything_counted_has_its_own_name():
    counters = ServerCounters()
    assert {exposed(counters)[f"mock_server_{name}_total"] for name in ("dropped", "pages_stored", "stored_bytes")} == {
        0
    }
    counters.active, counters.dropped, counters.stored, counters.stored_bytes = 1, 2, 3, 4
    line = SimpleNamespace(utilisation_ratio=0.5, waiting=7)
    counters.watch_traffic(SimpleNamespace(received_bytes=5, sent_bytes=6, ingress=line, egress=None))
    found = exposed(counters)
    assert found["http_server_active_requests"] == 1.0
    names = ("dropped_total", "pages_stored_total", "stored_bytes_total", "ingress_bytes_total", "egress_bytes_total")
    assert [found[f"mock_server_{name}"] for name in names] == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert found["mock_server_ingress_utilisation_ratio"] == 0.5
    assert found["mock_server_ingress_waiting_connections"] == 7.0
    assert not any("egress_utilisation" in name or "egress_waiting" in name for name in found), "it has no rate"


def test_each_fault_has_its_own_strength():
    counters = ServerCounters()
    states = [
        SimpleNamespace(fault=SimpleNamespace(name=name), now=now) for name, now in (("slow", 0.25), ("gone", 0.0))
    ]
    faults = SimpleNamespace(injected={}, states=states, strength=lambda state: state.now)
    counters.watch(cast("Any", SimpleNamespace(depth=0, busy=0)), faults)
    found = exposed(counters)
    assert found['mock_server_fault_active{fault="slow"}'] == 0.25
    assert found['mock_server_fault_active{fault="gone"}'] == 0.0


def test_the_latest_trace_of_a_bucket_is_its_exemplar():
    counters, registry = ServerCounters(), CollectorRegistry()
    registry.register(counters)
    for seconds, trace_id in ((0.06, "first"), (0.07, "latest")):
        counters.request("POST", "/v1/upload", 200, seconds, trace_id)
    counters.request("POST", "/v1/upload", 200, 0.05)
    lines = openmetrics.exposition.generate_latest(registry).decode().splitlines()
    shown = [line.partition(" # ") for line in lines if line.startswith("http_server") and " # " in line]
    assert [('le="0.075"' in name, exemplar) for name, _, exemplar in shown] == [(True, '{trace_id="latest"} 0.07')]


def test_what_is_watched_is_read_at_the_scrape():
    counters, pool = ServerCounters(), SimpleNamespace(depth=1, busy=2)
    counters.watch(cast("Any", pool), SimpleNamespace(injected={"abort": 4}, states=[], strength=lambda _: 1.0))
    pool.depth = 3
    counters.shed["codel"] += 5
    found = exposed(counters)
    assert (found["mock_server_queue_depth"], found["mock_server_workers_busy"]) == (3.0, 2.0)
    assert found['mock_server_faults_injected_total{fault="abort"}'] == 4.0
    assert found['mock_server_shed_total{reason="codel"}'] == 5.0
