"""The last step of an upload: stores its page as the faults would have it, and responds with its receipt."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from aiohttp import web

from mock_server.faults.matching import injection_line
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_context import RequestContext
from mock_server.http.responses import Problem, json_response
from mock_server.storage.store import DelayedDeletes, PageRow, Store, StoreRequest, StoreResult
from mock_server.upload.photo import ReceivedUpload


@dataclass(slots=True)
class UploadTiming:
    """Where the time of an upload went, in seconds."""

    queue_s: float = 0.0
    service_s: float = 0.0
    store_s: float = 0.0

    def header(self) -> str:
        """The value of Server-Timing, in milliseconds.

        >>> UploadTiming(0.0125, 0.2, 0.001).header()
        'queue;dur=12.500, service;dur=200.000, store;dur=1.000'
        """
        queue_ms, service_ms, store_ms = self.queue_s * 1000, self.service_s * 1000, self.store_s * 1000
        return f"queue;dur={queue_ms:.3f}, service;dur={service_ms:.3f}, store;dur={store_ms:.3f}"


class PageCommitter:
    """Stores pages."""

    def __init__(self, store: Store, metrics: ServerMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self.deletes = DelayedDeletes(store)

    async def commit(
        self, context: RequestContext, upload: ReceivedUpload, timing: UploadTiming, upload_id: str
    ) -> web.Response:
        """The receipt, once the page is on disk: 201, or 200 if it was stored already.

        Raises Problem 409 if another photo is stored for the page, and whatever a fault makes of it.
        """
        key = context.key
        sent = PageRow(
            key.station, key.form, key.page, upload.sha256, upload.size_bytes, upload.reading.text, time.time(),
            upload.sha256, context.request.headers.get("Idempotency-Key", ""), os.urandom(8).hex(), upload.photo,
        )  # fmt: skip
        rows, acting = context.hit_rows((sent,))
        deleting, lines = context.deleting_hit, tuple(injection_line(hit.injection) for hit in acting)

        # Called by the store, not after the await: this request may be cancelled before its row is on disk.
        def stored(result: StoreResult) -> None:
            if result.kind != "new":
                return
            for hit in acting:
                hit.act(is_logged=True)
            self._metrics.stored += len(rows)
            self._metrics.stored_bytes += sum(row.size_bytes for row in rows)
            if deleting is not None and context.delete_after_s is not None:
                deleting.act(is_logged=True)
                self.deletes.schedule(result.receipt, context.delete_after_s, injection_line(deleting.injection))

        begun = time.monotonic()
        result = await self._store.put(StoreRequest(sent, rows, upload_id, lines), stored)
        timing.store_s = time.monotonic() - begun
        headers = {"Server-Timing": timing.header()}
        if result.kind == "conflict":
            raise Problem(409, "Another photo is stored for this page", headers=headers, sha256=result.sha256)
        return _receipt(result, upload.reading.warnings, headers)


def _receipt(result: StoreResult, warnings: tuple[str, ...], headers: dict[str, str]) -> web.Response:
    content: dict[str, object] = {"receipt": result.receipt, "sha256": result.sha256, "size": result.size_bytes}
    if warnings:
        content["warnings"] = list(warnings)
    return json_response(content, 201 if result.kind == "new" else 200, headers=headers)
