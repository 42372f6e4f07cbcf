"""Client of the mock server's admin port: drain the server, and read its store."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

from harness.base.safe_files import parse_json

DRAIN_TIMEOUT_S = 15.0
STORED_TIMEOUT_S = 60.0
"""Longest silence of the server while it lists its store."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COLUMNS: dict[str, type | tuple[type, ...]] = {
    "station": str, "form": str, "page": int, "sha256": str, "size_bytes": int, "reading": str, "stored_at": (int, float),
}  # fmt: skip


class AdminError(Exception):
    """The admin port did not answer as expected; the text says what it answered."""


@contextlib.contextmanager
def _as_admin_error(what: str) -> Iterator[None]:
    """Turns a broken connection or malformed content into an AdminError; `what` names the request."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        message = f"{what}: {type(error).__name__}: {error}"
        raise AdminError(message) from error


class MockAdmin:
    """The mock's admin port on loopback."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token

    @property
    def metrics_url(self) -> str:
        """URL of the metrics. On the admin port, which neither faults nor admission control affect."""
        return f"http://127.0.0.1:{self._port}/metrics"

    def drain(self) -> dict[str, Any]:
        """End all faults, drop queued work whose client has disconnected, wait up to 15 s until the server is idle.

        Returns the server's report; `idle` says whether it finished. Raises AdminError.
        """
        with self._request("POST", "/drain", DRAIN_TIMEOUT_S + 5) as answer, _as_admin_error("POST /drain"):
            content: dict[str, Any] = parse_json(answer.read())
            return content

    def stored(self) -> Iterator[dict[str, Any]]:
        """The store's content, one row per stored copy.

        Raises AdminError, at the latest at the end, if a row is malformed or fewer rows arrive than the server announced: a
        truncated list would look like lost pages.
        """
        with self._request("GET", "/stored", STORED_TIMEOUT_S) as answer, _as_admin_error("GET /stored"):
            announced = missing = int(answer.headers.get("Stored-Rows", "no Stored-Rows header"))
            for line in answer:
                yield _check_stored_row(parse_json(line))
                missing -= 1
            if missing:
                message = f"received {announced - missing:,} of {announced:,} rows"
                raise ValueError(message)

    @contextlib.contextmanager
    def _request(self, method: str, path: str, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        """The response, with status 200, on a connection of its own."""
        what = f"{method} {path}"
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)) as connection:
            with _as_admin_error(what):
                connection.request(method, path, headers={"Authorization": f"Bearer {self._token}"})
                answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                message = f"{what}: HTTP status {answer.status}"
                raise AdminError(message)
            with answer:
                yield answer


def _check_stored_row(row: Any) -> dict[str, Any]:
    """The row, if it has all columns with valid values. Raises ValueError otherwise."""
    if isinstance(row, dict) and row.keys() >= _COLUMNS.keys():
        # a bool is an int in Python, and not a page number
        fits = all(isinstance(row[name], kind) and not isinstance(row[name], bool) for name, kind in _COLUMNS.items())
        if fits and _DIGEST.fullmatch(row["sha256"]) and 0 < row["page"] < 2**31 and 0 <= row["size_bytes"] < 2**63:
            return row
    message = f"not a stored page: {json.dumps(row)[:200]}"
    raise ValueError(message)
