"""Resumable uploads at the simulated server: what mock_server/upload/tus.py does with them, without bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.simulate.request import SimulatedRequest
from mock_server.faults.faulted_request import Refusal


@dataclass(slots=True)
class SimulatedUpload:
    """An upload in progress; implements `ResumableState` for the faults that hit it."""

    page: int
    """The page's row in the plan."""
    length: int
    expires_s: float
    offset: int = 0
    """Bytes received."""
    is_stored: bool = False
    is_locked: bool = False
    is_expired: bool = False
    is_pretended: bool = False
    """Whether a fault claims that it is complete."""
    rollbacks: set[tuple[str, int]] = field(default_factory=set)
    """Faults that cut it down, each with the attempt that it hit."""

    @property
    def reported_offset(self) -> int:
        """The offset for the client. It equals the length only when the page is stored, or a fault claims so."""
        return self.length if self.is_pretended or self.is_stored else self.offset

    def truncate(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        self.offset = min(size, self.offset)

    def pretend_complete(self) -> None:
        """Report the whole length as received from now on."""
        self.is_pretended = True

    def expire(self) -> None:
        """Answer 410 from now on."""
        self.is_expired = True


class ResumableUploads:
    """All uploads by number, from 1; they survive a crash, as files and rows do."""

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        self._uploads: list[SimulatedUpload] = []

    def create(self, page: int, length: int, now_s: float) -> int:
        """The number of a new upload."""
        self._uploads.append(SimulatedUpload(page, length, now_s + self._lifetime_s))
        return len(self._uploads)

    def get(self, number: int) -> SimulatedUpload:
        """An upload by its number, whatever its state."""
        return self._uploads[number - 1]

    def find(self, request: SimulatedRequest) -> SimulatedUpload:
        """The upload of a request after its faults have acted. Raises Refusal 410 or 423."""
        upload = self.get(request.upload)
        if upload.is_locked:
            raise Refusal(423, "The upload is in use by another request")
        if upload.is_expired or request.clock.now_s >= upload.expires_s:
            raise Refusal(410, "The upload has expired")
        if not upload.is_stored:  # a page that is stored is not resumable any more
            request.hit_upload(upload)
        return upload

    def recover(self) -> None:
        """The server has restarted: no request holds an upload, and one without its page is never reported as complete."""
        for upload in self._uploads:
            upload.is_locked = upload.is_pretended = False
            upload.rollbacks.clear()
            if not upload.is_stored and upload.offset >= upload.length:
                upload.truncate(max(0, upload.length - 1))
