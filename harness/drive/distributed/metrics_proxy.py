"""A worker's instruments on the master's loopback: every scrape is handed on over Locust's connection and answered from there.

So a collector (and a Prometheus) scrapes a worker of another machine as it scrapes one of this, and its last scrape is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_TIMEOUT_S = 1.8
"""A little less than the collector's own."""


class MetricsProxy:
    """Of one worker."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        """`ask` asks the worker for its instruments, with a number; who hears the answer calls `answer` with it."""
        self._ask = ask
        self._asked = 0
        self._waiting: dict[int, AsyncResult] = {}
        self._server: WSGIServer | None = None

    def listen(self, port: int) -> int:
        """Serve /metrics on loopback; where. `port` 0 lets the kernel choose."""
        self._server = WSGIServer(("127.0.0.1", port), self._respond, log=None)
        self._server.start()
        return int(self._server.server_port)

    def answer(self, number: int, text: bytes) -> None:
        """Hear what the instruments showed when they were asked by this number; too late an answer is dropped."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.set(text)

    def _respond(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"only /metrics is here\n"]
        self._asked += 1
        number = self._asked
        waiting = self._waiting[number] = AsyncResult()
        self._ask(number)
        body = waiting.wait(_TIMEOUT_S)
        self._waiting.pop(number, None)
        if body is None:
            start_response("504 Gateway Timeout", [("Content-Type", "text/plain")])
            return [b"the worker did not answer\n"]
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4), ("Content-Length", str(len(body)))])
        return [body]
