"""Resumable uploads: tus 1.0.0 with creation, creation-with-upload, expiration, checksum and termination."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from aiohttp import web

from mock_server.http.auth import Authenticator
from mock_server.http.middleware import REQUEST_CONTEXT
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem
from mock_server.profile.profile import Profile
from mock_server.storage.resumable import ResumableUpload, chunk_checksum
from mock_server.storage.resumable_store import ResumableStore
from mock_server.upload import body
from mock_server.upload.forms import check_page, page_number
from mock_server.upload.pipeline import UploadPipeline
from mock_server.upload.readings import parse_reading

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
ALGORITHMS = ("sha1", "sha256")
_MEDIA_TYPE = "application/offset+octet-stream"
_FATAL_STATUSES = {400, 409, 422}


class TusHandlers:
    """The handlers under /v1/files."""

    def __init__(
        self, profile: Profile, accounts: Authenticator, intake: UploadPipeline, uploads: ResumableStore
    ) -> None:
        self._profile = profile
        self._accounts = accounts
        self._intake = intake
        self._uploads = uploads
        self._by_method: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "HEAD": self.head,
            "PATCH": self.patch,
            "DELETE": self.delete,
        }

    async def options(self, _request: web.Request) -> web.Response:
        """What this server speaks."""
        headers = {
            "Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(self._profile.max_body),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }  # fmt: skip
        return _response(204, headers)

    async def create(self, request: web.Request) -> web.Response:
        """A new upload; its first bytes may come along."""
        _check_version(request)
        exchange = request[REQUEST_CONTEXT]
        length = _whole_number(request, "Upload-Length")
        if length == 0:
            raise Problem(400, "An empty upload is no photo")
        if length > self._profile.max_body:
            raise Problem(413, f"At most {self._profile.max_body} bytes", headers={"Connection": "close"})
        header = request.headers.get("Upload-Metadata", "")
        metadata = parse_metadata(header)
        station, form = metadata.get("station", ""), metadata.get("form", "")
        page = page_number(metadata.get("page", ""))
        reading = parse_reading(metadata.get("reading", "").encode("utf-8", "surrogateescape")).text
        await exchange.begin("upload", station, form, page)
        self._accounts.authorise(request.headers.get("Authorization"), station)
        check_page(form, page)
        self._intake.admit(exchange)
        upload = await self._uploads.create((station, form, page), reading, length, header)
        # Absolute, though a path would do: there are clients that do not resolve one.
        place = f"{request.scheme}://{request.host}/v1/files/{upload.id}"
        headers = {"Location": place, "Upload-Expires": _http_date(upload)}
        if request.content_type == _MEDIA_TYPE and request.body_exists:
            headers.update(await self._receive(exchange, upload))
        return _response(201, headers)

    async def overridden(self, request: web.Request) -> web.StreamResponse:
        """A POST that says in X-HTTP-Method-Override what it would be if its client were free to choose."""
        handler = self._by_method.get(request.headers.get("X-HTTP-Method-Override", "").upper())
        if handler is None:
            raise Problem(405, headers={"Allow": "HEAD, PATCH, DELETE"})
        return await handler(request)

    async def head(self, request: web.Request) -> web.Response:
        """How far an upload is."""
        upload = await self._found(request, "upload")
        headers = {
            "Upload-Offset": str(upload.told_offset), "Upload-Length": str(upload.length),
            "Cache-Control": "no-store", "Upload-Expires": _http_date(upload),
        }  # fmt: skip
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return _response(200, headers)

    async def patch(self, request: web.Request) -> web.Response:
        """More bytes of an upload, from where it stands."""
        _check_version(request)
        if request.content_type != _MEDIA_TYPE:
            raise Problem(415, f"Send {_MEDIA_TYPE}")
        offset = _whole_number(request, "Upload-Offset")
        upload = await self._found(request, "upload")
        if offset != upload.told_offset and not upload.is_pretended:
            raise Problem(409, "The upload stands elsewhere", headers={"Upload-Offset": str(upload.told_offset)})
        headers = {"Upload-Expires": _http_date(upload)}
        if upload.told_offset == upload.length:
            return _response(204, {**headers, "Upload-Offset": str(upload.length)})
        exchange = request[REQUEST_CONTEXT]
        self._intake.admit(exchange)
        return _response(204, {**headers, **await self._receive(exchange, upload)})

    async def delete(self, request: web.Request) -> web.Response:
        """Gives an upload up."""
        upload = await self._found(request, "upload")
        await self._uploads.remove(upload)
        return _response(204, {})

    async def _found(self, request: web.Request, phase: str) -> ResumableUpload:
        """The upload that a request is about, once its faults have struck; nothing is awaited after the last look.

        A fault may have held the request: meanwhile the upload can have been given up, or be in use. What is in use
        is left alone, by faults too: one that cut it down would have the running request append at a wrong place.
        """
        _check_version(request)
        station = self._accounts.station_of(request.headers.get("Authorization"))
        upload = await self._uploads.find(request.match_info["id"])
        if upload.station != station:
            raise Problem(403, "The upload is another station's")
        exchange = request[REQUEST_CONTEXT]
        await exchange.begin(phase, upload.station, upload.form, upload.page)
        if upload.is_locked:
            raise Problem(423, "The upload is in use by another request")
        if upload.is_expired:
            raise Problem(410, "The upload is gone")
        if not upload.receipt:
            exchange.strike_upload(upload)
        return upload

    async def _receive(self, exchange: RequestContext, upload: ResumableUpload) -> dict[str, str]:
        """Takes the body in; headers that tell how it went."""
        algorithm, claimed = _checksum(exchange.request)
        upload.is_locked = True
        before = upload.offset
        try:
            return await self._intake.in_time(self._append(exchange, upload, algorithm, claimed, before))
        finally:
            upload.is_locked = False

    async def _append(
        self, exchange: RequestContext, upload: ResumableUpload, algorithm: str, claimed: bytes, before: int
    ) -> dict[str, str]:
        if algorithm:
            await self._append_checked(exchange, upload, algorithm, claimed)
        else:
            async for chunk in body.chunks(exchange, self._profile):
                _check_room(upload, len(chunk))
                await _append_chunk(upload, chunk)
        if upload.offset == upload.length:
            return await self._finish(exchange, upload, before)
        return {"Upload-Offset": str(upload.offset)}

    async def _append_checked(
        self, exchange: RequestContext, upload: ResumableUpload, algorithm: str, claimed: bytes
    ) -> None:
        """Keeps the bytes back until their checksum is seen to be right; raises Problem 460."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in body.chunks(exchange, self._profile):
            size += len(chunk)
            _check_room(upload, size)
            pieces.append(chunk)
        data = b"".join(pieces)
        if await asyncio.to_thread(chunk_checksum, algorithm, data) != claimed:
            raise Problem(460, "Nothing of this request was kept")
        await _append_chunk(upload, data)

    async def _finish(self, exchange: RequestContext, upload: ResumableUpload, before: int) -> dict[str, str]:
        """Makes the page of it; headers that tell how it went.

        If it is refused for now, the upload goes back to where this request found it: an offset equal to the length
        would tell the client that the page is safe.
        """
        try:
            content = await asyncio.to_thread(upload.upload, keep=self._profile.keep_photos)
            answer = await self._intake.finish(exchange, content, upload.id)
        except Problem as problem:
            if problem.status in _FATAL_STATUSES:
                await self._uploads.remove(upload)
            raise
        else:
            upload.receipt = "stored"
            await self._uploads.forget_bytes(upload)
        finally:
            if not (upload.receipt or upload.is_expired):
                upload.truncate(before)
        headers = {"Upload-Offset": str(upload.length)}
        return headers | {name: answer.headers[name] for name in ("Server-Timing",) if name in answer.headers}


async def _append_chunk(upload: ResumableUpload, data: bytes) -> None:
    """Adds bytes; a request that is cut short waits for that, or they would come after the next request's first."""
    writing = asyncio.ensure_future(asyncio.to_thread(upload.append, data))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await writing
        raise


def parse_metadata(header: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header. Raises Problem 400.

    >>> metadata_of("form cHB3cA==, empty")
    {'form': 'ppwp', 'empty': ''}
    """
    found: dict[str, str] = {}
    if not header.isascii():
        raise Problem(400, "Upload-Metadata is ASCII")
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError as error:  # of base64, of UTF-8, or of a byte that is not ASCII
            raise Problem(400, "Malformed Upload-Metadata") from error
    return found


async def add_version_header(request: web.Request, answer: web.StreamResponse) -> None:
    """Says the version in every answer under /v1/files, errors included; a hook of the application."""
    if request.path.startswith("/v1/files"):
        answer.headers["Tus-Resumable"] = VERSION


def _response(status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, headers=headers)


def _check_version(request: web.Request) -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Problem(412, "Another version of tus is needed", headers={"Tus-Version": VERSION})


def _whole_number(request: web.Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem(400, f"{name} should be a whole number")
    return int(text)


def _check_room(upload: ResumableUpload, size: int) -> None:
    if upload.offset + size > upload.length:
        raise Problem(413, "More bytes than Upload-Length", headers={"Connection": "close"})


def _checksum(request: web.Request) -> tuple[str, bytes]:
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return "", b""
    algorithm, _, text = header.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Problem(400, f"The checksum algorithms are {', '.join(ALGORITHMS)}")
    try:
        return algorithm, base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Problem(400, "Malformed Upload-Checksum") from error


def _http_date(upload: ResumableUpload) -> str:
    return formatdate(upload.expires_at, usegmt=True)
