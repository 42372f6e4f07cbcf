"""The tus protocol (tus.io, 1.0.0): an upload is created, filled by PATCHes, and gone on with where it stood when one broke off.

An attempt begins where the server stands: it creates the upload, or asks by HEAD how far an earlier attempt's came. Then it
sends chunk after chunk until the offset is the photo's length, something refuses it, or its time is up. The upload's address
is remembered as long as the page. The page is acknowledged when an answer of success tells an offset equal to the length.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from harness.base.model import Outcome
from harness.drive.client.location import resolve_location
from harness.drive.client.outcomes import MalformedResponseError, classify_status
from harness.drive.client.protocols.base import (
    HighWaterMark,
    Photo,
    UploadContext,
    UploadResult,
    format_head,
    send_photo,
)
from harness.drive.client.response import HttpResponse
from harness.drive.client.session import AttemptConnection
from harness.scenario.protocol import TusOptions

CREATION_PATH = "/v1/files"
_VERSION = "Tus-Resumable: 1.0.0"
_MEDIA_TYPE = "Content-Type: application/offset+octet-stream"
_OK, _CREATED, _NO_CONTENT = 200, 201, 204
_FORBIDDEN, _CONFLICT, _LOCKED, _MISMATCH = 403, 409, 423, 460
_GONE = frozenset({404, 410})
MAX_CORRECTIONS = 8
"""Answers in one attempt by which the server takes something back (the upload, an offset, a chunk). One that goes on like
that would be asked for ever, as fast as it answers."""


@dataclass(slots=True)
class _TusAttempt:
    """What one attempt knows."""

    wire: AttemptConnection
    sender: UploadContext
    offset: int | None = None
    """Where the upload stands; None: to be asked for."""
    corrections: int = 0
    conflict: HttpResponse | None = None
    """The latest 409; the HEAD behind it tells whether it was about the offset."""


class TusUpload:
    """A page as a resumable upload."""

    def __init__(self, photo: Photo, options: TusOptions, creation_path: str = CREATION_PATH) -> None:
        self._photo = photo
        self._options = options
        self._creation_path = creation_path
        self._place = ""
        """Path of the upload; "" while there is none."""
        self.mark = HighWaterMark()

    def attempt(self, wire: AttemptConnection, sender: UploadContext) -> UploadResult:
        """Create the upload or find out where it stands, and send what is missing."""
        attempt = _TusAttempt(wire, sender)
        while True:
            if not self._place:
                ending = self._create(attempt)
            elif attempt.offset is None:
                ending = self._ask(attempt)
            else:
                ending = self._patch(attempt, attempt.offset)
            if ending is not None:
                return ending

    # --- the three requests; each ends the attempt, or leaves it knowing more

    def _create(self, attempt: _TusAttempt) -> UploadResult | None:
        photo, end = self._photo, 0
        headers = [f"Upload-Length: {photo.size_bytes}", f"Upload-Metadata: {_format_metadata(photo)}"]
        if self._options.creation_with_upload:
            end = self._end_of_chunk(0)
            headers += [_MEDIA_TYPE, *self._checksum(0, end)]
        answer = self._send(attempt, f"POST {self._creation_path}", headers, 0, end)
        if answer.status != _CREATED:
            return _rejected(answer)
        self._place = resolve_location(answer.headers.get("location", ""), attempt.sender.host, self._creation_path)
        if (
            end and "upload-offset" in answer.headers
        ):  # a server that can't do it leaves the bytes alone, and the header
            return self._advanced(attempt, answer, 0)
        attempt.offset = 0
        return None

    def _ask(self, attempt: _TusAttempt) -> UploadResult | None:
        headers = [*self._headers(attempt), _VERSION]
        answer = attempt.wire.ask([format_head(f"HEAD {self._place}", headers)], bodiless=True)
        if answer.status in _GONE or answer.status == _FORBIDDEN:
            if attempt.conflict is not None:  # it was no wrong offset: the server wanted none of it
                return UploadResult(Outcome.REJECTED, attempt.conflict)
            return self._lost(attempt, answer)
        if answer.status not in {_OK, _NO_CONTENT}:
            return _rejected(answer)
        attempt.offset = _parse_offset(answer, self._photo.size_bytes)
        if attempt.offset == self._photo.size_bytes:
            return UploadResult(Outcome.REPLAYED, answer)
        return None

    def _patch(self, attempt: _TusAttempt, offset: int) -> UploadResult | None:
        end = self._end_of_chunk(offset)
        headers = [_MEDIA_TYPE, f"Upload-Offset: {offset}", *self._checksum(offset, end)]
        answer = self._send(attempt, f"PATCH {self._place}", headers, offset, end)
        if answer.status in {_OK, _NO_CONTENT}:
            return self._advanced(attempt, answer, offset)
        if answer.status in _GONE:
            return self._lost(attempt, answer)
        if answer.status == _CONFLICT:
            attempt.offset, attempt.conflict = None, answer
            return _limit_corrections(attempt, answer)
        if answer.status == _MISMATCH:  # the server has dropped the chunk: the same one again
            return _limit_corrections(attempt, answer)
        return _rejected(answer)

    # --- what their answers mean

    def _advanced(self, attempt: _TusAttempt, answer: HttpResponse, before: int) -> UploadResult | None:
        """Bytes were taken: all of the photo's, or it goes on from the new offset."""
        attempt.offset = _parse_offset(answer, self._photo.size_bytes)
        if attempt.offset == self._photo.size_bytes:
            return UploadResult(Outcome.ACCEPTED, answer)
        return _limit_corrections(attempt, answer) if attempt.offset <= before else None

    def _lost(self, attempt: _TusAttempt, answer: HttpResponse) -> UploadResult | None:
        """The upload is gone (expired, or never heard of): a new one from the beginning."""
        self._place = ""
        return _limit_corrections(attempt, answer)

    # --- requests

    def _send(self, attempt: _TusAttempt, request_line: str, headers: list[str], start: int, end: int) -> HttpResponse:
        own = [*self._headers(attempt), _VERSION, *headers, f"Content-Length: {end - start}"]
        return send_photo(
            attempt.wire, format_head(request_line, own), self._photo.part(start, end), b"", start, self.mark
        )

    def _headers(self, attempt: _TusAttempt) -> list[str]:
        """An attempt may take many requests: each tells how long its answer will still be waited for."""
        return attempt.sender.headers(self._photo, attempt.wire.remaining_s)

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


def _limit_corrections(attempt: _TusAttempt, answer: HttpResponse) -> UploadResult | None:
    """Once more within this attempt, unless the server has taken too much back."""
    attempt.corrections += 1
    return UploadResult(Outcome.SERVER_ERROR, answer) if attempt.corrections > MAX_CORRECTIONS else None


def _rejected(answer: HttpResponse) -> UploadResult:
    """An answer that ends the attempt; a success that the protocol doesn't know here is none."""
    is_error = answer.status >= 400
    return UploadResult(classify_status(answer.status) if is_error else Outcome.MALFORMED, answer)


def _parse_offset(answer: HttpResponse, length: int) -> int:
    """The Upload-Offset that an answer tells. Raises MalformedAnswerError for none, or one beyond the end."""
    text = answer.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16) or int(text) > length:
        message = f'Upload-Offset "{text}" is none of an upload of {length} bytes'
        raise MalformedResponseError(message)
    return int(text)


def _format_metadata(photo: Photo) -> str:
    pairs = {"station": photo.station, "form": photo.form, "page": str(photo.page), "reading": photo.reading}
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items() if value)
