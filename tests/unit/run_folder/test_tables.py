from __future__ import annotations

import hashlib

import duckdb
import numpy as np
import pytest

from harness.base.errors import RunFolderError
from harness.run_folder.tables import (
    PLAN_COLUMNS,
    STORED_COLUMNS,
    read_plan,
    read_stored,
    write_plan,
    write_stored,
    write_stored_as_planned,
)
from tests.support.run_builder import make_pages

PAGES = make_pages([0.5, 1.25], pages_each=3)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def columns_of(pages):
    return {name: [getattr(page, name) for page in pages] for name in PLAN_COLUMNS}


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    write_plan(tmp_path / "plan.parquet", PAGES)
    found = read_plan(tmp_path / "plan.parquet")
    assert {name: column.tolist() for name, column in found.items()} == columns_of(PAGES)
    assert found["due_s"].tolist() == [0.5, 0.5, 0.5, 1.25, 1.25, 1.25]


def test_the_same_pages_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_plan(tmp_path / name, PAGES)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_columns_give_the_same_bytes_as_pages(tmp_path):
    write_plan(tmp_path / "pages", PAGES)
    write_plan(tmp_path / "lists", columns_of(PAGES))
    write_plan(tmp_path / "arrays", {name: np.array(column) for name, column in columns_of(PAGES).items()})
    assert digest(tmp_path / "pages") == digest(tmp_path / "lists") == digest(tmp_path / "arrays")


def test_another_due_time_gives_other_bytes(tmp_path):
    write_plan(tmp_path / "one", PAGES)
    write_plan(tmp_path / "two", make_pages([0.5, 1.26], pages_each=3))
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_a_plan_of_nothing_is_a_plan(tmp_path):
    write_plan(tmp_path / "plan.parquet", [])
    assert read_plan(tmp_path / "plan.parquet")["station"].tolist() == []


def test_pages_out_of_their_order_are_refused(tmp_path):
    with pytest.raises(ValueError, match="page 1 is at row 0"):
        write_plan(tmp_path / "plan.parquet", PAGES[1:])


def test_columns_of_unlike_lengths_are_refused(tmp_path):
    with pytest.raises(ValueError, match="differ in length"):
        write_plan(tmp_path / "plan.parquet", {**columns_of(PAGES), "page": [1]})


def test_other_programs_read_the_documented_columns_and_types(tmp_path):
    write_plan(tmp_path / "plan.parquet", PAGES)
    found = duckdb.read_parquet(str(tmp_path / "plan.parquet"))
    assert [(name, str(kind)) for name, kind in zip(found.columns, found.types, strict=True)] == [
        ("station", "VARCHAR"),
        ("form", "VARCHAR"),
        ("page", "INTEGER"),
        ("due_s", "DOUBLE"),
        ("size_bytes", "BIGINT"),
        ("sha256", "VARCHAR"),
        ("reading", "VARCHAR"),
    ]


def test_a_missing_plan_is_a_broken_run(tmp_path):
    with pytest.raises(RunFolderError, match=r"plan\.parquet can't be read"):
        read_plan(tmp_path / "plan.parquet")


def test_a_torn_plan_is_a_broken_run(tmp_path):
    write_plan(tmp_path / "plan.parquet", PAGES)
    whole = (tmp_path / "plan.parquet").read_bytes()
    (tmp_path / "plan.parquet").write_bytes(whole[:-20])
    with pytest.raises(RunFolderError, match="can't be read"):
        read_plan(tmp_path / "plan.parquet")


def stored(station, page, at):
    return dict(zip(STORED_COLUMNS, (station, "ppwp", page, "ab" * 32, 10, "", at), strict=True))


def test_what_is_stored_comes_back_sorted_by_key_with_duplicates(tmp_path):
    rows = [stored("3509191001002", 1, 3.0), stored("3509191001001", 2, 2.0), stored("3509191001001", 2, 1.0)]
    write_stored(tmp_path / "stored.parquet", rows)
    found = read_stored(tmp_path / "stored.parquet")
    assert found is not None
    assert found["station"].tolist() == ["3509191001001", "3509191001001", "3509191001002"]
    assert found["stored_at"].tolist() == [1.0, 2.0, 3.0]


def test_what_is_stored_as_planned_is_written_as_if_row_by_row(tmp_path):
    write_plan(tmp_path / "plan.parquet", PAGES)
    nan = float("nan")
    stored_at = [3.0, nan, 1.0, 2.0, nan, 2.0]
    other = {**stored(PAGES[2].station, PAGES[2].page, 9.0), "form": PAGES[2].form}
    rows = [
        {**{name: getattr(page, name) for name in STORED_COLUMNS if name != "stored_at"}, "stored_at": at}
        for page, at in zip(PAGES, stored_at, strict=True)
        if not np.isnan(at)
    ]
    write_stored(tmp_path / "one.parquet", [*rows, other])
    write_stored_as_planned(tmp_path / "two.parquet", tmp_path / "plan.parquet", np.array(stored_at), [other])
    found = read_stored(tmp_path / "two.parquet")
    assert found is not None
    assert found["stored_at"].tolist() == [3.0, 1.0, 9.0, 2.0, 2.0]
    assert digest(tmp_path / "two.parquet") == digest(tmp_path / "one.parquet")


def test_a_server_that_holds_nothing_is_not_one_that_was_never_read(tmp_path):
    assert read_stored(tmp_path / "stored.parquet") is None
    write_stored(tmp_path / "stored.parquet", [])
    found = read_stored(tmp_path / "stored.parquet")
    assert found is not None
    assert found["station"].tolist() == []


def test_a_stored_row_may_lack_its_reading_and_time(tmp_path):
    row = {key: value for key, value in stored("3509191001001", 1, 0.0).items() if key not in {"reading", "stored_at"}}
    write_stored(tmp_path / "stored.parquet", [row])
    found = read_stored(tmp_path / "stored.parquet")
    assert found is not None
    assert found["reading"].tolist() == [None], "not told is not the same as empty"
    assert np.isnan(found["stored_at"][0])


def test_a_stored_row_without_its_digest_is_refused(tmp_path):
    row = stored("3509191001001", 1, 0.0)
    del row["sha256"]
    with pytest.raises(KeyError, match="sha256"):
        write_stored(tmp_path / "stored.parquet", [row])


def test_a_path_with_an_apostrophe_is_a_path(tmp_path):
    (tmp_path / "it's").mkdir()
    write_plan(tmp_path / "it's" / "plan.parquet", PAGES)
    assert len(read_plan(tmp_path / "it's" / "plan.parquet")["page"]) == 6
