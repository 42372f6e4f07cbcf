"""The traces of the attempts that one wants to look up in the server's own tracing: the failed and the slowest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.base.model import FAILURES
from harness.run_folder.parquet import database, fetch_columns, sql_list
from harness.run_folder.trace import trace_id, trace_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.run_folder.layout import RunFolder, RunRecord

MAX_LISTED_ATTEMPTS = 20
"""Most attempts of each kind that are listed; the trace of any other can be computed from its row."""
_SELECT = """
    SELECT station, form, page, attempt, outcome, coalesce(status, 0) AS status, sent_s, done_s - sent_s AS took_s
    FROM read_parquet(?, hive_partitioning = false)
"""
_FAILED = (
    _SELECT
    + "WHERE list_contains({failures}, outcome) AND isfinite(done_s) ORDER BY sent_s, station, form, page LIMIT {limit}"
)
_SLOWEST = _SELECT + "WHERE isfinite(done_s - sent_s) ORDER BY took_s DESC, station, form, page LIMIT {limit}"
_OF_PAGES = """
    SELECT station, form, page, attempt FROM read_parquet(?, hive_partitioning = false)
    WHERE isfinite(sent_s) AND (station, form, page) IN ({keys}) ORDER BY station, form, page, attempt
"""
_KEYS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """An attempt with the id by which the server's traces have it."""

    station: str
    form: str
    page: int
    attempt: int
    """Its number in attempts.parquet."""
    outcome: str
    status: int
    """0 without a response."""
    sent_s: float
    took_s: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class TracedAttempts:
    """The first failed attempts of a run, and its slowest."""

    failed: list[TracedAttempt]
    slowest: list[TracedAttempt]


def is_traced(record: RunRecord) -> bool:
    """Whether the requests of a run carried a traceparent."""
    client = record.scenario.get("client", {})
    return bool(client.get("trace")) and not record.simulated


def find_traced(folder: RunFolder, record: RunRecord) -> TracedAttempts | None:
    """The attempts to look up, in the order of sending and from the slowest on; None for a run without traces."""
    if not is_traced(record):
        return None
    failures = sql_list(sorted(FAILURES))
    with database() as connection:
        queries = (text.format(failures=failures, limit=MAX_LISTED_ATTEMPTS) for text in (_FAILED, _SLOWEST))
        found = [[*_attempts(fetch_columns(connection, query, folder.attempts), record.id)] for query in queries]
    return TracedAttempts(*found)


def trace_ids_of(
    folder: RunFolder, record: RunRecord, keys: Iterable[tuple[str, str, int]]
) -> dict[tuple[str, str, int], list[str]]:
    """The trace ids of all attempts at these pages (station, form, page), in the order of the attempts; {} without traces."""
    wanted = [f"({_quote(station)}, {_quote(form)}, {int(page)})" for station, form, page in keys]
    found: dict[tuple[str, str, int], list[str]] = {}
    if not is_traced(record):
        return found
    with database() as connection:
        for first in range(0, len(wanted), _KEYS_PER_QUERY):
            query = _OF_PAGES.format(keys=", ".join(wanted[first : first + _KEYS_PER_QUERY]))
            for row in _rows(fetch_columns(connection, query, folder.attempts)):
                key = (str(row["station"]), str(row["form"]), int(row["page"]))
                found.setdefault(key, []).append(trace_id(trace_prefix(record.id, *key), int(row["attempt"])))
    return found


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _attempts(columns: dict[str, Any], run: str) -> Iterator[TracedAttempt]:
    for row in _rows(columns):
        key = (str(row["station"]), str(row["form"]), int(row["page"]))
        number = int(row["attempt"])
        yield TracedAttempt(
            *key, number, str(row["outcome"]), int(row["status"]), float(row["sent_s"]), float(row["took_s"]),
            trace_id(trace_prefix(run, *key), number),
        )  # fmt: skip


def _rows(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))
