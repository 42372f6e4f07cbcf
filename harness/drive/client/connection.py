"""A small HTTP/1.1 client connection on gevent's event loop.

Bodies are sent as memoryviews, responses are parsed in C, and nothing is ever sent again without the caller's knowledge
(Locust's FastHttpUser copies bodies and repeats a PUT). While a body is being sent the connection also reads, so that the
response of a server that answers early and closes is not lost. What the errors mean: outcomes.py.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ssl import SSLSession
from typing import Any, Protocol

import gevent
import gevent.monkey
from gevent import get_hub, getcurrent

from harness.drive.client.consent_guard import ConsentGuard
from harness.drive.client.outcomes import RESET_ERRNOS, ConnectionClosedError, GeneratorLimitError, Stage
from harness.drive.client.response import HttpResponse, OnInterim, ResponseParser
from harness.drive.client.tls import TlsConfig, TlsTransport
from harness.run_folder.journal import AttemptRecord

_NAN = float("nan")
_READ, _WRITE = 1, 2
# Local names: Python 3.11 looks up the members of an Enum through its metaclass.
_SEND, _RESPONSE = Stage.SEND, Stage.RESPONSE
_SIOCOUTQNSD = 0x894B
_NO_BYTES = struct.pack("i", 0)
_RECEIVE_BYTES = 65_536
_native_socket: type[socket.socket] = gevent.monkey.get_original("socket", "socket")
"""Python's own class. These sockets never block; gevent's class costs microseconds per call and 0.5 KB per station."""
_poll: select.poll = gevent.monkey.get_original("select", "poll")()
"""Python's own, which answers at once if it is asked not to wait. One for all: one for each takes 0.3 KB per station."""
_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Lets the kernel choose the port at connect, when it knows the whole address: else each source address has only 28,000
ports for all targets together (Linux 4.2; ip(7))."""


@dataclass(slots=True)
class Progress(AttemptRecord):
    """An attempt's record while the attempt is under way: the connection fills in its times and bytes."""

    stage: Stage = Stage.CONNECT
    """How far it has come: decides what a timeout is called."""
    steps: list[AttemptRecord] = field(default_factory=list)
    """The requests of an attempt that get rows of their own."""
    detail: str = ""
    """What was wrong with the answer, without its values; "" where the outcome says it all."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: a resolved address, and the Host header to send there."""

    family: socket.AddressFamily
    address: tuple[str, int]
    host_header: str
    source_addresses: tuple[str, ...] = ()
    tls: TlsConfig | None = None
    """None for plain TCP."""
    guard: ConsentGuard | None = None
    """Called before every request; None on loopback, which needs no consent."""


class Transport(Protocol):
    """What carries the bytes: a non-blocking socket, or TLS over one. Raises BlockingIOError instead of waiting."""

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send as many bytes as possible, in order; returns how many."""

    def recv(self, size: int, /) -> bytes:
        """Received bytes, at most `size`; b"" if the server closed."""


class Connection:
    """One connection to the target, for one greenlet at a time.

    `connect`, then `request` as often as the responses keep it alive, then `close`. Raises OSError, ssl.SSLError and the
    errors of outcomes.py; after any of them the connection can only be closed.
    """

    __slots__ = (
        "_clock",
        "_endpoint",
        "_fd",
        "_hub",
        "_on_interim",
        "_parser",
        "_read_watcher",
        "_socket",
        "_transport",
        "tls",
        "used",
    )

    def __init__(
        self, endpoint: Endpoint, source_address: str | None, clock: Callable[[], float],
        session: SSLSession | None = None,
    ) -> None:  # fmt: skip
        """Create the socket without connecting it. Raises GeneratorLimitError if this machine has no descriptor left.

        `clock` gives seconds since T0. `session` is the TLS session of an earlier connection, to be resumed.
        """
        self._clock = clock
        self._endpoint = endpoint
        self.used = False
        """Whether a request was sent: then it is connected."""
        try:
            self._socket = _native_socket(endpoint.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise GeneratorLimitError(str(error)) from error
        # Without it, the last segment of a request waits for the acknowledgement of the one before (Nagle, RFC 896).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hub = get_hub()
        self._fd = self._socket.fileno()
        self._transport: Transport = self._socket
        self._parser: ResponseParser | None = None
        self._on_interim: OnInterim | None = None
        self._read_watcher: Any = None
        """Made when reading first has to wait, then kept: making one costs more than starting it again."""
        self.tls: TlsTransport | None = None
        if endpoint.tls is not None:
            self._transport = self.tls = TlsTransport(endpoint.tls, self._socket, session)
        if source_address is not None:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self._socket.bind((source_address, 0))

    def connect(self) -> None:
        """Connect, including the TLS handshake. Raises the kernel's OSError, or ssl.SSLError."""
        code = self._socket.connect_ex(self._endpoint.address)
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            self._wait_for(_WRITE)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "connect")
        if self.tls is not None:
            self._do_handshake(self.tls)

    def _do_handshake(self, tls: TlsTransport) -> None:
        while not tls.do_handshake():
            self._wait_for(_WRITE if tls.has_unsent else _READ)

    def close(self) -> None:
        """Close at once; may be called twice."""
        if self._read_watcher is not None:
            self._read_watcher.close()
            self._read_watcher = None
        if self._parser is not None:
            self._parser.close()
            self._parser = None
        self._socket.close()

    def is_stale(self) -> bool:
        """Whether the server has closed the idle connection, or sent something that no request asked for."""
        if self.tls is None:
            # Not a read that finds nothing: its exception costs a microsecond and a half, at every page.
            _poll.register(self._fd, select.POLLIN)
            found = _poll.poll(0)
            _poll.unregister(self._fd)
            return bool(found)
        try:
            # Read: TLS handles a waiting session ticket here, which is not application data.
            self.tls.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def request(
        self, buffers: Sequence[bytes | memoryview], progress: Progress, *, bodiless: bool = False,
        on_interim: OnInterim | None = None,
    ) -> HttpResponse:  # fmt: skip
        """Send a request and receive its response (`bodiless`: to a HEAD); notes stages and times in `progress`.

        `on_interim` is called with each interim response, also where the final one never comes.
        """
        guard = self._endpoint.guard
        if guard is not None:
            guard.before_request()
        self.used = True
        self._on_interim = on_interim
        if self._parser is not None:
            self._parser.expect(bodiless=bodiless, on_interim=on_interim)
        progress.stage = _SEND
        complete = self._send(buffers, progress, bodiless)
        progress.stage = _RESPONSE
        if complete:
            progress.body_sent_s = self._clock()
        # After an early response the rest of the body was not sent: the server would take the next request for it.
        response = self._receive(progress, bodiless).response(reusable=complete)
        self._on_interim = None
        if guard is not None:
            guard.check_redirect(response.status, response.headers.get("location", ""))
        return response

    def untaken_bytes(self) -> int:
        """Bytes that the kernel has accepted and not sent (Linux: SIOCOUTQNSD), because the other side takes no more.

        No server has read them. What has been sent may still lie unread in its receive buffer: no client can know from
        here. The bytes that are not acknowledged (SIOCOUTQ) would be too many: an acknowledgement may be delayed, and a reset that
        comes before it leaves all of a photo unacknowledged that the server has read. With TLS these are bytes of
        ciphertext, about as many as there were before.
        """
        try:
            answer = fcntl.ioctl(self._fd, _SIOCOUTQNSD, _NO_BYTES)
        except OSError:  # closed by now, or a system that doesn't know the question for sockets
            return 0
        return int(struct.unpack("i", answer)[0])

    def _send(self, buffers: Sequence[bytes | memoryview], progress: Progress, bodiless: bool) -> bool:
        """Send all buffers; False if the server responded before they were all sent."""
        pending = buffers
        while True:
            try:
                sent = self._transport.sendmsg(pending)
            except BlockingIOError:
                if self._wait_for_either() and self._has_response(progress, bodiless):
                    return False
                continue
            except OSError as error:
                # A server that refuses a body answers and closes; the reset for what is still being sent can overtake
                # its answer (RFC 9112, 9.6).
                if error.errno in RESET_ERRNOS and self._has_response_after_reset(progress, bodiless):
                    return False
                raise
            progress.sent_bytes += sent
            if sent == sum(map(len, pending)):
                return True
            pending = remaining_buffers(pending, sent)

    def _has_response(self, progress: Progress, bodiless: bool) -> bool:
        """Read what was received, without waiting; True once the headers of a final response are there."""
        while self._parser is None or not self._parser.is_final:
            try:
                data = self._transport.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return False
            self._feed(data, progress, bodiless)
        return True

    def _has_response_after_reset(self, progress: Progress, bodiless: bool) -> bool:
        """Whether a final response was in the receive buffer when the connection was reset."""
        try:
            return self._has_response(progress, bodiless)
        except (OSError, ConnectionClosedError):
            return False

    def _receive(self, progress: Progress, bodiless: bool) -> ResponseParser:
        parser = self._parser
        if self.tls is None and (parser is None or not parser.complete):
            # The response can't be there yet: trying first would cost a system call and an exception. TLS may have
            # decrypted it already, so there it must be tried.
            self._wait_to_read()
        while parser is None or not parser.complete:
            try:
                data = self._transport.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                self._wait_to_read()
                continue
            parser = self._feed(data, progress, bodiless)
            if not parser.complete:
                # However fast a server sends: other stations go on, and this attempt's time limit can fire.
                self._yield()
        return parser

    def _feed(self, data: bytes, progress: Progress, bodiless: bool) -> ResponseParser:
        if data and progress.first_byte_s != progress.first_byte_s:  # NaN: nothing was received yet
            progress.first_byte_s = self._clock()
        parser = self._parser
        if parser is None:
            parser = self._parser = ResponseParser()
            parser.expect(bodiless=bodiless, on_interim=self._on_interim)
        parser.feed(data)
        if parser.is_between:  # what has come was an interim response: the first byte of the response is still to come
            progress.first_byte_s = _NAN
        return parser

    def _wait_to_read(self) -> None:
        """As `_wait_for(_READ)`, with a watcher that is kept: this is where an attempt spends its time."""
        watcher = self._read_watcher
        if watcher is None:
            watcher = self._read_watcher = self._hub.loop.io(self._fd, _READ)
        watcher.start(getcurrent().switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()

    def _yield(self) -> None:
        """Let the event loop turn once, at least, before the next read."""
        if self.tls is None:
            self._wait_to_read()
        else:
            gevent.sleep(0)  # what TLS has decrypted already, the socket does not show

    def _wait_for_either(self) -> bool:
        """Wait until the socket can be written or read; whether there may be something to read."""
        watcher = self._hub.loop.io(self._fd, _READ | _WRITE)
        watcher.start(getcurrent().switch, pass_events=True)
        try:
            events: int = self._hub.switch()
        finally:
            watcher.stop()
            watcher.close()
        # TLS may hold decrypted bytes that the socket no longer shows.
        return bool(events & _READ) or self.tls is not None

    def _wait_for(self, events: int) -> None:
        watcher = self._hub.loop.io(self._fd, events)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.close()


def remaining_buffers(buffers: Sequence[bytes | memoryview], sent: int) -> Sequence[bytes | memoryview]:
    """The buffers without their first `sent` bytes, not copied; () if only empty buffers remain.

    >>> [bytes(part) for part in remaining_buffers([b"abc", b"de", b""], 2)], remaining_buffers([b"abc", b""], 3)
    ([b'c', b'de', b''], ())
    """
    for number, buffer in enumerate(buffers):
        size = len(buffer)
        if sent < size:
            return [memoryview(buffer)[sent:], *buffers[number + 1 :]]
        sent -= size
    return ()
