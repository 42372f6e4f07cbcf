"""Serves a worker's instruments over HTTP, for the collector and for a Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from harness.measure.metrics import WorkerMetrics

_LAG_PROBE_S = 0.02
_LAG_WINDOW_S = 1.0


class MetricsServer:
    """An HTTP server for /metrics on loopback, with a probe of the loop's lag."""

    def __init__(self, telemetry: WorkerMetrics, port: int, clock: Callable[[], float]) -> None:
        """`port` 0 lets the kernel choose."""
        self._telemetry = telemetry
        self._clock = clock
        self._server = WSGIServer(("127.0.0.1", port), self._answer, log=None)
        self._probe = gevent.spawn(self._watch_loop)
        self._server.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /metrics is here\n"]
        body = self._telemetry.exposition()
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4), ("Content-Length", str(len(body)))])
        return [body]

    def _watch_loop(self) -> None:
        worst, until = 0.0, self._clock() + _LAG_WINDOW_S
        while True:
            before = self._clock()
            gevent.sleep(_LAG_PROBE_S)
            now = self._clock()
            worst = max(worst, now - before - _LAG_PROBE_S)
            if now >= until:
                self._telemetry.loop_lag_s = worst
                worst, until = 0.0, now + _LAG_WINDOW_S
