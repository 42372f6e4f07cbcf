"""The line that all connections of a port share, one direction at a time: what comes in, or what goes out.

Nothing is kept back but one piece per connection, which counts as being on the line. A connection whose piece has not
passed yet is not read: the kernel's buffers fill, and the client has to wait, as behind a real line.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mock_server.overload.line_schedule import LineSchedule, choose_piece_bytes

_SLACK_S = 0.02
"""How late the event loop may be without the line losing the time. On an idle machine it is late by 1 or 2 ms."""
_EARLY_S = 0.0005
"""A piece that passes within this time has passed: uvloop's timers count in milliseconds."""


class SharedLine:
    """One direction of the line. Made inside a running event loop."""

    def __init__(self, rate_bytes_per_s: float) -> None:
        self.piece_bytes = choose_piece_bytes(rate_bytes_per_s)
        self.buffer = memoryview(bytearray(self.piece_bytes))
        """What a socket is read into: no more than a piece. One is enough, because it is copied at once."""
        self._schedule = LineSchedule(rate_bytes_per_s, _SLACK_S)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Pieces on the line."""
        return len(self._waiting)

    @property
    def utilisation_ratio(self) -> float:
        """The share of the latest second in which the line was in use."""
        return self._schedule.utilisation_ratio(time.monotonic())

    def admit(self, size_bytes: int, ready_s: float | None) -> float:
        """When a piece has passed, on the monotonic clock; `ready_s` is what this returned for the connection's last one."""
        return self._schedule.admit(time.monotonic(), size_bytes, ready_s)

    def has_passed(self, end_s: float) -> bool:
        """Whether a piece that passes at this time has."""
        return self._is_closed or end_s <= time.monotonic() + _EARLY_S

    def call_when_passed(self, end_s: float, callback: Callable[[], None]) -> None:
        """Calls back once a piece has passed; to be called in the order in which pieces were admitted."""
        self._waiting.append((end_s, callback))
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Lets everything pass at once, from now on: the server stops."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._waiting.popleft()[1]()

    def _arm(self) -> None:
        delay_s = max(0.0, self._waiting[0][0] - time.monotonic())
        self._timer = self._loop.call_later(delay_s, self._pass)

    def _pass(self) -> None:
        # Still set while it runs: a connection that goes on from its callback must not arm a second timer.
        while self._waiting and self.has_passed(self._waiting[0][0]):
            self._waiting.popleft()[1]()
        self._timer = None
        if self._waiting:
            self._arm()


@dataclass
class Traffic:
    """The bytes of a port's connections, and the lines that they share."""

    ingress: SharedLine | None = None
    """None: unlimited."""
    egress: SharedLine | None = None
    """None: unlimited."""
    received_bytes: int = 0
    sent_bytes: int = 0

    def close(self) -> None:
        """Lets everything pass at once: the server stops."""
        for line in (self.ingress, self.egress):
            if line is not None:
                line.close()


class PacedWriter:
    """Sends what a connection writes over a shared line, and ends the connection only after that."""

    def __init__(self, transport: asyncio.Transport, line: SharedLine) -> None:
        self._transport = transport
        self._line = line
        self._pending: deque[memoryview] = deque()
        self._ready_s: float | None = None
        self._is_passing = False
        self.is_paused = False
        """Whether the client does not take what was sent: then nothing more is put on the line."""
        self._eof_follows = False
        self.is_closing = False
        """Whether the connection ends once everything has been sent."""
        self.buffered_bytes = 0
        """What has been written and not sent."""

    def write(self, data: bytes) -> None:
        """Sends it when its turn comes."""
        self._pending.append(memoryview(data))
        self.buffered_bytes += len(data)
        self.go_on()

    def write_eof(self) -> None:
        """Closes the sending half after what was written."""
        self._eof_follows = True
        self.go_on()

    def close(self) -> None:
        """Closes the connection after what was written."""
        self.is_closing = True
        self.go_on()

    def go_on(self) -> None:
        """Puts the next piece on the line, if there is one and none is on it."""
        while self._pending and not self._is_passing and not self.is_paused:
            piece = self._take()
            self._ready_s = self._line.admit(len(piece), self._ready_s)
            if self._line.has_passed(self._ready_s):
                self._send(piece)
            else:
                self._is_passing = True
                self._line.call_when_passed(self._ready_s, partial(self._passed, piece))
        if not self._pending and not self._is_passing:
            self._end()

    def _take(self) -> memoryview:
        first = self._pending.popleft()
        if len(first) > self._line.piece_bytes:
            self._pending.appendleft(first[self._line.piece_bytes :])
        return first[: self._line.piece_bytes]

    def _passed(self, piece: memoryview) -> None:
        self._is_passing = False
        self._send(piece)
        self.go_on()

    def _send(self, piece: memoryview) -> None:
        self.buffered_bytes -= len(piece)
        if self._transport.is_closing():  # the client has gone: what is left need not take up the line
            self._pending.clear()
            self.buffered_bytes = 0
        else:
            self._transport.write(piece)

    def _end(self) -> None:
        if self._eof_follows and not self._transport.is_closing():
            self._eof_follows = False
            self._transport.write_eof()
        if self.is_closing:
            self._transport.close()
