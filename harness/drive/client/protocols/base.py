"""What a protocol is: how one page is delivered, over as many attempts as it takes; and what all protocols share."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Protocol

from harness.base.model import Outcome
from harness.drive.client.response import HttpResponse
from harness.drive.client.session import AttemptConnection

Buffer = bytes | memoryview

# What is made anew for each attempt is not frozen: that would cost a microsecond or three each.


@dataclass(slots=True)
class Photo:
    """One page's photo and all that is said of it."""

    station: str
    form: str
    page: int
    body: memoryview
    tail: bytes
    sha256: str
    reading: str
    """Canonical JSON, or "" for a page without votes."""

    @property
    def size_bytes(self) -> int:
        """Body and tail together."""
        return len(self.body) + len(self.tail)

    @property
    def path(self) -> str:
        """Where a page is posted or put."""
        return f"/v1/stations/{self.station}/forms/{self.form}/pages/{self.page}"

    @property
    def whole(self) -> list[Buffer]:
        """All of the photo's bytes, not copied."""
        return [self.body, self.tail]

    def part(self, start: int, end: int) -> list[Buffer]:
        """The photo's bytes from `start` to before `end`, not copied."""
        split = len(self.body)
        if start == 0 and end == split + len(self.tail):
            return self.whole
        parts: tuple[Buffer, ...] = (
            self.body[start:end],
            memoryview(self.tail)[max(0, start - split) : max(0, end - split)],
        )
        return [part for part in parts if len(part)]


@dataclass(slots=True)
class UploadContext:
    """Who sends, and how: the headers that all protocols have."""

    host: str
    token: str
    attempt: int
    """Counts from 1."""
    timeout_s: float
    idempotency_key: bool
    """Whether the page's key and digest are sent along, so that a repetition can be told."""

    def headers(self, photo: Photo, timeout_s: float | None = None) -> list[str]:
        """Who asks, for how long they will wait, and which page it is about."""
        lines = [
            f"Host: {self.host}",
            f"Authorization: Bearer {self.token}",
            f"X-Attempt: {self.attempt}",
            f"Upload-Timeout: {self.timeout_s if timeout_s is None else timeout_s:g}",
        ]
        if self.idempotency_key:
            lines.append(f'Idempotency-Key: "{photo.station}/{photo.form}/{photo.page}/{photo.sha256[:16]}"')
        return lines


@dataclass(slots=True)
class UploadResult:
    """How an attempt ended: with an answer, and what it means."""

    outcome: Outcome
    answer: HttpResponse


class PageUpload(Protocol):
    """One page on its way. Remembers from attempt to attempt what the protocol needs to go on."""

    mark: HighWaterMark

    def attempt(self, wire: AttemptConnection, sender: UploadContext) -> UploadResult:
        """Try once to bring the page through. Raises what outcomes.outcome_of knows."""


@dataclass(slots=True)
class HighWaterMark:
    """How far into a photo bytes were ever sent, and how many of them once more.

    >>> mark = HighWaterMark()
    >>> mark.sent(0, 100); mark.sent(60, 70); (mark.reached, mark.resent_bytes)
    (130, 40)
    """

    reached: int = 0
    resent_bytes: int = 0

    def sent(self, start: int, size: int) -> None:
        """Note that the photo's bytes from `start` on were sent."""
        end = start + size
        if start < self.reached:
            self.resent_bytes += min(end, self.reached) - start
        self.reached = max(self.reached, end)


def send_photo(
    wire: AttemptConnection, head: bytes, parts: list[Buffer], trailer: bytes, start: int, mark: HighWaterMark
) -> HttpResponse:
    """Send a request that carries the photo's bytes from `start` on; also one that breaks off moves the mark."""
    progress = wire.progress
    before = progress.sent_bytes + len(head)
    size = sum(map(len, parts))
    try:
        return wire.ask([head, *parts, trailer] if trailer else [head, *parts])
    finally:
        mark.sent(start, min(size, max(0, progress.sent_bytes - before)))


def repr_digest(sha256: str) -> str:
    """The Repr-Digest header of a photo (RFC 9530).

    >>> repr_digest("00" * 32)
    'Repr-Digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    return f"Repr-Digest: sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def format_head(request_line: str, headers: list[str]) -> bytes:
    """A request's head as it goes on the wire."""
    return "\r\n".join([f"{request_line} HTTP/1.1", *headers, "", ""]).encode("latin-1")
