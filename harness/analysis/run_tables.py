"""The tables of a run, for queries in SQL: one row per attempt, page, station, read or stored copy.

What a figure of the summary counts as delivered or complete, these tables count so too: both come from the same rows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.base.errors import UsageError
from harness.base.model import ALL_STATUSES
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import parquet_path, sql_list
from mock_server.profile.validation_messages import suggestion

if TYPE_CHECKING:
    from harness.run_folder.parquet import Columns

TABLES: Final[dict[str, str]] = {
    "attempts": "one row per attempt, by due time",
    "pages": "one row per planned page, with what became of it",
    "stations": "one row per station, with when its last page was acknowledged",
    "plan": "one row per planned page, as planned",
    "stored": "one row per copy that the server has stored",
    "reads": "one row per read of the published results",
}
"""Name of each table, and what its rows are."""


class TableFormat(StrEnum):
    """Formats that a table can be written in."""

    CSV = "csv"
    JSON = "json"
    """One object per line."""
    PARQUET = "parquet"


_COPY_OPTIONS = {
    TableFormat.CSV: "FORMAT csv, HEADER true",
    TableFormat.JSON: "FORMAT json",
    TableFormat.PARQUET: "FORMAT parquet, COMPRESSION zstd",
}
_TEXT_CHARACTERS = 1_000_000
QUERY_MEMORY: Final = "600MB"
_PAGES = """
    CREATE TABLE pages AS
    WITH made AS (
        SELECT station, form, page, count(*) FILTER (outcome <> 'withheld') AS attempts, sum(sent_bytes) AS sent_bytes,
            arg_max(outcome, attempt) AS last_outcome
        FROM attempts GROUP BY station, form, page
    )
    SELECT plan.station, plan.form, plan.page, plan.size_bytes, coalesce(made.attempts, 0) AS attempts,
        coalesce(made.sent_bytes, 0)::BIGINT AS sent_bytes, made.last_outcome, facts.first_due_s, facts.acknowledged_s,
        facts.acknowledged_s - facts.first_due_s AS delivery_s, {statuses}[facts.status] AS status
    FROM (SELECT *, row_number() OVER () - 1 AS number FROM plan) AS plan
    JOIN (SELECT *, row_number() OVER () - 1 AS number FROM facts) AS facts USING (number)
    LEFT JOIN made ON made.station = plan.station AND made.form = plan.form AND made.page = plan.page
    ORDER BY number
"""
_STATIONS = """
    CREATE TABLE stations AS
    SELECT facts.station, facts.due_s, facts.pages::BIGINT AS pages, found.delivered, found.attempts, found.sent_bytes, facts.completed_s,
        facts.completed_s - facts.due_s AS completion_s
    FROM facts JOIN (
        SELECT station, count(acknowledged_s) AS delivered, sum(attempts)::BIGINT AS attempts, sum(sent_bytes)::BIGINT AS sent_bytes
        FROM pages GROUP BY station
    ) AS found USING (station)
    ORDER BY station
"""


class RunTables:
    """The tables of one run in a DuckDB session of their own. A table is read when it is first asked for."""

    def __init__(self, folder: RunFolder, *, sandboxed: bool = False) -> None:
        """Raises RunFolderError if the folder is not that of a run, or its plan is missing.

        With `sandboxed`, queries can read no other file than the run's tables, and can change no setting.
        """
        self.folder = folder
        self._rows = load_rows(folder)
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "memory_limit": QUERY_MEMORY,
                "python_enable_replacements": not sandboxed,
            },
        )
        files = {"attempts": folder.attempts, "plan": folder.plan, "stored": folder.stored, "reads": folder.reads}
        self._files = {name: path for name, path in files.items() if path.exists()}
        if sandboxed:
            paths = sql_list(parquet_path(path) for path in self._files.values())
            self._connection.execute(f"SET allowed_paths = {paths}")
            self._connection.execute("SET enable_external_access = false")
        for name, path in self._files.items():
            source = sql_list([parquet_path(path)])
            self._connection.execute(
                f"CREATE VIEW {name} AS SELECT * FROM read_parquet({source}, hive_partitioning = false)"  # noqa: S608 - fixed names, quoted paths
            )
        if "attempts" not in self._files:
            self._connection.execute(
                "CREATE TABLE attempts (station TEXT, form TEXT, page INT, attempt INT, outcome TEXT, sent_bytes BIGINT)"
            )
        self._kept = 0
        self._make: dict[str, Callable[[], None]] = {"pages": self._make_pages, "stations": self._make_stations}
        if sandboxed:
            for name in list(self._make):
                self._ensure(name)
            self._connection.execute("SET lock_configuration = true")

    @property
    def names(self) -> list[str]:
        """The tables that this run has: without readers it has no reads, and a store that was not read is missing."""
        return [name for name in TABLES if name in self._files or name in {"attempts", "pages", "stations"}]

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """A table by its name (`TABLES`). Raises UsageError if the run has none of that name."""
        if name not in self.names:
            has = ", ".join(self.names)
            message = f'{self.folder.path} has no table "{name}"{suggestion(name, self.names) or f"; it has {has}"}'
            raise UsageError(message)
        self._ensure(name)
        return self._connection.table(name) if name in {"pages", "stations"} else self._connection.view(name)

    def query(self, sql: str) -> duckdb.DuckDBPyRelation:
        """The result of a SELECT over the tables. Raises UsageError for what is not one, or can't be carried out."""
        for name in list(self._make):
            self._ensure(name)
        try:
            statements = self._connection.extract_statements(sql)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                message = "not one SELECT statement: a query reads the run's tables and changes nothing"
                raise UsageError(message)
            found: duckdb.DuckDBPyRelation = self._connection.sql(sql)
        except duckdb.Error as error:
            message = f"this query can't be carried out: {error}"
            raise UsageError(message) from None
        return found

    def fetch(self, sql: str, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and at most `limit` rows of a SELECT. Raises UsageError as `query` does, also for a row that can't be computed."""
        found = self.query(sql)
        try:
            return found.columns, found.limit(limit).fetchall()
        except duckdb.Error as error:
            message = f"this query can't be carried out: {error}"
            raise UsageError(message) from None

    def interrupt(self) -> None:
        """End the query that another thread is waiting for; it raises UsageError there."""
        self._connection.interrupt()

    def write(self, name: str, table_format: TableFormat, path: Path) -> None:
        """Write a table as a file, atomically. Raises UsageError if the run has no such table, OSError if it can't be written."""
        self.table(name)
        unfinished = path.with_name(path.name + ".new")
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        unfinished.touch()  # raises the system's own error, where DuckDB would have one of its own
        try:
            target = sql_list([str(unfinished)])[1:-1]
            self._connection.execute(f"COPY {name} TO {target} ({_COPY_OPTIONS[table_format]})")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def text(self, name: str, table_format: TableFormat) -> Iterator[str]:
        """A table as CSV or JSON, in pieces; the same text as `write` writes."""
        self.table(name)
        with TemporaryDirectory(prefix="harness-export-") as folder:
            path = Path(folder) / "rows"
            self.write(name, table_format, path)
            with path.open(encoding="utf-8", newline="") as file:
                while piece := file.read(_TEXT_CHARACTERS):
                    yield piece

    def keep(self, columns: Columns) -> duckdb.DuckDBPyRelation:
        """Columns of one length as a relation of this session. Texts must have dtype object."""
        self._kept += 1
        name = f"kept_{self._kept}"
        self._connection.register(name, dict(columns))
        return self._connection.table(name)

    def close(self) -> None:
        """End the session; its tables can't be read any more."""
        self._connection.close()

    def _ensure(self, name: str) -> None:
        make = self._make.pop(name, None)
        if make is not None:
            make()

    def _make_pages(self) -> None:
        rows, statuses = self._rows, load_page_statuses(self.folder, self._rows)
        known = statuses.stored is not None
        facts: Columns = {
            "first_due_s": _finite(rows.first_due_s),
            "acknowledged_s": _finite(rows.acknowledged_s),
            "status": statuses.status_number + 1 if known else np.zeros(rows.pages, dtype=np.int64),
        }
        self._create(_PAGES.format(statuses=sql_list(ALL_STATUSES)), facts)

    def _make_stations(self) -> None:
        self._ensure("pages")
        rows = self._rows
        facts: Columns = {
            "station": rows.stations.code,
            "due_s": _finite(rows.stations.due_s),
            "pages": rows.stations.pages,
            "completed_s": _finite(rows.completed_s),
        }
        self._create(_STATIONS, facts)

    def _create(self, sql: str, facts: Columns) -> None:
        self._connection.register("facts", dict(facts))
        self._connection.execute(sql)
        self._connection.unregister("facts")


def _finite(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ma.MaskedArray[tuple[int], np.dtype[np.float64]]:
    """Times with NULL where there is none."""
    return np.ma.masked_invalid(times)
