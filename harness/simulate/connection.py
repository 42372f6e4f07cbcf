"""A phone's connection to the simulated server: how long it takes to open, to send a request, and to get the response.

What limits it is the station's own link (harness/station/link.py), the way into the server that all share, and the
costs of the scenario's table [simulate].
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.base.model import Outcome
from harness.scenario.client import ClientOptions
from harness.simulate.body import Body
from harness.simulate.clock import VirtualTask, suspend
from harness.simulate.costs import Costs
from harness.simulate.incoming import CHUNK_BYTES, SOCKET_BUFFER_BYTES, IncomingRequest
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import SimulatedResponse
from harness.simulate.server import SimulatedServer
from harness.simulate.virtual_line import VirtualIngress
from harness.station.link import LinkModel
from mock_server.faults.base import RequestKey

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

    __slots__ = ("_draining", "_epoch", "_link", "_network", "_request", "_task")

    def __init__(self, network: Network, task: VirtualTask, link: LinkModel | None) -> None:
        self._network = network
        self._task = task
        self._link = link
        self._epoch: int | None = None
        """The server's epoch in which the open connection was made; None without one."""
        self._request: SimulatedRequest | None = None
        self._draining: IncomingRequest | None = None
        """A request that was answered before it was whole, and is still coming in: the next one comes behind it."""

    # --- opening and closing

    def is_open(self) -> bool:
        """Whether there is a connection that can be used; takes one from the shared pool if it has one."""
        epoch, idle = self._network.server.connection_epoch, self._network.idle
        if self._epoch == epoch:
            return True
        while self._epoch is None and idle:
            self._epoch = idle.pop()
        if self._epoch != epoch:
            self._epoch = None
        return self._epoch is not None

    def opened_s(self, key: RequestKey) -> float:
        """When a connection that is opened now is there."""
        now_s = self._task.clock.now_s
        end_s = now_s if self._link is None else self._link.signal_end_s(1.0, now_s)
        return end_s + self._network.costs.connect_s(key)

    def take_new(self) -> Outcome | None:
        """Take the connection that has been opened by now; how that failed, or None."""
        server = self._network.server
        failed = server.connect()
        if failed is None:
            self._epoch = server.connection_epoch
        return failed

    async def open(self, key: RequestKey) -> None:
        """Connect. Raises AttemptEnded if that fails or takes too long."""
        timeout_s, now_s = self._network.client.connect_timeout, self._task.clock.now_s
        end_s = self.opened_s(key)
        if timeout_s is not None and end_s > now_s + timeout_s:
            await self._task.sleep_until(now_s + timeout_s)
            raise AttemptEnded(Outcome.TIMEOUT_CONNECT)
        await self._task.sleep_until(end_s)
        failed = self.take_new()
        if failed is not None:
            raise AttemptEnded(failed)

    def hang_up(self) -> None:
        """Give the connection back to the pool, or close it."""
        server = self._network.server
        is_idle = self._draining is None or self._draining.is_over
        if self._epoch == server.connection_epoch and self._network.client.connection == "reuse" and is_idle:
            self._network.idle.append(self._epoch)
        else:
            server.hang_up(self._epoch)
        self._epoch = self._draining = None

    def leave(self) -> None:
        """Close the connection, whatever is under way on it."""
        request, self._request = self._request, None
        self._network.server.hang_up(self._epoch)
        self._epoch = self._draining = None
        if request is not None:
            request.leave()

    # --- requests

    async def send(self, request: SimulatedRequest, head_bytes: int) -> SimulatedResponse:
        """Send a request and wait for its response. Raises AttemptEnded if the connection ends before it."""
        self._request = request
        request.head_bytes = head_bytes
        incoming = self._send_over(self._network.server.traffic.ingress, request)
        if incoming is None:
            self.schedule(request, self._parse_s(request))
            self._network.server.expect(request)
        response: SimulatedResponse = await suspend()
        if incoming is not None and not incoming.is_over and incoming.sent_bytes >= head_bytes + request.body_bytes:
            self._draining = incoming
        elif request.complete_s > self._task.clock.now_s and (self._link is not None or incoming is not None):
            # The server has refused before all was sent: what follows on the connection would not be understood.
            self.leave()
        self._request = None
        return response

    def _parse_s(self, request: SimulatedRequest) -> float:
        return 0.0 if request.kind == "login" else self._network.costs.parse_s(request.key)

    def schedule(self, body: Body, parse_s: float) -> None:
        """Note when a request that is sent now begins to arrive, and when it is whole, as its own link carries it.

        Where no link holds them up, requests wait for each other: one process takes them in, the refused ones among them.
        """
        network, body_bytes = self._network, body.body_bytes
        now_s, server, costs = self._task.clock.now_s, network.server, network.costs
        whole_s = body_bytes / costs.send_bytes_per_s
        if self._link is None:
            # Without max(), which is a call: this is done for millions of requests.
            began_s, received_s = now_s + parse_s, server.received_s
            if began_s < received_s:  # noqa: PLR1730
                began_s = received_s
            server.received_s = received_s = began_s + body_bytes * costs.receive_s_per_byte
            complete_s = began_s + whole_s
            if complete_s < received_s:  # noqa: PLR1730
                complete_s = received_s
            body.began_s, body.complete_s = began_s, complete_s
        else:
            size, sent_s = body.head_bytes + body.body_bytes, self._link.signal_end_s(_ONE_WAY, now_s)
            body.began_s = self._link.transfer_end_s(min(CHUNK_BYTES, size), sent_s) + parse_s
            body.complete_s = max(body.began_s + whole_s, self._link.transfer_end_s(size, sent_s))

    def _send_over(self, ingress: VirtualIngress | None, request: SimulatedRequest) -> IncomingRequest | None:
        """The request takes its turns on the way in that all share; None if that has no rate."""
        if ingress is None:
            return None
        link, clock, limit_bytes_per_s = self._link, self._task.clock, self._network.costs.send_bytes_per_s
        incoming = IncomingRequest(ingress, clock, request.head_bytes, request.body_bytes, link, limit_bytes_per_s)
        self._network.server.accept(request, incoming, self._parse_s(request))
        before, self._draining = self._draining, None
        if before is not None and not before.is_over:
            # What is left of the request before comes first; if the server reads no more of it, the connection ends.
            before.successor = lambda can_go_on: incoming.begin() if can_go_on else request.break_off(Outcome.RESET)
        elif link is None:
            incoming.begin()
        else:
            clock.call_at(link.signal_end_s(_ONE_WAY, clock.now_s), incoming.begin)
        return incoming

    def sent_of(self, request: Body) -> int:
        """Bytes of a request's body that the kernel or the link has taken by now."""
        size, now_s = request.body_bytes, self._task.clock.now_s
        if request.incoming is not None:
            return max(0, request.incoming.sent_bytes - request.head_bytes)
        if self._link is None:
            return min(size, request.read_bytes + SOCKET_BUFFER_BYTES)
        span_s = request.complete_s - request.began_s
        ratio = 1.0 if now_s >= request.complete_s or span_s <= 0 else max(0.0, now_s - request.began_s) / span_s
        return min(int(ratio * size), request.read_bytes + SOCKET_BUFFER_BYTES)

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
        if self._link is None:
            self._arrive(request, response)
        else:
            self._task.clock.call_at(self.return_s(), self._arrive, request, response)

    def return_s(self) -> float:
        """When a response that is sent now arrives."""
        now_s = self._task.clock.now_s
        return now_s if self._link is None else self._link.signal_end_s(_ONE_WAY, now_s)

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
