"""How an attempt ended: the only place that maps errors to outcomes (statuses: harness/station/response_outcome.py).

ConnectionClosedError      the server closed before its response was complete        closed
MalformedResponseError     not HTTP, or not a response to the request                malformed
AttemptTimeoutError        the attempt's time is up                                  timeout_connect/_send/_response
GeneratorLimitError        this machine ran out of descriptors, ports or memory      generator_error
OwnClientError             a bug of the scenario's own client                        generator_error
OSError                    by errno: refused, reset, timeout_* or generator_error
ssl.SSLError               tls_failed
gevent.GreenletExit        the run was stopped during the attempt                    censored
"""

from __future__ import annotations

import errno
import ssl
from enum import Enum

import gevent

from harness.base.model import MalformedReason, Outcome, Shortage

RESET_ERRNOS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_TIMEOUT_ERRNOS = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
_SHORTAGE_BY_ERRNO = {
    errno.EMFILE: Shortage.DESCRIPTORS,
    errno.ENFILE: Shortage.DESCRIPTORS,
    errno.EADDRNOTAVAIL: Shortage.PORTS,
    errno.EADDRINUSE: Shortage.PORTS,
    errno.ENOBUFS: Shortage.MEMORY,
    errno.ENOMEM: Shortage.MEMORY,
}
"""Limits of the machine that generates the load; the server can't cause these."""


class Stage(Enum):
    """How far an attempt has come; its value is the outcome of a timeout in that stage."""

    CONNECT = Outcome.TIMEOUT_CONNECT
    SEND = Outcome.TIMEOUT_SEND
    RESPONSE = Outcome.TIMEOUT_RESPONSE


class ConnectionClosedError(Exception):
    """The server closed the connection before its response was complete."""


class MalformedResponseError(Exception):
    """What was received is not HTTP, or not a response to the request."""

    def __init__(self, reason: MalformedReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class GeneratorLimitError(Exception):
    """This machine has no descriptors, ports or memory left for another connection."""


class OwnClientError(Exception):
    """The scenario's own client (harness.protocol) raised an error, or returned what it may not."""


class AttemptTimeoutError(BaseException):
    """The attempt's time is up. A BaseException, so that no `except Exception` between here and the socket catches it."""


EXPECTED_ERRORS = (
    AttemptTimeoutError, ConnectionClosedError, MalformedResponseError, GeneratorLimitError, OwnClientError, MemoryError,
    gevent.GreenletExit, OSError,
)  # fmt: skip
"""Every error that `classify_error` knows; ssl.SSLError is an OSError."""
_OUTCOME_BY_ERROR: dict[type[BaseException], Outcome] = {
    ConnectionClosedError: Outcome.CLOSED,
    MalformedResponseError: Outcome.MALFORMED,
    GeneratorLimitError: Outcome.GENERATOR_ERROR,
    OwnClientError: Outcome.GENERATOR_ERROR,
    MemoryError: Outcome.GENERATOR_ERROR,
    gevent.GreenletExit: Outcome.CENSORED,
    ssl.SSLError: Outcome.TLS_FAILED,  # before OSError, of which it is a subclass
}


def classify_error(error: BaseException, stage: Stage) -> Outcome:
    """The outcome of an attempt that ended with this error.

    Raises the error again if it is not one of `EXPECTED_ERRORS` or has an unknown errno: that is a bug in the harness.

    >>> classify_error(OSError(errno.ECONNREFUSED, ""), Stage.CONNECT)
    <Outcome.REFUSED: 'refused'>
    """
    if isinstance(error, AttemptTimeoutError):
        return stage.value
    for kind, outcome in _OUTCOME_BY_ERROR.items():
        if isinstance(error, kind):
            return outcome
    if isinstance(error, OSError):
        return _classify_errno(error, stage)
    raise error


def _classify_errno(error: OSError, stage: Stage) -> Outcome:
    if error.errno == errno.ECONNREFUSED:
        return Outcome.REFUSED
    if error.errno in RESET_ERRNOS:
        return Outcome.RESET
    # The kernel's own timeout and an unreachable network look the same to a phone: no answer within its patience.
    if error.errno in _TIMEOUT_ERRNOS:
        return stage.value
    if error.errno in _SHORTAGE_BY_ERRNO:
        return Outcome.GENERATOR_ERROR
    raise error


def classify_shortage(error: BaseException) -> Shortage:
    """What this machine ran out of, or else lacked, for an attempt with outcome generator_error.

    >>> classify_shortage(OSError(errno.EADDRNOTAVAIL, "connect"))
    <Shortage.PORTS: 'ports'>
    """
    if isinstance(error, OwnClientError):
        return Shortage.OWN_CLIENT
    # GeneratorLimitError wraps the kernel's error: the errno is on its cause.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _SHORTAGE_BY_ERRNO:
            return _SHORTAGE_BY_ERRNO[cause.errno]
        cause = cause.__cause__
    return Shortage.MEMORY if isinstance(error, MemoryError) else Shortage.DESCRIPTORS
