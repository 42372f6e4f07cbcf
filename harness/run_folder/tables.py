"""The Parquet tables plan and stored of a run folder. docs/reference/run-folder.md describes their columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.errors import RunFolderError
from harness.base.model import Page
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns, parquet_path, release_memory, write_parquet

if TYPE_CHECKING:
    import duckdb

    from harness.run_folder.parquet import Column

PLAN_COLUMNS = ("station", "form", "page", "due_s", "size_bytes", "sha256", "reading")
STORED_COLUMNS = ("station", "form", "page", "sha256", "size_bytes", "reading", "stored_at")

_PLAN_QUERY = "SELECT station, form, page, due_s, size_bytes, sha256, reading FROM "
_STORED_QUERY = "SELECT station, form, page, sha256, size_bytes, reading, stored_at FROM "
_DUE_QUERY = "SELECT station, min(due_s) AS due_s FROM read_parquet(?, hive_partitioning = false) WHERE isfinite(due_s) GROUP BY 1 ORDER BY 1"
_PLAN_TYPES: dict[str, np.dtype[Any]] = {
    "page": np.dtype("<i4"),
    "due_s": np.dtype("<f8"),
    "size_bytes": np.dtype("<i8"),
}
_STORED_TYPES: dict[str, np.dtype[Any]] = {
    "page": np.dtype("<i4"),
    "size_bytes": np.dtype("<i8"),
    "stored_at": np.dtype("<f8"),
}
_TEXT: np.dtype[Any] = np.dtype(object)
_STORED_TABLE = """
    CREATE TEMP TABLE stored (
        station VARCHAR, form VARCHAR, page INTEGER, sha256 VARCHAR, size_bytes BIGINT, reading VARCHAR, stored_at DOUBLE
    )
"""
_PLAN_TABLE = """
    CREATE TEMP TABLE plan (
        station VARCHAR, form VARCHAR, page INTEGER, due_s DOUBLE, size_bytes BIGINT, sha256 VARCHAR, reading VARCHAR
    )
"""
_STORED_AS_PLANNED = """
    INSERT INTO stored SELECT station, form, page, sha256, size_bytes, reading, kept.stored_at
    FROM (SELECT *, file_row_number FROM read_parquet(?, hive_partitioning = false, file_row_number = true)) AS planned
    JOIN kept ON kept.plan_row = planned.file_row_number
"""
_STORED_ORDER = "stored ORDER BY station, form, page, stored_at, sha256"
_OPTIONAL_COLUMNS = frozenset({"reading", "stored_at"})
_ROWS_PER_BATCH = 50_000


def write_plan(path: Path, pages: Iterable[Page] | Mapping[str, Sequence[Any] | Column]) -> None:
    """Write plan.parquet: one row per page, in the given order; the journal refers to pages by their row.

    `pages` are Page objects in the order of their index, consumed in batches, or the columns `PLAN_COLUMNS`, each of shape
    (n,). The same pages give the same bytes.
    """
    write_plan_batches(path, _slices_of(pages) if isinstance(pages, Mapping) else _batches_of(pages))


def write_plan_batches(path: Path, batches: Iterable[Mapping[str, Sequence[Any] | Column]]) -> None:
    """Write plan.parquet as `write_plan` does, from its columns batch by batch. The same rows give the same bytes."""
    with database() as connection:
        connection.execute(_PLAN_TABLE)
        rows = 0
        for batch in batches:
            connection.register("batch", _to_typed_columns(batch, PLAN_COLUMNS, _PLAN_TYPES))
            connection.execute("INSERT INTO plan SELECT * FROM batch")
            rows += len(batch["page"])
        write_parquet(connection, _PLAN_QUERY + "plan", path)
    release_memory(rows)


def read_plan(path: Path) -> dict[str, Column]:
    """Columns of plan.parquet in the order of the pages' indices.

    Raises RunFolderError if it is missing or not a plan.
    """
    with database() as connection:
        return fetch_columns(connection, _PLAN_QUERY + "read_parquet(?, hive_partitioning = false)", path)


def read_planned_due(folder: Path) -> dict[str, float]:
    """Station code -> due time in seconds, as planned by an earlier run: what another run can replay.

    After closed arrivals only each phone's first station has a due time. Raises RunFolderError if the folder has no plan.
    """
    plan = RunFolder(folder).plan
    require_file(plan)
    with database() as connection:
        rows = fetch_columns(connection, _DUE_QUERY, plan)
    return dict(zip(rows["station"].tolist(), rows["due_s"].tolist(), strict=True))


def write_stored(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write stored.parquet from the rows that the server reports, mappings with the keys `STORED_COLUMNS`.

    Sorted by key, then time; a page that is stored twice has two rows. `reading` and `stored_at` (Unix seconds by the server's
    clock) may be missing or None if the server does not report them. Rows are consumed in batches, so that millions fit into
    memory. No file is written if `rows` raises. Raises KeyError if a row lacks another key.
    """
    with database() as connection:
        connection.execute(_STORED_TABLE)
        _insert_stored(connection, rows)
        write_parquet(connection, _STORED_QUERY + _STORED_ORDER, path)


def write_stored_as_planned(path: Path, plan: Path, stored_at: Column, others: Iterable[Mapping[str, Any]]) -> None:
    """Write stored.parquet as `write_stored` does, for a store that has most pages exactly as they were planned.

    `stored_at` has shape (pages,): when each page of the file `plan` was stored as planned, NaN where it was not. `others`
    are the remaining rows. Nothing is computed again, so that this takes seconds for millions of pages.
    """
    rows = np.flatnonzero(~np.isnan(stored_at))
    with database(kept={"plan_row": rows, "stored_at": stored_at[rows]}) as connection:
        connection.execute(_STORED_TABLE)
        connection.execute(_STORED_AS_PLANNED, [parquet_path(plan)])
        _insert_stored(connection, others)
        write_parquet(connection, _STORED_QUERY + _STORED_ORDER, path)
    release_memory(len(stored_at))


def _insert_stored(connection: duckdb.DuckDBPyConnection, rows: Iterable[Mapping[str, Any]]) -> None:
    remaining = iter(rows)
    while batch := list(islice(remaining, _ROWS_PER_BATCH)):
        columns = {
            name: [row.get(name) if name in _OPTIONAL_COLUMNS else row[name] for row in batch]
            for name in STORED_COLUMNS
        }
        columns["stored_at"] = [float("nan") if at is None else at for at in columns["stored_at"]]
        connection.register("batch", _to_typed_columns(columns, STORED_COLUMNS, _STORED_TYPES))
        connection.execute("INSERT INTO stored SELECT * FROM batch")


def read_stored(path: Path) -> dict[str, Column] | None:
    """Columns of stored.parquet, or None if the server's store was not read."""
    if not path.exists():
        return None
    with database() as connection:
        return fetch_columns(connection, _STORED_QUERY + "read_parquet(?, hive_partitioning = false)", path)


def _slices_of(columns: Mapping[str, Sequence[Any] | Column]) -> Iterator[Mapping[str, Sequence[Any] | Column]]:
    """Columns in slices of a batch. Raises ValueError if they differ in length."""
    lengths = {name: len(columns[name]) for name in PLAN_COLUMNS}
    if len(set(lengths.values())) > 1:
        message = f"columns differ in length: {lengths}"
        raise ValueError(message)
    for first in range(0, lengths["page"], _ROWS_PER_BATCH):
        yield {name: columns[name][first : first + _ROWS_PER_BATCH] for name in PLAN_COLUMNS}


def _batches_of(pages: Iterable[Page]) -> Iterator[Mapping[str, list[Any]]]:
    """The columns of pages, batch by batch. Raises ValueError if a page is not at its own row."""
    remaining, number = iter(pages), 0
    while batch := list(islice(remaining, _ROWS_PER_BATCH)):
        for page in batch:
            if page.index != number:
                message = f"page {page.index} is at row {number} of the plan"
                raise ValueError(message)
            number += 1
        yield {name: [getattr(page, name) for page in batch] for name in PLAN_COLUMNS}


def _to_typed_columns(
    columns: Mapping[str, Sequence[Any] | Column], names: Sequence[str], types: Mapping[str, np.dtype[Any]]
) -> dict[str, Column]:
    typed = {}
    for name in names:
        dtype = types.get(name, _TEXT)
        column = columns[name]
        if dtype == _TEXT and isinstance(column, np.ndarray) and column.dtype != _TEXT:
            column = column.tolist()
        typed[name] = np.asarray(column, dtype=dtype)
    if len({len(column) for column in typed.values()}) > 1:
        message = f"columns differ in length: { {name: len(column) for name, column in typed.items()} }"
        raise ValueError(message)
    return typed


def require_file(path: Path) -> None:
    """Raise RunFolderError if a file is missing without which nothing can be computed."""
    if not path.exists():
        message = f"{path} is missing: without it no figures can be computed"
        raise RunFolderError(message)
