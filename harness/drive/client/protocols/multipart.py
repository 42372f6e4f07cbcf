"""The multipart protocol: one POST a page, with the parts `reading` (on the votes' page) and `photo`."""

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

_BOUNDARY = "----station-photo-6f0c1a"
_TRAILER = f"\r\n--{_BOUNDARY}--\r\n".encode()


class MultipartUpload:
    """A page as a form: every attempt sends it from the beginning."""

    __slots__ = ("_photo", "mark")

    def __init__(self, photo: Photo) -> None:
        self._photo = photo
        self.mark = HighWaterMark()

    def attempt(self, wire: AttemptConnection, sender: UploadContext) -> UploadResult:
        """Post the form."""
        photo = self._photo
        answer = send_photo(wire, build_head(photo, sender), photo.whole, _TRAILER, 0, self.mark)
        return UploadResult(classify_status(answer.status), answer)


def build_head(photo: Photo, sender: UploadContext) -> bytes:
    """Everything that goes before the photo."""
    parts = b""
    if photo.reading:
        parts = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="reading"\r\n'
            f"Content-Type: application/json\r\n\r\n{photo.reading}\r\n"
        ).encode()
    parts += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; '
        f'filename="{photo.station}-{photo.form}-{photo.page}.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    ).encode()
    headers = [
        *sender.headers(photo),
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {len(parts) + photo.size_bytes + len(_TRAILER)}",
        repr_digest(photo.sha256),
    ]
    return format_head(f"POST {photo.path}", headers) + parts
