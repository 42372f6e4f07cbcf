"""Responses in the forms that this API uses: JSON, and problem details (RFC 9457) for every error."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from mock_server.faults.faulted_request import Refusal
from mock_server.profile.units import whole_retry_after_s

_HTTP_PHRASES = {
    **{status.value: status.phrase for status in HTTPStatus},
    413: "Content Too Large", 422: "Unprocessable Content",  # RFC 9110's names, which older Pythons do not have
}  # fmt: skip
"""The phrases that RFC 9110 recommends."""
_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""`json.dumps` would make an encoder each time."""
_TUS_PHRASES = {460: "Checksum Mismatch"}
"""Of statuses that tus adds."""


class Problem(Refusal):
    """An error for the client: raise it in a handler and it becomes an `application/problem+json` response.

    Its type is about:blank, so its title is the phrase of its status (RFC 9457, 4.2.1); what happened is in `detail`.
    `members` are added to the JSON object.
    """

    def __init__(
        self, status: int, detail: str = "", *, headers: dict[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(status, detail)
        self.headers = headers or {}
        self.members = members

    def response(self) -> web.Response:
        """The problem as a response."""
        body: dict[str, object] = {"type": "about:blank", "title": reason_phrase(self.status), "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        response = json_response(
            {**body, **self.members}, self.status, headers=self.headers, content_type="application/problem+json"
        )
        # aiohttp would take the phrase from this Python's http module, which may not know the status.
        response.set_status(self.status, reason_phrase(self.status))
        return response


def reason_phrase(status: int) -> str:
    """The phrase of a status: HTTP's, or that of the protocol that adds it.

    >>> reason_phrase(413), reason_phrase(460)
    ('Content Too Large', 'Checksum Mismatch')
    """
    return _TUS_PHRASES.get(status) or _HTTP_PHRASES.get(status) or f"Status {status}"


def json_response(
    content: Any, status: int = 200, *, headers: dict[str, str] | None = None, content_type: str = "application/json"
) -> web.Response:
    """A response with this content as compact JSON."""
    # A body of bytes: with `text` aiohttp would add a charset, which JSON does not have (RFC 8259, 11).
    body = _compact(content).encode()
    return web.Response(status=status, body=body, content_type=content_type, headers=headers)


def retry_after_header(seconds: float | None) -> dict[str, str]:
    """The Retry-After header for a pause, in whole seconds and at least one; no header for None.

    >>> retry_after_header(1.2), retry_after_header(None)
    ({'Retry-After': '2'}, {})
    """
    return {} if seconds is None else {"Retry-After": str(whole_retry_after_s(seconds))}
