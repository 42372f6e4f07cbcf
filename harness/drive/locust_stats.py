"""Locust's own statistics, fed from the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.model import DELIVERED, OUTCOMES
from harness.run_folder.journal import RecordKind

if TYPE_CHECKING:
    import numpy.typing as npt


def make_stats_listener(stats: Any, entry: Callable[..., Any]) -> Callable[[npt.NDArray[np.void]], None]:
    """Feeds Locust's own statistics from the journal, as its master adds up its workers' (under a fixed name).

    To fire its event for each attempt would cost more than the sending; nobody but its statistics listens in a run.
    """
    delivered = [OUTCOMES.index(outcome) for outcome in DELIVERED]

    def tell(records: npt.NDArray[np.void]) -> None:
        ends = records[
            (records["kind"] == RecordKind.END) & np.isfinite(records["sent_s"]) & np.isfinite(records["done_s"])
        ]
        if not len(ends):
            return
        delta: Any = entry(stats, "upload", "POST")  # it says int where Locust itself adds floats
        now = time.time()
        took_ms = (ends["done_s"] - ends["sent_s"]) * 1000
        delta.num_requests = len(ends)
        delta.num_failures = int((~np.isin(ends["outcome"], delivered)).sum())
        delta.total_response_time = float(took_ms.sum())
        delta.min_response_time, delta.max_response_time = float(took_ms.min()), float(took_ms.max())
        times, counts = np.unique(np.rint(took_ms).astype(int), return_counts=True)
        delta.response_times = dict(zip(times.tolist(), counts.tolist(), strict=True))
        delta.last_request_timestamp = now
        delta.num_reqs_per_sec = {int(now): delta.num_requests}
        delta.num_fail_per_sec = {int(now): delta.num_failures}
        stats.total.extend(delta)
        stats.get("upload", "POST").extend(delta)

    return tell
