"""A phone's connection to the simulated server: how long it takes to open, to send a request, and to get the response.

What limits it is the station's own link (harness/station/link.py), the way into the server that all share, and the
costs of the scenario's table [simulate].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from math import isinf

from harness.base.model import Outcome
from harness.scenario.client import ClientOptions
from harness.simulate.clock import VirtualTask, suspend
from harness.simulate.costs import Costs
from harness.simulate.request import SimulatedRequest, SimulatedResponse
from harness.simulate.server import SimulatedServer
from harness.station.link import LinkModel
from mock_server.faults.base import RequestKey

CHUNK_BYTES = 16_384
"""The server has a request's header once the first of its chunks has arrived (harness/drive/client/shaped_connection.py)."""
SOCKET_BUFFER_BYTES = 2_500_000
"""What the kernels of both sides take of a body that the server does not read, about (Linux, loopback)."""
RESPONSE_BYTES = 400
"""Of the response to an upload or a login, about."""
_ONE_WAY = 0.5


class AttemptEnded(Exception):  # noqa: N818 - an outcome, not an error
    """The attempt has ended without a response."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(slots=True)
class Network:
    """What all connections of one simulation share."""

    server: SimulatedServer
    costs: Costs
    client: ClientOptions
    idle: list[int] = field(default_factory=list)
    """Of the pool that connection = "reuse" shares: the server's epoch in which each was opened."""


class PhoneConnection:
    """The one connection of a phone at a time. Its coroutines are awaited by the phone's task, and resumed through it."""

    __slots__ = ("_epoch", "_link", "_network", "_request", "_task", "_unread", "_waiting")

    def __init__(self, network: Network, task: VirtualTask, link: LinkModel | None) -> None:
        self._network = network
        self._task = task
        self._link = link
        self._epoch: int | None = None
        """The server's epoch in which the open connection was made; None without one."""
        self._request: SimulatedRequest | None = None
        self._unread: SimulatedRequest | None = None
        """An answered request whose body is still on the shared way in: the next one on this connection comes behind it."""
        self._waiting: tuple[SimulatedRequest, int] | None = None

    # --- opening and closing

    def is_open(self) -> bool:
        """Whether there is a connection that can be used; takes one from the shared pool if it has one."""
        epoch, idle = self._network.server.connection_epoch, self._network.idle
        while self._epoch is None and idle:
            self._epoch = idle.pop()
        if self._epoch != epoch:
            self._epoch = None
        return self._epoch is not None

    async def open(self, key: RequestKey) -> None:
        """Connect. Raises AttemptEnded if that fails or takes too long."""
        server, timeout_s, now_s = self._network.server, self._network.client.connect_timeout, self._task.clock.now_s
        end_s = now_s if self._link is None else self._link.signal_end_s(1.0, now_s)
        end_s += self._network.costs.connect_s(key)
        if timeout_s is not None and end_s > now_s + timeout_s:
            await self._task.sleep_until(now_s + timeout_s)
            raise AttemptEnded(Outcome.TIMEOUT_CONNECT)
        await self._task.sleep_until(end_s)
        if not server.is_listening:
            raise AttemptEnded(Outcome.REFUSED)
        if server.connections >= server.max_connections:
            raise AttemptEnded(Outcome.CLOSED)
        server.connections += 1
        self._epoch = server.connection_epoch

    def hang_up(self) -> None:
        """Give the connection back to the pool, or close it."""
        server = self._network.server
        self._drop_unread()
        if self._epoch == server.connection_epoch:
            if self._network.client.connection == "reuse":
                self._network.idle.append(self._epoch)
            else:
                server.connections -= 1
        self._epoch = None

    def leave(self) -> None:
        """Close the connection, whatever is under way on it."""
        server, request, self._request = self._network.server, self._request, None
        if self._epoch == server.connection_epoch:
            server.connections -= 1
        self._epoch = None
        self._drop_unread()
        if request is not None:
            request.cancel_transfer()
            request.disconnect()

    def _drop_unread(self) -> None:
        """The connection is closed: the rest of an answered request does not come any more."""
        unread, self._unread, self._waiting = self._unread, None, None
        if unread is not None:
            unread.cancel_transfer()

    # --- requests

    async def send(self, request: SimulatedRequest, head_bytes: int) -> SimulatedResponse:
        """Send a request and wait for its response. Raises AttemptEnded if the connection ends before it."""
        self._request = request
        if self._network.server.traffic.ingress is None:
            self._schedule(request, head_bytes)
        else:
            clock = self._task.clock
            first_s = clock.now_s if self._link is None else self._link.signal_end_s(_ONE_WAY, clock.now_s)
            request.began_s = request.complete_s = math.inf
            clock.call_at(first_s, self._send_head, request, head_bytes)
        response: SimulatedResponse = await suspend()
        self._network.server.traffic.sent_bytes += RESPONSE_BYTES
        if request.complete_s > self._task.clock.now_s and self._link is not None:
            # The server has refused before all was sent: what follows on the connection would not be understood.
            self.leave()
        elif isinf(request.complete_s):
            self._unread = request
        self._request = None
        return response

    def _parse_s(self, request: SimulatedRequest) -> float:
        return 0.0 if request.kind == "login" else self._network.costs.parse_s(request.key)

    def _schedule(self, request: SimulatedRequest, head_bytes: int) -> None:
        """The request arrives as its own link carries it."""
        now_s, parse_s = self._task.clock.now_s, self._parse_s(request)
        whole_s = request.body_bytes / self._network.costs.send_bytes_per_s
        if self._link is None:
            request.began_s = now_s + parse_s
            request.complete_s = request.began_s + whole_s
        else:
            size, sent_s = head_bytes + request.body_bytes, self._link.signal_end_s(_ONE_WAY, now_s)
            request.began_s = self._link.transfer_end_s(min(CHUNK_BYTES, size), sent_s) + parse_s
            request.complete_s = max(request.began_s + whole_s, self._link.transfer_end_s(size, sent_s))
        self._task.clock.call_at(request.began_s, self._network.server.begin, request)

    def _send_head(self, request: SimulatedRequest, head_bytes: int) -> None:
        """The first chunk of a request takes its turn on the shared way in."""
        line = self._network.server.traffic.ingress
        if line is None or self._request is not request:
            return
        if self._unread is not None and isinf(self._unread.complete_s):
            self._waiting = (request, head_bytes)
            return
        size = head_bytes + request.body_bytes
        first = min(CHUNK_BYTES, size)
        request.line, request.unsent_bytes = line, size - first
        started_s = self._task.clock.now_s
        request.transfer = line.start(first, self._limit, lambda: self._send_rest(request, size, started_s))

    def _send_rest(self, request: SimulatedRequest, size: int, started_s: float) -> None:
        """The header has arrived; the rest takes its turn."""
        clock, line = self._task.clock, request.line
        request.began_s = clock.now_s + self._parse_s(request)
        clock.call_at(request.began_s, self._network.server.begin, request)
        rest, request.unsent_bytes = request.unsent_bytes, 0
        if rest and line is not None:
            request.transfer = line.start(rest, self._limit, lambda: self._complete(request, size, started_s))
        else:
            self._complete(request, size, started_s)

    def _complete(self, request: SimulatedRequest, size: int, started_s: float) -> None:
        """The last byte has come through the shared way in: it is there once its own link has carried it, too."""
        whole_s = request.body_bytes / self._network.costs.send_bytes_per_s
        own_s = 0.0 if self._link is None else self._link.transfer_end_s(size, started_s)
        request.transfer = None
        request.complete_s = max(self._task.clock.now_s, request.began_s + whole_s, own_s)
        self._task.clock.call_at(request.complete_s, request.arrive)
        if self._waiting is not None and request is self._unread:
            waiting, self._waiting, self._unread = self._waiting, None, None
            self._send_head(*waiting)

    @property
    def _limit(self) -> float:
        return math.inf if self._link is None else self._link.upload_bytes_per_s

    def sent_of(self, request: SimulatedRequest) -> int:
        """Bytes of a request's body that the kernel or the link has taken by now."""
        size = request.body_bytes
        if self._link is not None:
            return min(size, request.arrived_bytes, request.read_bytes + SOCKET_BUFFER_BYTES)
        read = request.read_bytes if request.line is None else request.arrived_bytes
        return min(size, read + SOCKET_BUFFER_BYTES)

    def timeout_outcome(self) -> Outcome:
        """What a timeout at this moment is called: how far the attempt has come decides."""
        request = self._request
        if request is None:
            return Outcome.TIMEOUT_CONNECT
        all_sent = self.sent_of(request) >= request.body_bytes
        return Outcome.TIMEOUT_RESPONSE if all_sent else Outcome.TIMEOUT_SEND

    # --- what the server sends (ResponseReceiver)

    def receive(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        """The server has sent its response: it arrives after the way back."""
        line = self._network.server.traffic.egress
        if line is not None:
            line.start(RESPONSE_BYTES, math.inf, lambda: self._return(request, response))
        else:
            self._return(request, response)

    def _return(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        if self._link is None:
            self._arrive(request, response)
        else:
            clock = self._task.clock
            clock.call_at(self._link.signal_end_s(_ONE_WAY, clock.now_s), self._arrive, request, response)

    def _arrive(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        if self._request is request:
            self._task.resume(response)

    def lose_connection(self, request: SimulatedRequest, outcome: Outcome) -> None:
        """The server has ended the connection without a complete response."""
        if self._request is request:
            self._task.clock.call_later(0.0, self._fail, request, outcome)

    def _fail(self, request: SimulatedRequest, outcome: Outcome) -> None:
        if self._request is request:
            self._task.throw(AttemptEnded(outcome))
