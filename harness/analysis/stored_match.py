"""What the server has stored, matched with the plan: the page that each stored copy belongs to.

A copy belongs to the page whose key and bytes it has; else to the page whose bytes it has, under whatever key; else to the
page under whose key it is stored; else to none. So each copy is counted exactly once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import RunFolderError
from harness.base.safe_files import parse_json
from harness.run_folder.parquet import database, fetch_columns, load_table, release_memory

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt

    from harness.run_folder.layout import RunFolder, RunRecord
    from harness.run_folder.parquet import Column

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_OWN = """
    CREATE TEMP TABLE own AS
    SELECT stored.row_number AS copy, plan.row_number AS page, stored.sha256 AS sha256,
        coalesce(plan.sha256 = stored.sha256, false) AS intact, plan.reading AS sent, stored.reading AS reading, stored_at
    FROM stored LEFT JOIN plan ON stored.station = plan.station AND stored.form = plan.form AND stored.page = plan.page
"""
_ELSEWHERE = """
    CREATE TEMP TABLE elsewhere AS
    SELECT sha256, min(row_number) AS page FROM plan
    WHERE sha256 IN (SELECT sha256 FROM own WHERE NOT intact) GROUP BY sha256
"""
_COPIES = """
    SELECT
        CASE WHEN intact THEN own.page ELSE coalesce(elsewhere.page, own.page, -1) END AS page,
        CASE WHEN intact THEN 0 WHEN elsewhere.page IS NOT NULL THEN 1 WHEN own.page IS NOT NULL THEN 2 ELSE 3 END AS match,
        stored_at
    FROM own LEFT JOIN elsewhere USING (sha256) ORDER BY copy
"""
_READINGS = "SELECT copy, reading, sent FROM own WHERE intact AND reading <> sent"
_HAS_READINGS = """
    SELECT coalesce(bool_or(reading IS NOT NULL), true) AS has_readings FROM own WHERE intact AND sent <> ''
"""
_COPY = """
    SELECT copies.page AS plan_page, stored.station, stored.form, stored.page, stored.sha256, stored.size_bytes,
        stored.reading, stored.stored_at
    FROM copies JOIN read_parquet(?, hive_partitioning = false, file_row_number = true) AS stored ON stored.file_row_number = copies.copy
    ORDER BY copies.copy
"""
_PLANNED = """
    SELECT plan.station, plan.form, plan.page, plan.sha256, plan.size_bytes, plan.reading
    FROM pages JOIN read_parquet(?, hive_partitioning = false, file_row_number = true) AS plan ON plan.file_row_number = pages.page
    ORDER BY pages.number
"""


class CopyMatch(IntEnum):
    """How a stored copy matches the plan; the numbers are those of `_COPIES`."""

    EXACT = 0
    """Key and bytes of one planned page."""
    OTHER_KEY = 1
    """The bytes of a planned page under another key."""
    OTHER_BYTES = 2
    """The key of a planned page, with bytes that belong to no planned page."""
    NONE = 3
    """Neither the key nor the bytes of a planned page."""


@dataclass(frozen=True)
class StoredCopies:
    """Copies in the order of stored.parquet. Shapes (copies,)."""

    page: IntArray
    """Row in the plan of the page that a copy belongs to; -1 for none."""
    match: IntArray
    """A `CopyMatch`."""
    altered: BoolArray
    """An exact match with another reading than was sent."""
    has_readings: bool
    """Whether the server reports the reading of at least one copy, or no copy should have one."""
    stored_at: FloatArray
    """By the server's clock, Unix seconds; NaN if it does not report it."""


def load_stored_copies(folder: RunFolder, record: RunRecord) -> tuple[StoredCopies | None, str]:
    """The stored copies, or None and the reason why they are not known. Raises RunFolderError if the plan is broken."""
    if not folder.stored.exists():
        stock = record.stock
        broken_off = "the run was broken off before the server's store was read"
        return None, broken_off if stock is None else stock.reason or "the server's store was not read"
    with database() as connection:
        columns = "station, form, page, sha256"
        try:
            load_table(connection, "stored", f"{columns}, reading, stored_at", folder.stored)
        except RunFolderError as error:  # a broken stored.parquet leaves safety unknown; a broken plan leaves nothing
            return None, str(error)
        load_table(connection, "plan", f"{columns}, reading", folder.plan)
        connection.execute(_OWN)
        connection.execute(_ELSEWHERE)
        found = fetch_columns(connection, _COPIES, folder.stored)
        altered = np.zeros(len(found["page"]), dtype=np.bool_)
        altered[_altered(connection, folder)] = True
        has_readings = bool(fetch_columns(connection, _HAS_READINGS, folder.stored)["has_readings"][0])
    release_memory(len(altered))
    page, match = found["page"].astype(np.int64), found["match"].astype(np.int64)
    return StoredCopies(page, match, altered, has_readings, found["stored_at"].astype(np.float64)), ""


def _altered(connection: duckdb.DuckDBPyConnection, folder: RunFolder) -> IntArray:
    """Copies whose reading means something else than the one that was sent; another spelling means the same."""
    found = fetch_columns(connection, _READINGS, folder.stored)
    differs = [
        canonical_reading(reading) != canonical_reading(sent)
        for reading, sent in zip(found["reading"], found["sent"], strict=True)
    ]
    chosen: IntArray = found["copy"].astype(np.int64)[np.array(differs, dtype=np.bool_)]
    return chosen


def canonical_reading(reading: str) -> str:
    """A reading in canonical form: sorted keys, no blanks. Text that is not JSON stays as it is.

    >>> canonical_reading('{"b": 2, "a": {"y":1, "x" : 2}}')
    '{"a":{"x":2,"y":1},"b":2}'
    """
    try:
        return json.dumps(parse_json(reading), sort_keys=True, separators=(",", ":"))
    except ValueError:
        return reading


def fetch_copies(folder: RunFolder, held: StoredCopies, copies: IntArray) -> dict[str, Column]:
    """Columns of these rows of stored.parquet, in file order, and `plan_page`: the page that each belongs to."""
    chosen = {"copy": copies, "page": held.page[copies]}
    with database(copies=chosen) as connection:
        return fetch_columns(connection, _COPY, folder.stored)


def fetch_pages(folder: RunFolder, pages: IntArray) -> dict[str, Column]:
    """Columns of these rows of plan.parquet, in the order given."""
    chosen = {"page": pages, "number": np.arange(len(pages))}
    with database(pages=chosen) as connection:
        return fetch_columns(connection, _PLANNED, folder.plan)
