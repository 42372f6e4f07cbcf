"""An external Prometheus: the file that tells it where to scrape (file_sd), and a client of its HTTP API.

The API is only read, so the server may be on any host; no load goes there.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness.base.address import is_loopback
from harness.base.safe_files import parse_json, read_json, write_json

_TIMEOUT_S = 10.0
_MAX_BYTES = 256 * 1024 * 1024
_CONNECT_S = 0.2
EXTERNAL_TARGET_JOB = "target"
"""The label `job` of the metrics that a server under test publishes itself, if it is not the mock."""


class PrometheusError(Exception):
    """The server did not answer as it should; the text says what was received."""


@dataclass(frozen=True, slots=True)
class PrometheusSample:
    """One value of one series: its labels, the Unix time at which it was evaluated, and the value."""

    labels: dict[str, str]
    at: float
    value: float


class PrometheusClient:
    """Queries the Prometheus server at a URL, which may have a path in front of `/api/v1`."""

    def __init__(self, url: str) -> None:
        """Raises ValueError if `url` is not http or https, or has a user, a query or a fragment."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or (parts.port or 1) < 1:
            message = "should be an address such as http://127.0.0.1:9090"
            raise ValueError(message)
        # The URL is recorded in the run folder, which people share: it must not contain a password.
        if parts.username is not None or parts.query or parts.fragment:
            message = "may have neither a user nor a query: it is written into the run folder"
            raise ValueError(message)
        self.url = url
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")

    def now(self) -> float:
        """The server's clock, as Unix time. Raises PrometheusError."""
        result = self._get("query", query="time()")
        try:
            return float(result["result"][1])
        except (LookupError, TypeError, ValueError):
            raise self._unexpected(result) from None

    def query(self, expression: str) -> list[PrometheusSample]:
        """The current values of an expression that yields a vector. Raises PrometheusError."""
        result = self._get("query", query=expression)
        try:
            return [_parse_sample(one["metric"], *one["value"]) for one in result["result"]]
        except (LookupError, TypeError, ValueError):
            raise self._unexpected(result) from None

    def query_range(self, expression: str, start: float, end: float, step_s: float) -> list[PrometheusSample]:
        """The values at `start` and every `step_s` from then until `end` (Unix time). Raises PrometheusError.

        Prometheus refuses more than 11,000 steps.
        """
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}"}
        result = self._get("query_range", query=expression, **span)
        try:
            return [_parse_sample(one["metric"], *pair) for one in result["result"] for pair in one["values"]]
        except (LookupError, TypeError, ValueError):
            raise self._unexpected(result) from None

    def rules(self) -> list[dict[str, Any]]:
        """Its rule groups, as the API returns them. Raises PrometheusError."""
        groups: list[dict[str, Any]] = self._get("rules")["groups"]
        return groups

    def _get(self, endpoint: str, **parameters: str) -> Any:
        connection = self._connect(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", f"{self._path}/api/v1/{endpoint}?{urlencode(parameters)}")
            response = connection.getresponse()
            body = response.read(_MAX_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            message = f"{type(error).__name__}: {error}"
            raise PrometheusError(message) from error
        finally:
            connection.close()
        if len(body) > _MAX_BYTES:
            message = f"more than {_MAX_BYTES:,} bytes"
            raise PrometheusError(message)
        return _parse_data(response.status, body)

    def _unexpected(self, result: object) -> PrometheusError:
        return PrometheusError(f"not a response of Prometheus: {str(result)[:200]}")


def quote_promql(text: str) -> str:
    """A text as a string literal of PromQL."""
    return json.dumps(text, ensure_ascii=False)


def _parse_data(status: int, body: bytes) -> Any:
    """The `data` of a response. Raises PrometheusError, with the server's own message if it refused."""
    try:
        content = parse_json(body)
        if content["status"] == "success":
            return content["data"]
        message = f"HTTP status {status}: {content['error']}"
    except (ValueError, LookupError, TypeError):
        message = f"HTTP status {status}, not a response of Prometheus"
    raise PrometheusError(message)


def _parse_sample(labels: dict[str, str], at: float, value: str) -> PrometheusSample:
    return PrometheusSample(dict(labels), float(at), float(value))


class ServiceDiscoveryFile:
    """The file of one run in a folder that a Prometheus watches (`file_sd_configs`); it exists while the run lasts."""

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / f"harness-{run.replace('/', '_')}.json"

    def write(self, targets: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """List the targets (name -> URL, as for the scraper), each with these labels, `target` and `job`.

        Metrics of an external target on another machine are left out: it has consented to the harness, not to a Prometheus.
        """
        remove_stale_files(self._path.parent)
        listed = {
            name: url for name, url in targets.items() if _job(name) != EXTERNAL_TARGET_JOB or _is_local(url)
        }  # fmt: skip
        write_json(self._path, [_group(name, url, labels) for name, url in listed.items()])

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def target_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a target's series, besides their own and `instance`."""
    return {"job": _job(name), "target": name, **labels}


def remove_stale_files(folder: Path) -> None:
    """Remove the files of runs that were killed: those of which no target accepts a connection.

    Otherwise Prometheus would scrape the next process that gets such a port, under the old run's labels.
    """
    for path in folder.glob("harness-*.json"):
        try:
            addresses = [address for group in read_json(path) for address in group["targets"]]
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not written by the harness, or being removed by its own run at this moment
        if not any(map(_accepts_connections, addresses)):
            path.unlink(missing_ok=True)


def _job(name: str) -> str:
    if name.startswith("worker-"):
        return "harness"
    return "mock_server" if name == "server" else EXTERNAL_TARGET_JOB


def _is_local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _group(name: str, url: str, labels: Mapping[str, str]) -> dict[str, object]:
    parts = urlsplit(url)
    path = {} if parts.path == "/metrics" else {"__metrics_path__": parts.path or "/metrics"}
    if parts.scheme == "https":
        path["__scheme__"] = "https"
    return {"targets": [parts.netloc], "labels": {**target_labels(name, labels), **path}}


def _accepts_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return True
    except OSError:
        return False
    except ValueError:
        return True  # not an address that the harness has written: leave the file alone
