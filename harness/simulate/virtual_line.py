"""The lines that all connections of the simulated server share: bytes come in over the one and go out over the other."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.simulate.clock import VirtualClock, VirtualTimer
from mock_server.overload.line_schedule import LineSchedule, choose_piece_bytes
from mock_server.overload.shared_link import SharedLink, Transfer

if TYPE_CHECKING:
    from harness.simulate.request import SimulatedRequest

_WINDOW_S = 1.0
"""The use of a line is known over its latest second, as the mock server's."""


class VirtualIngress:
    """The way in: those who send at once have equal parts of its rate, or less if they can't send more.

    The mock server passes the same bytes in pieces, in turns (mock_server/net/shared_line.py).
    """

    def __init__(self, rate_bytes_per_s: float, clock: VirtualClock) -> None:
        self._link = SharedLink(rate_bytes_per_s)
        self._clock = clock
        self._on_passed: dict[Transfer, Callable[[], None]] = {}
        self._timer: VirtualTimer | None = None
        self._timer_s = math.inf
        self._history: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        """How many bytes had passed at the latest changes of the rate at which they pass, over a second at least."""
        self._used_bytes_per_s = 0.0
        self._piece_bytes = choose_piece_bytes(rate_bytes_per_s)

    def start(
        self, size_bytes: float, on_passed: Callable[[], None], limit_bytes_per_s: float = math.inf
    ) -> Transfer:  # fmt: skip
        """Put bytes on the line, of which at most `limit_bytes_per_s` can pass; `on_passed` is called when all have."""
        transfer = self._link.start(self._clock.now_s, size_bytes, limit_bytes_per_s)
        self._on_passed[transfer] = on_passed
        self._changed()
        return transfer

    def cancel(self, transfer: Transfer) -> float:
        """Take off the line what has not passed; how many bytes that was. `on_passed` is not called."""
        remaining_bytes = self.remaining_bytes(transfer)
        self._on_passed.pop(transfer, None)
        self._link.cancel(self._clock.now_s, transfer)
        self._changed()
        return remaining_bytes

    def remaining_bytes(self, transfer: Transfer) -> float:
        """How much of it has not passed yet."""
        return self._link.remaining_bytes(self._clock.now_s, transfer)

    def last_turn_s(self, size_bytes: int) -> float:
        """How much later the last of so many bytes pass than by processor sharing, because connections take turns.

        A piece that is not full waits for those of all others as a full one does: what is small waits for a whole round.
        """
        missing_ratio = -size_bytes / self._piece_bytes % 1.0
        return missing_ratio * self._link.sharing * self._piece_bytes / self._link.rate_bytes_per_s

    @property
    def passed_bytes(self) -> float:
        """Bytes that have passed so far."""
        at_s, passed = self._history[-1]
        return passed + self._used_bytes_per_s * (self._clock.now_s - at_s)

    @property
    def utilisation_ratio(self) -> float:
        """The share of the latest second in which it was in use."""
        since_s = self._clock.now_s - _WINDOW_S
        latest = self.passed_bytes - self._passed_by(since_s)
        return min(1.0, max(0.0, latest / (self._link.rate_bytes_per_s * _WINDOW_S)))

    @property
    def waiting(self) -> int:
        """Connections that could send more than their part of it."""
        return self._link.sharing

    def _passed_by(self, moment_s: float) -> float:
        """Bytes that had passed at a moment of the latest second."""
        before_s, before = self._history[0]
        if moment_s <= before_s:
            return before
        later_s, later = self._history[1] if len(self._history) > 1 else (self._clock.now_s, self.passed_bytes)
        return before + (later - before) * (moment_s - before_s) / (later_s - before_s)

    def _changed(self) -> None:
        """Note what has passed at the rate until now, and wake up when the next transfer will have."""
        now_s = self._clock.now_s
        history = self._history
        if now_s > history[-1][0]:
            history.append((now_s, self.passed_bytes))
            while len(history) > 1 and history[1][0] <= now_s - _WINDOW_S:
                history.popleft()
        self._used_bytes_per_s = self._link.used_bytes_per_s
        next_s = self._link.next_finish_s()
        if next_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = next_s
        self._timer = None if math.isinf(next_s) else self._clock.call_at(next_s, self._take_finished)

    def _take_finished(self) -> None:
        self._timer, self._timer_s = None, math.inf
        finished = self._link.take_finished(self._clock.now_s)
        self._changed()
        for transfer in finished:
            on_passed = self._on_passed.pop(transfer, None)
            if on_passed is not None:  # else cancelled at this very moment
                on_passed()


class VirtualEgress:
    """The way out: responses pass in pieces, in turns, by the mock server's own schedule. Most are one piece."""

    def __init__(self, rate_bytes_per_s: float, clock: VirtualClock) -> None:
        self._clock = clock
        self._schedule = LineSchedule(rate_bytes_per_s, slack_s=0.0)
        self._piece_bytes = choose_piece_bytes(rate_bytes_per_s)
        self.waiting = 0
        """Responses that have not passed."""

    def start(self, size_bytes: int, on_passed: Callable[[], None]) -> Outflow:
        """Send a response; `on_passed` is called when its last byte has passed."""
        outflow = Outflow(size_bytes, on_passed)
        self.waiting += 1
        self._send_piece(outflow)
        return outflow

    def cancel(self, outflow: Outflow) -> None:
        """Send no more of a response, unless all of it has passed."""
        if outflow.on_passed is not None:
            outflow.on_passed = None
            self.waiting -= 1

    @property
    def utilisation_ratio(self) -> float:
        """The share of the latest second in which it was in use."""
        return self._schedule.utilisation_ratio(self._clock.now_s)

    def _send_piece(self, outflow: Outflow) -> None:
        piece = min(self._piece_bytes, outflow.left_bytes)
        outflow.left_bytes -= piece
        self._clock.call_at(self._schedule.admit(self._clock.now_s, piece), self._passed, outflow)

    def _passed(self, outflow: Outflow) -> None:
        on_passed = outflow.on_passed
        if on_passed is None:
            return
        if outflow.left_bytes:
            self._send_piece(outflow)
            return
        self.cancel(outflow)
        on_passed()


@dataclass(slots=True)
class Outflow:
    """A response on its way out."""

    left_bytes: int
    """What is not on the line yet."""
    on_passed: Callable[[], None] | None
    """None once it has passed, or will not."""


@dataclass(slots=True)
class VirtualTraffic:
    """The bytes of one server process's connections, and the lines that they share."""

    ingress: VirtualIngress | None = None
    """None: unlimited."""
    egress: VirtualEgress | None = None
    """None: unlimited."""
    unlimited_bytes: int = 0
    """Bytes that came in where the ingress has no rate."""
    sent_bytes: int = 0
    responses: dict[SimulatedRequest, None] = field(default_factory=dict)
    """Requests whose response is on the egress, in the order of their ends."""

    @property
    def received_bytes(self) -> int:
        """Bytes that have come in."""
        return self.unlimited_bytes if self.ingress is None else round(self.ingress.passed_bytes)
