"""The one path of an upload, whatever protocol it comes by: admission, body, queue, worker, store, receipt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

from aiohttp import web

from mock_server.faults.faulted_request import ConnectionEnded
from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem, json_response, retry_after_header
from mock_server.overload.admission import Admission
from mock_server.overload.service_time import ServiceTimes
from mock_server.overload.worker_pool import Job, JobEnd, WorkerPool
from mock_server.profile.keyed_random import keyed_uniform
from mock_server.profile_file import Profile
from mock_server.storage.store import Store
from mock_server.upload import body
from mock_server.upload.commit import PageCommitter, UploadTiming
from mock_server.upload.photo import PhotoSink, ReceivedUpload, check_digest

_SELECT_STORED = """
SELECT receipt, sent_sha256, size_bytes FROM pages WHERE station = ? AND form = ? AND page = ? ORDER BY id LIMIT 1
"""
_IN_PROGRESS = ("queued", "reading")
_MAX_REMEMBERED = 100_000
_log = logging.getLogger(__name__)

PageKey = tuple[str, str, int]
Result = TypeVar("Result")


class UploadBody(Protocol):
    """The body of an upload: a form, or the photo alone."""

    def feed(self, data: bytes | bytearray, start: int, end: int) -> None:
        """Takes the next piece: the bytes of `data` from `start` to `end`. Raises Problem for one that is malformed."""

    def upload(self) -> ReceivedUpload:
        """What has arrived, once the body is over. Raises Problem if it is not an upload."""


BeginBody = Callable[[PhotoSink], UploadBody]


class PendingUploads:
    """The status of each page's latest upload that was answered 202, the oldest forgotten first.

    Not kept over a restart: nothing of it is acknowledged before it is stored.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[PageKey, dict[str, object]] = OrderedDict()

    def set(self, page: PageKey, status: str, **members: object) -> None:
        """Sets a page's status: queued, reading, unreadable, conflict or refused."""
        self._states.pop(page, None)
        self._states[page] = {"status": status, **members}
        if len(self._states) > _MAX_REMEMBERED:
            self._states.popitem(last=False)

    def forget(self, page: PageKey) -> None:
        """Called when the page is stored: the store has its status from now on."""
        self._states.pop(page, None)

    def get(self, page: PageKey) -> dict[str, object] | None:
        """The status of a page, None if there is none."""
        return self._states.get(page)


class UploadPipeline:
    """Takes uploads from their first byte to their receipt."""

    def __init__(
        self, profile: Profile, pool: WorkerPool, store: Store, faults: FaultScheduler, metrics: ServerMetrics
    ) -> None:
        self._profile = profile
        self._pool = pool
        self._store = store
        self._faults = faults
        self._metrics = metrics
        self._committer = PageCommitter(store, metrics)
        self._admission = Admission(profile, pool)
        self._service_times = ServiceTimes(profile, profile.seed)
        self._pending = PendingUploads()
        self._tasks: set[asyncio.Task[web.Response]] = set()
        self.deletes = self._committer.deletes
        self.is_closing = False
        self.in_progress = 0
        """Uploads whose body has been read and whose response is not ready."""

    async def receive(self, context: RequestContext, begin_body: BeginBody) -> web.Response:
        """Reads an upload, processes it, stores it, and responds with its receipt.

        Raises Problem where the API says so.
        """
        body.check_length(context, self._profile.max_body)
        self.admit(context)
        return await self.within_timeout(self._receive(context, begin_body))

    async def _receive(self, context: RequestContext, begin_body: BeginBody) -> web.Response:
        content = begin_body(PhotoSink(keep=self._profile.keep_photos))
        await body.receive(context, self._profile, content.feed)
        return await self.process(context, content.upload())

    async def within_timeout(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`; raises Problem 503 if it takes longer than the profile's `handler_timeout`."""
        if self._profile.handler_timeout is None:
            return await work
        try:
            async with asyncio.timeout(self._profile.handler_timeout):
                return await work
        except TimeoutError as error:
            self._metrics.shed["handler_timeout"] += 1
            raise Problem(503, "The request took too long") from error

    def admit(self, context: RequestContext) -> None:
        """Raises Problem 503 if the upload is refused for overload, or because the server is stopping."""
        if self.is_closing:
            raise stopping_problem()
        self._check_load(context)

    def _check_load(self, context: RequestContext) -> None:
        reason = self._admission.refusal(self._client_timeout_s(context))
        if reason is not None:
            raise self._overloaded(context, reason)

    def _client_timeout_s(self, context: RequestContext) -> float | None:
        """The header Upload-Timeout, if the profile uses it and it is a positive number of seconds."""
        if self._profile.shed != "deadline":
            return None
        with contextlib.suppress(ValueError):
            seconds = float(context.request.headers.get("Upload-Timeout", "nan"))
            return seconds if 0 < seconds < 1e9 else None  # also excludes nan and inf, which float() accepts
        return None

    def _overloaded(self, context: RequestContext, reason: str) -> Problem:
        self._metrics.shed[reason] += 1
        draw = partial(keyed_uniform, self._profile.seed, "retry_after", *context.key[:4])
        return Problem(503, "Overloaded", headers=retry_after_header(self._admission.retry_after_s(draw)))

    async def process(self, context: RequestContext, upload: ReceivedUpload, upload_id: str = "") -> web.Response:
        """Processes an upload that has been read and stores it: 201, 200, or 202 where reading is asynchronous.

        A resumable upload (`upload_id`) is always waited for: its last offset acknowledges it, and its bytes are then
        deleted.
        """
        check_digest(", ".join(context.request.headers.getall("Repr-Digest", ())), upload)
        asynchronous = self._profile.reading == "asynchronous" and not upload_id
        if not self._is_readable(upload) and not asynchronous:
            raise Problem(422, "The photo is not a complete JPEG")
        self._check_load(context)  # again: others may have filled the queue while the body came
        if not asynchronous:
            response = await self._work_and_commit(context, upload, upload_id, waits=True)
            context.match("acknowledgement")
            return response
        page = context.key[:3]
        self._pending.set(page, "queued")
        task = asyncio.create_task(self._process_later(context, upload, upload_id))
        self._tasks.add(task)  # the event loop keeps weak references only
        task.add_done_callback(self._tasks.discard)
        context.match("acknowledgement")
        place = f"/v1/stations/{page[0]}/forms/{page[1]}/pages/{page[2]}/status"
        return json_response({"status": "queued", "sha256": upload.sha256}, 202, headers={"Location": place})

    async def _process_later(self, context: RequestContext, upload: ReceivedUpload, upload_id: str) -> web.Response:
        page = context.key[:3]
        try:
            response = await self._work_and_commit(context, upload, upload_id, waits=False)
        except Problem as problem:
            status = {422: "unreadable", 409: "conflict"}.get(problem.status, "refused")
            self._pending.set(page, status, detail=problem.detail)
            return problem.response()
        except ConnectionEnded:
            self._pending.set(page, "refused")
            return web.Response(status=499)
        except sqlite3.Error:
            _log.exception("the store failed")
            self._pending.set(page, "refused", detail="The store failed")
            return web.Response(status=500)
        finally:
            context.release_hits()
        self._pending.forget(page)
        return response

    async def status(self, context: RequestContext) -> web.Response:
        """The status of a page: a later upload that failed does not hide what is stored.

        Raises Problem 404 if the page was never uploaded.
        """
        page = context.key[:3]
        state = self._pending.get(page)
        if state is None or state["status"] not in _IN_PROGRESS:
            rows = await self._store.run(_SELECT_STORED, page)
            if rows:
                state = dict(zip(("receipt", "sha256", "size"), rows[0], strict=True), status="stored")
        if state is None:
            raise Problem(404, "This page has not been uploaded")
        return json_response(state)

    async def _work_and_commit(
        self, context: RequestContext, upload: ReceivedUpload, upload_id: str, *, waits: bool
    ) -> web.Response:
        timing = UploadTiming()
        self.in_progress += 1
        try:
            await self._work(context, upload, timing, waits=waits)
            if not self._is_readable(upload):  # asynchronous reading finds that out only now
                raise Problem(422, "The photo is not a complete JPEG")
            return await self._committer.commit(context, upload, timing, upload_id)
        finally:
            self.in_progress -= 1

    def _is_readable(self, upload: ReceivedUpload) -> bool:
        return upload.is_whole_jpeg or self._profile.accepts == "any"

    def _service_s(self, context: RequestContext, upload: ReceivedUpload, *, waits: bool) -> float:
        if self._profile.reading == "asynchronous" and not waits:
            self._pending.set(context.key[:3], "reading")
        seconds = self._service_times.seconds(*context.key[:4], upload.size_bytes)
        # When the work begins, not when it is queued: the fault may have begun meanwhile.
        return seconds / self._faults.capacity_factor(context.key)

    async def _work(
        self, context: RequestContext, upload: ReceivedUpload, timing: UploadTiming, *, waits: bool
    ) -> None:
        """Waits for a worker and its work; `waits` says whether the client waits for the response."""
        ended: asyncio.Future[JobEnd] = asyncio.get_running_loop().create_future()

        def on_end(_job: Job, end: JobEnd) -> None:
            if not ended.done():
                ended.set_result(end)

        job = Job(
            lambda: self._service_s(context, upload, waits=waits), on_end, lambda: waits and context.is_disconnected
        )
        job.latest_start_s = self._admission.latest_start_s(self._client_timeout_s(context))
        self._pool.submit(job)
        try:
            # Otherwise the work goes on for a client that has left, as on most servers, and is counted as wasted.
            if waits and self._profile.cancel_on_disconnect and context.connection is not None:
                both: set[asyncio.Future[Any]] = {ended, context.connection.lost}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    raise ConnectionEnded  # noqa: TRY301
            end = await ended
        except (asyncio.CancelledError, ConnectionEnded):
            self._pool.cancel(job)
            raise
        timing.queue_s = job.wait_s
        timing.service_s = 0.0 if job.started_s is None else job.ended_s - job.started_s
        if end is JobEnd.DROPPED:
            raise Problem(503, "The server dropped the upload")
        if end is not JobEnd.SERVED:
            raise self._overloaded(context, end.value)
        self._metrics.served(job.expected_s, is_wasted=waits and context.is_disconnected)


def stopping_problem() -> Problem:
    """The refusal of a server that is stopping."""
    return Problem(503, "The server is stopping", headers={"Connection": "close", **retry_after_header(1)})
