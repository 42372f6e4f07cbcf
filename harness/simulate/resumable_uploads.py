"""Resumable uploads over HTTP at the simulated server: what mock_server/upload/resumable.py does with them, without bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.base.model import Outcome
from harness.scenario.scenario import Scenario
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import SimulatedResponse, refuse
from harness.simulate.upload_work import UploadWork, authorise
from mock_server.faults.faulted_request import ConnectionEnded, Refusal
from mock_server.profile.upload_progress import FATAL_STATUSES, UploadProgress

if TYPE_CHECKING:
    from harness.simulate.server import SimulatedServer


@dataclass(slots=True, kw_only=True, eq=False)
class SimulatedUpload(UploadProgress):
    """An upload in progress, without bytes."""

    page: int
    """The page's row in the plan."""
    expires_s: float
    holder: SimulatedRequest | None = None
    """The request that now writes to it."""
    is_receiving: bool = False
    """Whether bytes of that request are still coming; else the page that they are is being processed."""
    waiting: dict[Callable[[], None], None] = field(default_factory=dict)
    """What wakes those who wait until nobody holds it."""


class ResumableUploads:
    """All uploads by number, from 1; they survive a crash, as files and rows do."""

    def __init__(self, server: SimulatedServer, scenario: Scenario, work: UploadWork) -> None:
        self._server = server
        self._clock = server.clock
        self._work = work
        self._profile = scenario.server
        self._uploads: list[SimulatedUpload] = []

    def recover(self) -> None:
        """The server has restarted."""
        for upload in self._uploads:
            upload.recover()
            upload.holder = None
            upload.waiting.clear()

    # --- requests: all of them raise Refusal, ConnectionEnded or ProcessKilled

    async def create(self, request: SimulatedRequest) -> SimulatedResponse:
        """Take a page in such a way that it can be resumed; its first bytes, or all of them, may be in the body."""
        if self._server.faults.has("request"):
            await request.meet_faults()
        authorise(request)
        self._work.check_load(request)
        page = request.page
        await request.sleep_until(self._clock.now_s + self._work.costs.commit_s(request.key))
        expires_s = self._clock.now_s + self._profile.upload_lifetime
        upload = SimulatedUpload(
            page=page, length=self._work.sizes[page], expires_s=expires_s, acknowledges_by_offset=False
        )
        self._uploads.append(upload)
        number = len(self._uploads)
        with _held(upload, request):
            request.announce(number)
            response = await self._receive(request, upload)
        return response if response.is_complete else response._replace(status=201, upload=number)

    async def query(self, request: SimulatedRequest) -> SimulatedResponse:
        """The offset of an upload, also while the page that it has become is being processed."""
        upload = await self._find(request, waits=False)
        return SimulatedResponse(204, offset=upload.reported_offset, is_complete=upload.is_complete)

    async def resume(self, request: SimulatedRequest) -> SimulatedResponse:
        """Append bytes to an upload, at its offset; a complete one answers again as it did."""
        upload = await self._find(request, waits=True)
        if not upload.continues_at(request.offset):
            return SimulatedResponse(409, offset=upload.reported_offset, is_complete=False)
        if upload.is_complete:
            return SimulatedResponse(200, is_complete=True)
        with _held(upload, request):
            self._work.check_load(request)
            return await self._receive(request, upload)

    async def _find(self, request: SimulatedRequest, *, waits: bool) -> SimulatedUpload:
        """The upload that a request is about, after its faults have acted, once no other request writes to it.

        One that still receives is ended; unless it `waits`, the request leaves alone what is only being processed.
        """
        authorise(request)
        upload = self._uploads[request.upload - 1]
        if self._server.faults.has("request"):
            await request.meet_faults()
        while upload.holder is not None and (waits or upload.is_receiving):
            if upload.is_receiving:
                upload.holder.break_off(Outcome.RESET)
            await request.wait_in(upload.waiting)
            if request.is_disconnected:
                raise ConnectionEnded
        if self._clock.now_s >= upload.expires_s and not upload.is_locked:
            upload.expire()
        if upload.is_expired:
            raise Refusal(410, "The upload has expired, or was cancelled")
        if not upload.is_stored and upload.holder is None:
            request.hit_upload(upload)
        return upload

    async def _receive(self, request: SimulatedRequest, upload: SimulatedUpload) -> SimulatedResponse:
        """Append the body; what has come of it is kept if it breaks off."""
        before = upload.offset
        try:
            await request.read_body(self._profile.body_timeout)
        finally:
            upload.offset = before + request.arrived_bytes
        if not request.completes:
            return SimulatedResponse(204, offset=upload.offset, is_complete=False)
        upload.is_receiving = False
        return await self._finish(request, upload)

    async def _finish(self, request: SimulatedRequest, upload: SimulatedUpload) -> SimulatedResponse:
        """Store the page that the bytes are; if it is refused for now, the upload stays as it is."""
        try:
            response = await self._work.process(request, resumable=True)
        except Refusal as refusal:
            upload.is_expired = refusal.status in FATAL_STATUSES
            return refuse(refusal.status, refusal.retry_after_s)._replace(is_complete=upload.is_expired)
        upload.is_stored = True
        return response._replace(is_complete=True)


@contextmanager
def _held(upload: SimulatedUpload, request: SimulatedRequest) -> Iterator[None]:
    """Let the request be the one that writes to the upload."""
    upload.holder, upload.is_locked, upload.is_receiving = request, True, True
    try:
        yield
    finally:
        if upload.holder is request:  # not after a crash, of which this request is a victim
            upload.holder, upload.is_locked, upload.is_receiving = None, False, False
        for wake in tuple(upload.waiting):
            wake()
