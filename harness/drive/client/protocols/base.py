"""The interface of an upload protocol, and what all protocols share."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Protocol

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.response import HttpResponse, OnInterim
from harness.protocol.photo import Buffer, Photo, url_part

# The records made for each attempt are not frozen: that would cost one to three microseconds each.


@dataclass(slots=True)
class UploadContext:
    """What a station's requests have in common; kept for all its attempts, with `attempt` and `token` as they change."""

    host: str
    token: str
    attempt: int
    """Counts from 1."""
    timeout_s: float
    idempotency_key: bool
    """Whether to send the page's key and digest, so that the server can recognise a repeated upload."""

    def headers(self, photo: Photo, timeout_s: float | None = None) -> list[str]:
        """Header lines of a request for this photo; `timeout_s` is how long the client still waits for its response."""
        lines = [
            f"Host: {self.host}",
            f"Authorization: Bearer {self.token}",
            f"X-Attempt: {self.attempt}",
            f"Upload-Timeout: {self.timeout_s if timeout_s is None else timeout_s:g}",
        ]
        if self.idempotency_key:
            key = f"{url_part(photo.station)}/{url_part(photo.form)}/{photo.page}/{photo.sha256[:16]}"
            lines.append(f'Idempotency-Key: "{key}"')
        return lines


@dataclass(slots=True)
class UploadResult:
    """How an attempt ended that got a response: what the response means, and the response itself."""

    outcome: Outcome
    response: HttpResponse
    reason: MalformedReason = MalformedReason.NONE
    """Why an answer with a success status was not a success."""
    detail: str = ""
    """A sentence on what was wrong; "" otherwise."""


class LoginRefusedError(Exception):
    """The server refused the login, or another step that a station makes once. Never an acknowledgement."""

    def __init__(self, uploaded: UploadResult) -> None:
        super().__init__(uploaded.response.status)
        self.uploaded = uploaded


class PageUpload(Protocol):
    """The upload of one page, over as many attempts as it takes.

    Remembers between attempts what the protocol needs to resume (the address of a resumable upload).
    """

    high_water: HighWaterMark

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Try once to upload the page. Raises what `outcomes.classify_error` knows."""


@dataclass(slots=True)
class HighWaterMark:
    """How far into a photo bytes have been sent, and how many of them were sent more than once.

    >>> mark = HighWaterMark()
    >>> mark.advance(0, 100); mark.advance(60, 70); (mark.reached, mark.resent_bytes)
    (130, 40)
    """

    reached: int = 0
    resent_bytes: int = 0

    def advance(self, start: int, size: int) -> None:
        """Note that `size` bytes of the photo were sent, from `start` on."""
        end, reached = start + size, self.reached
        if start < reached:
            self.resent_bytes += min(end, reached) - start
        if end > reached:
            self.reached = end


def send_photo(
    connection: AttemptConnection, head: bytes, parts: list[Buffer], trailer: bytes, start: int,
    high_water: HighWaterMark, on_interim: OnInterim | None = None,
) -> HttpResponse:  # fmt: skip
    """Send a request with the photo's bytes from `start` on; also advances the mark for one that is broken off."""
    progress = connection.progress
    before = progress.sent_bytes + len(head) + len(connection.trace)
    size = sum(map(len, parts))
    try:
        return connection.request([head, *parts, trailer] if trailer else [head, *parts], on_interim=on_interim)
    finally:
        # What the other side acknowledged may have reached the server even if the attempt failed.
        high_water.advance(start, min(size, max(0, progress.sent_bytes - before)))


def repr_digest(sha256: str) -> str:
    """The Repr-Digest header of a photo (RFC 9530), by which a server can detect a corrupted upload.

    >>> repr_digest("00" * 32)
    'Repr-Digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    return f"Repr-Digest: sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def format_head(request_line: str, headers: list[str]) -> bytes:
    """The head of a request: request line, headers and the empty line."""
    return "\r\n".join([f"{request_line} HTTP/1.1", *headers, "", ""]).encode("latin-1")
