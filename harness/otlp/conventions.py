"""What our Prometheus metrics are called by OpenTelemetry's semantic conventions; docs/reference/otlp.md has the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.base.model import DELIVERED

AttributeValue = str | int


class Convention(NamedTuple):
    """Name and unit of a metric."""

    name: str
    unit: str


CONVENTIONS: dict[str, Convention] = {
    "harness_service_seconds": Convention("http.client.request.duration", "s"),
    "harness_attempts_in_flight": Convention("http.client.active_requests", "{request}"),
    "harness_attempts": Convention("upload.attempts", "{attempt}"),
    "harness_pages_delivered": Convention("upload.pages.delivered", "{page}"),
    "harness_stations_completed": Convention("upload.stations.completed", "{station}"),
    "http_server_request_duration_seconds": Convention("http.server.request.duration", "s"),
    "http_server_active_requests": Convention("http.server.active_requests", "{request}"),
    "process_cpu_seconds": Convention("process.cpu.time", "s"),
    "process_resident_memory_bytes": Convention("process.memory.usage", "By"),
    "process_virtual_memory_bytes": Convention("process.memory.virtual", "By"),
}
"""By the family's name in Prometheus' text, a counter's without `_total`. Every other family keeps its name."""
_UNITS = {"_seconds": "s", "_bytes": "By", "_ratio": "1"}
_ATTRIBUTES = {
    "http_request_method": "http.request.method",
    "http_route": "http.route",
    "http_response_status_code": "http.response.status_code",
}
_NO_RESPONSE = "none"
_DELIVERED = {str(outcome) for outcome in DELIVERED}
_SERVER_ERROR = 500


def convention_of(family: str) -> Convention:
    """Name and unit of a family.

    >>> convention_of("harness_service_seconds"), convention_of("mock_server_service_seconds")
    (Convention(name='http.client.request.duration', unit='s'), Convention(name='mock_server_service_seconds', unit='s'))
    """
    known = CONVENTIONS.get(family)
    if known is not None:
        return known
    return Convention(family, next((unit for suffix, unit in _UNITS.items() if family.endswith(suffix)), "1"))


def attributes_of(labels: Mapping[str, str]) -> dict[str, AttributeValue]:
    """A sample's labels as attributes; a failure gets `error.type`, as the conventions ask.

    >>> attributes_of({"outcome": "accepted"}), attributes_of({"outcome": "throttled"})
    ({'upload.outcome': 'accepted'}, {'upload.outcome': 'throttled', 'error.type': 'throttled'})
    """
    found: dict[str, AttributeValue] = {}
    for name, value in labels.items():
        if name == "http_response_status_code":
            found |= _status_attributes(value)
        elif name in {"outcome", "reason"}:
            found[f"upload.{name}"] = value
            if name == "outcome" and value not in _DELIVERED:
                found["error.type"] = value
        else:
            found[_ATTRIBUTES.get(name, name)] = value
    return found


def _status_attributes(value: str) -> dict[str, AttributeValue]:
    if value == _NO_RESPONSE or not value.isdecimal():
        return {"error.type": "no_response"}
    status = int(value)
    errors: dict[str, AttributeValue] = {"error.type": value} if status >= _SERVER_ERROR else {}
    return {"http.response.status_code": status, **errors}
