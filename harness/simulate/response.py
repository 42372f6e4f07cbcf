"""What a client of the simulated server asks for, and what it receives."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mock_server.profile.units import whole_retry_after_s

RequestKind = Literal["login", "page", "create", "head", "patch", "read"]
"""What a request asks for: a token, a whole page, one of the three steps of a resumable upload, or published results."""


class SimulatedResponse(NamedTuple):
    """What a client receives."""

    status: int
    retry_after_s: float | None = None
    """In whole seconds, as the header has it."""
    queue_s: float = float("nan")
    server_s: float = float("nan")
    """Service and store time together, as Server-Timing has them."""
    offset: int = 0
    """Upload-Offset of a resumable upload."""
    is_complete: bool | None = None
    """Upload-Complete of a resumable upload over HTTP; None without it."""
    upload: int = 0
    """Number of the resumable upload that was created; 0 for none."""
    snapshot: int = 0
    """Of published results: what the ETag says."""


def refuse(status: int, retry_after_s: float | None = None) -> SimulatedResponse:
    """The response of a refusal; `retry_after_s` as the server computes it, None without Retry-After."""
    return SimulatedResponse(status, None if retry_after_s is None else whole_retry_after_s(retry_after_s))
