"""A connection over a limited line: sends in steps of 16 KB, each when it would be through, and hears half a round trip late.

Only made where a scenario has a link: an unlimited one uses the plain `Connection` and pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ssl import SSLSession

import gevent
from gevent.socket import wait_read

from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import Stage
from harness.drive.client.response import HttpResponse
from harness.drive.client.tls import TlsTransport
from harness.station.link import LinkModel

CHUNK_BYTES = 16_384
"""Small enough that the server sees a steady stream, large enough to cost little."""
_ONE_WAY = 0.5


class ShapedConnection(Connection):
    """A connection whose bytes take as long as the station's line needs."""

    __slots__ = ("line",)

    def __init__(
        self,
        target: Endpoint,
        source: str | None,
        clock: Callable[[], float],
        line: LinkModel,
        session: SSLSession | None = None,
    ) -> None:
        """Make the socket, not the connection. Raises GeneratorLimitError where this machine can't."""
        super().__init__(target, source, clock, session)
        self.line = line
        """Of the station that uses it now; a pooled connection changes hands."""

    def connect(self) -> None:
        """Connect, which takes a round trip, and one or two more with TLS; OSError as the kernel says."""
        self._hold(1.0)
        super().connect()

    def _shake_hands(self, tls: TlsTransport) -> None:
        super()._shake_hands(tls)
        self._hold(tls.round_trips)

    def exchange(
        self, buffers: Sequence[bytes | memoryview], progress: Progress, *, bodiless: bool = False
    ) -> HttpResponse:
        """Send a request and take its answer: each way takes half a round trip longer."""
        progress.stage = Stage.SEND
        self._hold(_ONE_WAY)
        answer = super().exchange(buffers, progress, bodiless=bodiless)
        heard_s = self._hold(_ONE_WAY)
        progress.first_byte_s += heard_s
        return answer

    def _send(self, buffers: Sequence[bytes | memoryview], progress: Progress, bodiless: bool) -> bool:
        """Send step by step; False if the server answered before everything was sent."""
        through_s = self._clock()
        for step in split_into_chunks(buffers):
            through_s = self.line.transfer_end_s(sum(map(len, step)), through_s)
            while self._listen_until(through_s):
                if self._heard(progress, bodiless):
                    return False
            before_s = self._clock()
            if not super()._send(step, progress, bodiless):
                return False
            waited_s = self._clock() - before_s
            if waited_s > CHUNK_BYTES / self.line.upload_bytes_per_s:  # the server took no more: the line stood idle
                through_s += waited_s
        return True

    def _listen_until(self, moment_s: float) -> bool:
        """Wait for that moment; true at once if the server speaks (or closes) before."""
        remaining = moment_s - self._clock()
        if remaining <= 0:
            return False
        try:
            wait_read(self._fd, timeout=remaining, timeout_exc=TimeoutError)
        except TimeoutError:
            return False
        return True

    def _hold(self, round_trips: float) -> float:
        """Wait until a signal has crossed; the seconds that it takes."""
        now_s = self._clock()
        takes_s = self.line.signal_end_s(round_trips, now_s) - now_s
        if takes_s > 0:
            gevent.sleep(takes_s)
        return takes_s


def split_into_chunks(buffers: Sequence[bytes | memoryview]) -> Iterator[list[memoryview]]:
    """The buffers' bytes in steps of 16 KB (the last one shorter), without copying them."""
    step: list[memoryview] = []
    room = CHUNK_BYTES
    for buffer in buffers:
        view = memoryview(buffer)
        start = 0
        while start < len(view):
            part = view[start : start + room]
            step.append(part)
            start += len(part)
            room -= len(part)
            if not room:
                yield step
                step, room = [], CHUNK_BYTES
    if step:
        yield step
