"""A small HTTP/1.1 client on gevent's loop: bodies as memoryviews, answers parsed in C, nothing re-sent behind one's back.

A `Connection` sends one request after another. While a body is being sent it listens too, so that a server which answers
early (and then closes) is heard. Foreign errors are mapped to Outcomes at one place, `outcome_of`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import gevent
import httptools
from gevent import get_hub

from harness.model import Outcome

_READ, _WRITE = 1, 2
_RECEIVE_BYTES = 65_536
_LARGEST_ANSWER_BYTES = 1_048_576
_IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
_GENERATOR_ERRNOS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.ENOBUFS, errno.ENOMEM}
)
"""Descriptors, ports and memory: ours, never the server's."""
_RESET_ERRNOS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_TIMEOUT_ERRNOS = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})


class Stage(Enum):
    """How far an attempt has come: what a timeout is called after."""

    CONNECT = Outcome.TIMEOUT_CONNECT
    SEND = Outcome.TIMEOUT_SEND
    RESPONSE = Outcome.TIMEOUT_RESPONSE


class ConnectionClosedError(Exception):
    """The server closed before its answer was whole."""


class MalformedAnswerError(Exception):
    """What came is not HTTP."""


class GeneratorLimitError(Exception):
    """This machine has no more descriptors, ports or memory for us."""


class DeadlineError(BaseException):
    """The attempt's time is up. A BaseException, so that no handler on the way takes it for something else."""


@dataclass(slots=True)
class Answer:
    """A whole HTTP answer. Header names are in lower case; of a repeated header the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(slots=True)
class Progress:
    """How far an attempt has come, and when; seconds since T0, NaN where not reached."""

    stage: Stage = Stage.CONNECT
    connected_s: float = float("nan")
    body_sent_s: float = float("nan")
    first_byte_s: float = float("nan")
    sent_bytes: int = 0


@dataclass(slots=True)
class Parser:
    """Collects an answer from httptools' callbacks."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    has_headers: bool = False
    complete: bool = False
    keep_alive: bool = False
    feed: httptools.HttpResponseParser = field(init=False)

    def __post_init__(self) -> None:
        self.feed = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """Forget an interim answer."""
        self.headers.clear()
        self.body.clear()
        self.has_headers = self.complete = False

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self.has_headers = True
        self.keep_alive = bool(self.feed.should_keep_alive())  # only true while the parser is within the message

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body += body
        if len(self.body) > _LARGEST_ANSWER_BYTES:
            raise MalformedAnswerError

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.complete = True

    def end_of_stream(self) -> None:
        """The server closed: the end of an answer without a length, else it broke off."""
        if not self.has_headers or self.headers.keys() & {"content-length", "transfer-encoding"}:
            raise ConnectionClosedError
        self.keep_alive = False
        self.complete = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: a resolved address, and what the Host header says."""

    family: socket.AddressFamily
    address: tuple[str, int]
    host_header: str
    source_addresses: tuple[str, ...] = ()


class Connection:
    """One TCP connection to the target. Use by one greenlet at a time."""

    def __init__(self, target: Target, source: str | None, clock: Callable[[], float]) -> None:
        """Make the socket, not the connection. Raises GeneratorLimitError where this machine can't."""
        self._clock = clock
        self._target = target
        self.used = False
        try:
            self._socket = socket.socket(target.family, socket.SOCK_STREAM)
        except OSError as error:
            raise GeneratorLimitError(str(error)) from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hub = get_hub()
        self._fd = self._socket.fileno()
        if source is not None:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self._socket.bind((source, 0))

    def connect(self) -> None:
        """Connect; OSError as the kernel says."""
        code = self._socket.connect_ex(self._target.address)
        if code in {errno.EINPROGRESS, errno.EWOULDBLOCK}:
            self._wait(_WRITE)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "connect")

    def close(self) -> None:
        """Close at once; a second time does nothing."""
        self._socket.close()

    def stale(self) -> bool:
        """True if the server has closed (or spoken out of turn) while the connection was idle."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def exchange(self, buffers: Sequence[bytes | memoryview], progress: Progress) -> Answer:
        """Send a request and take its answer, noting the phases in `progress`."""
        self.used = True
        parser = Parser()
        progress.stage = Stage.SEND
        whole = self._send(buffers, progress, parser)
        progress.stage = Stage.RESPONSE
        if whole:
            progress.body_sent_s = self._clock()
        self._receive(progress, parser)
        return Answer(parser.feed.get_status_code(), parser.headers, bytes(parser.body), whole and parser.keep_alive)

    def _send(self, buffers: Sequence[bytes | memoryview], progress: Progress, parser: Parser) -> bool:
        """Send all buffers; False if the server answered (or closed after answering) before they were all taken."""
        pending = [memoryview(buffer) for buffer in buffers if len(buffer)]
        while pending:
            try:
                sent = self._socket.sendmsg(pending)
            except BlockingIOError:
                self._wait(_READ | _WRITE)
                if self._heard(progress, parser):
                    return False
                continue
            except OSError as error:
                if error.errno in _RESET_ERRNOS and self._last_words(progress, parser):
                    return False
                raise
            progress.sent_bytes += sent
            while pending and sent >= len(pending[0]):
                sent -= len(pending.pop(0))
            if sent:
                pending[0] = pending[0][sent:]
        return True

    def _heard(self, progress: Progress, parser: Parser) -> bool:
        """Take what has come, without waiting; True once it is an answer (100 Continue and its like are none)."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        self._take(data, progress, parser)
        return parser.has_headers and parser.feed.get_status_code() >= 200

    def _last_words(self, progress: Progress, parser: Parser) -> bool:
        """After a reset while sending: True if an answer lies in the receive buffer all the same."""
        try:
            return self._heard(progress, parser)
        except (OSError, ConnectionClosedError):
            return False

    def _receive(self, progress: Progress, parser: Parser) -> None:
        while not parser.complete:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                self._wait(_READ)
                continue
            self._take(data, progress, parser)

    def _take(self, data: bytes, progress: Progress, parser: Parser) -> None:
        if not data:
            parser.end_of_stream()
            return
        if progress.first_byte_s != progress.first_byte_s:  # NaN: nothing has come yet
            progress.first_byte_s = self._clock()
        try:
            parser.feed.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise MalformedAnswerError(str(error)) from error
        if parser.complete and parser.feed.get_status_code() < 200:  # 100 Continue and its like: the real one follows
            parser.complete = False

    def _wait(self, events: int) -> None:
        watcher = self._hub.loop.io(self._fd, events)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.stop()
            watcher.close()


def outcome_of(error: BaseException, stage: Stage) -> Outcome:
    """The one place where an error on the way becomes an Outcome; anything else is a bug of ours and is raised again.

    >>> outcome_of(OSError(errno.ECONNREFUSED, ""), Stage.CONNECT)
    <Outcome.REFUSED: 'refused'>
    """
    match error:
        case DeadlineError():
            return stage.value
        case ConnectionClosedError():
            return Outcome.CLOSED
        case MalformedAnswerError():
            return Outcome.MALFORMED
        case GeneratorLimitError() | MemoryError():
            return Outcome.GENERATOR_ERROR
        case gevent.GreenletExit():
            return Outcome.CENSORED
        case OSError():
            return _outcome_of_errno(error, stage)
        case _:
            raise error


def _outcome_of_errno(error: OSError, stage: Stage) -> Outcome:
    if error.errno == errno.ECONNREFUSED:
        return Outcome.REFUSED
    if error.errno in _RESET_ERRNOS:
        return Outcome.RESET
    if error.errno in _TIMEOUT_ERRNOS:
        return stage.value
    if error.errno in _GENERATOR_ERRNOS:
        return Outcome.GENERATOR_ERROR
    raise error


def outcome_of_status(status: int) -> Outcome:
    """What an answer's status means.

    >>> outcome_of_status(201), outcome_of_status(503)
    (<Outcome.ACCEPTED: 'accepted'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    named = {
        200: Outcome.REPLAYED,
        201: Outcome.ACCEPTED,
        202: Outcome.PENDING,
        422: Outcome.UNREADABLE,
        429: Outcome.THROTTLED,
        503: Outcome.UNAVAILABLE,
    }
    if status in named:
        return named[status]
    if status < 400:
        return Outcome.MALFORMED  # no answer to an upload: never to be taken for an acknowledgement
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.REJECTED
