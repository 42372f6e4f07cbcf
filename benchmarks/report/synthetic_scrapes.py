"""The scrapes of a made-up evening: one a second of every worker and of the server, with all their series.

Histograms and process figures in them are only of the right size.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.report.synthetic_rows import PAGES_PER_STATION, SyntheticAttempts
from harness.base.model import OUTCOMES, Outcome
from harness.measure.metrics import WorkerMetrics
from harness.run_folder import scrape_log
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.layout import RunFolder
from mock_server.http.metrics import ServerMetrics

if TYPE_CHECKING:
    import numpy.typing as npt

    from mock_server.faults.scheduler import FaultScheduler
    from mock_server.overload.worker_pool import WorkerPool

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


def write_scrapes(folder: RunFolder, workers: int, due_s: FloatArray, tried: SyntheticAttempts) -> None:
    """Write the scrapes of an evening whose stations turned up at `due_s`, sent by so many workers."""
    seconds = int(np.ceil(tried.done_s.max())) + 1

    def in_seconds(moments_s: FloatArray) -> IntArray:
        return np.bincount(moments_s.astype(np.int64), minlength=seconds + 1)

    ended = [in_seconds(tried.done_s[tried.outcome == number]) for number in range(len(OUTCOMES))]
    due = in_seconds(np.repeat(due_s, PAGES_PER_STATION))
    in_flight = np.cumsum(in_seconds(tried.sent_s)) - np.cumsum(in_seconds(tried.done_s))
    for rank in range(workers):
        worker = WorkerMetrics([], {"run": "big", "scenario": "big"})
        for second in range(seconds + 1):
            counts = [_share_of(int(of[second]), rank, workers) for of in ended]
            records = np.zeros(sum(counts), dtype=RECORD)
            records["kind"], records["outcome"] = RecordKind.END, np.repeat(np.arange(len(OUTCOMES)), counts)
            records["due_s"], records["sent_s"], records["done_s"] = second, second + 3e-4, second + 0.4
            records["sent_bytes"] = 1_600_600
            worker.count(records)
            worker.pages_due += _share_of(int(due[second]), rank, workers)
            worker.in_flight = int(in_flight[second]) // workers
            text = worker.exposition().decode()
            scrape_log.append_scrape(folder.scrapes, scrape_log.Scrape(f"worker-{rank}", second + 1.02, text))
    _server_scrapes(folder, seconds, ended)


def _share_of(count: int, rank: int, workers: int) -> int:
    return count // workers + (rank < count % workers)


def _server_scrapes(folder: RunFolder, seconds: int, ended: list[IntArray]) -> None:
    server, pool = ServerMetrics(), SimpleNamespace(depth=0, busy=0)
    server.watch(cast("WorkerPool", pool), cast("FaultScheduler", SimpleNamespace(injected={"brownout": 0}, all=[])))
    shed, accepted = ended[OUTCOMES.index(Outcome.UNAVAILABLE)], ended[OUTCOMES.index(Outcome.ACCEPTED)]
    route = "/v1/stations/{code}/forms/{form}/pages/{n}"
    for second in range(seconds + 1):
        pool.depth, pool.busy = min(64, int(shed[second])), min(8, int(accepted[second]))
        server.shed.labels("queue_full").inc(int(shed[second]))
        server.stored.inc(int(accepted[second]))
        for status in (201, 429, 500, 503):
            server.request("POST", route, status, 0.4)
        scrape_log.append_scrape(folder.scrapes, scrape_log.Scrape("server", second + 1.03, server.text().decode()))
