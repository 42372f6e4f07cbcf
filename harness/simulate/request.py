"""One request at the simulated server: its body as it arrives, its client as it leaves, the faults that hit it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from harness.base.model import Outcome
from harness.simulate.body import arrived_bytes
from harness.simulate.clock import VirtualClock, VirtualTask, suspend
from harness.simulate.incoming import READ_AHEAD_BYTES, IncomingRequest
from harness.simulate.response import RequestKind, SimulatedResponse
from harness.simulate.virtual_line import Outflow, VirtualTraffic
from mock_server.faults.base import Fault, RequestKey
from mock_server.faults.faulted_request import (
    ConnectionEnded,
    FaultedRequest,
    FaultsInForce,
    ProcessKilled,
    Refusal,
)
from mock_server.overload.worker_pool import Job, JobEnd

_PIECE_BYTES = 65_536
"""Faults act on a body in pieces of this size."""
_HTTP = b"HTTP/1.1 "


class ResponseReceiver(Protocol):
    """The client's side of a request."""

    def receive(self, request: SimulatedRequest, response: SimulatedResponse) -> None:
        """The response has been sent: it arrives after the way back."""

    def lose_connection(self, request: SimulatedRequest, outcome: Outcome) -> None:
        """The connection has ended without a complete response."""


class SimulatedRequest(FaultedRequest, VirtualTask):
    """A request in progress: a task of the server, which goes on when its client has left."""

    # What most requests never change belongs to the class: there are millions of requests, and an assignment has its cost.
    kind: RequestKind = "page"
    body_bytes = 0
    head_bytes = 0
    incoming: IncomingRequest | None = None
    """Its bytes on their way; None if the server's ingress has no rate."""
    traffic: VirtualTraffic | None = None
    """What its response goes out over, and is counted in; None until the server has its header."""
    response_bytes = 0
    read_bytes = 0
    page = 0
    """The page's row in the plan."""
    upload = 0
    """Of a resumable upload: its number, 0 to create one."""
    offset = 0
    """Of a resumable upload: where this request continues it."""
    completes = False
    """Of a resumable upload over HTTP: whether the photo is whole with this request."""
    announced = 0
    """Of a creation: the number of the upload that an interim response has told the client of; 0 for none."""
    path = ""
    """Of a read: what is asked for."""
    snapshot = 0
    """Of a read: the snapshot in If-None-Match, 0 without it."""
    timeout_s: float | None = None
    """The header Upload-Timeout."""
    is_authorised = True
    """Whether its token is valid when it is checked."""
    is_disconnected = False
    is_answered = False
    """Whether the client has been sent a complete response, or the end of its connection."""
    response = SimulatedResponse(0)
    sent_status: int | None = None
    """Status of the response that the client was sent; None if it got no status line."""
    job: Job | None = None
    cancel_job: Callable[[Job], None] | None = None
    """What cancels the job when the client leaves; None if the work goes on for nobody."""
    job_end: JobEnd | None = None
    _awaits_client = False
    """Whether the end of the connection ends the present wait."""
    _awaits_body = False
    """Whether bytes that arrive end the present wait."""
    _response_on_line: Outflow | None = None
    _raw = b""
    _sent = b""

    def __init__(self, clock: VirtualClock, client: ResponseReceiver, key: RequestKey, faults: FaultsInForce) -> None:
        """The body is described by `body_bytes`, `began_s` and `complete_s`, set by the client."""
        FaultedRequest.__init__(self, key, faults)
        VirtualTask.__init__(self, clock)
        self.client = client
        self.began_s = self.complete_s = clock.now_s
        """When the first and the last byte of the body arrive, however late it is read; infinite before that over an ingress."""

    # --- the client

    def leave(self) -> None:
        """The client closes the connection: the server learns of it once what was sent before has come in."""
        if self.incoming is None or self.incoming.is_over:
            self.disconnect()
        else:
            self.incoming.leave()

    def disconnect(self) -> None:
        """The client has left; work goes on unless it waits for the client."""
        self.is_disconnected = True
        self._drop_response()
        if self.cancel_job is not None and self.job is not None and self.job_end is None:
            self.cancel_job(self.job)
        if self._awaits_client:
            self._wake_soon()

    def _drop_response(self) -> None:
        """Take off the egress what has not passed of the response."""
        transfer, self._response_on_line = self._response_on_line, None
        if transfer is not None and self.traffic is not None and self.traffic.egress is not None:
            self.traffic.egress.cancel(transfer)
            self.traffic.responses.pop(self, None)

    def is_gone(self) -> bool:
        """Whether the client no longer waits for the response."""
        return self.is_disconnected

    async def _await_client(self, until_s: float | None) -> None:
        """Wait until a moment; less long if the client disconnects or `_wake_soon` is called."""
        if until_s is not None:
            if until_s <= self.clock.now_s:
                return
            self._wake = self.clock.call_at(until_s, self.resume)
        self._awaits_client = True
        await suspend()
        self._awaits_client = False
        self._wake = None

    def _wake_soon(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self.clock.call_later(0.0, self.resume)

    # --- the body

    async def read_body(self, timeout_s: float) -> None:
        """Read the body as it arrives, with what faults do to it.

        Raises ConnectionEnded if the client leaves before it is whole, Refusal 408 if it takes longer than `timeout_s`.
        """
        limit_s = self.clock.now_s + timeout_s
        if any(type(hit.fault).on_body is not Fault.on_body for hit in self.hits):
            await self._read_in_pieces(limit_s)
            return
        if self.incoming is not None:
            await self._await_bytes(self.incoming, self.body_bytes, limit_s)
            self.read_bytes = self.body_bytes
            return
        if self.is_disconnected and self.body_bytes > READ_AHEAD_BYTES:
            raise ConnectionEnded
        await self._await_client(min(self.complete_s, limit_s))
        self._check_body(self.complete_s, limit_s)
        self.read_bytes = self.body_bytes

    async def _read_in_pieces(self, limit_s: float) -> None:
        while self.read_bytes < self.body_bytes:
            piece = min(_PIECE_BYTES, self.body_bytes - self.read_bytes)
            if self.incoming is not None:
                await self._await_bytes(self.incoming, self.read_bytes + piece, limit_s, READ_AHEAD_BYTES)
            else:
                ratio = (self.read_bytes + piece) / self.body_bytes
                arrives_s = self.began_s + ratio * (self.complete_s - self.began_s)
                await self._await_client(min(arrives_s, limit_s))
                self._check_body(arrives_s, limit_s)
            self.read_bytes += piece
            for hit in self.hits:
                await self.act(hit, hit.fault.on_body(self, piece, self.read_bytes))

    async def _await_bytes(
        self, incoming: IncomingRequest, size_bytes: int, limit_s: float, ahead_bytes: int = 0
    ) -> None:  # fmt: skip
        """Wait until so much of the body has passed the line. Raises as `read_body` does."""
        incoming.read(size_bytes, ahead_bytes)
        while not incoming.has_body(size_bytes):
            if incoming.is_over or self.is_disconnected:
                raise ConnectionEnded
            if self.clock.now_s >= limit_s:
                raise Refusal(408, "The body took too long")
            self._awaits_body = True
            await self._await_client(limit_s)
            self._awaits_body = False

    def bytes_arrived(self) -> None:
        """Called when bytes that were waited for have passed the line, and when no more come."""
        if self.incoming is not None and self.incoming.is_whole:
            self.complete_s = min(self.complete_s, self.clock.now_s)
        if self._awaits_body:
            self._wake_soon()

    def sender_is_over(self, has_left: bool) -> None:
        """Called when nothing more comes; a client that has left is only then known to have."""
        if has_left:
            self.disconnect()

    def _check_body(self, arrives_s: float, limit_s: float) -> None:
        now_s = self.clock.now_s
        if now_s >= arrives_s:
            return
        if self.is_disconnected:
            raise ConnectionEnded
        if now_s >= limit_s:
            raise Refusal(408, "The body took too long")

    @property
    def arrived_bytes(self) -> int:
        """Bytes of the body that have arrived by now, as far as the server reads."""
        if self.incoming is not None:
            return max(0, self.incoming.arrived_bytes - self.head_bytes)
        return arrived_bytes(self, self.clock.now_s)

    def announce(self, upload: int) -> None:
        """Send an interim response that names a resumable upload, unless the client has left."""
        if not self.is_disconnected:
            self.announced = upload

    # --- the work

    async def wait_in(self, waiting: dict[Callable[[], None], None]) -> None:
        """Wait until one who holds something wakes all that wait for it; less long if the client disconnects."""
        waiting[self._wake_soon] = None
        await self._await_client(None)
        waiting.pop(self._wake_soon, None)

    async def await_job(self) -> JobEnd:
        """Wait until the submitted job has ended."""
        if self.job_end is None:
            await suspend()
        if self.job_end is None:
            raise ConnectionEnded
        return self.job_end

    def end_job(self, _job: Job, end: JobEnd) -> None:
        """Called by the pool when the job has ended."""
        self.job_end = end
        if self.job is not None:  # else it has ended within `submit`: the task is still running
            self.resume()

    # --- what faults do (RequestActions)

    async def hold(self, max_s: float | None = None) -> None:
        """Wait until the client disconnects, the fault that acts is over, or `max_s` have passed."""
        state = None if self._acting is None else self._acting.state
        if self.is_disconnected or (state is not None and state.is_over):
            return
        if state is not None:
            state.on_over[self._wake_soon] = None
        await self._await_client(None if max_s is None else self.clock.now_s + max_s)
        if state is not None:
            state.on_over.pop(self._wake_soon, None)

    async def answer(self, response: SimulatedResponse, raw: bytes) -> bool:
        """Let faults act on the response; True if one of them has sent it, or ended the connection."""
        self.response, self._raw = response, raw
        self._sent = b""
        try:
            return await self.hit_response(raw)
        except ProcessKilled:
            raise
        except ConnectionEnded:
            return True

    async def write(self, data: bytes) -> None:
        """Send bytes as they are; once they are the whole response, the client has it."""
        self._sent += data
        if self._sent.startswith(_HTTP):
            self.sent_status = self.response.status
        if self._sent == self._raw:
            self.deliver()

    def deliver(self) -> None:
        """Send the response to the client, unless it has left or was answered before."""
        if not self.is_answered and not self.is_disconnected:
            self.is_answered = True
            self.sent_status = self.response.status
            traffic = self.traffic
            if traffic is not None:
                traffic.sent_bytes += self.response_bytes
                if traffic.egress is not None:
                    self._response_on_line = traffic.egress.start(self.response_bytes, self._response_passed)
                    traffic.responses[self] = None
                    return
            self.client.receive(self, self.response)

    def _response_passed(self) -> None:
        self._response_on_line = None
        if self.traffic is not None:
            self.traffic.responses.pop(self, None)
        self.client.receive(self, self.response)

    def reset(self) -> NoReturn:
        """End the connection with RST, and the request with it."""
        self._end_connection(Outcome.RESET)
        raise ConnectionEnded

    def close(self) -> NoReturn:
        """End the connection with FIN, and the request with it."""
        self._response_on_line = None  # a response that is on the line still goes out: the end comes behind it
        self._end_connection(self._outcome_of_close())
        raise ConnectionEnded

    def break_off(self, outcome: Outcome) -> None:
        """The server has ended the connection, because its port closed or its process died."""
        self._end_connection(outcome)

    def _end_connection(self, outcome: Outcome) -> None:
        if (not self.is_answered or self._response_on_line is not None) and not self.is_disconnected:
            self.is_answered = True
            self.client.lose_connection(self, outcome)
            if self.traffic is not None:
                self.traffic.sent_bytes += len(self._sent)
        self.disconnect()
        if self.incoming is not None:
            self.incoming.lose()

    def _outcome_of_close(self) -> Outcome:
        """What the client makes of a connection that ends after the bytes sent so far."""
        if not self._sent:
            return Outcome.CLOSED
        # A body without a valid framing can't be read at all; one that is cut short ends too early.
        is_http = self._sent.startswith(_HTTP) and b"chunked" not in self._sent
        return Outcome.CLOSED if is_http else Outcome.MALFORMED
