"""A line that connections share, in virtual time: the server's way in or out (server.ingress, server.egress)."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.simulate.clock import VirtualClock, VirtualTimer
from mock_server.overload.shared_link import SharedLink, Transfer


class VirtualLine:
    """A `SharedLink` under a virtual clock: calls back when a transfer is through."""

    def __init__(self, clock: VirtualClock, rate_bytes_per_s: float) -> None:
        self._clock = clock
        self._link = SharedLink(rate_bytes_per_s)
        self._callbacks: dict[Transfer, Callable[[], object]] = {}
        self._timer: VirtualTimer | None = None
        self._passed_bytes = self._marked_bytes = 0.0
        self._marked_s = 0.0

    @property
    def waiting(self) -> int:
        """Connections whose bytes wait for the line."""
        return len(self._link)

    @property
    def utilisation_ratio(self) -> float:
        """The part of its rate that has been used since this was last read, once a virtual second."""
        now_s = self._clock.now_s
        passed = self._passed_bytes - sum(self._link.remaining_bytes(now_s, one) for one in self._callbacks)
        span_s, used = now_s - self._marked_s, passed - self._marked_bytes
        self._marked_s, self._marked_bytes = now_s, passed
        return min(1.0, used / (span_s * self._link.rate_bytes_per_s)) if span_s > 0 else 0.0

    def start(self, size_bytes: float, limit_bytes_per_s: float, on_through: Callable[[], object]) -> Transfer:
        """Begin a transfer that takes at most `limit_bytes_per_s`; calls back when its last byte is through."""
        transfer = self._link.start(self._clock.now_s, size_bytes, limit_bytes_per_s)
        self._passed_bytes += size_bytes
        self._callbacks[transfer] = on_through
        self._schedule()
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """End a transfer early; its callback is not called."""
        if self._callbacks.pop(transfer, None) is not None:
            self._passed_bytes -= self._link.remaining_bytes(self._clock.now_s, transfer)
            self._link.cancel(self._clock.now_s, transfer)
            self._schedule()

    def remaining_bytes(self, transfer: Transfer) -> float:
        """How much of a transfer is still to come."""
        return self._link.remaining_bytes(self._clock.now_s, transfer)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        next_s = self._link.next_finish_s()
        self._timer = self._clock.call_at(next_s, self._finish) if math.isfinite(next_s) else None

    def _finish(self) -> None:
        self._timer = None
        callbacks = [self._callbacks.pop(one, None) for one in self._link.take_finished(self._clock.now_s)]
        self._schedule()
        for callback in callbacks:
            if callback is not None:
                callback()


class VirtualTraffic:
    """The bytes of the simulated server's connections, and the lines that they share."""

    def __init__(self, clock: VirtualClock, ingress: float | None, egress: float | None) -> None:
        """`ingress` and `egress` are rates in bytes per second; None: unlimited."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self.ingress = None if ingress is None else VirtualLine(clock, ingress)
        self.egress = None if egress is None else VirtualLine(clock, egress)
