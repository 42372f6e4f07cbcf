"""The one path of an upload, whatever protocol brings it: admission, body, queue, worker, store, receipt."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from mock_server.admission import Admission
from mock_server.answers import Problem, json_answer, retry_after
from mock_server.dice import uniform
from mock_server.exchange import Exchange
from mock_server.metrics import Metrics
from mock_server.photo import PhotoSink, Upload
from mock_server.profile import Profile
from mock_server.rules import Rules
from mock_server.service import End, Job, Pool
from mock_server.store import Order, Row, Store

_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):")

ReadBody = Callable[[AsyncIterator[bytes], PhotoSink], Awaitable[Upload]]


@dataclass(slots=True)
class Timing:
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


class Intake:
    """Takes uploads in."""

    def __init__(self, profile: Profile, pool: Pool, store: Store, rules: Rules, metrics: Metrics) -> None:
        self._profile = profile
        self._pool = pool
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self._admission = Admission(profile, pool)
        self.is_closing = False
        self.under_way = 0

    async def take(self, exchange: Exchange, read_body: ReadBody) -> web.Response:
        """Reads an upload, works on it, stores it, and answers with its receipt.

        Raises Problem where the API says so.
        """
        self._check_length(exchange)
        self._admit(exchange)
        upload = await self._read(exchange, read_body)
        _check_digest(exchange, upload)
        if not upload.is_whole_jpeg:
            raise Problem(422, "Unreadable photo", "The photo is not a complete JPEG")
        self._admit(exchange)
        timing = Timing()
        self.under_way += 1
        try:
            await self._work(exchange, upload, timing)
            return await self.hold(exchange, upload, timing)
        finally:
            self.under_way -= 1

    def _check_length(self, exchange: Exchange) -> None:
        request = exchange.request
        length = request.content_length
        if length is None and "Transfer-Encoding" not in request.headers:
            raise Problem(411)
        if length is not None and length > self._profile.max_body:
            raise Problem(413, detail=f"At most {self._profile.max_body} bytes", headers={"Connection": "close"})

    def _admit(self, exchange: Exchange) -> None:
        if self.is_closing:
            raise Problem(503, "The server is stopping", headers={"Connection": "close", **retry_after(1)})
        reason = self._admission.refusal(_client_timeout_s(exchange.request))
        if reason is not None:
            self._metrics.shed.labels(reason).inc()
            draw = uniform(self._profile.seed, "retry_after", *exchange.target[:4])
            raise Problem(503, "Overloaded", headers=retry_after(self._admission.retry_after_s(draw)))

    async def _read(self, exchange: Exchange, read_body: ReadBody) -> Upload:
        request = exchange.request
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        sink = PhotoSink(keep=self._profile.keep_photos)
        try:
            async with asyncio.timeout(self._profile.body_timeout):
                return await read_body(self._chunks(exchange), sink)
        except TimeoutError as error:
            raise Problem(408, detail="The body took too long", headers={"Connection": "close"}) from error

    async def _chunks(self, exchange: Exchange) -> AsyncIterator[bytes]:
        content = exchange.request.content
        total = 0
        while chunk := await content.readany():
            total += len(chunk)
            if total > self._profile.max_body:
                raise Problem(413, detail=f"At most {self._profile.max_body} bytes", headers={"Connection": "close"})
            yield chunk

    async def _work(self, exchange: Exchange, upload: Upload, timing: Timing) -> None:
        ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

        def service_s() -> float:
            draw = uniform(self._profile.seed, "service", *exchange.target[:4])
            seconds: float = self._profile.service_time.quantile(draw)
            if self._profile.bytes_per_s is not None:
                seconds += upload.size_bytes / self._profile.bytes_per_s
            return seconds / self._rules.capacity_factor(exchange.target)

        def on_end(_job: Job, end: End) -> None:
            if not ended.done():
                ended.set_result(end)

        job = Job(service_s, on_end, lambda: exchange.is_gone)
        self._pool.submit(job)
        try:
            end = await ended
        except asyncio.CancelledError:
            self._pool.cancel(job)
            raise
        timing.queue_s = job.wait_s
        timing.service_s = 0.0 if job.started_s is None else job.ended_s - job.started_s
        if end is End.TIMED_OUT:
            self._metrics.shed.labels("queue_timeout").inc()
            raise Problem(503, "Waited too long for a worker", headers=retry_after(self._admission.retry_after_s(0.5)))
        if end is not End.SERVED:
            raise Problem(503, "Dropped: its client had gone")
        if exchange.is_gone:
            self._metrics.wasted.inc()

    async def hold(self, exchange: Exchange, upload: Upload, timing: Timing) -> web.Response:
        """Stores an upload that is worked on, and answers with its receipt."""
        target = exchange.target
        sent = Row(
            target.station, target.form, target.page, upload.sha256, upload.size_bytes, upload.reading, time.time(),
            upload.sha256, exchange.request.headers.get("Idempotency-Key", ""), secrets.token_hex(8), upload.photo,
        )  # fmt: skip
        begun = time.monotonic()
        rows = (sent,)
        verdict = await self._store.put(Order(sent, rows))
        timing.store_s = time.monotonic() - begun
        headers = {"Server-Timing": timing.header()}
        if verdict.kind == "conflict":
            raise Problem(409, "Another photo is held for this page", headers=headers, sha256=verdict.sha256)
        if verdict.kind == "new":
            self._metrics.stored.inc(len(rows))
            self._metrics.stored_bytes.inc(sum(row.size_bytes for row in rows))
        receipt = {"receipt": verdict.receipt, "sha256": verdict.sha256, "size": verdict.size_bytes}
        return json_answer(receipt, 201 if verdict.kind == "new" else 200, headers=headers)


def _client_timeout_s(request: web.Request) -> float | None:
    with contextlib.suppress(ValueError):
        return float(request.headers["Upload-Timeout"]) if "Upload-Timeout" in request.headers else None
    return None


def _check_digest(exchange: Exchange, upload: Upload) -> None:
    header = exchange.request.headers.get("Repr-Digest")
    match = _DIGEST.search(header) if header else None
    if match is None:
        return
    try:
        claimed = base64.b64decode(match[1], validate=True).hex()
    except binascii.Error as error:
        raise Problem(400, "Malformed Repr-Digest") from error
    if claimed != upload.sha256:
        raise Problem(400, "The photo does not match its Repr-Digest", sha256=upload.sha256)
