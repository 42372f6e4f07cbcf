"""Serves a remote worker's /metrics on the leader's loopback: each scrape is forwarded to the worker, over Locust's connection.

So the scraper (and a Prometheus) scrapes a worker on another machine like a local one, the last scrape is exact, and no worker
has to open a port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_TIMEOUT_S = 1.8
"""A little less than the scraper's own 2 s, so that it gets the reason and not just a timeout."""


class MetricsProxy:
    """The /metrics of one worker."""

    def __init__(self, request_metrics: Callable[[int], None]) -> None:
        """`request_metrics` asks the worker for its metrics, with a number that `deliver` is then called with."""
        self._request_metrics = request_metrics
        self._requested = 0
        self._waiting: dict[int, AsyncResult] = {}
        self._server: WSGIServer | None = None

    def start(self, port: int) -> int:
        """Serve /metrics on loopback; returns the port. `port` 0 lets the kernel choose."""
        self._server = WSGIServer(("127.0.0.1", port), self._respond, log=None)
        self._server.start()
        return int(self._server.server_port)

    def deliver(self, number: int, text: bytes) -> None:
        """Take the metrics that were requested under this number; ignored if the scrape has timed out."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.set(text)

    def _respond(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there is only /metrics here\n"]
        self._requested += 1
        # Numbered, as scrapes overlap: the harness's and a Prometheus's.
        number = self._requested
        waiting = self._waiting[number] = AsyncResult()
        self._request_metrics(number)
        body = waiting.wait(_TIMEOUT_S)
        self._waiting.pop(number, None)
        if body is None:
            start_response("504 Gateway Timeout", [("Content-Type", "text/plain")])
            return [b"the worker did not answer\n"]
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4), ("Content-Length", str(len(body)))])
        return [body]
