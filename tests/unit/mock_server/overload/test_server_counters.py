"""What a server counts, as a Prometheus registry exposes it."""

from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest

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


def test_what_is_watched_is_read_at_the_scrape():
    counters, pool = ServerCounters(), SimpleNamespace(depth=1, busy=2)
    counters.watch(cast("Any", pool), SimpleNamespace(injected={"abort": 4}, states=[], strength=lambda _: 1.0))
    pool.depth = 3
    counters.shed["codel"] += 5
    found = exposed(counters)
    assert (found["mock_server_queue_depth"], found["mock_server_workers_busy"]) == (3.0, 2.0)
    assert found['mock_server_faults_injected_total{fault="abort"}'] == 4.0
    assert found['mock_server_shed_total{reason="codel"}'] == 5.0
