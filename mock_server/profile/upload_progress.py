"""How far a resumable upload has come: what the mock server knows of one whose bytes are a file, and a simulation of one without."""

from __future__ import annotations

from dataclasses import dataclass, field

FATAL_STATUSES = frozenset({400, 409, 422})
"""Refusals of the finished page that sending the last bytes again cannot cure: the upload is removed."""


@dataclass(slots=True, kw_only=True, eq=False)
class UploadProgress:
    """An upload in progress; implements `ResumableState` for the faults that hit it.

    Only one request at a time may change it: it sets `is_locked`.
    """

    length: int
    """Bytes of the whole photo; 0 if the client has not said so yet, which tus doesn't allow."""
    offset: int = 0
    """Bytes received."""
    acknowledges_by_offset: bool = True
    """Whether an offset equal to the length tells the client that the page is stored, as with tus. Resumable uploads over HTTP
    say that by Upload-Complete, and there an offset never decreases."""
    is_stored: bool = False
    """Whether it has become a page."""
    is_locked: bool = False
    is_expired: bool = False
    is_pretended: bool = False
    """Whether a fault claims that it is complete."""
    rollbacks: set[tuple[str, int]] = field(default_factory=set)
    """Faults that cut it down, each with the attempt that it hit."""

    @property
    def reported_offset(self) -> int:
        """The offset for the client. With tus it equals the length only when the page is stored, or a fault claims so."""
        return max(self.length, self.offset) if self.is_pretended or self.is_stored else self.offset

    @property
    def is_complete(self) -> bool:
        """Whether the client has been told that nothing is missing: a repeated last PATCH succeeds and stores nothing."""
        if self.acknowledges_by_offset:
            return self.reported_offset == self.length
        return self.is_stored or self.is_pretended

    def continues_at(self, offset: int) -> bool:
        """Whether a PATCH with this Upload-Offset goes on where the upload ended; else it is answered 409."""
        return offset == self.reported_offset or self.is_pretended

    def refusal(self) -> tuple[int, str] | None:
        """Status and reason with which every request for it is refused now; None if it is not."""
        if self.is_locked:
            return 423, "The upload is in use by another request"
        if self.is_expired:
            return 410, "The upload has expired"
        return None

    def take_back(self, size: int) -> None:
        """After a refusal that may pass: the client is to send all after the first `size` bytes again, if it must.

        With tus the whole length as its offset would acknowledge the page; else the bytes are kept.
        """
        if self.acknowledges_by_offset:
            self.truncate(size)

    def truncate(self, size: int) -> None:
        """Drops everything after the first `size` bytes."""
        self.offset = min(size, self.offset)

    def pretend_complete(self) -> None:
        """Reports the whole length as received from now on."""
        self.is_pretended = True

    def expire(self) -> None:
        """Makes it answer 410 from now on."""
        self.is_expired = True

    def recover(self) -> None:
        """What a restart of the server makes of it: no request holds it, and what was only kept in memory is gone.

        All bytes but no page: with tus the offset would acknowledge it, so the last byte is asked for again.
        """
        self.is_locked = self.is_pretended = False
        self.rollbacks.clear()
        if self.acknowledges_by_offset and not self.is_stored and self.offset >= self.length:
            self.truncate(max(0, self.length - 1))
