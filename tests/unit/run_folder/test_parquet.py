from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from harness.base.errors import RunFolderError
from harness.run_folder.parquet import database, fetch_columns, load_table, read_made_from, write_parquet


def test_a_session_leaves_nothing_to_the_next(tmp_path):
    with database(numbers={"v": np.arange(3)}) as session:
        write_parquet(session, "SELECT v FROM numbers", tmp_path / "numbers.parquet")
        load_table(session, "kept", "v", tmp_path / "numbers.parquet")
        with database() as other, pytest.raises(duckdb.CatalogException):
            other.execute("FROM numbers")
    with database() as later, pytest.raises(duckdb.CatalogException):
        later.execute("FROM kept")


def test_nan_and_masked_values_are_null_and_come_back_as_nan_or_none(tmp_path):
    columns = {
        "time": np.array([1.0, np.nan]),
        "status": np.ma.masked_equal(np.array([201, 0]), 0),
        "text": np.array(["a", None], dtype=object),
    }
    with database(rows=columns) as session:
        write_parquet(session, "SELECT * FROM rows", tmp_path / "rows.parquet")
        nulls = "SELECT count(*) - count(time) AS t, count(*) - count(status) AS s FROM read_parquet(?)"
        assert {
            name: int(count[0]) for name, count in fetch_columns(session, nulls, tmp_path / "rows.parquet").items()
        } == {
            "t": 1,
            "s": 1,
        }
        found = fetch_columns(session, "SELECT * FROM read_parquet(?)", tmp_path / "rows.parquet")
    np.testing.assert_array_equal(found["time"], [1.0, np.nan])
    np.testing.assert_array_equal(found["status"], [201.0, np.nan])
    assert found["text"].tolist() == ["a", None]


def test_a_file_says_what_it_was_made_from(tmp_path):
    with database(rows={"v": np.arange(3)}) as session:
        write_parquet(session, "SELECT v FROM rows", tmp_path / "said.parquet", made_from="it's the journal")
        write_parquet(session, "SELECT v FROM rows", tmp_path / "unsaid.parquet")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "said.parquet").read_bytes()[:-9])
    names = ("said", "unsaid", "torn", "missing")
    assert [read_made_from(tmp_path / f"{name}.parquet") for name in names] == ["it's the journal", "", "", ""]


def test_a_file_without_the_column_is_a_broken_run(tmp_path):
    with database(rows={"v": np.arange(3)}) as session:
        write_parquet(session, "SELECT v FROM rows", tmp_path / "rows.parquet")
        with pytest.raises(RunFolderError, match="can't be read"):
            load_table(session, "rows_of", "w", tmp_path / "rows.parquet")


def test_a_file_that_is_damaged_in_the_middle_is_a_broken_run_whatever_is_made_of_it(tmp_path):
    source = tmp_path / "rows.parquet"
    with database(rows={"v": np.arange(100_000)}) as session:
        write_parquet(session, "SELECT v FROM rows", source)
    content = source.read_bytes()
    source.write_bytes(bytes(64) + content[64:])
    query = f"SELECT v FROM read_parquet('{source}', hive_partitioning = false)"  # noqa: S608
    with pytest.raises(RunFolderError, match="a table of the run can't be read"), database() as session:
        write_parquet(session, query, tmp_path / "made.parquet")
    with pytest.raises(RunFolderError, match="a table of the run can't be read"), database() as session:
        session.execute(query).fetchall()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.parquet"
    with database(rows={"v": np.arange(3)}) as session:
        write_parquet(session, "SELECT v FROM rows", path)
        before = path.read_bytes()
        with pytest.raises(duckdb.Error):
            write_parquet(session, "SELECT error('no') FROM rows", path)
    assert path.read_bytes() == before


QUERY = """
import signal, sys
from harness.base.signals import exit_at_once
from harness.run_folder.parquet import database
{handler}
def hold():
    with database() as session:
        {body}
{call}
"""
SLOW = "session.execute('SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b').fetchall()"


def python(handler="", body="session.execute('SELECT 1').fetchall()", call="hold()"):
    program = QUERY.format(handler=handler, body=body, call=call)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def test_a_signal_during_a_query_ends_the_process_by_that_signal():
    """DuckDB replaces what a signal handler raises by an error of its own."""
    handler = "signal.signal(signal.SIGALRM, lambda *_: exit_at_once(signal.SIGTERM, None))"
    body = f"signal.setitimer(signal.ITIMER_REAL, 0.2); {SLOW}"
    done = python(handler, body)
    assert "harness.base.signals.ImmediateExit: SIGTERM" in done.stderr
    assert "Query interrupted" not in done.stderr
    assert signal.Signals.SIGTERM.name in done.stderr


def test_a_process_that_used_the_engine_ends_without_a_word_even_if_something_holds_on_to_the_module():
    """DuckDB's module lists all that is alive when the interpreter ends; C extensions hold references to the very end."""
    forever = "import ctypes; from harness.run_folder import parquet; hold(); ctypes.pythonapi.Py_IncRef(ctypes.py_object(parquet._engine))"
    for call in ("hold()", forever):
        done = python(call=call)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["page=1", "station=3/form=x", "a*", "a?", "a[b]", "it's"])
def test_the_name_of_a_folder_is_a_name_and_nothing_else(tmp_path, name):
    """DuckDB takes page=1 for a column and a* for every folder that begins with a."""
    for folder, value in ((name, 7), ("ab", 8)):
        (tmp_path / folder).mkdir(parents=True)
        with database(t={"page": np.array([value])}) as connection:
            write_parquet(connection, "SELECT * FROM t", tmp_path / folder / "x.parquet", made_from=f"of {value}")
    path = tmp_path / name / "x.parquet"
    with database() as connection:
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
        assert {key: column.tolist() for key, column in fetch_columns(connection, query, path).items()} == {"page": [7]}
        load_table(connection, "loaded", "page", path)
        assert connection.execute("SELECT page FROM loaded").fetchall() == [(7,)]
    assert read_made_from(path) == "of 7"


def test_no_query_lets_a_path_decide_what_it_means():
    for source in Path("harness").rglob("*.py"):
        calls = re.findall(r"read_parquet\([^)]*\)", source.read_text("utf-8"))
        assert all("hive_partitioning = false" in call for call in calls), source
