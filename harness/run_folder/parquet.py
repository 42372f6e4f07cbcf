"""Columns in and out of Parquet files, through DuckDB.

A file depends on its columns alone: one thread, insertion order, no time stamps; so the same columns give the same bytes.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from harness.base.errors import OutOfResourcesError, RunFolderError

if TYPE_CHECKING:
    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Columns = Mapping[str, Column]

MEMORY_LIMIT = "600MB"
"""What queries may take; what they need beyond it goes to a temporary folder."""
COMPRESSION = "zstd, COMPRESSION_LEVEL 1"
"""The usual third level takes half as long again for a twentieth less."""
_RELEASE_FROM_ROWS = 1_000_000
"""Below these a new engine costs more than it gives back."""
_SETTINGS: dict[str, str | int] = {
    "threads": 1,
    "memory_limit": MEMORY_LIMIT,
    "preserve_insertion_order": True,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """The process's one database in memory, always empty: starting it takes longer than most queries."""
    overflow = (
        Path(gettempdir()) / f"harness-{secrets.token_hex(8)}"
    )  # made by the first query that needs it, and removed
    return duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": str(overflow)})


def release_memory(rows: int) -> None:
    """Give back what queries over so many rows took, if they are many: the engine keeps hundreds of megabytes otherwise."""
    if rows >= _RELEASE_FROM_ROWS:
        _engine().close()
        _engine.cache_clear()


@contextmanager
def database(**tables: Columns) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session that sees each mapping of columns as a table; it and all its temporary tables are gone on leaving.

    Shapes: all columns of a table (n,). Texts are columns of dtype object: a numpy text column would become an
    enumeration of all its values. NaN and masked values are NULL.
    """
    connection = _engine().cursor()
    try:
        for name, columns in tables.items():
            connection.register(name, dict(columns))
        yield connection
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
    """Write what a query gives as a Parquet file, in one step: a reader never sees half of it.

    `read_made_from` says what the file was made from, for `read_made_from` to read; kept in the file's metadata. Raises OutOfResourcesError
    where the disk doesn't take it.
    """
    beside = path.with_name(path.name + ".new")
    stamp = f", KV_METADATA {{made_from: {_quote(made_from)}}}" if made_from else ""
    try:
        connection.execute(
            f"COPY ({query}) TO {_quote(str(beside))} (FORMAT parquet, COMPRESSION {compression}{stamp})"
        )
    except duckdb.IOException as error:
        message = f"{path} can't be written: {str(error).splitlines()[0]}"
        raise OutOfResourcesError(message) from None
    os.replace(beside, path)


def read_made_from(path: Path) -> str:
    """What a file says it was made from; nothing where it is missing, torn or doesn't say."""
    with database() as connection:
        try:
            found = connection.execute("SELECT value FROM parquet_kv_metadata(?) WHERE key = 'made_from'", [str(path)])
            return "".join(bytes(value).decode() for (value,) in found.fetchall())
        except duckdb.Error:
            return ""


def load_table(connection: duckdb.DuckDBPyConnection, table: str, columns: str, path: Path) -> None:
    """Make a temporary table in the session from columns of a file, with `row_number` (from 0) beside them.

    Raises RunFolderError where the file is missing, no Parquet or lacks a column.
    """
    source = "read_parquet(?, file_row_number = true)"
    query = f"CREATE TEMP TABLE {table} AS SELECT {columns}, file_row_number AS row_number FROM {source}"  # noqa: S608 - names of ours
    try:
        connection.execute(query, [str(path)])
    except duckdb.Error as error:
        message = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise RunFolderError(message) from None


def fetch_columns(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> dict[str, Column]:
    """Columns that a query over the file `path` gives: NULL is NaN among numbers, None among texts.

    The path is the query's parameter, where it has one.

    Raises RunFolderError where the file is missing, no Parquet or lacks a column.
    """
    try:
        found = connection.execute(query, [str(path)] if "?" in query else None).fetchnumpy()
    except duckdb.Error as error:
        message = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise RunFolderError(message) from None
    return {name: _unmask(column) for name, column in found.items()}


def sql_list(words: Iterable[str]) -> str:
    """A list of texts as a query has it.

    >>> texts(["a", "it's"])
    "['a', 'it''s']"
    """
    return "[" + ", ".join(_quote(word) for word in words) + "]"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _unmask(column: Column) -> Column:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    whole: Column = column.data.copy()
    if whole.dtype == object:
        whole[column.mask] = None
    elif column.mask.any():
        whole = whole.astype(np.float64)
        whole[column.mask] = np.nan
    return whole
