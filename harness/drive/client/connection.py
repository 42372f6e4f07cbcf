"""A small HTTP/1.1 client on gevent's loop: bodies as memoryviews, answers parsed in C, nothing re-sent behind one's back.

A `Connection` sends one request after another. While a body is being sent it listens too, so that a server which answers
early (and then closes) is heard. What its errors mean: outcomes.py.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ssl import SSLSession
from typing import Any, Protocol

import gevent.monkey
from gevent import get_hub, getcurrent

from harness.drive.client.consent_guard import ConsentGuard
from harness.drive.client.outcomes import RESET_ERRNOS, ConnectionClosedError, GeneratorLimitError, Stage
from harness.drive.client.response import HttpResponse, ResponseParser
from harness.drive.client.tls import TlsConfig, TlsTransport

_READ, _WRITE = 1, 2
_RECEIVE_BYTES = 65_536
_native_socket: type[socket.socket] = gevent.monkey.get_original("socket", "socket")
"""Python's own: it never waits here, and gevent's costs microseconds a call and half a kilobyte a station."""
_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)


@dataclass(slots=True)
class Progress:
    """How far an attempt has come, and when; seconds since T0, NaN where not reached."""

    stage: Stage = Stage.CONNECT
    connected_s: float = float("nan")
    body_sent_s: float = float("nan")
    first_byte_s: float = float("nan")
    sent_bytes: int = 0
    """What the kernel has taken, requests' heads and logins included; with TLS before encryption."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: a resolved address, and what the Host header says."""

    family: socket.AddressFamily
    address: tuple[str, int]
    host_header: str
    source_addresses: tuple[str, ...] = ()
    tls: TlsConfig | None = None
    """None speaks plain TCP."""
    guard: ConsentGuard | None = None
    """Asked before every request; None on loopback, which needs no consent."""


class Transport(Protocol):
    """What carries the bytes: a non-blocking socket, or TLS over one. Raises BlockingIOError where it would have to wait."""

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send the first of the buffers' bytes; how many."""

    def recv(self, size: int, /) -> bytes:
        """Bytes that have come; none if the server closed."""


class Connection:
    """One connection to the target. Use by one greenlet at a time."""

    __slots__ = ("_channel", "_clock", "_fd", "_hub", "_parser", "_reader", "_socket", "_target", "tls", "used")

    def __init__(
        self, target: Endpoint, source: str | None, clock: Callable[[], float], session: SSLSession | None = None
    ) -> None:
        """Make the socket, not the connection. Raises GeneratorLimitError where this machine can't.

        `session`: of a TLS connection before, to be taken up again.
        """
        self._clock = clock
        self._target = target
        self.used = False
        try:
            self._socket = _native_socket(target.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise GeneratorLimitError(str(error)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hub = get_hub()
        self._fd = self._socket.fileno()
        self._channel: Transport = self._socket
        self._parser: ResponseParser | None = None
        self._reader: Any = None
        """Watches for bytes to read; made when they are first waited for, kept for the next time."""
        self.tls: TlsTransport | None = None
        if target.tls is not None:
            self._channel = self.tls = TlsTransport(target.tls, self._socket, session)
        if source is not None:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self._socket.bind((source, 0))

    def connect(self) -> None:
        """Connect, with TLS to the end of the handshake; OSError as the kernel says, ssl.SSLError as TLS does."""
        code = self._socket.connect_ex(self._target.address)
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            self._wait_for(_WRITE)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "connect")
        if self.tls is not None:
            self._shake_hands(self.tls)

    def _shake_hands(self, tls: TlsTransport) -> None:
        while not tls.shake_hands():
            self._wait_for(_WRITE if tls.has_unsent else _READ)

    def close(self) -> None:
        """Close at once; a second time does nothing."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._parser is not None:
            self._parser.drop()
            self._parser = None
        self._socket.close()

    def stale(self) -> bool:
        """True if the server has closed (or spoken out of turn) while the connection was idle."""
        try:
            if self.tls is None:
                self._socket.recv(1, socket.MSG_PEEK)
            else:
                self.tls.recv(1)  # a new session ticket may lie there: that is no word out of turn
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def exchange(
        self, buffers: Sequence[bytes | memoryview], progress: Progress, *, bodiless: bool = False
    ) -> HttpResponse:
        """Send a request and take its answer (`bodiless`: to a HEAD), noting the phases in `progress`."""
        guard = self._target.guard
        if guard is not None:
            guard.before_request()
        self.used = True
        if self._parser is not None:
            self._parser.expect(bodiless=bodiless)
        progress.stage = Stage.SEND
        whole = self._send(buffers, progress, bodiless)
        progress.stage = Stage.RESPONSE
        if whole:
            progress.body_sent_s = self._clock()
        answer = self._receive(progress, bodiless).answer(reusable=whole)
        if guard is not None:
            guard.heard(answer.status, answer.headers.get("location", ""))
        return answer

    def _send(self, buffers: Sequence[bytes | memoryview], progress: Progress, bodiless: bool) -> bool:
        """Send all buffers; False if the server answered (or closed after answering) before they were all taken."""
        pending = buffers
        while True:
            try:
                sent = self._channel.sendmsg(pending)
            except BlockingIOError:
                if self._wait_for_either() and self._heard(progress, bodiless):
                    return False
                continue
            except OSError as error:
                if error.errno in RESET_ERRNOS and self._last_words(progress, bodiless):
                    return False
                raise
            progress.sent_bytes += sent
            pending = remaining_buffers(pending, sent)
            if not pending:
                return True

    def _heard(self, progress: Progress, bodiless: bool) -> bool:
        """Take all that has come, without waiting; True once it is an answer (100 Continue and its like are none)."""
        while self._parser is None or not self._parser.is_final:
            try:
                data = self._channel.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return False
            self._take(data, progress, bodiless)
        return True

    def _last_words(self, progress: Progress, bodiless: bool) -> bool:
        """After a reset while sending: True if an answer lies in the receive buffer all the same."""
        try:
            return self._heard(progress, bodiless)
        except (OSError, ConnectionClosedError):
            return False

    def _receive(self, progress: Progress, bodiless: bool) -> ResponseParser:
        parser = self._parser
        if self.tls is None and (parser is None or not parser.complete):
            self._wait_to_read()  # it can't be there yet: to look first would cost a call and an exception
        while parser is None or not parser.complete:
            try:
                data = self._channel.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                self._wait_to_read()
                continue
            parser = self._take(data, progress, bodiless)
        return parser

    def _take(self, data: bytes, progress: Progress, bodiless: bool) -> ResponseParser:
        if data and progress.first_byte_s != progress.first_byte_s:  # NaN: nothing has come yet
            progress.first_byte_s = self._clock()
        parser = self._parser
        if parser is None:
            parser = self._parser = ResponseParser()
            parser.expect(bodiless=bodiless)
        parser.take(data)
        return parser

    def _wait_to_read(self) -> None:
        """As `_wait_for`, with a watcher that is kept: what is waited for again and again."""
        watcher = self._reader
        if watcher is None:
            watcher = self._reader = self._hub.loop.io(self._fd, _READ)
        watcher.start(getcurrent().switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()

    def _wait_for_either(self) -> bool:
        """Wait until more can be sent or something can be read; whether there may be something to read."""
        watcher = self._hub.loop.io(self._fd, _READ | _WRITE)
        watcher.start(getcurrent().switch, pass_events=True)
        try:
            events: int = self._hub.switch()
        finally:
            watcher.stop()
            watcher.close()
        return bool(events & _READ) or self.tls is not None

    def _wait_for(self, events: int) -> None:
        watcher = self._hub.loop.io(self._fd, events)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.close()


def remaining_buffers(buffers: Sequence[bytes | memoryview], sent: int) -> Sequence[bytes | memoryview]:
    """What is left of the buffers when so many bytes of them are gone, not copied; nothing where only empty ones are.

    >>> [bytes(part) for part in unsent([b"abc", b"de", b""], 2)], unsent([b"abc", b""], 3)
    ([b'c', b'de', b''], ())
    """
    for number, buffer in enumerate(buffers):
        size = len(buffer)
        if sent < size:
            return [memoryview(buffer)[sent:], *buffers[number + 1 :]]
        sent -= size
    return ()
