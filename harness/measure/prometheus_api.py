"""A Prometheus server's HTTP API. It is only ever read from, so it may stand on any host; no load goes there."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

_TIMEOUT_S = 10.0
_MAX_BYTES = 256 * 1024 * 1024


class PrometheusError(Exception):
    """It didn't answer as it should; the text says what came."""


@dataclass(frozen=True, slots=True)
class PrometheusSample:
    """A value of one series: its labels, when it was evaluated (Unix time), and the value."""

    labels: dict[str, str]
    at: float
    value: float


class PrometheusClient:
    """The server at a URL, which may have a path in front of `/api/v1`."""

    def __init__(self, url: str) -> None:
        """Raises ValueError where `url` is none of http or https, or carries a user, a query or a fragment."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or (parts.port or 1) < 1:
            message = "should be an address such as http://127.0.0.1:9090"
            raise ValueError(message)
        if parts.username is not None or parts.query or parts.fragment:
            message = "may have neither a user nor a query: it is written into the run folder"
            raise ValueError(message)
        self.url = url
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")

    def now(self) -> float:
        """Its clock, as Unix time. Raises PrometheusError."""
        result = self._ask("query", query="time()")
        try:
            return float(result["result"][1])
        except (LookupError, TypeError, ValueError):
            raise self._strange(result) from None

    def query(self, expression: str) -> list[PrometheusSample]:
        """What an expression that gives a vector is worth now. Raises PrometheusError."""
        result = self._ask("query", query=expression)
        try:
            return [_parse_sample(one["metric"], *one["value"]) for one in result["result"]]
        except (LookupError, TypeError, ValueError):
            raise self._strange(result) from None

    def query_range(self, expression: str, start: float, end: float, step_s: float) -> list[PrometheusSample]:
        """What it was worth at `start`, and every `step_s` on until `end` (Unix time). Raises PrometheusError.

        A server refuses more than 11,000 steps.
        """
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}"}
        result = self._ask("query_range", query=expression, **span)
        try:
            return [_parse_sample(one["metric"], *pair) for one in result["result"] for pair in one["values"]]
        except (LookupError, TypeError, ValueError):
            raise self._strange(result) from None

    def rules(self) -> list[dict[str, Any]]:
        """Its groups of rules, as it tells them. Raises PrometheusError."""
        groups: list[dict[str, Any]] = self._ask("rules")["groups"]
        return groups

    def _ask(self, what: str, **parameters: str) -> Any:
        connection = self._connect(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", f"{self._path}/api/v1/{what}?{urlencode(parameters)}")
            answer = connection.getresponse()
            body = answer.read(_MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            message = f"{type(error).__name__}: {error}"
            raise PrometheusError(message) from error
        finally:
            connection.close()
        if len(body) > _MAX_BYTES:
            message = f"more than {_MAX_BYTES:,} bytes"
            raise PrometheusError(message)
        return _parse_data(answer.status, body)

    def _strange(self, result: object) -> PrometheusError:
        return PrometheusError(f"not the answer of a Prometheus: {str(result)[:200]}")


def quote_promql(text: str) -> str:
    """A text as a string of PromQL."""
    return json.dumps(text, ensure_ascii=False)


def _parse_data(status: int, body: bytes) -> Any:
    """The `data` of an answer. Raises PrometheusError with the server's own words where it refused."""
    try:
        content = json.loads(body)
        if content["status"] == "success":
            return content["data"]
        message = f"HTTP status {status}: {content['error']}"
    except (ValueError, LookupError, TypeError, RecursionError):
        message = f"HTTP status {status}, not the answer of a Prometheus"
    raise PrometheusError(message)


def _parse_sample(labels: dict[str, str], at: float, value: str) -> PrometheusSample:
    return PrometheusSample(dict(labels), float(at), float(value))
