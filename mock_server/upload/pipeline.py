"""The one path of an upload, whatever protocol brings it: admission, body, queue, worker, store, receipt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from mock_server.faults.injection_log import injection_line
from mock_server.faults.keyed_random import keyed_uniform
from mock_server.faults.scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_context import ConnectionEnded, RequestContext
from mock_server.http.responses import Problem, json_response, retry_after_header
from mock_server.overload.admission import Admission
from mock_server.overload.worker_pool import Job, JobEnd, WorkerPool
from mock_server.profile.profile import Profile
from mock_server.storage.delayed_deletes import DelayedDeletes
from mock_server.storage.pending import PendingUploads
from mock_server.storage.records import PageRow, StoreRequest, StoreResult
from mock_server.storage.store import Store
from mock_server.upload import body
from mock_server.upload.digests import check_digest
from mock_server.upload.photo import PhotoSink, ReceivedUpload

_SELECT_HELD = """
SELECT receipt, sent_sha256, size_bytes FROM pages WHERE station = ? AND form = ? AND page = ? ORDER BY id LIMIT 1
"""

_UNDER_WAY = ("queued", "reading")
_log = logging.getLogger(__name__)

Result = TypeVar("Result")
ReadBody = Callable[[AsyncIterator[bytes], PhotoSink], Awaitable[ReceivedUpload]]


@dataclass(slots=True)
class UploadTiming:
    """Where the time of an upload went, in seconds."""

    queue_s: float = 0.0
    service_s: float = 0.0
    store_s: float = 0.0

    def header(self) -> str:
        """The value of Server-Timing, in milliseconds.

        >>> Timing(0.0125, 0.2, 0.001).header()
        'queue;dur=12.500, service;dur=200.000, store;dur=1.000'
        """
        named = (("queue", self.queue_s), ("service", self.service_s), ("store", self.store_s))
        return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in named)


class UploadPipeline:
    """Takes uploads in."""

    def __init__(
        self, profile: Profile, pool: WorkerPool, store: Store, rules: FaultScheduler, metrics: ServerMetrics
    ) -> None:
        self._profile = profile
        self._pool = pool
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self.admission = Admission(profile, pool)
        self.losses = DelayedDeletes(store)
        self.pending = PendingUploads()
        self._tasks: set[asyncio.Task[web.Response]] = set()
        self._present: set[RequestContext] = set()
        self.is_closing = False
        self.under_way = 0
        """Uploads whose body is read and whose answer is not ready."""

    @contextlib.contextmanager
    def present(self, exchange: RequestContext) -> Iterator[None]:
        """Knows of a request as long as it has no answer."""
        self._present.add(exchange)
        try:
            yield
        finally:
            self._present.discard(exchange)

    @property
    def awaited(self) -> int:
        """Uploads without an answer whose client is still there, wherever they are held up."""
        return sum(exchange.target.phase == "upload" and not exchange.is_gone for exchange in self._present)

    def refuse_bodies(self) -> None:
        """Answers 503 to all whose body is still on its way."""
        for exchange in self._present:
            if not exchange.request.content.is_eof():
                exchange.request.content.set_exception(_stopping())

    async def take(self, exchange: RequestContext, read_body: ReadBody) -> web.Response:
        """Reads an upload, works on it, stores it, and answers with its receipt.

        Raises Problem where the API says so.
        """
        body.check_length(exchange, self._profile.max_body)
        self.admit(exchange)
        return await self.in_time(self._take(exchange, read_body))

    async def _take(self, exchange: RequestContext, read_body: ReadBody) -> web.Response:
        sink = PhotoSink(keep=self._profile.keep_photos)
        upload = await read_body(body.chunks(exchange, self._profile), sink)
        return await self.finish(exchange, upload)

    async def in_time(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work answers, within the time that the profile leaves for it; raises Problem 503."""
        if self._profile.handler_timeout is None:
            return await work
        try:
            async with asyncio.timeout(self._profile.handler_timeout):
                return await work
        except TimeoutError as error:
            self._metrics.shed.labels("handler_timeout").inc()
            raise Problem(503, "The request took too long") from error

    def admit(self, exchange: RequestContext) -> None:
        """Raises Problem 503 if the upload is refused for overload, or because the server stops."""
        if self.is_closing:
            raise _stopping()
        self._check_load(exchange)

    def _check_load(self, exchange: RequestContext) -> None:
        reason = self.admission.refusal(self._client_timeout_s(exchange))
        if reason is not None:
            raise self._shed(exchange, reason)

    def _client_timeout_s(self, exchange: RequestContext) -> float | None:
        """What the client said in Upload-Timeout, if it matters and is a positive number of seconds."""
        if self._profile.shed != "deadline":
            return None
        with contextlib.suppress(ValueError):
            seconds = float(exchange.request.headers.get("Upload-Timeout", "nan"))
            return seconds if 0 < seconds < 1e9 else None
        return None

    def _shed(self, exchange: RequestContext, reason: str) -> Problem:
        self._metrics.shed.labels(reason).inc()
        draw = keyed_uniform(self._profile.seed, "retry_after", *exchange.target[:4])
        return Problem(503, "Overloaded", headers=retry_after_header(self.admission.retry_after_s(draw)))

    async def finish(self, exchange: RequestContext, upload: ReceivedUpload, upload_id: str = "") -> web.Response:
        """Works on an upload that is read, stores it, and answers: 201, 200, or 202 where reading is asynchronous.

        A resumable upload is always waited for: its last offset acknowledges it, and its bytes are then let go.
        """
        check_digest(", ".join(exchange.request.headers.getall("Repr-Digest", ())), upload)
        asynchronous = self._profile.reading == "asynchronous" and not upload_id
        if not upload.is_whole_jpeg and not asynchronous:
            raise Problem(422, "The photo is not a complete JPEG")
        self._check_load(exchange)  # again: others may have come while the body did
        if not asynchronous:
            answer = await self._worked(exchange, upload, upload_id, waits=True)
            exchange.strike("acknowledgement")
            return answer
        page = exchange.target[:3]
        self.pending.say(page, "queued")
        task = asyncio.create_task(self._read_later(exchange, upload, upload_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        exchange.strike("acknowledgement")
        place = f"/v1/stations/{page[0]}/forms/{page[1]}/pages/{page[2]}/status"
        return json_response({"status": "queued", "sha256": upload.sha256}, 202, headers={"Location": place})

    async def _read_later(self, exchange: RequestContext, upload: ReceivedUpload, upload_id: str) -> web.Response:
        page = exchange.target[:3]
        try:
            answer = await self._worked(exchange, upload, upload_id, waits=False)
        except Problem as problem:
            status = {422: "unreadable", 409: "conflict"}.get(problem.status, "refused")
            self.pending.say(page, status, detail=problem.detail)
            return problem.answer()
        except ConnectionEnded:
            self.pending.say(page, "refused")
            return web.Response(status=499)
        except sqlite3.Error:
            _log.exception("the store failed")
            self.pending.say(page, "refused", detail="The store failed")
            return web.Response(status=500)
        finally:
            exchange.let_go()
        self.pending.forget(page)
        return answer

    async def status(self, exchange: RequestContext) -> web.Response:
        """What became of a page: a later upload that failed does not hide what is held.

        Raises Problem 404 if nothing is known of it.
        """
        page = exchange.target[:3]
        state = self.pending.of(page)
        if state is None or state["status"] not in _UNDER_WAY:
            rows = await self._store.run(_SELECT_HELD, page)
            if rows:
                state = dict(zip(("receipt", "sha256", "size"), rows[0], strict=True), status="stored")
        if state is None:
            raise Problem(404, "Nothing is known of this page")
        return json_response(state)

    async def _worked(
        self, exchange: RequestContext, upload: ReceivedUpload, upload_id: str, *, waits: bool
    ) -> web.Response:
        timing = UploadTiming()
        self.under_way += 1
        try:
            await self._work(exchange, upload, timing, waits=waits)
            if not upload.is_whole_jpeg:  # found out only by reading, where reading is asynchronous
                raise Problem(422, "The photo is not a complete JPEG")
            return await self._hold(exchange, upload, timing, upload_id)
        finally:
            self.under_way -= 1

    def _service_s(self, exchange: RequestContext, upload: ReceivedUpload, *, waits: bool) -> float:
        profile = self._profile
        key = exchange.target[:4]
        seconds: float = profile.service_time.quantile(keyed_uniform(profile.seed, "service", *key))
        if profile.bytes_per_s is not None:
            seconds += upload.size_bytes / profile.bytes_per_s
        if profile.reading == "asynchronous":
            if not waits:
                self.pending.say(exchange.target[:3], "reading")
            seconds += profile.reading_time.quantile(keyed_uniform(profile.seed, "reading", *key))
        return seconds / self._rules.capacity_factor(exchange.target)

    async def _work(
        self, exchange: RequestContext, upload: ReceivedUpload, timing: UploadTiming, *, waits: bool
    ) -> None:
        ended: asyncio.Future[JobEnd] = asyncio.get_running_loop().create_future()

        def on_end(_job: Job, end: JobEnd) -> None:
            if not ended.done():
                ended.set_result(end)

        job = Job(lambda: self._service_s(exchange, upload, waits=waits), on_end, lambda: waits and exchange.is_gone)
        job.latest_start_s = self.admission.latest_start_s(self._client_timeout_s(exchange))
        self._pool.submit(job)
        try:
            if waits and self._profile.cancel_on_disconnect and exchange.connection is not None:
                both: set[asyncio.Future[Any]] = {ended, exchange.connection.lost}
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
            raise self._shed(exchange, end.value)
        self._metrics.service.observe(job.expected_s)
        if waits and exchange.is_gone:
            self._metrics.wasted.inc()

    async def _hold(
        self, exchange: RequestContext, upload: ReceivedUpload, timing: UploadTiming, upload_id: str
    ) -> web.Response:
        target = exchange.target
        sent = PageRow(
            target.station, target.form, target.page, upload.sha256, upload.size_bytes, upload.reading.text, time.time(),
            upload.sha256, exchange.request.headers.get("Idempotency-Key", ""), secrets.token_hex(8), upload.photo,
        )  # fmt: skip
        rows, acting = exchange.strike_rows((sent,))
        losing, lines = exchange.losing, tuple(injection_line(hit.injection) for hit in acting)

        def stored(verdict: StoreResult) -> None:  # told by the store: this request may be given up before
            if verdict.kind != "new":
                return
            for hit in acting:
                hit.act(is_logged=True)
            self._metrics.stored.inc(len(rows))
            self._metrics.stored_bytes.inc(sum(row.size_bytes for row in rows))
            if losing is not None and exchange.lose_after_s is not None:
                losing.act(is_logged=True)
                self.losses.promise(verdict.receipt, exchange.lose_after_s, injection_line(losing.injection))

        begun = time.monotonic()
        verdict = await self._store.put(StoreRequest(sent, rows, upload_id, lines), stored)
        timing.store_s = time.monotonic() - begun
        headers = {"Server-Timing": timing.header()}
        if verdict.kind == "conflict":
            raise Problem(409, "Another photo is held for this page", headers=headers, sha256=verdict.sha256)
        return _receipt(verdict, upload.reading.warnings, headers)


def _stopping() -> Problem:
    return Problem(503, "The server is stopping", headers={"Connection": "close", **retry_after_header(1)})


def _receipt(verdict: StoreResult, warnings: tuple[str, ...], headers: dict[str, str]) -> web.Response:
    content: dict[str, object] = {"receipt": verdict.receipt, "sha256": verdict.sha256, "size": verdict.size_bytes}
    if warnings:
        content["warnings"] = list(warnings)
    return json_response(content, 201 if verdict.kind == "new" else 200, headers=headers)
