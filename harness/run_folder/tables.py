"""The Parquet tables plan and stored of a run folder. docs/reference/run-folder.md describes their columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.errors import RunFolderError
from harness.base.model import Page
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns, write_parquet

if TYPE_CHECKING:
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
_OPTIONAL_COLUMNS = frozenset({"reading", "stored_at"})
_ROWS_PER_BATCH = 50_000


def write_plan(path: Path, pages: Iterable[Page] | Mapping[str, Sequence[Any] | Column]) -> None:
    """Write plan.parquet: one row per page, in the given order; the journal refers to pages by their row.

    `pages` are Page objects in the order of their index, or the columns `PLAN_COLUMNS`, each of shape (n,), for plans of
    millions of pages. The same pages give the same bytes.
    """
    columns = pages if isinstance(pages, Mapping) else _columns_of(pages)
    typed = _to_typed_columns(columns, PLAN_COLUMNS, _PLAN_TYPES)
    with database(plan=typed) as connection:
        write_parquet(connection, _PLAN_QUERY + "plan", path)


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
        remaining = iter(rows)
        while batch := list(islice(remaining, _ROWS_PER_BATCH)):
            columns = {
                name: [row.get(name) if name in _OPTIONAL_COLUMNS else row[name] for row in batch]
                for name in STORED_COLUMNS
            }
            columns["stored_at"] = [float("nan") if at is None else at for at in columns["stored_at"]]
            connection.register("batch", _to_typed_columns(columns, STORED_COLUMNS, _STORED_TYPES))
            connection.execute("INSERT INTO stored SELECT * FROM batch")
        write_parquet(connection, _STORED_QUERY + "stored ORDER BY station, form, page, stored_at, sha256", path)


def read_stored(path: Path) -> dict[str, Column] | None:
    """Columns of stored.parquet, or None if the server's store was not read."""
    if not path.exists():
        return None
    with database() as connection:
        return fetch_columns(connection, _STORED_QUERY + "read_parquet(?, hive_partitioning = false)", path)


def _columns_of(pages: Iterable[Page]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in PLAN_COLUMNS}
    for number, page in enumerate(pages):
        if page.index != number:
            message = f"page {page.index} is at row {number} of the plan"
            raise ValueError(message)
        for name, column in columns.items():
            column.append(getattr(page, name))
    return columns


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
