"""Serves a worker's metrics over HTTP, for the run's scraper and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer

from harness.measure.metrics import WorkerMetrics

_LAG_PROBE_S = 0.02
_LAG_WINDOW_S = 1.0


class MetricsServer:
    """An HTTP server for /metrics on loopback, with a probe of the event loop's lag.

    It runs on the loop that sends, so that a loop that is too busy shows in its answers too.
    """

    def __init__(self, metrics: WorkerMetrics, port: int, clock: Callable[[], float]) -> None:
        """`port` 0 lets the kernel choose; `clock` is monotonic. Raises OSError if the port is not available."""
        self._metrics = metrics
        self._clock = clock
        self._server = WSGIServer(("127.0.0.1", port), self._respond, log=None)
        self._probe = gevent.spawn(self._measure_lag)
        self._server.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def _respond(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /metrics is served here\n"]
        body, content_type = self._metrics.negotiate(environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Vary", "Accept")]
        start_response("200 OK", headers)
        return [body]

    def _measure_lag(self) -> None:
        """Keep the worst oversleeping of a window in the metrics: a scrape per second would miss a shorter stall."""
        worst_s, until_s = 0.0, self._clock() + _LAG_WINDOW_S
        while True:
            before_s = self._clock()
            gevent.sleep(_LAG_PROBE_S)
            now_s = self._clock()
            worst_s = max(worst_s, now_s - before_s - _LAG_PROBE_S)
            if now_s >= until_s:
                self._metrics.loop_lag_s = worst_s
                worst_s, until_s = 0.0, now_s + _LAG_WINDOW_S
