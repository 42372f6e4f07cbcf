"""Waiting until the server is idle, so that what it has stored can be counted, and the requests that it waits for."""

from __future__ import annotations

import asyncio
import logging
import time

from mock_server.http.fault_scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.http.request_context import RequestContext
from mock_server.overload.worker_pool import WorkerPool
from mock_server.storage.store import Store
from mock_server.upload.pipeline import UploadPipeline, stopping_problem

MAX_DRAIN_S = 15.0
_POLL_INTERVAL_S = 0.02
_log = logging.getLogger(__name__)


class InFlightRequests:
    """The requests of the data port that have no response yet."""

    def __init__(self) -> None:
        self.contexts: set[RequestContext] = set()

    @property
    def uploads(self) -> int:
        """Uploads without a response whose client is still connected, wherever they are held up."""
        return sum(context.key.phase == "upload" and not context.is_disconnected for context in self.contexts)

    def refuse_bodies(self) -> None:
        """Answers 503 to every request whose body has not arrived."""
        for context in self.contexts:
            if not context.request.content.is_eof():
                context.request.content.set_exception(stopping_problem())


class Drain:
    """Heals the faults, drops the jobs whose client has disconnected, and waits for the others."""

    def __init__(
        self,
        faults: FaultScheduler,
        pool: WorkerPool,
        store: Store,
        pipeline: UploadPipeline,
        in_flight: InFlightRequests,
        metrics: ServerMetrics,
    ) -> None:
        self._faults = faults
        self._pool = pool
        self._store = store
        self._pipeline = pipeline
        self._in_flight = in_flight
        self._metrics = metrics

    async def run(self, max_s: float | None = None, *, wait_for_clients: bool = False) -> dict[str, object]:
        """The result for the client: jobs dropped, what is left after at most `max_s` (15 s), and the time it took.

        Uploads whose client is still connected are waited for, their bodies too: what healing released is yet to be
        stored. Other requests are waited for only if `wait_for_clients`. The server is idle when two polls in a row
        find nothing: between two steps of an upload a single one may.
        """
        max_s = MAX_DRAIN_S if max_s is None else max_s
        begun = time.monotonic()
        self._faults.heal()
        dropped = idle_polls = 0
        while True:
            self._pipeline.deletes.begin_all()
            dropped += self._pool.drop_disconnected()
            idle_polls = 0 if self._left(wait_for_clients=wait_for_clients) else idle_polls + 1
            idle = idle_polls > 1
            took = time.monotonic() - begun
            if idle or took >= max_s:
                break
            await asyncio.sleep(_POLL_INTERVAL_S)
        self._metrics.dropped += dropped
        _log.info("drained in %.3f s: %d dropped, %d queued, %d busy", took, dropped, self._pool.depth, self._pool.busy)
        return {
            "idle": idle, "dropped": dropped, "queued": self._pool.depth, "busy": self._pool.busy,
            "took_s": round(took, 3),
        }  # fmt: skip

    def _left(self, *, wait_for_clients: bool) -> int:
        left = self._pool.depth + self._pool.busy + self._store.waiting
        left += self._pipeline.in_progress + self._pipeline.deletes.running + self._in_flight.uploads
        return left + (self._metrics.active if wait_for_clients else 0)
