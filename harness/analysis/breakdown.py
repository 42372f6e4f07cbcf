"""Where the time of attempts went, how many tries pages took, and which stations had the worst evening."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.chart_types import AttemptsPerPage, ChartLine, StationProgress, TimeBreakdown
from harness.analysis.counts import kelurahan_names
from harness.analysis.rows import Rows
from harness.base.model import DELIVERED, Outcome
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]

MAX_TIME_BINS = 120
ATTEMPT_PARTS = ("connect", "log in", "send", "queue", "service", "answer")
"""In the order in which an attempt goes through them."""
_TIME_BY_PART = """
    WITH delivered AS (
        SELECT floor(due_s / {step})::BIGINT AS bin, done_s - sent_s AS whole, connected_s - sent_s AS "connect",
            least(coalesce(login_s, 0), body_sent_s - connected_s) AS "log in", body_sent_s - connected_s AS sending,
            done_s - body_sent_s AS waiting, least(coalesce(queue_s, 0), done_s - body_sent_s) AS "queue",
            coalesce(server_s, 0) AS server
        FROM read_parquet(?)
        WHERE outcome IN ({outcomes}) AND due_s >= {warm_up} AND body_sent_s IS NOT NULL AND connected_s IS NOT NULL
    ), apart AS (
        SELECT *, sending - "log in" AS "send", least(server, waiting - "queue") AS "service" FROM delivered
    )
    SELECT bin, count(*) AS attempts, avg("connect") AS "connect", avg("log in") AS "log in", avg("send") AS "send",
        avg("queue") AS "queue", avg("service") AS "service", avg(waiting - "queue" - "service") AS "answer"
    FROM apart GROUP BY bin ORDER BY bin
"""


def compute_time_breakdown(folder: RunFolder, rows: Rows) -> TimeBreakdown:
    """Mean seconds that delivered attempts spent on each part, by due time; the parts add up to their service time.

    Queue and service (with storing) are what the server says in `Server-Timing`. The answer is what is left of the
    time after the body was sent: the way there and back, and all of it where the server says nothing.
    """
    bins = max(1, math.ceil(rows.end_s))
    step = math.ceil(bins / MAX_TIME_BINS)
    outcomes = ", ".join(f"'{outcome}'" for outcome in sorted(DELIVERED))
    query = _TIME_BY_PART.format(step=step, outcomes=outcomes, warm_up=float(rows.record.warm_up_s))
    with database() as connection:
        found = fetch_columns(connection, query, folder.attempts)
    count = math.ceil(bins / step)
    known = found["bin"].astype(np.int64)
    count = max(count, int(known.max(initial=-1)) + 1)
    t_s = (np.arange(count, dtype=np.float64) + 0.5) * step
    attempts = np.zeros(count, dtype=np.int64)
    attempts[known] = found["attempts"]
    parts = []
    for part in ATTEMPT_PARTS:
        line = ChartLine(part, t_s, np.full(count, np.nan))
        line.value[known] = found[part]
        parts.append(line)
    return TimeBreakdown(parts, attempts)


def count_attempts_per_page(rows: Rows) -> AttemptsPerPage:
    """How many pages took how many attempts; attempts that the strategy withheld were not made."""
    made = np.bincount(rows.attempts.page[~rows.attempts.ended_as({Outcome.WITHHELD})], minlength=rows.pages)
    most = int(made.max(initial=0)) + 1
    return AttemptsPerPage(
        delivered=np.bincount(made[rows.delivered], minlength=most).astype(np.int64),
        not_delivered=np.bincount(made[~rows.delivered], minlength=most).astype(np.int64),
    )


def find_worst_stations(rows: Rows, undelivered: int, slowest: int) -> list[StationProgress]:
    """At most so many stations that missed pages, those that missed most first, then so many of those that took longest.

    Only stations that turned up.
    """
    stations = len(rows.stations.code)
    names = kelurahan_names(rows)
    delivered = np.bincount(rows.station_of_page[rows.delivered], minlength=stations)
    made = rows.attempts.page[~rows.attempts.ended_as({Outcome.WITHHELD})]
    attempts = np.bincount(rows.station_of_page[made], minlength=stations)
    took_s = np.minimum(rows.completed_s, max(rows.end_s, rows.stop_s)) - rows.stations.due_s
    missing = rows.stations.pages - delivered
    order = np.lexsort((-took_s, -missing))
    order = order[rows.stations.due_s[order] < rows.stop_s]
    missed = int((missing[order] > 0).sum())
    order = np.concatenate([order[: min(missed, undelivered)], order[missed : missed + slowest]])
    return [
        StationProgress(
            code=str(rows.stations.code[number]),
            kelurahan=names.get(str(rows.stations.code[number])[:10], str(rows.stations.code[number])[:10]),
            due_s=float(rows.stations.due_s[number]),
            completed_s=float(rows.completed_s[number]) if np.isfinite(rows.completed_s[number]) else None,
            pages=int(rows.stations.pages[number]),
            delivered=int(delivered[number]),
            attempts=int(attempts[number]),
        )
        for number in order
    ]
