"""Resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload-12): the photo is sent as ever, and can be resumed.

Which request comes next is decided by harness/station/resumable_steps.py; here it is formatted and sent, and interim responses
(104) are taken in while the photo is still on its way: they name the address at which a creation that breaks off goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.base.model import MalformedReason, Outcome
from harness.drive.client.headers import resolve_location
from harness.drive.client.outcomes import MalformedResponseError
from harness.drive.client.pool import AttemptConnection
from harness.drive.client.protocols.base import (
    HighWaterMark,
    UploadContext,
    UploadResult,
    format_head,
    repr_digest,
    send_photo,
)
from harness.drive.client.protocols.templated import TemplatedContext, fill_words
from harness.drive.client.response import HttpResponse
from harness.protocol import Photo
from harness.scenario.client import ResumableOptions
from harness.station.response_outcome import classify_status
from harness.station.resumable_steps import ResumableRequest, ResumableResponse, ResumableSteps
from mock_server.profile.upload_fields import (
    INTEROP_VERSION,
    PARTIAL_UPLOAD,
    UPLOAD_RESUMPTION_SUPPORTED,
    format_boolean,
    parse_boolean,
    parse_limits,
    parse_whole_number,
)

_VERSION = f"Upload-Draft-Interop-Version: {INTEROP_VERSION}"
RawHeaders = Sequence[tuple[bytes, bytes]]


class ResumableHttpUpload:
    """The upload of a page that can be resumed. Its address is remembered for the page's later attempts."""

    def __init__(self, photo: Photo, options: ResumableOptions, context: UploadContext | None = None) -> None:
        """`context` is that of a [target], whose statuses then say what became of the photo."""
        self._photo = photo
        self._path = ""
        """Path of the upload, if there is one."""
        self._created_at = ""
        """Path of the request that created it, which a relative Location is resolved against."""
        self._host = ""
        self._misplaced = ""
        """What was wrong with a Location; "" for nothing."""
        outcomes = context.api.flow.steps[-1].outcomes if isinstance(context, TemplatedContext) else None
        self._steps = ResumableSteps(
            photo.size_bytes,
            options.chunk_size,
            creates_empty=options.creation == "careful",
            classify=classify_status
            if outcomes is None
            else lambda status: outcomes.get(status, Outcome.MALFORMED if status < 400 else classify_status(status)),
        )
        self.high_water = HighWaterMark()

    def attempt(self, connection: AttemptConnection, context: UploadContext) -> UploadResult:
        """Create the upload or find out where it stands, and send what is missing."""
        steps = self._steps
        steps.begin_attempt()
        self._host = context.host
        refused: HttpResponse | None = None
        while True:
            request = steps.next()
            response = self._send_request(request, connection, context)
            outcome = steps.responded(self._read(request, response))
            if outcome is not None:
                return UploadResult(outcome, refused or response)
            if steps.next().kind == "cancel":
                refused = response  # what made the client give up, not the answer to its DELETE

    def _send_request(
        self, request: ResumableRequest, connection: AttemptConnection, context: UploadContext
    ) -> HttpResponse:
        """Send a request and receive its final response."""
        if request.kind == "create":
            self._path = self._misplaced = ""
            head = self._creation_head(request, connection, context)
        else:
            headers = [*_without_content(context.headers(self._photo, connection.remaining_s)), _VERSION]
            if request.kind == "head":
                head = format_head(f"HEAD {self._path}", headers)
                return connection.request([head], bodiless=True)
            if request.kind == "cancel":
                return connection.request([format_head(f"DELETE {self._path}", headers)])
            headers += [
                f"Content-Type: {PARTIAL_UPLOAD}",
                f"Content-Length: {request.end - request.start}",
                f"Upload-Offset: {request.start}",
                f"Upload-Complete: {format_boolean(request.completes)}",
            ]
            head = format_head(f"PATCH {self._path}", headers)
        parts = self._photo.part(request.start, request.end)
        return send_photo(connection, head, parts, b"", request.start, self.high_water, self._take_interim)

    def _creation_head(self, request: ResumableRequest, connection: AttemptConnection, context: UploadContext) -> bytes:
        """The head of the request that would upload the photo anyway, which also asks for an upload that can be resumed."""
        photo = self._photo
        more = [
            _VERSION,
            f"Upload-Complete: {format_boolean(request.completes)}",
            f"Upload-Length: {photo.size_bytes}",
        ]
        if isinstance(context, TemplatedContext):
            form = context.api.formats[-1]
            values = fill_words(form, photo, context, context.station.values)
            self._created_at = form.fill_path(values, context.api.taken_words)
            return form.head(context.host, self._created_at, values, request.end, "", more, photo.content_type)
        self._created_at = photo.path
        headers = [
            *context.headers(photo, connection.remaining_s),
            f"Content-Type: {photo.content_type}",
            f"Content-Length: {request.end}",
            repr_digest(photo.sha256),
            *more,
        ]
        if photo.reading:
            headers.append(f"Reading: {photo.reading}")
        return format_head(f"PUT {photo.path}", headers)

    def _take_interim(self, status: int, headers: RawHeaders) -> None:
        """Take in an interim response, as soon as it has come; of another iteration of the draft it is ignored."""
        if (
            status != UPLOAD_RESUMPTION_SUPPORTED
            or _whole_number(headers, b"upload-draft-interop-version") != INTEROP_VERSION
        ):
            return
        if _values(headers, b"location"):
            self._take_location(headers)
            if self._path:
                self._steps.announced(parse_limits(_values(headers, b"upload-limit")))

    def _take_location(self, headers: RawHeaders) -> None:
        """Remember where the upload is; of one that is misplaced, what is wrong with it."""
        try:
            path = resolve_location(_values(headers, b"location")[-1], self._host, self._created_at)
        except MalformedResponseError as error:
            self._misplaced = error.detail
            return
        if self._path and path != self._path:
            self._misplaced = f"Location is {path}, and was {self._path}"
            return
        self._path = path

    def _read(self, request: ResumableRequest, response: HttpResponse) -> ResumableResponse:
        """What a final response says of the upload. Raises MalformedResponseError for an offset or place that is not valid."""
        headers = response.raw_headers
        is_complete = parse_boolean(_values(headers, b"upload-complete"))
        # The Location of a response of the resource itself is not that of the upload.
        names_upload = (
            request.kind == "create" and is_complete is not True and not (request.completes and is_complete is None)
        )
        if names_upload and response.status < 300 and _values(headers, b"location"):
            self._take_location(headers)
        if self._misplaced and (names_upload or not self._path):
            raise MalformedResponseError(MalformedReason.LOCATION, self._misplaced)
        offset = _whole_number(headers, b"upload-offset")
        if offset is None and self._steps.needs_offset(response.status):
            raise MalformedResponseError(MalformedReason.OFFSET, "the response to HEAD has no valid Upload-Offset")
        if offset is not None and offset > self._photo.size_bytes and response.status < 300:
            message = f"Upload-Offset {offset} is beyond the end of an upload of {self._photo.size_bytes} bytes"
            raise MalformedResponseError(MalformedReason.OFFSET, message)
        return ResumableResponse(
            response.status,
            is_complete,
            offset,
            parse_limits(_values(headers, b"upload-limit")),
            has_location=names_upload and bool(self._path),
        )


def _without_content(lines: list[str]) -> list[str]:
    """Header lines without those that describe a content: it is another one than the scenario thought of."""
    return [line for line in lines if not line.lower().startswith("content-")]


def _values(headers: RawHeaders, name: bytes) -> list[str]:
    """The values of a header's lines."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _whole_number(headers: RawHeaders, name: bytes) -> int | None:
    return parse_whole_number(_values(headers, name))
