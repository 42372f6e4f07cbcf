"""The put protocol: one PUT per page with the photo as its body; the reading, if any, in the header `Reading`."""

from __future__ import annotations

from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import (
    HighWaterMark,
    UploadContext,
    UploadResult,
    format_head,
    repr_digest,
    send_photo,
)
from harness.protocol import Photo
from harness.station.response_outcome import classify_status


class PutUpload:
    """The upload of a page as a raw photo; every attempt sends it from the beginning."""

    __slots__ = ("_photo", "high_water")

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Put the photo."""
        photo = self._photo
        response = send_photo(connection, build_head(photo, context), photo.whole, b"", 0, self.high_water)
        return UploadResult(classify_status(response.status), response)


def build_head(photo: Photo, context: UploadContext) -> bytes:
    """Everything that is sent before the photo's bytes."""
    headers = [
        *context.headers(photo),
        f"Content-Type: {photo.content_type}",
        f"Content-Length: {photo.size_bytes}",
        repr_digest(photo.sha256),
    ]
    if photo.reading:
        headers.append(f"Reading: {photo.reading}")
    return format_head(f"PUT {photo.path}", headers)
