"""A request as the faults that hit it see it, whatever carries it: a socket, or a simulation in virtual time.

Which faults act, in which order, and what is counted is decided here; how to wait, send and close is left to the
subclass that carries the request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import NoReturn, Protocol

from mock_server.faults.base import Fault, RequestKey, ResumableState, Row, Scope
from mock_server.faults.matching import Hit

_STORAGE_SCOPES: tuple[Scope, ...] = ("acknowledgement", "rows")


class Refusal(Exception):  # noqa: N818 - what a server says, not what went wrong in it
    """The request is answered with an error status."""

    def __init__(self, status: int, detail: str = "", retry_after_s: float | None = None) -> None:
        """`retry_after_s` is what Retry-After asks for, before it is rounded to whole seconds; None without the header."""
        super().__init__(detail or status)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class ConnectionEnded(Exception):  # noqa: N818 - not an error: a fault did it on purpose
    """The connection was ended on purpose: there is nothing left to respond to."""


class ProcessKilled(ConnectionEnded):
    """The process is to be killed before anything else happens."""

    def __init__(self, restart_after_s: float | None) -> None:
        super().__init__()
        self.restart_after_s = restart_after_s


class FaultsInForce(Protocol):
    """The faults of a server, and the server that a fault may kill."""

    def hits(self, key: RequestKey, scope: Scope = "request") -> tuple[Hit, ...]:
        """The faults of this scope that hit now, in the order of the profile; they count once they act."""

    def kill(self, restart_after_s: float | None) -> None:
        """Kills the server's process."""


class FaultedRequest(ABC):
    """A request in progress; implements `RequestActions` but for what needs the connection."""

    def __init__(self, key: RequestKey, faults: FaultsInForce) -> None:
        """`key` may be replaced until `match` is first called."""
        self.key = key
        self.hits: tuple[Hit, ...] = ()
        self.hit_at_s = 0.0
        """Seconds since T0 at which the fault that acts now hit the request."""
        self.delete_after_s: float | None = None
        self.deleting_hit: Hit | None = None
        """The fault that will delete what this request stored, if one scheduled that."""
        self._faults = faults
        self._acting: Hit | None = None
        """The fault that acts now: what it waits for ends with it."""

    async def meet_faults(self) -> None:
        """Lets the faults that act before the body do so.

        Raises Refusal or ConnectionEnded if one of them ends the request.
        """
        for hit in self.match("request"):
            if type(hit.fault).on_request is not Fault.on_request:  # counted before it acts: it may hold for minutes
                hit.act()
                self._acting, self.hit_at_s = hit, hit.time_s
                await hit.fault.on_request(self, hit.draw)

    async def act(self, hit: Hit, action: Awaitable[bool]) -> bool:
        """Lets a fault act; True if it did. It also counts as acting if it ends the request."""
        self._acting, self.hit_at_s = hit, hit.time_s
        try:
            acted = await action
        except (ConnectionEnded, Refusal) as end:
            self._end(hit, end)
            raise
        if acted:
            hit.act()
        return acted

    def hit_upload(self, upload: ResumableState) -> None:
        """Lets the faults of resumable uploads act on this one."""
        for hit in self.match("resumable"):
            try:
                acted = hit.fault.on_resumable(self, upload, hit.draw)
            except Refusal:
                hit.act()
                raise
            if acted:
                hit.act()

    def hit_rows(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], tuple[Hit, ...]]:
        """The rows that faults make of these, and the faults to be counted if they are stored like that."""
        acting: list[Hit] = []
        for hit in self.match("rows"):
            delay_before_s, self.delete_after_s = self.delete_after_s, None
            try:
                changed = hit.fault.on_rows(self, rows, hit.draw)
            except (ConnectionEnded, Refusal) as end:
                self._end(hit, end)
                raise
            if self.delete_after_s is None:
                self.delete_after_s = delay_before_s
            else:
                self.deleting_hit = hit
            if rows and not changed:  # nothing is stored: what earlier faults did to the rows has no effect
                acting, self.delete_after_s, self.deleting_hit = [hit], None, None
            elif changed != rows:
                acting.append(hit)
            rows = changed
        return rows, tuple(acting)

    async def hit_response(self, response: bytes) -> bool:
        """Lets the faults that change a response act on these bytes; whether one of them has sent them.

        Faults that end the connection come first, a lost ack before all others: behind a fault that sends the response,
        slowly say, there would be nothing left to lose.
        """
        order = sorted(
            self.hits, key=lambda hit: (not hit.fault.replaces_response, hit.fault.scope not in _STORAGE_SCOPES)
        )
        for hit in order:
            if await self.act(hit, hit.fault.on_response(self, response, hit.draw)):
                return True
        return False

    def _end(self, hit: Hit, end: Exception) -> None:
        hit.act()  # before the kill: its line has to be in the log
        if isinstance(end, ProcessKilled):
            self._faults.kill(end.restart_after_s)

    def release_hits(self) -> None:
        """Called when the request is over: hits that did not act will not."""
        for hit in self.hits:
            hit.release()

    def match(self, scope: Scope) -> tuple[Hit, ...]:
        """The faults that hit what has come up now; they may act on the response too."""
        hits = self._faults.hits(self.key, scope)
        self.hits += hits  # for the response, and so that what does not act is released
        return hits

    async def sleep(self, delay_s: float) -> None:
        """Waits; ends early when the client disconnects or the fault that acts is over."""
        if delay_s > 0:
            await self.hold(delay_s)

    @abstractmethod
    async def hold(self, max_s: float | None = None) -> None:
        """Waits until the client disconnects, the fault that acts is over, or `max_s` have passed."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Sends bytes as they are."""

    def refuse(self, status: int, detail: str, retry_after_s: float | None = None) -> Refusal:
        """An exception to raise: the request is answered with this problem."""
        return Refusal(status, detail, retry_after_s)

    @abstractmethod
    def reset(self) -> NoReturn:
        """Ends the connection with RST, and the request with it."""

    @abstractmethod
    def close(self) -> NoReturn:
        """Ends the connection with FIN, and the request with it."""

    def delete_later(self, delay_s: float) -> None:
        """Deletes what this request stores, `delay_s` after it is stored."""
        self.delete_after_s = delay_s

    def kill(self, restart_after_s: float | None) -> NoReturn:
        """Ends the process at once, as `kill -9` would; restarted after this time, or never if it is None."""
        raise ProcessKilled(restart_after_s)
