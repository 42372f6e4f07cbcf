"""What the upload of a page by tus (tus.io, 1.0.0) does next: a state machine without sockets, as session.py is.

An attempt begins where the server stands: it creates the upload, or asks by HEAD how far an earlier attempt came. Then it
sends chunk after chunk until the offset equals the photo's length, the server refuses, or the attempt's time is up. That
there is an upload is remembered for the page's later attempts. The page is acknowledged when a successful response names
an offset equal to the length.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from harness.base.model import Outcome
from harness.station.response_outcome import classify_status

MAX_CORRECTIONS = 8
"""Responses in one attempt by which the server takes something back: the upload, an offset, a chunk. A server that does so
forever would otherwise be asked forever, as fast as it answers."""
_OK, _CREATED, _NO_CONTENT = 200, 201, 204
_FORBIDDEN, _CONFLICT, _MISMATCH = 403, 409, 460
_GONE = frozenset({404, 410})


class TusRequest(NamedTuple):
    """The next request, with the bytes of the photo that it carries."""

    kind: Literal["create", "head", "patch"]
    start: int = 0
    end: int = 0


class TusSteps:
    """The upload of one page over all its attempts. `begin_attempt`, then `next` and `responded` in turn.

    >>> steps = TusSteps(100, 60)
    >>> steps.begin_attempt(); steps.next().kind, steps.responded(201, None)
    ('create', None)
    >>> steps.next(), steps.responded(204, 60), steps.next(), steps.responded(204, 100)
    (TusRequest(kind='patch', start=0, end=60), None, TusRequest(kind='patch', start=60, end=100), <Outcome.ACCEPTED: 'accepted'>)
    """

    __slots__ = (
        "_chunk_bytes", "_corrections", "_creates_with_upload", "_offset", "_request", "_size_bytes", "conflicts",
        "has_upload", "is_conflict",
    )  # fmt: skip

    def __init__(self, size_bytes: int, chunk_bytes: int | None = None, *, creates_with_upload: bool = False) -> None:
        """`chunk_bytes` is the most that one request carries; None: all that is missing."""
        self._size_bytes = size_bytes
        self._chunk_bytes = size_bytes if chunk_bytes is None else chunk_bytes
        self._creates_with_upload = creates_with_upload
        self.has_upload = False
        """Whether the server has an upload of this page, as far as it is known."""
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Forget what only the attempt before knew."""
        self._offset: int | None = None
        self._corrections = 0
        self.conflicts = False
        """Whether the latest response was a 409; only the HEAD that follows shows whether it was about the offset."""
        self.is_conflict = False
        """Whether the attempt ended because of an earlier 409, not of the latest response."""

    def next(self) -> TusRequest:
        """The request to be sent now."""
        if not self.has_upload:
            request = TusRequest("create", 0, self._end_of_chunk(0) if self._creates_with_upload else 0)
        elif self._offset is None:
            request = TusRequest("head")
        else:
            request = TusRequest("patch", self._offset, self._end_of_chunk(self._offset))
        self._request = request
        return request

    def responded(self, status: int, offset: int | None) -> Outcome | None:
        """Take in the response to the latest request; the outcome if the attempt is over.

        `offset` is its Upload-Offset, None without one (only the response to a creation may lack it).
        """
        kind = self._request.kind
        if kind == "create":
            return self._created(status, offset)
        return self._queried(status, offset) if kind == "head" else self._patched(status, offset)

    def needs_offset(self, status: int) -> bool:
        """Whether a response with this status to the latest request must name an offset."""
        return self._request.kind != "create" and status in {_OK, _NO_CONTENT}

    def _created(self, status: int, offset: int | None) -> Outcome | None:
        if status != _CREATED:
            return _refused(status)
        self.has_upload = True
        # A server without the extension creation-with-upload ignores the bytes, and sends no Upload-Offset.
        if self._request.end and offset is not None:
            return self._advance(offset, 0)
        self._offset = 0
        return None

    def _queried(self, status: int, offset: int | None) -> Outcome | None:
        if status in _GONE or status == _FORBIDDEN:
            # The 409 before was not about the offset: the server has thrown the upload away and wants none of it. Creating
            # it again would only repeat that.
            if self.conflicts:
                self.is_conflict = True
                return Outcome.REJECTED
            return self._forget()
        if status not in {_OK, _NO_CONTENT}:
            return _refused(status)
        self._offset = offset
        return Outcome.REPLAYED if offset == self._size_bytes else None

    def _patched(self, status: int, offset: int | None) -> Outcome | None:
        if status in {_OK, _NO_CONTENT}:
            return self._advance(offset or 0, self._request.start)
        if status in _GONE:
            return self._forget()
        if status == _CONFLICT:
            self._offset, self.conflicts = None, True
            return self._correct()
        if status == _MISMATCH:
            # Checksum extension: the server has discarded the chunk, so the offset is unchanged; send it again.
            return self._correct()
        return _refused(status)

    def _advance(self, offset: int, before: int) -> Outcome | None:
        """Continue from the new offset; the outcome if the photo is complete."""
        self._offset = offset
        if offset == self._size_bytes:
            return Outcome.ACCEPTED
        return self._correct() if offset <= before else None

    def _forget(self) -> Outcome | None:
        """The upload is gone (expired, or unknown to the server): start a new one."""
        self.has_upload = False
        return self._correct()

    def _correct(self) -> Outcome | None:
        """None to go on within this attempt; an outcome once the server has taken back too much."""
        self._corrections += 1
        return Outcome.SERVER_ERROR if self._corrections > MAX_CORRECTIONS else None

    def _end_of_chunk(self, start: int) -> int:
        return min(self._size_bytes, start + self._chunk_bytes)


def _refused(status: int) -> Outcome:
    """The outcome of a response that ends the attempt; a success that the protocol doesn't define here is malformed."""
    return classify_status(status) if status >= 400 else Outcome.MALFORMED
