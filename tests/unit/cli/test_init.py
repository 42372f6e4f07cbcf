"""`harness init`: a scenario, and the schema that its first line names."""

import re
from pathlib import Path

import pytest

from harness.cli.init import init
from harness.cli.options import warnings_of
from harness.plan import make_plan
from harness.scenario.json_schema import COMMENT, SCHEMA_FILE, schema_text
from harness.scenario.loader import load_scenario


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.heavy
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


def warnings():
    scenario = load_scenario(
        "mine.toml", ["photos.bank=1", "photos.size=20KB"]
    )  # how large they are decides nothing here
    return warnings_of(scenario, make_plan(scenario))


@pytest.mark.parametrize("target", [False, True])
def test_untouched_it_has_no_threshold_that_its_plan_is_too_small_for(target):
    init("mine", target=target)
    assert warnings() == []
    assert "(delivery_seconds) < 5s" in load_scenario("mine.toml").thresholds[1].assertion


@pytest.mark.parametrize(("uploads", "target", "kept"), [(7, True, 1), (7, False, 1), (60, True, 1), (60, False, 2), (100, True, 2)])  # fmt: skip
def test_of_a_short_log_it_keeps_the_thresholds_that_so_many_pages_can_bear(uploads, target, kept):
    lines = (
        f'- - - [14/Feb/2024:17:{n // 60:02d}:{n % 60:02d} +0700] "PUT /a HTTP/1.1" 201 5\n' for n in range(uploads)
    )
    Path("access.log").write_text("".join(lines), "utf-8")
    init("mine", Path("access.log"), target=target)
    scenario = load_scenario("mine.toml")
    assert (len(scenario.thresholds), scenario.stations.count) == (kept, -(-uploads // 3))
    assert warnings() == []
    left_out = f"needs {100 if target else 20} pages, and this log makes {3 * -(-uploads // 3)}:"
    assert (left_out in Path("mine.toml").read_text("utf-8")) == (kept == 1)


def test_what_a_server_of_ones_own_often_needs_stands_in_its_comments():
    init("mine", target=True)
    text = Path("mine.toml").read_text("utf-8")
    for line in (
        '# file = "stations.csv" ',
        '# accounts = "accounts.csv" ',
        '# folder = "photos" ',
        '# protocol = "tus" ',
    ):
        assert f"\n{line}" in text
