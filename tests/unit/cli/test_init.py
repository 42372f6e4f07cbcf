"""`harness init`: a scenario, and the schema that its first line names."""

import re
from pathlib import Path

import pytest

from harness.cli.init import init
from harness.scenario.json_schema import COMMENT, SCHEMA_FILE, schema_text
from harness.scenario.loader import load_scenario


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_first_line_names_the_schema_beside_it():
    init("mine")
    assert Path("mine.toml").read_text("utf-8").splitlines()[0] == f"#:schema ./{SCHEMA_FILE}"
    assert Path(SCHEMA_FILE).read_text("utf-8") == schema_text("scenario")


def test_a_scenario_for_a_server_of_ones_own_is_valid_and_names_the_first_step(capsys):
    init("mine", target=True)
    assert load_scenario("mine.toml").target is not None
    assert "harness try mine.toml --target http://127.0.0.1:8080" in capsys.readouterr().out


def test_the_steps_in_its_comments_are_valid_too():
    """With the flat form taken away and the comment signs of steps, as the file says."""
    init("mine", target=True)
    text = Path("mine.toml").read_text("utf-8")
    steps = re.findall(r"^# (\[\[target.steps\]\]\n(?:# .*\n)+)", text, re.MULTILINE)
    (block,) = [one for one in steps if "[[target.steps]]" in one]
    flat, _, rest = text.partition("[target]")
    without = flat + "[target.stored]" + rest.partition("[target.stored]")[2]
    Path("steps.toml").write_text(without + re.sub(r"^# ", "", block, flags=re.MULTILINE), "utf-8")
    target = load_scenario("steps.toml").target
    assert target is not None
    assert [step.name for step in target.steps] == ["create", "put", "confirm"]


def test_an_older_schema_of_the_harness_is_renewed():
    Path(SCHEMA_FILE).write_text(f'{{"$comment": "{COMMENT}"}}', "utf-8")
    init("mine")
    assert Path(SCHEMA_FILE).read_text("utf-8") == schema_text("scenario")


def test_a_file_of_that_name_that_the_harness_did_not_write_is_left_alone():
    Path(SCHEMA_FILE).write_text('{"title": "my own"}', "utf-8")
    init("mine")
    assert Path(SCHEMA_FILE).read_text("utf-8") == '{"title": "my own"}'
