"""Answers in the forms that this API uses: JSON, and problems (RFC 9457) for everything that goes wrong."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

from aiohttp import web


class Problem(Exception):  # noqa: N818
    """An error that the client is told about; becomes `application/problem+json`."""

    def __init__(
        self,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        headers: dict[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(title or status)
        self.status = status
        self.title = title or _phrase(status)
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def answer(self) -> web.Response:
        """The problem as a response."""
        body: dict[str, object] = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        return json_answer(
            {**body, **self.members}, self.status, headers=self.headers, content_type="application/problem+json"
        )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def json_answer(
    content: Any, status: int = 200, *, headers: dict[str, str] | None = None, content_type: str = "application/json"
) -> web.Response:
    """A response with this content as compact JSON."""
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return web.Response(status=status, body=body, content_type=content_type, headers=headers)


def retry_after(seconds: float | None) -> dict[str, str]:
    """The Retry-After header for a pause, in whole seconds and at least one.

    >>> retry_after(1.2), retry_after(None)
    ({'Retry-After': '2'}, {})
    """
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
