"""`harness init`: a scenario, and the schema that its first line names."""

from pathlib import Path

import pytest

from harness.cli.init import init
from harness.scenario.json_schema import COMMENT, SCHEMA_FILE, schema_text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_first_line_names_the_schema_beside_it():
    init("mine")
    assert Path("mine.toml").read_text("utf-8").splitlines()[0] == f"#:schema ./{SCHEMA_FILE}"
    assert Path(SCHEMA_FILE).read_text("utf-8") == schema_text("scenario")


def test_an_older_schema_of_the_harness_is_renewed():
    Path(SCHEMA_FILE).write_text(f'{{"$comment": "{COMMENT}"}}', "utf-8")
    init("mine")
    assert Path(SCHEMA_FILE).read_text("utf-8") == schema_text("scenario")


def test_a_file_of_that_name_that_the_harness_did_not_write_is_left_alone():
    Path(SCHEMA_FILE).write_text('{"title": "my own"}', "utf-8")
    init("mine")
    assert Path(SCHEMA_FILE).read_text("utf-8") == '{"title": "my own"}'
