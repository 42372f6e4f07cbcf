"""A connection over a link of limited bandwidth and latency, as a phone has it.

Sends in chunks of 16 KB, each when the link would have carried it, and delays each direction by half a round trip. Only used
if the scenario has a link: an unlimited connection is a plain `Connection` and pays nothing for this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ssl import SSLSession

import gevent
from gevent.socket import wait_read

from harness.drive.client.connection import Connection, Endpoint, Progress
from harness.drive.client.outcomes import Stage
from harness.drive.client.response import HttpResponse, OnInterim
from harness.drive.client.tls import TlsTransport
from harness.station.link import LinkModel

CHUNK_BYTES = 16_384
"""Small enough for a steady stream at the server, large enough to cost little CPU."""
_ONE_WAY = 0.5


class ShapedConnection(Connection):
    """A connection whose bytes take as long as the station's link needs for them.

    Round trips are simulated by waiting before a request and after its response, so that no kernel support (netem) and no
    privileges are needed.
    """

    __slots__ = ("link",)

    def __init__(
        self, endpoint: Endpoint, source_address: str | None, clock: Callable[[], float], link: LinkModel,
        session: SSLSession | None = None,
    ) -> None:  # fmt: skip
        """As `Connection`. `link` is set again when a pooled connection goes to another station."""
        super().__init__(endpoint, source_address, clock, session)
        self.link = link

    def connect(self) -> None:
        """Connect: one round trip, and one or two more with TLS. Raises the kernel's OSError, or ssl.SSLError."""
        self._wait_round_trips(1.0)
        super().connect()

    def _do_handshake(self, tls: TlsTransport) -> None:
        super()._do_handshake(tls)
        # Afterwards, as only then is it known whether the session was resumed, which saves a round trip.
        self._wait_round_trips(tls.round_trips)

    def request(
        self, buffers: Sequence[bytes | memoryview], progress: Progress, *, bodiless: bool = False,
        on_interim: OnInterim | None = None,
    ) -> HttpResponse:  # fmt: skip
        """Send a request and receive its response, each half a round trip later than a plain connection would."""
        progress.stage = Stage.SEND
        self._wait_round_trips(_ONE_WAY)
        response = super().request(buffers, progress, bodiless=bodiless, on_interim=on_interim)
        # The first byte reached this machine, but not yet the phone.
        progress.first_byte_s += self._wait_round_trips(_ONE_WAY)
        return response

    def _send(self, buffers: Sequence[bytes | memoryview], progress: Progress, bodiless: bool) -> bool:
        """Send chunk by chunk; False if the server responded before everything was sent."""
        through_s = self._clock()
        for chunk in split_into_chunks(buffers):
            through_s = self.link.transfer_end_s(sum(map(len, chunk)), through_s)
            while self._is_readable_before(through_s):
                if self._has_response(progress, bodiless):
                    return False
            before_s = self._clock()
            if not super()._send(chunk, progress, bodiless):
                return False
            waited_s = self._clock() - before_s
            # The server's receive window was full: the link was idle meanwhile and can't make up for that. A shorter wait
            # is only scheduling, and would slow the link down if it were added.
            if waited_s > CHUNK_BYTES / self.link.upload_bytes_per_s:
                through_s += waited_s
        return True

    def _is_readable_before(self, moment_s: float) -> bool:
        """Wait until that moment; True at once if the server sends something (or closes) before it."""
        remaining_s = moment_s - self._clock()
        if remaining_s <= 0:
            return False
        try:
            wait_read(self._fd, timeout=remaining_s, timeout_exc=TimeoutError)
        except TimeoutError:
            return False
        return True

    def _wait_round_trips(self, round_trips: float) -> float:
        """Wait until a signal has crossed the link that often; returns the seconds that it took."""
        now_s = self._clock()
        takes_s = self.link.signal_end_s(round_trips, now_s) - now_s
        if takes_s > 0:
            gevent.sleep(takes_s)
        return takes_s


def split_into_chunks(buffers: Sequence[bytes | memoryview]) -> Iterator[list[memoryview]]:
    """The bytes of the buffers in chunks of 16 KB (the last one shorter), without copying them."""
    chunk: list[memoryview] = []
    room = CHUNK_BYTES
    for buffer in buffers:
        view = memoryview(buffer)
        start = 0
        while start < len(view):
            part = view[start : start + room]
            chunk.append(part)
            start += len(part)
            room -= len(part)
            if not room:
                yield chunk
                chunk, room = [], CHUNK_BYTES
    if chunk:
        yield chunk
