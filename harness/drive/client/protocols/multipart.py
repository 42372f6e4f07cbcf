"""The multipart protocol: one POST per page, with the parts `reading` (on the page with the votes) and `photo`."""

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
from harness.protocol.photo import url_part
from harness.station.response_outcome import classify_status

_BOUNDARY = "----station-photo-6f0c1a"
_TRAILER = f"\r\n--{_BOUNDARY}--\r\n".encode()


class MultipartUpload:
    """The upload of a page as a form; every attempt sends it from the beginning."""

    __slots__ = ("_photo", "high_water")

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Post the form."""
        photo = self._photo
        head = build_head(photo, context)
        response = send_photo(connection, head, photo.whole, _TRAILER, 0, self.high_water)
        return UploadResult(classify_status(response.status), response)


def build_head(photo: Photo, context: UploadContext) -> bytes:
    """Everything that is sent before the photo's bytes."""
    parts = b""
    if photo.reading:
        parts = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="reading"\r\n'
            f"Content-Type: application/json\r\n\r\n{photo.reading}\r\n"
        ).encode()
    parts += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; '
        f'filename="{url_part(photo.station)}-{url_part(photo.form)}-{photo.page}.{photo.extension}"\r\n'
        f"Content-Type: {photo.content_type}\r\n\r\n"
    ).encode()
    headers = [
        *context.headers(photo),
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {len(parts) + photo.size_bytes + len(_TRAILER)}",
        repr_digest(photo.sha256),
    ]
    return format_head(f"POST {photo.path}", headers) + parts
