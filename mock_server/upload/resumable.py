"""Resumable uploads over HTTP (draft-ietf-httpbis-resumable-upload-12): a page's upload with Upload-Complete can be resumed.

The request that would upload the page anyway creates the upload; what an interim response (104) names is at /v1/uploads/{id}.
Whatever completes the upload is answered as the page's own resource would have answered the whole photo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from aiohttp import web

from mock_server.faults.faulted_request import ConnectionEnded
from mock_server.http.auth import Authenticator
from mock_server.http.middleware import REQUEST_CONTEXT
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem, json_response
from mock_server.profile.upload_fields import (
    INTEROP_VERSION,
    PARTIAL_UPLOAD,
    UPLOAD_RESUMPTION_SUPPORTED,
    UploadLimits,
    format_boolean,
    parse_boolean,
    parse_whole_number,
)
from mock_server.profile.upload_progress import FATAL_STATUSES
from mock_server.profile_file import Profile
from mock_server.storage.resumable import (
    Representation,
    ResumableStore,
    ResumableUpload,
    UploadExpiredError,
    UploadNotFoundError,
)
from mock_server.upload import body
from mock_server.upload.photo import check_digest, read_file
from mock_server.upload.pipeline import UploadPipeline
from mock_server.upload.readings import parse_reading, parse_reading_header

PROGRESS_BYTES = 524_288
"""After so many bytes of one request an interim response says how far it has come; each costs a sync of the file."""
_PROBLEM_TYPES = "https://iana.org/assignments/http-problem-types"
COMPLETE = {"Upload-Complete": "?1"}
"""Marks a response as that of the resource that was uploaded to."""
_INCOMPLETE = {"Upload-Complete": "?0"}
_CLOSE = {"Connection": "close"}


class _Holder:
    """The request that now writes to an upload."""

    def __init__(self, context: RequestContext) -> None:
        self.context = context
        self.is_receiving = True
        """Whether bytes are still coming; else the page that they are is being processed."""
        self.released: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def interrupt(self) -> None:
        """Ends its connection: the client has given it up, or it would not have sent another request."""
        if self.context.connection is not None:
            self.context.connection.reset()


class _Lengths(NamedTuple):
    """What a request says of the length of the whole photo."""

    content: int | None
    """Content-Length."""
    whole: int | None
    """The length of the photo, if it says that."""


class ResumableHandlers:
    """Creation at a page's own path, and the handlers of /v1/uploads/{id}."""

    def __init__(
        self, profile: Profile, authenticator: Authenticator, pipeline: UploadPipeline, uploads: ResumableStore
    ) -> None:
        self._profile = profile
        self._authenticator = authenticator
        self._pipeline = pipeline
        self._uploads = uploads
        self._holders: dict[str, _Holder] = {}

    # --- requests

    async def options(self, _request: web.Request) -> web.Response:
        """The limits of uploads; their presence says that uploads can be resumed."""
        limits = UploadLimits(max_size=self._profile.max_body, max_age=int(self._profile.upload_lifetime))
        return web.Response(status=204, headers={"Upload-Limit": str(limits)})

    @staticmethod
    def is_asked_for(request: web.Request) -> bool:
        """Whether the upload of a page is to be resumable."""
        return _field_boolean(request, "Upload-Complete") is not None

    @staticmethod
    def is_possible(request: web.Request) -> bool:
        """Whether the upload of a page is to be resumable, and there is anything to resume."""
        is_complete = _field_boolean(request, "Upload-Complete")
        return is_complete is False or (is_complete is True and request.body_exists and request.content_length != 0)

    async def create(self, context: RequestContext) -> web.Response:
        """Takes the upload of a page, in such a way that it can be resumed if it breaks off."""
        request = context.request
        completes = _field_boolean(request, "Upload-Complete") is True
        self._check_size(_field_number(request, "Upload-Length") or 0)
        lengths = _read_lengths(request, 0, completes=completes)
        self._check_size(lengths.whole or lengths.content or 0)
        reading = parse_reading_header(request.headers.get("Reading", ""))
        self._pipeline.admit(context)
        sent = Representation(
            length=lengths.whole or 0,
            reading=reading.text,
            digest=", ".join(request.headers.getall("Repr-Digest", ())),
        )
        upload = await self._uploads.create(context.key[:3], sent)
        place = f"{request.scheme}://{request.host}/v1/uploads/{upload.id}"
        with self._holding(context, upload) as holder:
            self._announce(context, {"Location": place, "Upload-Limit": str(self._limits(upload))})
            response = await self._receive(holder, upload, completes=completes)
        if not completes:
            response.set_status(201)
            response.headers["Location"] = place
        return response

    async def head(self, request: web.Request) -> web.Response:
        """How far an upload has come, also while the page that it has become is being processed."""
        upload = await self._found(request, waits=False)
        headers = {
            "Upload-Offset": str(await self._uploads.keep_bytes(upload)),
            "Upload-Complete": format_boolean(upload.is_complete),
            "Upload-Limit": str(self._limits(upload)),
            "Cache-Control": "no-store",
        }
        if upload.length:
            headers["Upload-Length"] = str(upload.length)
        return web.Response(status=204, headers=headers)

    async def patch(self, request: web.Request) -> web.Response:
        """Appends bytes to an upload, at its offset; a complete one answers again as it did."""
        # first: who may not know of an upload learns nothing else of it
        upload, context = await self._found(request, waits=True), request[REQUEST_CONTEXT]
        if request.content_type != PARTIAL_UPLOAD:
            raise Problem(415, f"Send {PARTIAL_UPLOAD}", headers={"Accept-Patch": PARTIAL_UPLOAD})
        completes = _field_boolean(request, "Upload-Complete")
        offset = _field_number(request, "Upload-Offset")
        if completes is None or offset is None:
            raise Problem(400, "Send Upload-Offset and Upload-Complete", headers=dict(_INCOMPLETE))
        if not upload.continues_at(offset):
            raise _mismatching_offset(upload.reported_offset, offset)
        if upload.is_complete:
            return await self._answer_again(request, upload)
        with self._holding(context, upload) as holder:
            await self._check_lengths(request, upload, completes=completes)
            try:
                self._pipeline.admit(context)
            except Problem as problem:
                problem.headers.update(_INCOMPLETE)
                raise
            return await self._receive(holder, upload, completes=completes)

    async def delete(self, request: web.Request) -> web.Response:
        """Cancels an upload: its bytes are removed, and it is gone."""
        await self._uploads.remove(await self._found(request, waits=True))
        return web.Response(status=204)

    # --- which upload, and who may write to it

    async def _found(self, request: web.Request, *, waits: bool) -> ResumableUpload:
        """The upload that a request is about, after its faults have acted, once no other request writes to it.

        One that still receives is ended: its client sends this one instead. Unless it `waits`, the request leaves alone
        what is only being processed. Nothing is awaited after the last check.
        """
        station = self._authenticator.station_of(request.headers.get("Authorization"))
        context, upload_id = request[REQUEST_CONTEXT], request.match_info["id"]
        upload = await self._find(upload_id)
        if upload.station != station:
            raise Problem(403, "The upload belongs to another station")
        await context.begin("upload", upload.station, upload.form, upload.page)
        while True:
            upload = await self._find(
                upload_id
            )  # again: while it was held it may have become a page, or been cancelled
            holder = self._holders.get(upload_id)
            if holder is None or not (waits or holder.is_receiving):
                break
            if holder.is_receiving:
                holder.interrupt()
            gone = set() if context.connection is None else {context.connection.lost}
            await asyncio.wait({holder.released, *gone}, return_when=asyncio.FIRST_COMPLETED)
            if context.is_disconnected:
                raise ConnectionEnded
        if not upload.is_stored and upload_id not in self._holders:
            context.hit_upload(upload)
        return upload

    async def _find(self, upload_id: str) -> ResumableUpload:
        try:
            return await self._uploads.find(upload_id)
        except UploadNotFoundError as error:
            raise Problem(404, "No such upload") from error
        except UploadExpiredError as error:
            raise Problem(410, "The upload has expired, or was cancelled") from error

    @contextmanager
    def _holding(self, context: RequestContext, upload: ResumableUpload) -> Iterator[_Holder]:
        holder = self._holders[upload.id] = _Holder(context)
        upload.is_locked = True
        try:
            yield holder
        finally:
            upload.is_locked = False
            del self._holders[upload.id]
            holder.released.set_result(None)

    # --- the bytes

    async def _receive(self, holder: _Holder, upload: ResumableUpload, *, completes: bool) -> web.Response:
        """Appends the body, and stores the page if it is whole; what has come of it is kept if it breaks off."""
        return await self._pipeline.within_timeout(self._append(holder, upload, completes=completes))

    async def _append(self, holder: _Holder, upload: ResumableUpload, *, completes: bool) -> web.Response:
        context, reported = holder.context, upload.offset
        async for chunk in body.chunks(context, self._profile):
            await self._check_room(upload, len(chunk))
            await self._uploads.append(upload, chunk)
            if upload.offset - reported >= PROGRESS_BYTES:
                reported = await self._uploads.keep_bytes(upload)
                self._announce(context, {"Upload-Offset": str(reported)})
        if not completes:
            offset = await self._uploads.keep_bytes(upload)
            headers = {**_INCOMPLETE, "Upload-Offset": str(offset), "Upload-Limit": str(self._limits(upload))}
            return web.Response(status=204, headers=headers)
        if upload.length not in {0, upload.offset}:
            raise _inconsistent_length()
        if not upload.length:
            await self._uploads.set_length(upload, upload.offset)
        holder.is_receiving = False
        return await self._finish(context, upload)

    async def _finish(self, context: RequestContext, upload: ResumableUpload) -> web.Response:
        """Stores the page that the bytes are, and answers as its own resource would.

        If it is refused for now (overload), the upload stays as it is, and an empty append tries again.
        """
        try:
            reading = parse_reading(upload.reading.encode("utf-8", "surrogateescape"))
            content = await asyncio.to_thread(read_file, upload.path, reading, keep=self._profile.keep_photos)
            check_digest(upload.digest, content)
            response = await self._pipeline.process(context, content, upload.id)
        except Problem as problem:
            is_fatal = problem.status in FATAL_STATUSES
            problem.headers.update(COMPLETE if is_fatal else _INCOMPLETE)
            if is_fatal:
                await self._uploads.remove(upload)
            raise
        upload.is_stored = True
        await self._uploads.forget_bytes(upload)
        response.headers.update(COMPLETE | {"Upload-Offset": str(upload.length)})
        return response

    async def _answer_again(self, request: web.Request, upload: ResumableUpload) -> web.Response:
        if request.content_length != 0:
            raise _inconsistent_length()
        headers = COMPLETE | {"Upload-Offset": str(upload.reported_offset)}
        return json_response(await self._uploads.receipt_of(upload), headers=headers)

    def _announce(self, context: RequestContext, headers: dict[str, str]) -> None:
        """Sends an interim response, to a client that speaks the same iteration of the draft."""
        version = _field_number(context.request, "Upload-Draft-Interop-Version")
        if context.connection is None or version != INTEROP_VERSION:
            return
        headers = {"Upload-Draft-Interop-Version": str(INTEROP_VERSION), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {UPLOAD_RESUMPTION_SUPPORTED} Upload Resumption Supported\r\n{lines}\r\n"
        with suppress(ConnectionError):
            context.connection.write_interim(head.encode("latin-1"))

    # --- limits

    def _limits(self, upload: ResumableUpload) -> UploadLimits:
        return UploadLimits(max_size=self._profile.max_body, max_age=self._uploads.remaining_s(upload))

    def _check_size(self, size: int) -> None:
        if size > self._profile.max_body:
            headers = {**_CLOSE, "Upload-Limit": str(UploadLimits(max_size=self._profile.max_body))}
            raise Problem(413, f"At most {self._profile.max_body} bytes", headers=headers)

    async def _check_lengths(self, request: web.Request, upload: ResumableUpload, *, completes: bool) -> None:
        """Raises Problem 400 if an append contradicts the length of the upload, and records one that was not known.

        An upload that would become longer than it may is given up.
        """
        lengths = _read_lengths(request, upload.offset, completes=completes)
        if upload.length and upload.offset + (lengths.content or 0) > upload.length:
            await self._uploads.remove(upload)
            raise _inconsistent_length()
        if lengths.whole is not None and upload.length not in {0, lengths.whole}:
            raise _inconsistent_length()
        self._check_size(lengths.whole or 0)
        if lengths.whole and not upload.length:
            await self._uploads.set_length(upload, lengths.whole)

    async def _check_room(self, upload: ResumableUpload, size: int) -> None:
        """Raises Problem for a piece that doesn't fit: a chunked body announces no length. The upload is given up."""
        end = upload.offset + size
        if end <= (upload.length or self._profile.max_body):
            return
        await self._uploads.remove(upload)
        if not upload.length:
            self._check_size(end)
        raise _inconsistent_length()


def _field_boolean(request: web.Request, name: str) -> bool | None:
    return parse_boolean(request.headers.getall(name, ()))


def _field_number(request: web.Request, name: str) -> int | None:
    return parse_whole_number(request.headers.getall(name, ()))


def _read_lengths(request: web.Request, offset: int, *, completes: bool) -> _Lengths:
    """What a request says of lengths. Raises Problem 400 if it contradicts itself."""
    content, declared = request.content_length, _field_number(request, "Upload-Length")
    if completes and content is not None:
        whole = offset + content
        if declared not in {None, whole}:
            raise _inconsistent_length()
        return _Lengths(content, whole)
    if declared is not None and content is not None and offset + content > declared:
        raise _inconsistent_length()
    return _Lengths(content, declared)


def _mismatching_offset(expected: int, provided: int) -> Problem:
    headers = {**_INCOMPLETE, "Upload-Offset": str(expected)}
    members = {"expected-offset": expected, "provided-offset": provided}
    return Problem(
        409, "The offset of the request is not that of the upload", headers=headers,
        type=f"{_PROBLEM_TYPES}#mismatching-upload-offset", title="Mismatching Upload Offset", **members,
    )  # fmt: skip


def _inconsistent_length() -> Problem:
    return Problem(
        400, "The request contradicts the length of the upload", headers={**_INCOMPLETE, **_CLOSE},
        type=f"{_PROBLEM_TYPES}#inconsistent-upload-length", title="Inconsistent Upload Length Values",
    )  # fmt: skip
