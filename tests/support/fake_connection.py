"""A connection without a network: responses come from a function, and every request is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.drive.client.connection import Progress
from harness.drive.client.protocols.base import UploadContext
from harness.drive.client.response import HttpResponse
from harness.protocol import Photo

STATION = "3509191001001"
CONTENT = bytes(range(256)) * 4
CONTEXT = UploadContext("mock:1", "secret", 3, 10.0, idempotency_key=True)


def photo(content: bytes = CONTENT, tail: int = 100, reading: str = "") -> Photo:
    """A photo whose last `tail` bytes are its own."""
    split = len(content) - tail
    return Photo(STATION, "ppwp", 2, memoryview(content[:split]), content[split:], "ab" * 32, reading)


def answer(status: int, body: bytes = b"", **headers: str | list[str]) -> HttpResponse:
    """A response with these headers, a list for one that is repeated; underscores become hyphens."""
    pairs = [(name, text) for name, texts in headers.items() for text in ([texts] if isinstance(texts, str) else texts)]
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in pairs]
    return HttpResponse(status, raw, body, keep_alive=True)


@dataclass
class Request:
    """A request as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    on_interim: Any = None
    """What takes interim responses; call `interim` instead."""

    def interim(self, status: int, **headers: str) -> None:
        """Send an interim response, if anybody listens."""
        if self.on_interim is not None:
            self.on_interim(status, answer(status, b"", **headers).raw_headers)


@dataclass
class FakeConnection:
    """Hands every request to `server`, which responds or raises; a CutError says how much of the body was sent before."""

    server: Callable[[Request], HttpResponse]
    progress: Progress = field(default_factory=Progress)
    remaining_s: float = 7.5
    trace: bytes = b""
    now_s: float = 0.0
    """Goes on by a second with every request."""
    others: dict[object, FakeConnection] = field(default_factory=dict)
    """Source -> the connection to another server."""
    requests: list[Request] = field(default_factory=list)

    def to(self, source: object) -> FakeConnection:
        return self.others[source]

    def request(self, buffers: Any, *, bodiless: bool = False, on_interim: Any = None) -> HttpResponse:
        whole = b"".join(bytes(buffer) for buffer in buffers)
        head, _, body = whole.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        method, path, _version = line.split(" ")
        self.now_s += 1.0
        headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in lines)}
        assert bodiless == (method == "HEAD")
        self.requests.append(Request(method, path, headers, body, on_interim))
        try:
            response = self.server(self.requests[-1])
        except CutError as cut:
            self.progress.sent_bytes += len(head) + 4 + cut.taken
            raise
        self.progress.sent_bytes += len(whole)
        return response


class CutError(ConnectionResetError):
    """The connection broke after `taken` bytes of the body were sent."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken = taken
