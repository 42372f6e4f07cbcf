"""Reading and writing Parquet files with DuckDB.

A file depends only on its columns: one thread, insertion order, no timestamps. So the same columns give the same bytes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from harness.base.errors import OutOfResourcesError, RunFolderError
from harness.base.signals import ImmediateExit
from harness.base.temporary import temporary_folder

if TYPE_CHECKING:
    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Columns = Mapping[str, Column]

MEMORY_LIMIT = "600MB"
"""Memory for queries; what they need beyond it is written to a temporary folder."""
COMPRESSION = "zstd, COMPRESSION_LEVEL 1"
"""DuckDB's default, level 3, takes 50 % longer for files that are 5 % smaller (measured)."""
_RELEASE_FROM_ROWS = 1_000_000
"""For fewer rows a new engine costs more time than it frees memory."""
_SETTINGS: dict[str, str | int] = {
    "threads": 1,
    "memory_limit": MEMORY_LIMIT,
    "preserve_insertion_order": True,
    # nothing may be downloaded: a run must not depend on the network
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


_resources = ExitStack()


@cache  # closed by `_close_engine`
def _engine() -> duckdb.DuckDBPyConnection:
    """The process's one in-memory database, which stays empty. Starting it takes longer than most queries."""
    overflow = _resources.enter_context(temporary_folder("duckdb"))
    return duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": str(overflow)})


@atexit.register
def _close_engine() -> None:
    """Close the engine, if there is one. One that is still open when the interpreter ends is reported as leaked."""
    if _engine.cache_info().currsize:
        _engine().close()
        _engine.cache_clear()
        _resources.close()


def release_memory(rows: int) -> None:
    """Free the memory of queries over `rows` rows, if they are many: the engine would keep hundreds of megabytes."""
    if rows >= _RELEASE_FROM_ROWS:
        _close_engine()


@contextmanager
def database(**tables: Columns) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session with each mapping of columns as a table; the session and its temporary tables end with the block.

    All columns of a table have the shape (n,). Texts must have dtype object: DuckDB would turn a numpy text column into an
    enumeration of all its values. NaN and masked values are NULL. Raises RunFolderError if a query meets a damaged file.
    """
    connection = _engine().cursor()
    try:
        for name, columns in tables.items():
            connection.register(name, dict(columns))
        yield connection
    except RuntimeError:
        # What a signal handler raises during a query is lost: DuckDB reports "Query interrupted" instead.
        if ImmediateExit.latest is not None:
            raise ImmediateExit.latest from None
        raise
    except (duckdb.OperationalError, duckdb.CatalogException, duckdb.ParserException):
        raise  # no disk or memory left, or a mistake in a query: no file is damaged
    except duckdb.Error as error:
        message = f"a table of the run can't be read: {str(error).splitlines()[0]}"
        raise RunFolderError(message) from None
    finally:
        connection.close()


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    path: Path,
    *,
    made_from: str = "",
    compression: str = COMPRESSION,
) -> None:
    """Write the result of a query as a Parquet file, atomically: a reader never sees half a file.

    `made_from` is stored in the file's metadata and identifies its sources; `read_made_from` reads it. Raises
    OutOfResourcesError if the file cannot be written.
    """
    unfinished = path.with_name(path.name + ".new")
    metadata = f", KV_METADATA {{made_from: {_quote(made_from)}}}" if made_from else ""
    try:
        connection.execute(
            f"COPY ({query}) TO {_quote(str(unfinished))} (FORMAT parquet, COMPRESSION {compression}{metadata})"
        )
    except duckdb.IOException as error:
        message = f"{path} can't be written: {str(error).splitlines()[0]}"
        raise OutOfResourcesError(message) from None
    os.replace(unfinished, path)


def parquet_path(path: Path) -> str:
    """The path as DuckDB must be given it: where a name has the characters of a pattern, it would read what matches.

    Queries say `hive_partitioning = false` besides: a folder called `page=1` is a name, not a column.
    """
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def read_made_from(path: Path) -> str:
    """The `made_from` of a file; "" if the file is missing, damaged or has none."""
    with database() as connection:
        try:
            found = connection.execute(
                "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'made_from'", [parquet_path(path)]
            )
            return "".join(bytes(value).decode() for (value,) in found.fetchall())
        except duckdb.Error:
            return ""


def load_table(connection: duckdb.DuckDBPyConnection, table: str, columns: str, path: Path) -> None:
    """Create a temporary table in the session from columns of a file, plus `row_number` (from 0).

    Raises RunFolderError if the file is missing, not Parquet, or lacks a column.
    """
    source = "read_parquet(?, hive_partitioning = false, file_row_number = true)"
    query = f"CREATE TEMP TABLE {table} AS SELECT {columns}, file_row_number AS row_number FROM {source}"  # noqa: S608 - constants of the harness
    try:
        connection.execute(query, [parquet_path(path)])
    except duckdb.Error as error:
        message = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise RunFolderError(message) from None


def fetch_columns(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> dict[str, Column]:
    """Columns of a query over the file `path`, which is the query's parameter if it has one.

    NULL becomes NaN in numbers and None in texts. Raises RunFolderError if the file is missing, not Parquet, or lacks a column.
    """
    try:
        found = connection.execute(query, [parquet_path(path)] if "?" in query else None).fetchnumpy()
    except duckdb.Error as error:
        message = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise RunFolderError(message) from None
    return {name: _unmask(column) for name, column in found.items()}


def sql_list(words: Iterable[str]) -> str:
    """A list of texts as an SQL literal.

    >>> sql_list(["a", "it's"])
    "['a', 'it''s']"
    """
    return "[" + ", ".join(_quote(word) for word in words) + "]"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unmask(column: Column) -> Column:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    whole: Column = column.data.copy()
    if whole.dtype == object:  # texts: NaN would be a float among strings
        whole[column.mask] = None
    elif column.mask.any():
        whole = whole.astype(np.float64)
        whole[column.mask] = np.nan
    return whole
