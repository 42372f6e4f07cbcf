"""A session without a network: a function gives the responses, and every request is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.drive.client.connection import Progress
from harness.drive.client.protocols.base import Photo, UploadContext
from harness.drive.client.response import HttpResponse

STATION = "3509191001001"
CONTENT = bytes(range(256)) * 4
SENDER = UploadContext("mock:1", "secret", 3, 10.0, idempotency_key=True)


def photo(content: bytes = CONTENT, tail: int = 100, reading: str = "") -> Photo:
    """A photo whose last `tail` bytes are its own."""
    split = len(content) - tail
    return Photo(STATION, "ppwp", 2, memoryview(content[:split]), content[split:], "ab" * 32, reading)


def answer(status: int, **headers: str) -> HttpResponse:
    """An answer with these headers; underscores are hyphens."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HttpResponse(status, raw, b"", keep_alive=True)


@dataclass
class Asked:
    """A request as it was sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """Passes every request to `server`, which returns a response or raises; an exception may carry how much of the body was `taken`."""

    server: Callable[[Asked], HttpResponse]
    progress: Progress = field(default_factory=Progress)
    remaining_s: float = 7.5
    asked: list[Asked] = field(default_factory=list)

    def ask(self, buffers: Any, *, bodiless: bool = False) -> HttpResponse:
        whole = b"".join(bytes(buffer) for buffer in buffers)
        head, _, body = whole.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        method, path, _version = line.split(" ")
        headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in lines)}
        assert bodiless == (method == "HEAD")
        self.asked.append(Asked(method, path, headers, body))
        try:
            said = self.server(self.asked[-1])
        except CutError as cut:
            self.progress.sent_bytes += len(head) + 4 + cut.taken
            raise
        self.progress.sent_bytes += len(whole)
        return said


class CutError(ConnectionResetError):
    """The connection broke after this many bytes of the body."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken = taken
