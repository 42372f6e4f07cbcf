"""A request on its way over the ingress that all connections share: when its header is in, and how much of its body."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.simulate.clock import VirtualClock, VirtualTimer
from harness.simulate.virtual_line import VirtualIngress
from harness.station.link import LinkModel
from mock_server.overload.shared_link import Transfer

CHUNK_BYTES = 16_384
"""The server has a request's header once the first of its chunks has arrived (harness/drive/client/shaped_connection.py)."""
SOCKET_BUFFER_BYTES = 2_500_000
"""What the kernels of both sides take of a body that the server does not read, about (Linux, loopback)."""
READ_AHEAD_BYTES = 262_144
"""What the server reads of a body that no handler has asked for yet: so much survives a client that leaves."""
_MAX_DISCARD_S = 10.0
"""How long the server reads on after it has responded to a request that is not whole (mock_server/http/middleware.py)."""


class IncomingRequest:
    """The bytes of one request, header and body.

    They pass the line as fast as it and the sender's own link let them, and only as far as the server reads. A client that
    leaves closes its end behind what the kernels have taken of it: that still comes, and takes up the line, before the
    server learns that the client has gone.
    """

    __slots__ = (
        "_allowed_bytes", "_arrived_bytes", "_awaited_bytes", "_began_s", "_clock", "_end_bytes", "_has_left", "_header_bytes",
        "_is_pausing", "_last_turn", "_limit_bytes_per_s", "_line", "_link", "_link_end_s", "_outage_timer", "_target_bytes", "_total_bytes", "_transfer",
        "head_bytes", "is_over", "on_bytes", "on_header", "on_over", "successor",
    )  # fmt: skip

    def __init__(
        self, line: VirtualIngress, clock: VirtualClock, head_bytes: int, body_bytes: int, link: LinkModel | None = None,
        limit_bytes_per_s: float = math.inf,
    ) -> None:  # fmt: skip
        """`limit_bytes_per_s` is the most that client and server can move of one request; `link` limits it further."""
        self._line = line
        self._clock = clock
        self._link = link
        self._limit_bytes_per_s = limit_bytes_per_s if link is None else min(limit_bytes_per_s, link.upload_bytes_per_s)
        self.head_bytes = head_bytes
        self._total_bytes = head_bytes + body_bytes
        self._header_bytes = min(CHUNK_BYTES, self._total_bytes)
        self._allowed_bytes = min(head_bytes + READ_AHEAD_BYTES, self._total_bytes)
        self._awaited_bytes = self._header_bytes
        self._end_bytes = self._total_bytes
        """How many bytes come at all: fewer once the client has left."""
        self._arrived_bytes = self._target_bytes = 0
        self._transfer: Transfer | None = None
        self._outage_timer: VirtualTimer | None = None
        self._last_turn: VirtualTimer | None = None
        """While all has passed, but for its turn."""
        self._is_pausing = self._has_left = False
        self._began_s = self._link_end_s = math.inf
        self.is_over = False
        """Whether nothing more comes: all is in, the client has left, or the connection is lost."""
        self.on_header: Callable[[], object] = _do_nothing
        """Called once the server has the header."""
        self.on_bytes: Callable[[], None] = _do_nothing
        """Called when what was waited for is in, and at the end."""
        self.on_over: Callable[[bool], None] = _do_nothing_at_end
        """Called at the end, with whether the client had left before."""
        self.successor: Callable[[bool], None] | None = None
        """Called at the end for the next request on the same connection, with whether that can be sent."""

    # --- the client

    def begin(self) -> None:
        """The client sends from now on."""
        now_s = self._clock.now_s
        self._began_s = now_s
        self._link_end_s = now_s if self._link is None else self._link.transfer_end_s(self._total_bytes, now_s)
        self._go_on()

    @property
    def sent_bytes(self) -> int:
        """Bytes, of header and body, that the client has sent: what has arrived, and what the kernels hold."""
        now_s = self._clock.now_s
        if now_s < self._began_s:
            return 0
        sent = min(self._end_bytes, self.arrived_bytes + SOCKET_BUFFER_BYTES)
        if now_s >= self._link_end_s:
            return sent
        ratio = (now_s - self._began_s) / (self._link_end_s - self._began_s)
        return min(sent, max(self.arrived_bytes, int(ratio * self._total_bytes)))

    @property
    def all_sent_s(self) -> float:
        """When the client had sent everything; a moment ago if the kernels had to wait for the line."""
        return self._link_end_s if self._total_bytes <= SOCKET_BUFFER_BYTES else self._clock.now_s

    def leave(self) -> None:
        """The client closes the connection: what it has sent still comes, as far as the server reads."""
        if self.is_over:
            return
        sent_bytes, self._has_left = self.sent_bytes, True
        self._take_off_line()
        self._end_bytes = max(sent_bytes, self._arrived_bytes)
        # What remains lies in the kernels: neither the phone's link nor its outages hold it up any more.
        self._link, self._limit_bytes_per_s = None, math.inf
        self._go_on()
        if self._transfer is None and self._last_turn is None and not self.is_over:  # the server does not read on
            self._finish(can_go_on=False)

    # --- the server

    @property
    def arrived_bytes(self) -> int:
        """Bytes, of header and body, that have passed the line."""
        if self._transfer is None:
            return self._arrived_bytes if self._last_turn is None else self._total_bytes
        return max(self._arrived_bytes, int(self._target_bytes - self._line.remaining_bytes(self._transfer)))

    @property
    def is_whole(self) -> bool:
        """Whether everything has arrived."""
        return self._arrived_bytes >= self._total_bytes

    def has_body(self, size_bytes: int) -> bool:
        """Whether so many bytes of the body have arrived."""
        return self._arrived_bytes >= self.head_bytes + size_bytes

    def read(self, awaited_bytes: int, ahead_bytes: int = 0) -> None:
        """The server waits for so many bytes of the body; so many more may come meanwhile."""
        self._awaited_bytes = min(self.head_bytes + awaited_bytes, self._total_bytes)
        allowed_bytes = min(self._awaited_bytes + ahead_bytes, self._total_bytes)
        self._allowed_bytes = max(self._allowed_bytes, allowed_bytes)
        self._go_on()

    def discard(self) -> None:
        """The server has responded, and reads what still comes for a while, so that the client can read the response."""
        if not self.is_over:
            self._clock.call_later(_MAX_DISCARD_S, self.lose)
            self.read(self._total_bytes)

    def lose(self) -> None:
        """The connection has ended: nothing more comes."""
        if not self.is_over:
            self._take_off_line()
            if self._last_turn is not None:
                self._last_turn.cancel()
            self._finish(can_go_on=False)

    # --- bytes

    def _go_on(self) -> None:
        """Put on the line what the server lets come next."""
        is_waiting = self._is_pausing or self._last_turn is not None or self._clock.now_s < self._began_s
        if self.is_over or is_waiting:
            return
        target = min(self._allowed_bytes, self._end_bytes)
        if self._arrived_bytes < self._awaited_bytes:
            target = min(target, self._awaited_bytes)
        if self._transfer is not None:
            if target == self._target_bytes:
                return
            self._take_off_line()
        if target > self._arrived_bytes:
            self._transfer_to(target)
        elif self._arrived_bytes >= self._end_bytes:
            self._finish(can_go_on=self.is_whole)

    def _transfer_to(self, target_bytes: int) -> None:
        if self._link is not None:
            begin_s, end_s = self._link.next_outage(self._clock.now_s)
            if begin_s <= self._clock.now_s:
                self._is_pausing = True
                self._clock.call_at(end_s, self._resume)
                return
            if begin_s < math.inf:
                self._outage_timer = self._clock.call_at(begin_s, self._pause)
        self._target_bytes = target_bytes
        size_bytes = target_bytes - self._arrived_bytes
        self._transfer = self._line.start(size_bytes, self._passed, self._limit_bytes_per_s)

    def _pause(self) -> None:
        """The phone's outage begins."""
        self._take_off_line()
        self._go_on()

    def _resume(self) -> None:
        self._is_pausing = False
        self._go_on()

    def _passed(self) -> None:
        self._transfer = None
        self._stop_timer()
        turn_s = self._line.last_turn_s(self._total_bytes) if self._target_bytes == self._total_bytes else 0.0
        if turn_s:
            self._last_turn = self._clock.call_later(turn_s, self._take_last_turn)
        else:
            self._take_last_turn()

    def _take_last_turn(self) -> None:
        self._last_turn = None
        self._arrive(self._target_bytes)
        self._go_on()

    def _take_off_line(self) -> None:
        """Take what is on the line off it, and count what has passed."""
        self._stop_timer()
        self._is_pausing = False
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            # At least as before: by the line's rounding, a byte more may remain than was put on it.
            passed = self._target_bytes - math.ceil(self._line.cancel(transfer))
            self._arrive(max(self._arrived_bytes, passed))

    def _stop_timer(self) -> None:
        if self._outage_timer is not None:
            self._outage_timer.cancel()
            self._outage_timer = None

    def _arrive(self, arrived_bytes: int) -> None:
        before, self._arrived_bytes = self._arrived_bytes, arrived_bytes
        if before < self._header_bytes <= arrived_bytes:
            self.on_header()
        if arrived_bytes >= self._awaited_bytes:
            self.on_bytes()

    def _finish(self, *, can_go_on: bool) -> None:
        self.is_over = True
        self.on_bytes()
        self.on_over(self._has_left)
        if self.successor is not None:
            self.successor(can_go_on)


def _do_nothing() -> None:
    pass


def _do_nothing_at_end(_has_left: bool) -> None:
    pass
