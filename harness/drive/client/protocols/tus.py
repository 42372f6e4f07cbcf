"""The tus protocol (tus.io, 1.0.0): an upload is created, filled by PATCH requests, and resumed where it broke off.

An attempt begins where the server stands: it creates the upload, or asks by HEAD how far an earlier attempt came. Then it
sends chunk after chunk until the offset equals the photo's length, the server refuses, or the attempt's time is up. The
upload's address is remembered for the page's later attempts. The page is acknowledged when a successful response names an
offset equal to the length.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.headers import resolve_location
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import (
    HighWaterMark,
    Photo,
    UploadContext,
    UploadResult,
    format_head,
    send_photo,
)
from harness.drive.client.response import HttpResponse
from harness.scenario.client import TusOptions
from harness.station.response_outcome import classify_status

CREATION_PATH = "/v1/files"
_VERSION = "Tus-Resumable: 1.0.0"
_MEDIA_TYPE = "Content-Type: application/offset+octet-stream"
_OK, _CREATED, _NO_CONTENT = 200, 201, 204
_FORBIDDEN, _CONFLICT, _MISMATCH = 403, 409, 460
_GONE = frozenset({404, 410})
MAX_CORRECTIONS = 8
"""Responses in one attempt by which the server takes something back: the upload, an offset, a chunk. A server that does so
forever would otherwise be asked forever, as fast as it answers."""


@dataclass(slots=True)
class _TusAttempt:
    """What one attempt knows."""

    connection: AttemptConnection
    context: UploadContext
    offset: int | None = None
    """Where the upload stands; None if the server must be asked."""
    corrections: int = 0
    conflict: HttpResponse | None = None
    """The latest 409; only the HEAD that follows shows whether it was about the offset."""


class TusUpload:
    """The upload of a page that can be resumed."""

    def __init__(self, photo: Photo, options: TusOptions, creation_path: str = CREATION_PATH) -> None:
        self._photo = photo
        self._options = options
        self._creation_path = creation_path
        self._path = ""
        """Path of the upload; "" while there is none."""
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Create the upload or find out where it stands, and send what is missing."""
        attempt = _TusAttempt(connection, context)
        while True:
            if not self._path:
                result = self._create(attempt)
            elif attempt.offset is None:
                result = self._query_offset(attempt)
            else:
                result = self._patch(attempt, attempt.offset)
            if result is not None:
                return result

    # --- the three requests; each ends the attempt with a result, or returns None and leaves it knowing more

    def _create(self, attempt: _TusAttempt) -> UploadResult | None:
        photo, end = self._photo, 0
        headers = [f"Upload-Length: {photo.size_bytes}", f"Upload-Metadata: {_format_metadata(photo)}"]
        if self._options.creation_with_upload:
            end = self._end_of_chunk(0)
            headers += [_MEDIA_TYPE, *self._checksum(0, end)]
        response = self._send(attempt, f"POST {self._creation_path}", headers, 0, end)
        if response.status != _CREATED:
            return _rejected(response)
        self._path = resolve_location(
            response.headers.get("location", ""), attempt.context.host, self._creation_path
        )  # fmt: skip
        # A server without the extension creation-with-upload ignores the bytes, and sends no Upload-Offset.
        if end and "upload-offset" in response.headers:
            return self._advance(attempt, response, 0)
        attempt.offset = 0
        return None

    def _query_offset(self, attempt: _TusAttempt) -> UploadResult | None:
        headers = [*self._headers(attempt), _VERSION]
        response = attempt.connection.request([format_head(f"HEAD {self._path}", headers)], bodiless=True)
        if response.status in _GONE or response.status == _FORBIDDEN:
            # The 409 before was not about the offset: the server has thrown the upload away and wants none of it. Creating
            # it again would only repeat that.
            if attempt.conflict is not None:
                return UploadResult(Outcome.REJECTED, attempt.conflict)
            return self._forget(attempt, response)
        if response.status not in {_OK, _NO_CONTENT}:
            return _rejected(response)
        attempt.offset = _parse_offset(response, self._photo.size_bytes)
        if attempt.offset == self._photo.size_bytes:
            return UploadResult(Outcome.REPLAYED, response)
        return None

    def _patch(self, attempt: _TusAttempt, offset: int) -> UploadResult | None:
        end = self._end_of_chunk(offset)
        headers = [_MEDIA_TYPE, f"Upload-Offset: {offset}", *self._checksum(offset, end)]
        response = self._send(attempt, f"PATCH {self._path}", headers, offset, end)
        if response.status in {_OK, _NO_CONTENT}:
            return self._advance(attempt, response, offset)
        if response.status in _GONE:
            return self._forget(attempt, response)
        if response.status == _CONFLICT:
            attempt.offset, attempt.conflict = None, response
            return _limit_corrections(attempt, response)
        if response.status == _MISMATCH:
            # Checksum extension: the server has discarded the chunk, so the offset is unchanged; send it again.
            return _limit_corrections(attempt, response)
        return _rejected(response)

    # --- what the responses mean

    def _advance(self, attempt: _TusAttempt, response: HttpResponse, before: int) -> UploadResult | None:
        """Continue from the new offset; a result if the photo is complete."""
        attempt.offset = _parse_offset(response, self._photo.size_bytes)
        if attempt.offset == self._photo.size_bytes:
            return UploadResult(Outcome.ACCEPTED, response)
        return _limit_corrections(attempt, response) if attempt.offset <= before else None

    def _forget(self, attempt: _TusAttempt, response: HttpResponse) -> UploadResult | None:
        """The upload is gone (expired, or unknown to the server): start a new one."""
        self._path = ""
        return _limit_corrections(attempt, response)

    # --- requests

    def _send(self, attempt: _TusAttempt, request_line: str, headers: list[str], start: int, end: int) -> HttpResponse:
        lines = [*self._headers(attempt), _VERSION, *headers, f"Content-Length: {end - start}"]
        head = format_head(request_line, lines)
        return send_photo(attempt.connection, head, self._photo.part(start, end), b"", start, self.high_water)

    def _headers(self, attempt: _TusAttempt) -> list[str]:
        """An attempt may take many requests, so each one names the time that is left of it."""
        return attempt.context.headers(self._photo, attempt.connection.remaining_s)

    def _end_of_chunk(self, start: int) -> int:
        size = self._photo.size_bytes
        return size if self._options.chunk_size is None else min(size, start + self._options.chunk_size)

    def _checksum(self, start: int, end: int) -> list[str]:
        if self._options.checksum == "none":
            return []
        digest = hashlib.new(self._options.checksum, usedforsecurity=False)
        for part in self._photo.part(start, end):
            digest.update(part)
        return [f"Upload-Checksum: {self._options.checksum} {base64.b64encode(digest.digest()).decode()}"]


def _limit_corrections(attempt: _TusAttempt, response: HttpResponse) -> UploadResult | None:
    """None to go on within this attempt; a result once the server has taken back too much."""
    attempt.corrections += 1
    return UploadResult(Outcome.SERVER_ERROR, response) if attempt.corrections > MAX_CORRECTIONS else None


def _rejected(response: HttpResponse) -> UploadResult:
    """The result of a response that ends the attempt; a success that the protocol doesn't define here is malformed."""
    is_error = response.status >= 400
    return UploadResult(classify_status(response.status) if is_error else Outcome.MALFORMED, response)


def _parse_offset(response: HttpResponse, length: int) -> int:
    """The response's Upload-Offset. Raises MalformedResponseError if there is none, or one beyond the end."""
    text = response.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16) or int(text) > length:
        message = f'Upload-Offset "{text}" is not valid for an upload of {length} bytes'
        raise MalformedResponseError(MalformedReason.OFFSET, message)
    return int(text)


def _format_metadata(photo: Photo) -> str:
    pairs = {"station": photo.station, "form": photo.form, "page": str(photo.page), "reading": photo.reading}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items() if value)
