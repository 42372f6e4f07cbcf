"""The tus protocol (tus.io, 1.0.0) over a connection: an upload is created, filled by PATCH requests, and resumed.

Which request comes next is decided by harness/station/tus_steps.py; here it is formatted and sent.
"""

from __future__ import annotations

import base64
import hashlib

from harness.base.model import MalformedReason
from harness.drive.client.headers import resolve_location
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import (
    HighWaterMark,
    UploadContext,
    UploadResult,
    format_head,
    send_photo,
)
from harness.drive.client.response import HttpResponse
from harness.protocol import Photo
from harness.scenario.client import TusOptions
from harness.station.tus_steps import TusRequest, TusSteps

CREATION_PATH = "/v1/files"
_VERSION = "Tus-Resumable: 1.0.0"
_MEDIA_TYPE = "Content-Type: application/offset+octet-stream"
_CREATED, _CONFLICT = 201, 409


class TusUpload:
    """The upload of a page that can be resumed. Its address is remembered for the page's later attempts."""

    def __init__(
        self, photo: Photo, options: TusOptions, creation_path: str = CREATION_PATH, *, names_file: bool = False
    ) -> None:
        """`names_file`: send a file name and type as metadata too, which some servers need."""
        self._photo = photo
        self._metadata = _format_metadata(photo, names_file=names_file)
        self._options = options
        self._creation_path = creation_path
        self._path = ""
        """Path of the upload, if there is one."""
        self._steps = TusSteps(photo.size_bytes, options.chunk_size, creates_with_upload=options.creation_with_upload)
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Create the upload or find out where it stands, and send what is missing."""
        steps = self._steps
        steps.begin_attempt()
        conflict: HttpResponse | None = None
        while True:
            request = steps.next()
            response = self._send_request(request, connection, context)
            if request.kind == "patch" and response.status == _CONFLICT:
                conflict = response
            outcome = steps.responded(response.status, self._read_offset(request, response))
            if outcome is not None:
                return UploadResult(outcome, conflict if steps.is_conflict and conflict is not None else response)

    def _send_request(self, request: TusRequest, connection: AttemptConnection, context: UploadContext) -> HttpResponse:
        """Send a request and receive its response."""
        start, end = request.start, request.end
        if request.kind == "head":
            head = format_head(f"HEAD {self._path}", [*self._headers(connection, context), _VERSION])
            return connection.request([head], bodiless=True)
        if request.kind == "patch":
            headers = [_MEDIA_TYPE, f"Upload-Offset: {start}", *self._checksum(start, end)]
            return self._send(connection, context, f"PATCH {self._path}", headers, request)
        headers = [f"Upload-Length: {self._photo.size_bytes}", f"Upload-Metadata: {self._metadata}"]
        if end:
            headers += [_MEDIA_TYPE, *self._checksum(0, end)]
        response = self._send(connection, context, f"POST {self._creation_path}", headers, request)
        if response.status == _CREATED:
            location = response.headers.get("location", "")
            self._path = resolve_location(location, context.host, self._creation_path)
        return response

    def _read_offset(self, request: TusRequest, response: HttpResponse) -> int | None:
        """Upload-Offset, where the response has or needs one. Raises MalformedResponseError for one that is not valid."""
        created = request.kind == "create" and response.status == _CREATED and request.end > 0
        if self._steps.needs_offset(response.status) or (created and "upload-offset" in response.headers):
            return _parse_offset(response, self._photo.size_bytes)
        return None

    def _send(
        self, connection: AttemptConnection, context: UploadContext, request_line: str, headers: list[str],
        request: TusRequest,
    ) -> HttpResponse:  # fmt: skip
        start, end = request.start, request.end
        lines = [*self._headers(connection, context), _VERSION, *headers, f"Content-Length: {end - start}"]
        head = format_head(request_line, lines)
        return send_photo(connection, head, self._photo.part(start, end), b"", start, self.high_water)

    def _headers(self, connection: AttemptConnection, context: UploadContext) -> list[str]:
        """An attempt may take many requests, so each one names the time that is left of it."""
        return context.headers(self._photo, connection.remaining_s)

    def _checksum(self, start: int, end: int) -> list[str]:
        if self._options.checksum == "none":
            return []
        digest = hashlib.new(self._options.checksum, usedforsecurity=False)
        for part in self._photo.part(start, end):
            digest.update(part)
        return [f"Upload-Checksum: {self._options.checksum} {base64.b64encode(digest.digest()).decode()}"]


def _parse_offset(response: HttpResponse, length: int) -> int:
    """The response's Upload-Offset. Raises MalformedResponseError if there is none, or one beyond the end."""
    text = response.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16) or int(text) > length:
        message = f'Upload-Offset "{text}" is not valid for an upload of {length} bytes'
        raise MalformedResponseError(MalformedReason.OFFSET, message)
    return int(text)


def _format_metadata(photo: Photo, *, names_file: bool) -> str:
    pairs = {"station": photo.station, "form": photo.form, "page": str(photo.page), "reading": photo.reading}
    if names_file:  # the names that tus clients in browsers send
        pairs["filename"], pairs["filetype"] = f"{photo.station}-{photo.form}-{photo.page}.jpg", "image/jpeg"
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items() if value)
