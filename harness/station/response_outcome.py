"""The outcome of an attempt that was answered: what each HTTP status of an upload means."""

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


def classify_status(status: int) -> Outcome:
    """The outcome of an attempt that was answered with this status.

    >>> classify_status(201), classify_status(503)
    (<Outcome.ACCEPTED: 'accepted'>, <Outcome.UNAVAILABLE: 'unavailable'>)
    """
    if status in _OUTCOME_BY_STATUS:
        return _OUTCOME_BY_STATUS[status]
    if status < 400:
        # Another success or a redirect doesn't confirm the upload. Never an acknowledgement: the audit would call the
        # page lost.
        return Outcome.MALFORMED
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.REJECTED
