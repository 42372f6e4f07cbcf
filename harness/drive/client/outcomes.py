"""What an attempt's end is called: the one place where errors on the way and answers' statuses become Outcomes."""

from __future__ import annotations

import errno
import ssl
from enum import Enum

import gevent

from harness.base.model import Outcome
from harness.drive.client.shortage import GENERATOR_ERRNOS

RESET_ERRNOS = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})
_TIMEOUT_ERRNOS = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})


class Stage(Enum):
    """How far an attempt has come: what a timeout is called after."""

    CONNECT = Outcome.TIMEOUT_CONNECT
    SEND = Outcome.TIMEOUT_SEND
    RESPONSE = Outcome.TIMEOUT_RESPONSE


class ConnectionClosedError(Exception):
    """The server closed before its answer was whole."""


class MalformedResponseError(Exception):
    """What came is not HTTP, or no answer to what was asked."""


class GeneratorLimitError(Exception):
    """This machine has no more descriptors, ports or memory for us."""


class AttemptTimeoutError(BaseException):
    """The attempt's time is up. A BaseException, so that no handler on the way takes it for something else."""


_OUTCOME_BY_STATUS = {
    200: Outcome.REPLAYED,
    201: Outcome.ACCEPTED,
    202: Outcome.PENDING,
    422: Outcome.UNREADABLE,
    429: Outcome.THROTTLED,
    503: Outcome.UNAVAILABLE,
}
EXPECTED_ERRORS = (
    AttemptTimeoutError, ConnectionClosedError, MalformedResponseError, GeneratorLimitError, MemoryError, gevent.GreenletExit, OSError,
)  # fmt: skip
"""Everything that `classify_error` knows; ssl.SSLError is an OSError."""
_OUTCOME_BY_ERROR: dict[type[BaseException], Outcome] = {
    ConnectionClosedError: Outcome.CLOSED,
    MalformedResponseError: Outcome.MALFORMED,
    GeneratorLimitError: Outcome.GENERATOR_ERROR,
    MemoryError: Outcome.GENERATOR_ERROR,
    gevent.GreenletExit: Outcome.CENSORED,
    ssl.SSLError: Outcome.TLS_FAILED,
}


def classify_error(error: BaseException, stage: Stage) -> Outcome:
    """What an error on the way means; anything that is not known is a bug of ours and is raised again.

    >>> outcome_of(OSError(errno.ECONNREFUSED, ""), Stage.CONNECT)
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
    if error.errno in _TIMEOUT_ERRNOS:
        return stage.value
    if error.errno in GENERATOR_ERRNOS:
        return Outcome.GENERATOR_ERROR
    raise error


def classify_status(status: int) -> Outcome:
    """What an answer's status means.

    >>> outcome_of_status(201), outcome_of_status(503)
    (<Outcome.ACCEPTED: 'accepted'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    if status in _OUTCOME_BY_STATUS:
        return _OUTCOME_BY_STATUS[status]
    if status < 400:
        return Outcome.MALFORMED  # no answer to an upload: never to be taken for an acknowledgement
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.REJECTED
