"""Columns in and out of Parquet files, through DuckDB.

A file depends on its columns alone: one thread, insertion order, no time stamps; so the same columns give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from harness.errors import BrokenRunError

if TYPE_CHECKING:
    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Columns = Mapping[str, Column]

_SETTINGS = {
    "threads": 1,
    "preserve_insertion_order": True,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@contextmanager
def database(**tables: Columns) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that sees each mapping of columns as a table; closed on leaving.

    Shapes: all columns of a table (n,). Texts are columns of dtype object: a numpy text column would become an
    enumeration of all its values. NaN and masked values are NULL.
    """
    connection = duckdb.connect(":memory:", config=dict(_SETTINGS))
    try:
        for name, columns in tables.items():
            connection.register(name, dict(columns))
        yield connection
    finally:
        connection.close()


def copy_to(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write what a query gives as a Parquet file, in one step: a reader never sees half of it."""
    beside = path.with_name(path.name + ".new")
    target = str(beside).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    os.replace(beside, path)


def fetch(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> dict[str, Column]:
    """Columns that a query gives whose parameter is the file `path`: NULL is NaN among numbers, None among texts.

    Raises BrokenRunError where the file is missing, no Parquet or lacks a column.
    """
    try:
        found = connection.execute(query, [str(path)]).fetchnumpy()
    except duckdb.Error as error:
        message = f"{path} can't be read: {str(error).splitlines()[0]}"
        raise BrokenRunError(message) from None
    return {name: _plain(column) for name, column in found.items()}


def _plain(column: Column) -> Column:
    if not isinstance(column, np.ma.MaskedArray):
        return column
    whole: Column = column.data.copy()
    if whole.dtype == object:
        whole[column.mask] = None
    elif column.mask.any():
        whole = whole.astype(np.float64)
        whole[column.mask] = np.nan
    return whole
