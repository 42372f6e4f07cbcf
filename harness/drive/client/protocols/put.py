"""The put protocol: one PUT a page, the photo as it is, the reading (on the votes' page) in the header `Reading`."""

from __future__ import annotations

from harness.drive.client.outcomes import classify_status
from harness.drive.client.protocols.base import (
    HighWaterMark,
    Photo,
    UploadContext,
    UploadResult,
    format_head,
    repr_digest,
    send_photo,
)
from harness.drive.client.session import AttemptConnection


class PutUpload:
    """A page as a raw photo: every attempt sends it from the beginning."""

    __slots__ = ("_photo", "mark")

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.mark = HighWaterMark()

    def attempt(self, wire: AttemptConnection, sender: UploadContext) -> UploadResult:
        """Put the photo."""
        photo = self._photo
        answer = send_photo(wire, build_head(photo, sender), photo.whole, b"", 0, self.mark)
        return UploadResult(classify_status(answer.status), answer)


def build_head(photo: Photo, sender: UploadContext) -> bytes:
    """Everything that goes before the photo."""
    headers = [
        *sender.headers(photo),
        "Content-Type: image/jpeg",
        f"Content-Length: {photo.size_bytes}",
        repr_digest(photo.sha256),
    ]
    if photo.reading:
        headers.append(f"Reading: {photo.reading}")
    return format_head(f"PUT {photo.path}", headers)
