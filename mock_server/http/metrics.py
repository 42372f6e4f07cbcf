"""The server's Prometheus metrics: base units, labels from fixed lists only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from mock_server.http.fault_scheduler import FaultScheduler
    from mock_server.net.shared_line import Traffic
    from mock_server.overload.worker_pool import WorkerPool

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60,
)  # fmt: skip
_LAG_INTERVAL_S = 0.02
_LAGS_KEPT = 1000


class ServerMetrics:
    """The instruments, in a registry of their own."""

    def __init__(self) -> None:
        # Otherwise every counter exports a second series, _created, that scrapes would carry along.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        # Not the global registry: tests run several servers in one process.
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        registry = self.registry
        self._requests = Histogram(
            "http_server_request_duration_seconds",
            "From the request's header to the end of its response",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int | None], Histogram] = {}
        self.active = 0
        self.lag = LoopLag()
        gauge = Gauge("http_server_active_requests", "Requests in progress", registry=registry)
        gauge.set_function(lambda: self.active)
        gauge = Gauge(
            "mock_server_loop_lag_seconds", "Worst lag of the event loop in the last second", registry=registry
        )
        gauge.set_function(self.lag.worst_s)
        gauge = Gauge("mock_server_loop_lag_p99_seconds", "99th percentile of the last 20 s of lags", registry=registry)
        gauge.set_function(self.lag.p99_s)
        self.service = Histogram(
            "mock_server_service_seconds", "Time that a worker spent on an upload", buckets=BUCKETS, registry=registry
        )
        self.shed = Counter("mock_server_shed", "Uploads refused for overload", ["reason"], registry=registry)
        self.wasted = Counter(
            "mock_server_wasted_work", "Work finished after its client had disconnected", registry=registry
        )
        self.dropped = Counter(
            "mock_server_dropped", "Queued uploads dropped because their client had disconnected", registry=registry
        )
        self.stored = Counter("mock_server_pages_stored", "Copies of pages stored", registry=registry)
        self.stored_bytes = Counter("mock_server_stored_bytes", "Bytes of the photos stored", registry=registry)

    def watch(self, pool: WorkerPool, faults: FaultScheduler, traffic: Traffic) -> None:
        """Adds what is read from the pool, the faults and the shared lines at each scrape."""
        depth = Gauge("mock_server_queue_depth", "Uploads that wait for a worker", registry=self.registry)
        depth.set_function(lambda: pool.depth)
        busy = Gauge("mock_server_workers_busy", "Busy workers", registry=self.registry)
        busy.set_function(lambda: pool.busy)
        self.registry.register(_FaultCollector(faults))
        self.registry.register(_TrafficCollector(traffic))

    def request(self, method: str, route: str, status: int | None, duration_s: float) -> None:
        """Records one request and the status that its client received, None if no status line was sent."""
        key = (method, route, status)
        child = self._children.get(key)  # labels() costs more than observe(): it takes a lock and builds a key
        if child is None:
            child = self._children[key] = self._requests.labels(
                method, route, "none" if status is None else str(status)
            )
        child.observe(duration_s)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)


class _FaultCollector(Collector):
    def __init__(self, faults: FaultScheduler) -> None:
        self._scheduler = faults

    def collect(self) -> Iterator[Metric]:
        injected = CounterMetricFamily("mock_server_faults_injected", "Requests that a fault hit", labels=["fault"])
        for name, count in self._scheduler.injected.items():
            injected.add_metric([name], count)
        active = GaugeMetricFamily("mock_server_fault_active", "Strength of a fault, 0 when off", labels=["fault"])
        for state in self._scheduler.states:
            active.add_metric([state.fault.name], self._scheduler.strength(state))
        yield injected
        yield active


class _TrafficCollector(Collector):
    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        traffic = self._traffic
        yield CounterMetricFamily("mock_server_ingress_bytes", "Bytes that have come in", traffic.received_bytes)
        yield CounterMetricFamily("mock_server_egress_bytes", "Bytes of responses", traffic.sent_bytes)
        # Only of a line with a rate: of an unlimited one there is no share that could be in use.
        for name, line in (("ingress", traffic.ingress), ("egress", traffic.egress)):
            if line is not None:
                text = f"Share of the last second in which the {name} was in use"
                yield GaugeMetricFamily(f"mock_server_{name}_utilisation_ratio", text, line.utilisation_ratio)
                text = f"Connections whose bytes wait for the {name}"
                yield GaugeMetricFamily(f"mock_server_{name}_waiting_connections", text, line.waiting)


class LoopLag:
    """How late the event loop fires its timers."""

    def __init__(self) -> None:
        self._previous_s = 0.0
        self._current_s = 0.0
        self._latest: deque[float] = deque(maxlen=_LAGS_KEPT)

    def p99_s(self) -> float:
        """The 99th percentile of the latest thousand measurements."""
        latest = sorted(self._latest)
        return latest[len(latest) * 99 // 100] if latest else 0.0

    def worst_s(self) -> float:
        """The worst lag of the last second or so."""
        return max(self._previous_s, self._current_s)

    async def measure(self) -> None:
        """Measures until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._previous_s, self._current_s = self._current_s, 0.0
            end = loop.time() + 0.5  # two halves: a scrape in the middle still covers a second or so
            while (begun := loop.time()) < end:
                await asyncio.sleep(_LAG_INTERVAL_S)
                lag = max(0.0, loop.time() - begun - _LAG_INTERVAL_S)
                self._latest.append(lag)
                self._current_s = max(self._current_s, lag)
