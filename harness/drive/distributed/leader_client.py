"""A plain process's own line to a run's master: the connection that Locust's workers use, with an identity of its own.

For what must be known before Locust runs (who may join, by which clocks) and after it has died (that it did).
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Self

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from harness.base.errors import UsageError
from harness.drive.distributed.auth import encrypt_socket
from harness.drive.distributed.clock_sync import RoundTrip

_LINGER_MS = 1_000


class LeaderClient:
    """Messages as Locust writes them: (type, content, identity), msgpack."""

    def __init__(self, host: str, port: int, identity: str, token: str) -> None:
        """Connects in the background: it works from when the master is there."""
        self._identity = identity
        self._socket: Any = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, identity.encode())
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.IPV6, int(":" in host))
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        encrypt_socket(self._socket, token, master=False)
        self._monitor: Any = self._socket.get_monitor_socket()
        self._socket.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        self.reached = False
        """Somebody listens there."""
        self.trusted = False
        """Who listens there knows the token."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    def say(self, kind: str, content: Any = None) -> bool:
        """Send a message; False where nobody is connected."""
        try:
            self._socket.send(msgpack.dumps((kind, content, self._identity)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def hear(self, timeout_s: float) -> tuple[str, Any] | None:
        """The next message and its content; None if none came in time."""
        self._look()
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return None
        message = msgpack.loads(self._socket.recv())
        return str(message[0]), message[1]

    def _look(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self.reached |= event == zmq.EVENT_CONNECTED
            self.trusted |= event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def ask_the_time(self) -> None:
        """Ask for the master's clocks; the answer is heard as `time`."""
        self.say("time", {"sent_s": time.monotonic(), "sent_wall_s": time.time()})


def parse_clock_reply(answer: Any, received_s: float) -> RoundTrip:
    """What a `time` answer tells that was heard at this moment. Raises UsageError for what another version might say."""
    with contextlib.suppress(TypeError):
        return RoundTrip(received_s=received_s, **answer)
    message = f"the master's answer is no time: {answer!r}: install the same version of upload-harness on every machine"
    raise UsageError(message)
