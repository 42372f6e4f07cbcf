"""What the upload of a page by resumable uploads over HTTP does next: a state machine without sockets, as session.py is.

The protocol is draft-ietf-httpbis-resumable-upload-12. An upload is created by the request that would send the photo anyway;
an interim response (104) names the address at which it can be resumed. An attempt begins where the server stands: it creates
the upload, or asks by HEAD how far an earlier attempt came, and appends what is missing. The page is acknowledged by the
response of the resource that the upload was for, never by an offset: `Upload-Complete: ?1` marks that response, and so does its
absence where the server took the whole photo in the creation without knowing the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from harness.base.model import Outcome
from harness.station.response_outcome import classify_status
from mock_server.profile.upload_fields import UploadLimits

MAX_CORRECTIONS = 8
"""Responses in one attempt by which the server takes something back or asks for it in another size. A server that does so
forever would otherwise be asked forever, as fast as it answers."""
_CONFLICT, _TOO_LARGE = 409, 413
_GONE = frozenset({404, 410})
_SUCCESS = range(200, 300)
_NO_LIMITS = UploadLimits()


class ResumableRequest(NamedTuple):
    """The next request, with the bytes of the photo that it carries."""

    kind: Literal["create", "head", "append", "cancel"]
    start: int = 0
    end: int = 0
    completes: bool = False
    """Whether it says that the photo is whole with these bytes."""


class ResumableResponse(NamedTuple):
    """What a response says of an upload; None for what it doesn't say."""

    status: int
    is_complete: bool | None = None
    """Upload-Complete."""
    offset: int | None = None
    """Upload-Offset."""
    limits: UploadLimits | None = None
    """Upload-Limit."""
    has_location: bool = False
    """Whether it names the address of the upload."""


class ResumableSteps:
    """The upload of one page over all its attempts. `begin_attempt`, then `next` and `responded` in turn.

    >>> steps = ResumableSteps(100, 60)
    >>> steps.begin_attempt(); steps.next()
    ResumableRequest(kind='create', start=0, end=60, completes=False)
    >>> steps.responded(ResumableResponse(201, False, has_location=True)), steps.next()
    (None, ResumableRequest(kind='append', start=60, end=100, completes=True))
    >>> steps.responded(ResumableResponse(201, True))
    <Outcome.ACCEPTED: 'accepted'>
    """

    __slots__ = (
        "_asks_again", "_chunk_bytes", "_classify", "_corrections", "_creates_empty", "_given_up", "_limits", "_offset",
        "_request", "_size_bytes", "has_upload",
    )  # fmt: skip

    def __init__(
        self, size_bytes: int, chunk_bytes: int | None = None, *, creates_empty: bool = False,
        classify: Callable[[int], Outcome] = classify_status,
    ) -> None:  # fmt: skip
        """`chunk_bytes` is the most that one request carries; None: all that is missing.

        `creates_empty` sends nothing with the creation (the draft's "careful" creation). `classify` says what a status of the
        uploaded resource means.
        """
        self._size_bytes = size_bytes
        self._chunk_bytes = size_bytes if chunk_bytes is None else chunk_bytes
        self._creates_empty = creates_empty
        self._classify = classify
        self._limits = _NO_LIMITS
        self.has_upload = False
        """Whether the server has an upload of this page that can be resumed, as far as it is known."""
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Forget what only the attempt before knew."""
        self._offset: int | None = None
        self._corrections = 0
        self._asks_again = False
        """Whether the upload is complete, and the request only fetches its response again."""
        self._given_up: Outcome | None = None
        """The outcome, once the upload has been cancelled."""

    def next(self) -> ResumableRequest:
        """The request to be sent now."""
        if self._given_up is not None:
            self._request = ResumableRequest("cancel")
        elif not self.has_upload:
            end = 0 if self._creates_empty else self._end_of_chunk(0)
            self._request = ResumableRequest("create", 0, end, end == self._size_bytes)
        elif self._offset is None:
            self._request = ResumableRequest("head")
        else:
            end = self._end_of_chunk(self._offset)
            self._request = ResumableRequest("append", self._offset, end, end == self._size_bytes)
        return self._request

    def announced(self, limits: UploadLimits | None) -> None:
        """An interim response has named the upload's address: whatever becomes of the creation, it can be resumed."""
        self.has_upload = True
        self._limits = limits or self._limits

    def responded(self, response: ResumableResponse) -> Outcome | None:
        """Take in the final response to the latest request; the outcome if the attempt is over."""
        request = self._request
        if request.kind == "cancel":
            self.has_upload = False
            return self._given_up
        if request.kind == "head":
            return self._queried(response)
        if response.limits is not None:
            self._limits = response.limits
        if response.status == _TOO_LARGE and not response.is_complete:
            return self._too_large(request)
        return self._created(response) if request.kind == "create" else self._appended(response)

    def needs_offset(self, status: int) -> bool:
        """Whether a response with this status to the latest request must name an offset."""
        return self._request.kind == "head" and status in _SUCCESS

    def cancel(self, outcome: Outcome) -> None:
        """Give the upload up: what follows is its cancellation, then this outcome."""
        self._given_up = outcome

    def _created(self, response: ResumableResponse) -> Outcome | None:
        request, status = self._request, response.status
        if response.is_complete:
            return self._finished(status)
        if status not in _SUCCESS:
            return self._refused(status)
        if response.is_complete is None and request.completes:
            return self._finished(status)  # all was sent, and the server does without resumption
        self.has_upload = self.has_upload or response.has_location
        if not self.has_upload:
            return Outcome.MALFORMED  # it took a part, and doesn't say where the rest goes
        return self._advance(request.end if response.offset is None else response.offset, -1)

    def _queried(self, response: ResumableResponse) -> Outcome | None:
        if response.status in _GONE:
            return self._forget()
        if response.status not in _SUCCESS:
            return self._refused(response.status)
        self._limits = response.limits or self._limits
        # A complete upload has been answered, with whatever status: an empty append asks for that response again.
        self._asks_again = bool(response.is_complete)
        return self._advance(self._size_bytes if self._asks_again else response.offset or 0, -1)

    def _appended(self, response: ResumableResponse) -> Outcome | None:
        request, status = self._request, response.status
        if response.is_complete:
            return self._finished(status)
        if status in _SUCCESS:
            return self._advance(request.end if response.offset is None else response.offset, request.start)
        if status in _GONE or (self._asks_again and status < 500):
            return self._forget()  # the server has no upload, or doesn't repeat its response: only a new one can tell
        if status == _CONFLICT:
            self._offset = response.offset if response.offset is None or response.offset <= self._size_bytes else None
            return self._correct()
        return self._refused(status)

    def _too_large(self, request: ResumableRequest) -> Outcome | None:
        """Send less at once, where the server's limits say how much; else the attempt is over."""
        most = self._limits.max_append_size
        if most is None or request.end - request.start <= most or most < (self._limits.min_append_size or 1):
            return self._refused(_TOO_LARGE)
        return self._correct()

    def _advance(self, offset: int, before: int) -> Outcome | None:
        """Continue from this offset; the outcome if the server's limits don't let the photo through."""
        self._offset = offset
        most = self._limits.max_size
        if most is not None and most < self._size_bytes:
            self.cancel(self._classify(_TOO_LARGE))
            return None
        return self._correct() if offset <= before else None

    def _finished(self, status: int) -> Outcome:
        """The resource has answered: an upload that it refused can't be resumed."""
        outcome = self._classify(status)
        if status not in _SUCCESS:
            self.has_upload = False
        return outcome

    def _refused(self, status: int) -> Outcome:
        """The outcome of a response that ends the attempt; a success that the protocol doesn't define here is malformed."""
        return self._classify(status) if status >= 400 else Outcome.MALFORMED

    def _forget(self) -> Outcome | None:
        """The upload is gone (expired, or unknown to the server): start a new one."""
        self.has_upload = self._asks_again = False
        self._offset = None
        return self._correct()

    def _correct(self) -> Outcome | None:
        """None to go on within this attempt; an outcome once the server has taken back too much."""
        self._corrections += 1
        return Outcome.SERVER_ERROR if self._corrections > MAX_CORRECTIONS else None

    def _end_of_chunk(self, start: int) -> int:
        limits = self._limits
        chunk = max(self._chunk_bytes, limits.min_append_size or 0)
        if limits.max_append_size:
            chunk = min(chunk, limits.max_append_size)
        return min(self._size_bytes, start + chunk)
