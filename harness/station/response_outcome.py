"""The outcome of an attempt or read that was answered: what each HTTP status means."""

from __future__ import annotations

from harness.base.model import Outcome

_OUTCOME_BY_STATUS = {
    200: Outcome.REPLAYED,
    201: Outcome.ACCEPTED,
    202: Outcome.PENDING,
    422: Outcome.UNREADABLE,
    429: Outcome.THROTTLED,
    503: Outcome.UNAVAILABLE,
}
_NOT_MODIFIED = 304
_SUCCESSES = range(200, 300)


def classify_status(status: int) -> Outcome:
    """The outcome of an attempt that was answered with this status.

    >>> classify_status(201), classify_status(503)
    (<Outcome.ACCEPTED: 'accepted'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    outcome = _OUTCOME_BY_STATUS.get(status)
    if outcome is not None:
        return outcome
    if status < 400:
        # Another success or a redirect doesn't confirm the upload. Never an acknowledgement: the audit would call the
        # page lost.
        return Outcome.MALFORMED
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.REJECTED


def classify_read(status: int) -> Outcome:
    """The outcome of a read that was answered with this status: `accepted` if it got what it asked for.

    >>> classify_read(200), classify_read(304), classify_read(503)
    (<Outcome.ACCEPTED: 'accepted'>, <Outcome.ACCEPTED: 'accepted'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    return Outcome.ACCEPTED if status in _SUCCESSES or status == _NOT_MODIFIED else classify_status(status)
