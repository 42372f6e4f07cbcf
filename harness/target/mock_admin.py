"""Talks to the mock server's admin port: drain it, and read what it holds."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

DRAIN_TIMEOUT_S = 15.0
STORED_TIMEOUT_S = 60.0
"""Longest silence of the server while it says what it holds."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COLUMNS: dict[str, type | tuple[type, ...]] = {
    "station": str, "form": str, "page": int, "sha256": str, "size_bytes": int, "reading": str, "stored_at": (int, float),
}  # fmt: skip


class AdminError(Exception):
    """The admin port didn't answer as it should; the text says what came."""


@contextlib.contextmanager
def _as_admin_error(what: str) -> Iterator[None]:
    """A connection that breaks or content that is no JSON, as an AdminError."""
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
        """Where the collector scrapes: neither faults nor admission touch it."""
        return f"http://127.0.0.1:{self._port}/metrics"

    def drain(self) -> dict[str, Any]:
        """Heal all faults, drop queued work whose client has gone, wait until the server is idle (15 s at most)."""
        with self._request("POST", "/drain", DRAIN_TIMEOUT_S + 5) as answer, _as_admin_error("POST /drain"):
            content: dict[str, Any] = json.loads(answer.read())
            return content

    def stored(self) -> Iterator[dict[str, Any]]:
        """What the server holds, a row a stored copy.

        Raises AdminError, at the latest at the end, unless all came that the server announced, and each row is one.
        """
        with self._request("GET", "/stored", STORED_TIMEOUT_S) as answer, _as_admin_error("GET /stored"):
            announced = missing = int(answer.headers.get("Stored-Rows", "no number of rows"))
            for line in answer:
                yield _check_stored_row(json.loads(line))
                missing -= 1
            if missing:
                message = f"{announced - missing:,} of {announced:,} rows came"
                raise ValueError(message)

    @contextlib.contextmanager
    def _request(self, method: str, path: str, timeout_s: float) -> Iterator[http.client.HTTPResponse]:
        """The answer, status 200, on a connection of its own."""
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
    """A row that is one. Raises ValueError for any other content."""
    if isinstance(row, dict) and row.keys() >= _COLUMNS.keys():
        fits = all(isinstance(row[name], kind) and not isinstance(row[name], bool) for name, kind in _COLUMNS.items())
        if fits and _DIGEST.fullmatch(row["sha256"]) and 0 < row["page"] < 2**31 and 0 <= row["size_bytes"] < 2**63:
            return row
    message = f"this is no stored page: {json.dumps(row)[:200]}"
    raise ValueError(message)
