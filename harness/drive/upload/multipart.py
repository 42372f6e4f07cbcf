"""The multipart protocol: one POST a page, with the parts `reading` (on the votes' page) and `photo`."""

from __future__ import annotations

import base64
from dataclasses import dataclass

_BOUNDARY = "----station-photo-6f0c1a"
_TRAILER = f"\r\n--{_BOUNDARY}--\r\n".encode()


@dataclass(frozen=True, slots=True)
class Upload:
    """One page on its way: what a protocol needs to write the request."""

    station: str
    form: str
    page: int
    body: memoryview
    tail: bytes
    sha256: str
    reading: str
    attempt: int
    token: str
    timeout_s: float
    idempotency_key: bool


def request(upload: Upload, host_header: str) -> list[bytes | memoryview]:
    """The request as buffers to send one after another; the photo's body is not copied."""
    parts = b""
    if upload.reading:
        parts = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="reading"\r\n'
            f"Content-Type: application/json\r\n\r\n{upload.reading}\r\n"
        ).encode()
    parts += (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; '
        f'filename="{upload.station}-{upload.form}-{upload.page}.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    ).encode()
    length = len(parts) + len(upload.body) + len(upload.tail) + len(_TRAILER)
    digest = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
    head = [
        f"POST /v1/stations/{upload.station}/forms/{upload.form}/pages/{upload.page} HTTP/1.1",
        f"Host: {host_header}",
        f"Authorization: Bearer {upload.token}",
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}",
        f"Content-Length: {length}",
        f"Repr-Digest: sha-256=:{digest}:",
        f"X-Attempt: {upload.attempt}",
        f"Upload-Timeout: {upload.timeout_s:g}",
    ]
    if upload.idempotency_key:
        head.append(f'Idempotency-Key: "{upload.station}/{upload.form}/{upload.page}/{upload.sha256[:16]}"')
    return ["\r\n".join(head).encode() + b"\r\n\r\n" + parts, upload.body, upload.tail + _TRAILER]
