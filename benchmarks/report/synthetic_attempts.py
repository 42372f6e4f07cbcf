"""The attempts of a synthetic run in arrays, and the scrapes that its workers and server would have left.

Stations send their pages one after the other and retry with full jitter; the server sheds and times out, worst during a
brownout. Histograms and process figures in the scrapes are only of the right size.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np

from harness.base.model import DELIVERED, OUTCOMES, Outcome
from harness.measure.metrics import WorkerMetrics
from harness.run_folder import scrape_log
from harness.run_folder.journal import RECORD, GiveUpReason, RecordKind
from harness.run_folder.layout import RunFolder
from mock_server.http.metrics import ServerMetrics

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    from mock_server.http.fault_scheduler import FaultScheduler
    from mock_server.overload.worker_pool import WorkerPool


PAGES_PER_STATION = 3
MAX_ATTEMPTS = 12
BROWNOUT_RATIOS = (0.28, 0.42)
"""Begin and end of the brownout as ratios of the deadline."""
_FAILURES = {
    Outcome.UNAVAILABLE: 0.70, Outcome.TIMEOUT_RESPONSE: 0.19, Outcome.THROTTLED: 0.06, Outcome.RESET: 0.03,
    Outcome.SERVER_ERROR: 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class SyntheticAttempts:
    """Attempts in no order. Shapes (attempts,); of `gave_up_…` (pages given up,)."""

    page: IntArray
    attempt: IntArray
    due_s: FloatArray
    sent_s: FloatArray
    done_s: FloatArray
    outcome: IntArray
    gave_up_page: IntArray
    gave_up_s: FloatArray
    gave_up_attempts: IntArray
    gave_up_reason: IntArray


def make_attempts(station_due_s: FloatArray, deadline_s: float, rng: np.random.Generator) -> SyntheticAttempts:
    """Every attempt of stations that arrive at `station_due_s`: page by page, each retried until delivered or given up.

    Vectorised over all stations: one step is the n-th attempt at one page number, for every station that makes it.
    """
    rounds: list[tuple[npt.NDArray[np.generic], ...]] = []
    given_up: list[tuple[npt.NDArray[np.generic], ...]] = []
    station, due_s = np.arange(len(station_due_s)), station_due_s.copy()
    for number in range(PAGES_PER_STATION):
        delivered_s = np.full(len(station_due_s), np.nan)
        active, now_s = station, due_s[station]
        for attempt in range(1, MAX_ATTEMPTS + 1):
            late = now_s >= deadline_s
            given_up.append(_give_up(active[late], number, attempt - 1, deadline_s, GiveUpReason.DEADLINE))
            active, now_s = active[~late], now_s[~late]
            sent_s, done_s, outcome = _attempt_round(now_s, deadline_s, rng)
            page = active * PAGES_PER_STATION + number
            rounds.append((page, np.full(len(page), attempt), now_s, sent_s, done_s, outcome))
            delivered = np.isin(outcome, [OUTCOMES.index(kind) for kind in DELIVERED])
            delivered_s[active[delivered]] = done_s[delivered]
            active, now_s = active[~delivered], done_s[~delivered]
            now_s = now_s + rng.uniform(0.0, min(30.0, 2.0 ** (attempt - 1)), len(now_s))
        at_s = float(now_s.max(initial=0.0))
        given_up.append(_give_up(active, number, MAX_ATTEMPTS, min(at_s, deadline_s), GiveUpReason.ATTEMPTS_USED_UP))
        # a station that gave up a page does not begin the next one, as in a real session
        station = np.flatnonzero(np.isfinite(delivered_s))
        due_s = delivered_s
    columns = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    return SyntheticAttempts(*columns, *(np.concatenate(column) for column in zip(*given_up, strict=True)))


def _give_up(
    station: IntArray, number: int, attempts: int, at_s: float, reason: GiveUpReason
) -> tuple[npt.NDArray[np.generic], ...]:
    count = len(station)
    return (
        station * PAGES_PER_STATION + number, np.full(count, at_s), np.full(count, attempts), np.full(count, int(reason)),
    )  # fmt: skip


def _attempt_round(
    due_s: FloatArray, deadline_s: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, IntArray]:
    """When attempts were sent and done, and their outcomes."""
    count, ratio = len(due_s), due_s / deadline_s
    fails = np.select(
        [ratio < 0.03, (ratio >= BROWNOUT_RATIOS[0]) & (ratio < BROWNOUT_RATIOS[1]), ratio < 0.55],
        [0.15, 0.93, 0.80],
        0.4,
    )
    sent_s = due_s + rng.exponential(3e-4, count)
    kinds = list(_FAILURES)
    failure = rng.choice([OUTCOMES.index(kind) for kind in kinds], count, p=list(_FAILURES.values()))
    success = np.where(rng.random(count) < 0.005, OUTCOMES.index(Outcome.REPLAYED), OUTCOMES.index(Outcome.ACCEPTED))
    failed = rng.random(count) < fails
    outcome = np.where(failed, failure, success)
    took_s = np.where(failed, rng.lognormal(np.log(0.02), 0.8, count), rng.lognormal(np.log(0.4), 1.0, count))
    took_s[outcome == OUTCOMES.index(Outcome.TIMEOUT_RESPONSE)] = 10.0
    return sent_s, sent_s + np.clip(took_s, 1e-3, 10.0), outcome


def write_scrapes(folder: RunFolder, workers: int, due_s: FloatArray, attempts: SyntheticAttempts) -> None:
    """Write one scrape per second of every worker and of the server; stations arrived at `due_s`."""
    seconds = int(np.ceil(attempts.done_s.max())) + 1

    def in_seconds(moments_s: FloatArray) -> IntArray:
        return np.bincount(moments_s.astype(np.int64), minlength=seconds + 1)

    ended = [in_seconds(attempts.done_s[attempts.outcome == number]) for number in range(len(OUTCOMES))]
    due = in_seconds(np.repeat(due_s, PAGES_PER_STATION))
    in_flight = np.cumsum(in_seconds(attempts.sent_s)) - np.cumsum(in_seconds(attempts.done_s))
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
    server.watch(cast("WorkerPool", pool), cast("FaultScheduler", SimpleNamespace(injected={"brownout": 0}, states=[])))
    shed, accepted = ended[OUTCOMES.index(Outcome.UNAVAILABLE)], ended[OUTCOMES.index(Outcome.ACCEPTED)]
    route = "/v1/stations/{code}/forms/{form}/pages/{n}"
    for second in range(seconds + 1):
        pool.depth, pool.busy = min(64, int(shed[second])), min(8, int(accepted[second]))
        server.shed["queue_full"] += int(shed[second])
        server.stored += int(accepted[second])
        for status in (201, 429, 500, 503):
            server.request("POST", route, status, 0.4)
        scrape_log.append_scrape(folder.scrapes, scrape_log.Scrape("server", second + 1.03, server.text().decode()))
