"""What a server counts of itself, as metric families for Prometheus.

Plain numbers, which cost less than the instruments of prometheus-client (they take a lock for each observation). The
mock server exports them; a simulation in virtual time writes the same families into its scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from mock_server.overload.histogram_family import HistogramFamily, HistogramRow

if TYPE_CHECKING:
    from mock_server.overload.worker_pool import WorkerPool

BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60,
)  # fmt: skip
"""Upper bounds in seconds."""
_BUCKET_NAMES = [*map(floatToGoString, BUCKETS), "+Inf"]


class FaultCounts(Protocol):
    """The faults of a server, as far as their metrics show them."""

    @property
    def injected(self) -> Mapping[str, int]:
        """Hits that acted, by fault name."""

    @property
    def states(self) -> Sequence[Any]:
        """Every fault, on or off; each has a `fault` with a `name`."""

    def strength(self, state: Any) -> float:
        """How strong a fault is right now: 0 when off."""


class LineUse(Protocol):
    """A line of one rate that connections share, as far as its metrics show it."""

    @property
    def utilisation_ratio(self) -> float:
        """The share of the latest second in which it was in use."""

    @property
    def waiting(self) -> int:
        """Connections whose bytes wait for it."""


class TrafficCounts(Protocol):
    """The bytes of a server's connections, and the lines that they share."""

    @property
    def received_bytes(self) -> int:
        """Bytes that have come in."""

    @property
    def sent_bytes(self) -> int:
        """Bytes of responses."""

    @property
    def ingress(self) -> LineUse | None:
        """The way in; None if it has no rate."""

    @property
    def egress(self) -> LineUse | None:
        """The way out; None if it has no rate."""


class SecondsHistogram:
    """Durations counted in `BUCKETS`."""

    __slots__ = ("_counts", "_exemplars", "sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.sum_s = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, seconds: float, trace_id: str = "") -> None:
        """Counts a duration; one that equals a bound belongs to the bucket below it (Prometheus' `le`).

        With a trace id it becomes the bucket's exemplar.
        """
        bucket = bisect_left(BUCKETS, seconds)
        self._counts[bucket] += 1
        self.sum_s += seconds
        if trace_id:
            self._exemplars[bucket] = Exemplar({"trace_id": trace_id}, seconds)

    def row(self, *labels: str) -> HistogramRow:
        """What the family of histograms with these labels shows of it."""
        return HistogramRow(labels, _BUCKET_NAMES, tuple(accumulate(self._counts)), self.sum_s, self._exemplars)


class ServerCounters(Collector):
    """The counters and gauges of one server; their names are documented in docs/reference/metrics.md."""

    def __init__(self) -> None:
        self.active = 0
        """Requests in progress."""
        self.service = SecondsHistogram()
        self.shed: Counter[str] = Counter()
        """Uploads refused for overload, by reason."""
        self.wasted = self.dropped = self.stored = self.stored_bytes = 0
        self._requests: dict[tuple[str, str, int | None], SecondsHistogram] = {}
        self._pool: WorkerPool | None = None
        self._faults: FaultCounts | None = None
        self._traffic: TrafficCounts | None = None

    def watch(self, pool: WorkerPool, faults: FaultCounts) -> None:
        """Adds what is read from the pool and the faults at each scrape."""
        self._pool, self._faults = pool, faults

    def watch_traffic(self, traffic: TrafficCounts) -> None:
        """Adds what is read from the shared lines at each scrape."""
        self._traffic = traffic

    def request(self, method: str, route: str, status: int | None, duration_s: float, trace_id: str = "") -> None:
        """Counts one request and the status that its client received, None if no status line was sent."""
        key = (method, route, status)
        histogram = self._requests.get(key)
        if histogram is None:
            histogram = self._requests[key] = SecondsHistogram()
        histogram.observe(duration_s, trace_id)

    def served(self, service_s: float, *, is_wasted: bool) -> None:
        """Counts the work on an upload; it is wasted if its client has left by then."""
        self.service.observe(service_s)
        if is_wasted:
            self.wasted += 1

    def collect(self) -> Iterable[Metric]:
        """The current metric families; called by a registry for each scrape."""
        yield self._request_family()
        yield GaugeMetricFamily("http_server_active_requests", "Requests in progress", self.active)
        service = HistogramFamily("mock_server_service_seconds", "Time that a worker spent on an upload")
        service.rows.append(self.service.row())
        yield service
        shed = CounterMetricFamily("mock_server_shed", "Uploads refused for overload", labels=["reason"])
        for reason, count in self.shed.items():
            shed.add_metric([reason], count)
        yield shed
        yield CounterMetricFamily(
            "mock_server_wasted_work", "Work finished after its client had disconnected", self.wasted
        )
        yield CounterMetricFamily(
            "mock_server_dropped", "Queued uploads dropped because their client had disconnected", self.dropped
        )
        yield CounterMetricFamily("mock_server_pages_stored", "Copies of pages stored", self.stored)
        yield CounterMetricFamily("mock_server_stored_bytes", "Bytes of the photos stored", self.stored_bytes)
        yield from self._traffic_families()
        yield from self._watched_families()

    def _request_family(self) -> Metric:
        family = HistogramFamily(
            "http_server_request_duration_seconds",
            "From the request's header to the end of its response",
            labels=["http_request_method", "http_route", "http_response_status_code"],
        )
        for (method, route, status), histogram in self._requests.items():
            family.rows.append(histogram.row(method, route, "none" if status is None else str(status)))
        return family

    def _traffic_families(self) -> Iterable[Metric]:
        traffic = self._traffic
        if traffic is None:
            return
        yield CounterMetricFamily("mock_server_ingress_bytes", "Bytes that have come in", traffic.received_bytes)
        yield CounterMetricFamily("mock_server_egress_bytes", "Bytes of responses", traffic.sent_bytes)
        # Only of a line with a rate: of an unlimited one there is no share that could be in use.
        for name, line in (("ingress", traffic.ingress), ("egress", traffic.egress)):
            if line is not None:
                text = f"Share of the last second in which the {name} was in use"
                yield GaugeMetricFamily(f"mock_server_{name}_utilisation_ratio", text, line.utilisation_ratio)
                text = f"Connections whose bytes wait for the {name}"
                yield GaugeMetricFamily(f"mock_server_{name}_waiting_connections", text, line.waiting)

    def _watched_families(self) -> Iterable[Metric]:
        if self._pool is None or self._faults is None:
            return
        yield GaugeMetricFamily("mock_server_queue_depth", "Uploads that wait for a worker", self._pool.depth)
        yield GaugeMetricFamily("mock_server_workers_busy", "Busy workers", self._pool.busy)
        injected = CounterMetricFamily("mock_server_faults_injected", "Requests that a fault hit", labels=["fault"])
        for name, count in self._faults.injected.items():
            injected.add_metric([name], count)
        active = GaugeMetricFamily("mock_server_fault_active", "Strength of a fault, 0 when off", labels=["fault"])
        for state in self._faults.states:
            active.add_metric([state.fault.name], self._faults.strength(state))
        yield injected
        yield active
