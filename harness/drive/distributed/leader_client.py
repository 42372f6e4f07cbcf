"""A plain process's connection to a run's leader, and the comparison of clocks over it.

It uses the connection of Locust's workers with an identity of its own, for what is needed before Locust runs (who may join,
the clocks' offset) and after it has died (that it did).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from harness.base.errors import UsageError
from harness.drive.distributed.auth import encrypt_socket

_LINGER_MS = 1_000
"""How long closing waits for messages that are still to be sent: the last one says why a worker leaves."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A question about the time and its answer. Seconds; `wall` is Unix time, the rest is each machine's monotonic clock."""

    sent_s: float
    """When we asked, on our clock."""
    received_s: float
    """When the answer arrived, on our clock."""
    sent_wall_s: float
    theirs_s: float
    """When they answered, on their clock."""
    theirs_wall_s: float

    @property
    def delay_s(self) -> float:
        """How long question and answer took together."""
        return self.received_s - self.sent_s


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """Our clocks minus theirs."""

    monotonic_s: float
    """Add it to a moment of their monotonic clock to get the same moment on ours."""
    wall_s: float
    uncertainty_s: float
    """Greatest possible error of both: half the delay of the round trip that they come from."""


def estimate_offset(trips: Sequence[RoundTrip]) -> ClockOffset:
    """The offset by the round trip with the least delay, of at least one.

    As in NTP's clock filter (RFC 5905, 10): the round trip with the least delay waited least in queues, and half its delay
    bounds the error, whichever direction took longer.

    >>> estimate_offset([RoundTrip(10.0, 10.2, 500.0, 3.1, 499.9), RoundTrip(11.0, 12.0, 501.0, 4.9, 501.0)])
    ClockOffset(monotonic_s=7.0, wall_s=0.2, uncertainty_s=0.1)
    """
    best = min(trips, key=lambda trip: trip.delay_s)
    half_s = best.delay_s / 2
    return ClockOffset(
        monotonic_s=round(best.sent_s + half_s - best.theirs_s, 9),
        wall_s=round(best.sent_wall_s + half_s - best.theirs_wall_s, 6),
        uncertainty_s=round(half_s, 9),
    )


def clock_drift_s(first: ClockOffset, last: ClockOffset) -> float:
    """How far the monotonic clocks drifted apart between two offsets, beyond the error of the two; signed.

    >>> round(clock_drift_s(ClockOffset(5.0, 0, 0.001), ClockOffset(5.01, 0, 0.002)), 6)
    0.007
    """
    apart_s = last.monotonic_s - first.monotonic_s
    certain_s = max(0.0, abs(apart_s) - first.uncertainty_s - last.uncertainty_s)
    return certain_s if apart_s > 0 else -certain_s


class LeaderClient:
    """Sends and receives messages in Locust's format: (kind, content, identity) in msgpack.

    Use as a context manager. Connects in the background, so it may be made before the leader is there.
    """

    def __init__(self, host: str, port: int, identity: str, token: str) -> None:
        """`host` is an IP address; `identity` must be unique among the leader's clients."""
        self._identity = identity
        self._socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, identity.encode())
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.IPV6, int(":" in host))
        # Queue messages only for a connection that exists: a question about the time that waited would measure the wait.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        encrypt_socket(self._socket, token, master=False)
        self._monitor: Any = self._socket.get_monitor_socket()
        self._socket.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        self.connected = False
        """Whether something accepted the connection."""
        self.authenticated = False
        """Whether what accepted it knows the token."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    def send(self, kind: str, content: Any = None) -> bool:
        """Send a message; False if there is no connection."""
        try:
            self._socket.send(msgpack.dumps((kind, content, self._identity)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_s: float) -> tuple[str, Any] | None:
        """Kind and content of the next message; None if there is none in time."""
        self._read_monitor()
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return None
        message = msgpack.loads(self._socket.recv())
        return str(message[0]), message[1]

    def _read_monitor(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self.connected |= event == zmq.EVENT_CONNECTED
            self.authenticated |= event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def request_time(self) -> None:
        """Ask for the leader's clocks; the reply is received as `time`."""
        self.send("time", {"sent_s": time.monotonic(), "sent_wall_s": time.time()})


def parse_clock_reply(reply: Any, received_s: float) -> RoundTrip:
    """The round trip of a `time` reply received at that moment. Raises UsageError for a reply of another version."""
    with contextlib.suppress(TypeError):
        return RoundTrip(received_s=received_s, **reply)
    message = f"unexpected clock reply from the leader: {reply!r}: install the same version of upload-harness on every machine"
    raise UsageError(message)
