"""The server's Prometheus metrics: what it counts, its process, and the lag of its event loop."""

from __future__ import annotations

import asyncio
import re
from collections import deque

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from mock_server.overload.server_counters import ServerCounters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OTHER_METHOD, UNMATCHED_ROUTE = "_OTHER", "unmatched"
"""Labels of requests whose own would be as many as clients think of."""
_LAG_INTERVAL_S = 0.02
_LAGS_KEPT = 1000


class ServerMetrics(ServerCounters):
    """The counters and what a live process adds to them, in a registry of their own."""

    def __init__(self) -> None:
        super().__init__()
        # Not the global registry: tests run several servers in one process.
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)
        self.lag = LoopLag()
        gauge = Gauge(
            "mock_server_loop_lag_seconds", "Worst lag of the event loop in the last second", registry=self.registry
        )
        gauge.set_function(self.lag.worst_s)
        gauge = Gauge(
            "mock_server_loop_lag_p99_seconds", "99th percentile of the last 20 s of lags", registry=self.registry
        )
        gauge.set_function(self.lag.p99_s)

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def negotiate(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its media type: OpenMetrics, with exemplars, if this Accept header names it."""
        if not wants_openmetrics(accept):
            return self.text(), CONTENT_TYPE
        text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text, OPENMETRICS_CONTENT_TYPE


def wants_openmetrics(accept: str) -> bool:
    """Whether a scraper with this Accept header reads OpenMetrics 1.0, as Prometheus does since 2.5.

    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")
    True
    >>> wants_openmetrics("*/*"), wants_openmetrics("application/openmetrics-text; q=0")
    (False, False)
    """
    for kind in accept.lower().split(","):
        name, *parameters = (part.strip() for part in kind.split(";"))
        if name == "application/openmetrics-text":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


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
