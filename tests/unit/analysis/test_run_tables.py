"""The tables of a run: their rows are those that the summary counts, and a query can do nothing but read them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest

from harness.analysis.run_tables import RunTables, TableFormat
from harness.analysis.summarise import summarise
from harness.base.errors import RunFolderError, UsageError
from harness.run_folder.layout import RunFolder
from tests.support.run_builder import RunBuilder
from tests.support.small_run import small_run

STATIONS = ["3509191001001", "3509191001002"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return small_run(tmp_path / "run")


def test_a_page_has_its_attempts_its_times_and_its_status(folder: RunFolder) -> None:
    found = RunTables(folder).query(
        "SELECT attempts, last_outcome, first_due_s, acknowledged_s, delivery_s, status FROM pages"
    )
    assert found.fetchall() == [
        (1, "accepted", 0.0, 0.5, 0.5, "lost"),
        (2, "accepted", 0.5, 3.0, 2.5, "ok"),
        (1, "accepted", 1.0, 1.25, 0.25, "ok"),
        (1, "withheld", 1.25, None, None, "undelivered"),  # the withheld attempt was not sent
    ]


def test_a_station_is_complete_when_its_last_page_was_acknowledged(folder: RunFolder) -> None:
    found = RunTables(folder).query(
        "SELECT station, due_s, pages, delivered, attempts, completed_s, completion_s FROM stations"
    )
    assert found.fetchall() == [(STATIONS[0], 0.0, 2, 2, 3, 3.0, 3.0), (STATIONS[1], 1.0, 2, 1, 2, None, None)]


def test_the_tables_agree_with_the_summary(folder: RunFolder) -> None:
    tables, summary = RunTables(folder), summarise(folder)
    assert tables.query("SELECT count(acknowledged_s) FROM pages").fetchall() == [(summary.pages.delivered,)]
    assert len(tables.table("attempts")) == summary.attempts.total
    by_outcome = tables.query("SELECT outcome, count(*) FROM attempts GROUP BY outcome").fetchall()
    assert dict(by_outcome) == summary.attempts.by_outcome


def test_the_status_is_not_known_where_the_store_was_not_read(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run", stations=1)
    run.attempt(0, due_s=0.0, sent_s=0.0, done_s=1.0)
    tables = RunTables(run.finish(at_s=2.0))
    assert tables.query("SELECT status FROM pages").fetchall() == [(None,)]
    assert "stored" not in tables.names
    with pytest.raises(UsageError, match='no table "stored"; it has attempts, pages, stations, plan'):
        tables.table("stored")


def test_a_run_without_an_attempt_has_empty_tables(tmp_path: Path) -> None:
    tables = RunTables(RunBuilder(tmp_path / "run", stations=1).finish(at_s=2.0))
    assert len(tables.table("attempts")) == 0
    assert tables.query("SELECT attempts, sent_bytes, last_outcome FROM pages").fetchall() == [(0, 0, None)]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no run\.json"):
        RunTables(RunFolder(tmp_path))


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE pages",
        "SELECT 1; SELECT 2",
        "INSERT INTO pages SELECT * FROM pages",
        "COPY pages TO 'x.csv'",
        "",
        "SELEC 1",
        "SELECT * FROM nothing",
    ],
)
def test_only_one_select_can_be_asked(folder: RunFolder, query: str) -> None:
    with pytest.raises(UsageError):
        RunTables(folder).query(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM STATIONS_OF_THE_TEST",
    ],
)
def test_a_sandboxed_query_reads_nothing_but_the_tables(folder: RunFolder, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n", "utf-8")
    STATIONS_OF_THE_TEST = {"a": [1]}  # noqa: N806, F841 - DuckDB would find it by its name
    tables = RunTables(folder, sandboxed=True)
    assert tables.query("SELECT count(*) FROM pages").fetchall() == [(4,)]
    assert len(tables.query("SELECT * FROM attempts").fetchall()) == 6
    with pytest.raises((UsageError, duckdb.Error)):
        tables.query(query.format(secret=secret, folder=tmp_path)).fetchall()


def test_csv_and_json_have_the_same_rows(folder: RunFolder) -> None:
    tables = RunTables(folder)
    as_csv = list(csv.DictReader(io.StringIO("".join(tables.text("pages", TableFormat.CSV)))))
    as_json = [json.loads(line) for line in "".join(tables.text("pages", TableFormat.JSON)).splitlines()]
    assert (
        [row["status"] for row in as_csv] == [row["status"] for row in as_json] == ["lost", "ok", "ok", "undelivered"]
    )
    assert (as_csv[3]["acknowledged_s"], as_json[3]["acknowledged_s"]) == ("", None)
    assert float(as_csv[1]["delivery_s"]) == as_json[1]["delivery_s"] == 2.5


def test_parquet_is_read_back_as_it_was(folder: RunFolder, tmp_path: Path) -> None:
    tables, path = RunTables(folder), tmp_path / "it's [odd].parquet"
    tables.write("stations", TableFormat.PARQUET, path)
    assert duckdb.read_parquet(str(path).replace("[", "[[]")).fetchall() == tables.table("stations").fetchall()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["it's [odd].parquet", "run"]


def test_a_file_that_cannot_be_written_is_an_error_of_the_system(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RunTables(folder).write("pages", TableFormat.CSV, tmp_path / "missing" / "pages.csv")
