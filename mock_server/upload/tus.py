"""Resumable uploads: tus 1.0.0 with creation, creation-with-upload, expiration, checksum and termination."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from aiohttp import web

from mock_server.http.auth import Authenticator
from mock_server.http.forms import page_number
from mock_server.http.middleware import REQUEST_CONTEXT
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem
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
from mock_server.upload.photo import read_file
from mock_server.upload.pipeline import UploadPipeline
from mock_server.upload.readings import parse_reading

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
ALGORITHMS = ("sha1", "sha256")
_MEDIA_TYPE = "application/offset+octet-stream"


class TusHandlers:
    """The handlers under /v1/files."""

    def __init__(
        self, profile: Profile, authenticator: Authenticator, pipeline: UploadPipeline, uploads: ResumableStore
    ) -> None:
        self._profile = profile
        self._authenticator = authenticator
        self._pipeline = pipeline
        self._uploads = uploads
        self._by_method: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "HEAD": self.head,
            "PATCH": self.patch,
            "DELETE": self.delete,
        }

    async def options(self, _request: web.Request) -> web.Response:
        """The version, extensions and limits of this server."""
        headers = {
            "Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(self._profile.max_body),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }  # fmt: skip
        return _response(204, headers)

    async def create(self, request: web.Request) -> web.Response:
        """Creates an upload; its first bytes may be in the body (creation-with-upload)."""
        _check_version(request)
        context = request[REQUEST_CONTEXT]
        length = _whole_number(request, "Upload-Length")
        if length == 0:  # tus allows it, but there is no photo without bytes
            raise Problem(400, "An empty upload is not a photo")
        if length > self._profile.max_body:
            raise Problem(413, f"At most {self._profile.max_body} bytes", headers={"Connection": "close"})
        header = request.headers.get("Upload-Metadata", "")
        metadata = parse_metadata(header)
        station, form = metadata.get("station", ""), metadata.get("form", "")
        page = page_number(metadata.get("page", ""))
        reading = parse_reading(metadata.get("reading", "").encode("utf-8", "surrogateescape")).text
        await context.begin("upload", station, form, page)
        self._authenticator.authorise(request.headers.get("Authorization"), station)
        context.pages.check_page(form, page)
        self._pipeline.admit(context)
        sent = Representation(length=length, reading=reading, metadata=header)
        upload = await self._uploads.create((station, form, page), sent)
        # An absolute URL, though RFC 9110 (10.2.2) allows a path: some clients do not resolve one.
        place = f"{request.scheme}://{request.host}/v1/files/{upload.id}"
        headers = {"Location": place, "Upload-Expires": _http_date(upload)}
        if request.content_type == _MEDIA_TYPE and request.body_exists:
            headers.update(await self._receive(context, upload))
        return _response(201, headers)

    async def overridden(self, request: web.Request) -> web.StreamResponse:
        """A POST that stands for the method in X-HTTP-Method-Override, for clients that cannot send that one."""
        handler = self._by_method.get(request.headers.get("X-HTTP-Method-Override", "").upper())
        if handler is None:
            raise Problem(405, headers={"Allow": "HEAD, PATCH, DELETE"})
        return await handler(request)

    async def head(self, request: web.Request) -> web.Response:
        """The offset of an upload."""
        upload = await self._found(request, "upload")
        offset = await self._uploads.keep_bytes(upload)
        headers = {
            "Upload-Offset": str(offset), "Upload-Length": str(upload.length),
            "Cache-Control": "no-store", "Upload-Expires": _http_date(upload),
        }  # fmt: skip
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return _response(200, headers)

    async def patch(self, request: web.Request) -> web.Response:
        """Appends bytes to an upload, at its offset."""
        _check_version(request)
        if request.content_type != _MEDIA_TYPE:
            raise Problem(415, f"Send {_MEDIA_TYPE}")
        offset = _whole_number(request, "Upload-Offset")
        upload = await self._found(request, "upload")
        if not upload.continues_at(offset):
            raise Problem(
                409,
                "Upload-Offset is not the offset of the upload",
                headers={"Upload-Offset": str(upload.reported_offset)},
            )
        headers = {"Upload-Expires": _http_date(upload)}
        if upload.is_complete:
            return _response(204, {**headers, "Upload-Offset": str(upload.length)})
        context = request[REQUEST_CONTEXT]
        self._pipeline.admit(context)
        return _response(204, {**headers, **await self._receive(context, upload)})

    async def delete(self, request: web.Request) -> web.Response:
        """Removes an upload (termination)."""
        upload = await self._found(request, "upload")
        await self._uploads.remove(upload)
        return _response(204, {})

    async def _found(self, request: web.Request, phase: str) -> ResumableUpload:
        """The upload that a request is about, after its faults have acted.

        A fault may have held the request: meanwhile the upload can have been removed, or locked. Therefore it is
        checked last, and nothing is awaited after that. A locked upload is left alone, by faults too: if one truncated
        it, the request that holds it would append at the wrong place.
        """
        _check_version(request)
        station = self._authenticator.station_of(request.headers.get("Authorization"))
        upload = await self._find(request.match_info["id"])
        if upload.station != station:
            raise Problem(403, "The upload belongs to another station")
        context = request[REQUEST_CONTEXT]
        await context.begin(phase, upload.station, upload.form, upload.page)
        refused = upload.refusal()
        if refused is not None:
            raise Problem(*refused)
        if not upload.is_stored:  # a page that is stored is not resumable any more
            context.hit_upload(upload)
        return upload

    async def _find(self, upload_id: str) -> ResumableUpload:
        try:
            return await self._uploads.find(upload_id)
        except UploadNotFoundError as error:
            raise Problem(404, "No such upload") from error
        except UploadExpiredError as error:
            raise Problem(410, "The upload has expired") from error

    async def _receive(self, context: RequestContext, upload: ResumableUpload) -> dict[str, str]:
        """Appends the body; the headers of the response."""
        algorithm, claimed = _checksum(context.request)
        # Nothing is awaited between the check in `_found` and here, so two requests cannot both get the lock.
        upload.is_locked = True
        before = upload.offset
        try:
            return await self._pipeline.within_timeout(self._append(context, upload, algorithm, claimed, before))
        finally:
            upload.is_locked = False

    async def _append(
        self, context: RequestContext, upload: ResumableUpload, algorithm: str, claimed: bytes, before: int
    ) -> dict[str, str]:
        if algorithm:
            await self._append_checked(context, upload, algorithm, claimed)
        else:
            async for chunk in body.chunks(context, self._profile):
                _check_room(upload, len(chunk))
                await self._uploads.append(upload, chunk)
        if upload.offset == upload.length:
            return await self._finish(context, upload, before)
        return {"Upload-Offset": str(await self._uploads.keep_bytes(upload))}

    async def _append_checked(
        self, context: RequestContext, upload: ResumableUpload, algorithm: str, claimed: bytes
    ) -> None:
        """Appends the body once its checksum is verified; raises Problem 460."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in body.chunks(context, self._profile):
            size += len(chunk)
            _check_room(upload, size)
            pieces.append(chunk)
        data = b"".join(pieces)
        if await asyncio.to_thread(_chunk_checksum, algorithm, data) != claimed:
            raise Problem(460, "The checksum does not match; nothing of this request was kept")
        await self._uploads.append(upload, data)

    async def _finish(self, context: RequestContext, upload: ResumableUpload, before: int) -> dict[str, str]:
        """Stores the page that the bytes are; the headers of the response.

        If it is refused for now, the upload goes back to its offset before this request: an offset equal to the length
        would tell the client that the page is stored.
        """
        try:
            reading = parse_reading(upload.reading.encode("utf-8", "surrogateescape"))
            content = await asyncio.to_thread(read_file, upload.path, reading, keep=self._profile.keep_photos)
            response = await self._pipeline.process(context, content, upload.id)
        except Problem as problem:
            if problem.status in FATAL_STATUSES:
                await self._uploads.remove(upload)
            raise
        else:
            upload.is_stored = True
            await self._uploads.forget_bytes(upload)
        finally:
            if not (upload.is_stored or upload.is_expired):
                upload.take_back(before)
        return {"Upload-Offset": str(upload.length), "Server-Timing": response.headers["Server-Timing"]}


def _chunk_checksum(algorithm: str, data: bytes) -> bytes:
    """The digest of a chunk by one of `ALGORITHMS`; blocks, so call it in a thread.

    >>> _chunk_checksum("sha1", b"").hex()[:8]
    'da39a3ee'
    """
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()


def parse_metadata(header: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header. Raises Problem 400.

    >>> parse_metadata("form cHB3cA==, empty")
    {'form': 'ppwp', 'empty': ''}
    """
    found: dict[str, str] = {}
    if not header.isascii():
        raise Problem(400, "Upload-Metadata must be ASCII")
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError as error:  # from base64, UTF-8 or ASCII
            raise Problem(400, "Malformed Upload-Metadata") from error
    return found


async def add_version_header(request: web.Request, response: web.StreamResponse) -> None:
    """Adds Tus-Resumable to every response under /v1/files, errors included; a hook of the application."""
    if request.path.startswith("/v1/files"):
        response.headers["Tus-Resumable"] = VERSION


def _response(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers=headers)


def _check_version(request: web.Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Problem(412, "Another version of tus is required", headers={"Tus-Version": VERSION})


def _whole_number(request: web.Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem(400, f"{name} must be a whole number")
    return int(text)


def _check_room(upload: ResumableUpload, size: int) -> None:
    if upload.offset + size > upload.length:  # checked per piece: a chunked body announces no length
        raise Problem(413, "More bytes than Upload-Length", headers={"Connection": "close"})


def _checksum(request: web.Request) -> tuple[str, bytes]:
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return "", b""
    algorithm, _, text = header.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Problem(400, f"Upload-Checksum takes {', '.join(ALGORITHMS)}")
    try:
        return algorithm, base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Problem(400, "Malformed Upload-Checksum") from error


def _http_date(upload: ResumableUpload) -> str:
    return formatdate(upload.expires_at, usegmt=True)
