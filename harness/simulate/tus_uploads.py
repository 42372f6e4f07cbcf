"""Uploads by tus at the simulated server: what mock_server/upload/tus.py does with them, without bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.scenario.scenario import Scenario
from harness.simulate.request import SimulatedRequest
from harness.simulate.response import SimulatedResponse
from harness.simulate.upload_work import UploadWork, authorise
from mock_server.faults.faulted_request import Refusal
from mock_server.profile.upload_progress import FATAL_STATUSES, UploadProgress

if TYPE_CHECKING:
    from harness.simulate.server import SimulatedServer


@dataclass(slots=True, kw_only=True, eq=False)
class SimulatedTusUpload(UploadProgress):
    """An upload in progress, without bytes."""

    page: int
    """The page's row in the plan."""
    expires_s: float


class TusUploads:
    """All uploads by number, from 1; they survive a crash, as files and rows do."""

    def __init__(self, server: SimulatedServer, scenario: Scenario, work: UploadWork) -> None:
        self._server = server
        self._clock = server.clock
        self._work = work
        self._profile = scenario.server
        self._checks_chunks = scenario.client.tus is not None and scenario.client.tus.checksum != "none"
        self._uploads: list[SimulatedTusUpload] = []

    def recover(self) -> None:
        """The server has restarted."""
        for upload in self._uploads:
            upload.recover()

    # --- requests: all of them raise Refusal, ConnectionEnded or ProcessKilled

    async def create(self, request: SimulatedRequest) -> SimulatedResponse:
        """Create an upload; its first bytes may be in the body."""
        if self._server.faults.has("request"):
            await request.meet_faults()
        authorise(request)
        self._work.check_load(request)
        now_s, page = self._clock.now_s, request.page
        await request.sleep_until(now_s + self._work.costs.commit_s(request.key))
        expires_s = self._clock.now_s + self._profile.upload_lifetime
        upload = SimulatedTusUpload(page=page, length=self._work.sizes[page], expires_s=expires_s)
        self._uploads.append(upload)
        response = SimulatedResponse(201, upload=len(self._uploads))
        if request.body_bytes:
            received = await self._receive(request, upload)
            return response._replace(offset=received.offset, queue_s=received.queue_s, server_s=received.server_s)
        return response

    async def query(self, request: SimulatedRequest) -> SimulatedResponse:
        """The offset of an upload."""
        return SimulatedResponse(200, offset=(await self._find(request)).reported_offset)

    async def resume(self, request: SimulatedRequest) -> SimulatedResponse:
        """Append bytes to an upload, at its offset."""
        upload = await self._find(request)
        if not upload.continues_at(request.offset):
            raise Refusal(409, "Upload-Offset is not the offset of the upload")
        if upload.is_complete:
            return SimulatedResponse(204, offset=upload.length)
        self._work.check_load(request)
        return await self._receive(request, upload)

    async def _find(self, request: SimulatedRequest) -> SimulatedTusUpload:
        """The upload that a request is about, after its faults have acted."""
        authorise(request)
        if self._server.faults.has("request"):
            await request.meet_faults()
        upload = self._uploads[request.upload - 1]
        if self._clock.now_s >= upload.expires_s and not upload.is_locked:
            upload.expire()
        refused = upload.refusal()
        if refused is not None:
            raise Refusal(*refused)
        if not upload.is_stored:  # a page that is stored is not resumable any more
            request.hit_upload(upload)
        return upload

    async def _receive(self, request: SimulatedRequest, upload: SimulatedTusUpload) -> SimulatedResponse:
        """Append the body; what has come of it is kept if it breaks off, unless the chunk has a checksum."""
        before, upload.is_locked = upload.offset, True
        try:
            try:
                await request.read_body(self._profile.body_timeout)
            finally:
                whole = request.read_bytes == request.body_bytes
                upload.offset = before + (request.arrived_bytes if whole or not self._checks_chunks else 0)
            if upload.offset < upload.length:
                return SimulatedResponse(204, offset=upload.offset)
            return await self._finish(request, upload, before)
        finally:
            upload.is_locked = False

    async def _finish(self, request: SimulatedRequest, upload: SimulatedTusUpload, before: int) -> SimulatedResponse:
        """Store the page that the bytes are; if it is refused for now, the upload goes back to its offset before."""
        try:
            response = await self._work.process(request, resumable=True)
            upload.is_stored = True
        except Refusal as refusal:
            upload.is_expired = refusal.status in FATAL_STATUSES
            raise
        finally:
            if not upload.is_stored:
                upload.take_back(before)
        return response._replace(status=204, offset=upload.length)
