"""Bringing the server to rest at the end of a run, so that what it holds can be counted."""

from __future__ import annotations

import asyncio
import logging
import time

from mock_server.faults.scheduler import FaultScheduler
from mock_server.http.metrics import ServerMetrics
from mock_server.overload.worker_pool import WorkerPool
from mock_server.storage.store import Store
from mock_server.upload.pipeline import UploadPipeline

MAX_DRAIN_S = 15.0
_POLL_INTERVAL_S = 0.02
_log = logging.getLogger(__name__)


class Drain:
    """Heals the faults, drops the jobs whose client has gone, and waits for the others."""

    def __init__(
        self, rules: FaultScheduler, pool: WorkerPool, store: Store, intake: UploadPipeline, metrics: ServerMetrics
    ) -> None:
        self._rules = rules
        self._pool = pool
        self._store = store
        self._intake = intake
        self._metrics = metrics

    async def run(self, longest_s: float = MAX_DRAIN_S, *, wait_for_clients: bool = False) -> dict[str, object]:
        """Counts: jobs dropped, what is still there after at most `longest_s`, and how long it took.

        Uploads whose client is still there are waited for, their bodies too: what healing let go is yet to be stored.
        Other requests are waited for only if so asked. It is idle when two looks in a row find nothing.
        """
        begun = time.monotonic()
        self._rules.heal()
        dropped = calm_looks = 0
        while True:
            self._intake.losses.all_now()
            dropped += self._pool.drop_gone()
            left = self._pool.depth + self._pool.busy + self._store.waiting
            left += self._intake.under_way + self._intake.losses.under_way + self._intake.awaited
            left += self._metrics.active if wait_for_clients else 0
            calm_looks = 0 if left else calm_looks + 1
            idle = calm_looks > 1
            took = time.monotonic() - begun
            if idle or took >= longest_s:
                break
            await asyncio.sleep(_POLL_INTERVAL_S)
        self._metrics.dropped.inc(dropped)
        _log.info(
            "drained in %.3f s: %d dropped, %d queued, %d at work", took, dropped, self._pool.depth, self._pool.busy
        )
        return {
            "idle": idle, "dropped": dropped, "queued": self._pool.depth, "busy": self._pool.busy,
            "took_s": round(took, 3),
        }  # fmt: skip
