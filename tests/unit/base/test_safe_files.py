"""A file from a stranger reads nothing outside its folder and fills no memory; what is wrong with it is reported."""

import pytest
from pydantic import BaseModel, ConfigDict

from harness.base.errors import ConfigurationError, RunFolderError
from harness.base.safe_files import load_toml, parse_json, read_bounded, resolve_inside
from harness.cli.options import run_folder
from harness.judge.compare.results import load_comparison
from harness.judge.past_runs import find_runs
from harness.plan.regions import load_region
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.tables import write_plan
from harness.scenario.experiment import load_experiment
from harness.scenario.loader import load_scenario
from tests.support.run_builder import make_pages

MINIMAL = 'name = "a"\ndeadline = "9s"\n[arrivals]\nkind = "surge"\nover = "1s"\n'
ROWS = "3509191001,MANGLI,3\n"
RUN = RunRecord(
    id="r", name="a", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=9.0, time_scale=1.0, client_timeout_s=1.0,
    workers=[], versions={}, host={}, command=[],
)  # fmt: skip


@pytest.fixture
def home(tmp_path):
    """A folder for the scenario, with something beside it that it must not read."""
    (tmp_path / "outside.csv").write_text(ROWS, "utf-8")
    (tmp_path / "elsewhere").mkdir()
    write_plan(tmp_path / "elsewhere" / "plan.parquet", make_pages([0.5], 3))
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "inside.csv").write_text(ROWS, "utf-8")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "run").mkdir()
    (folder / "run" / "plan.parquet").symlink_to(tmp_path / "elsewhere" / "plan.parquet")
    return folder


def scenario(home, text):
    path = home / "mine.toml"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["../outside.csv", "x/../../outside.csv", "/etc/hostname.csv", "link.csv", "linked/../../outside.csv"])  # fmt: skip
def test_a_region_outside_the_scenarios_folder_is_refused_unless_the_user_names_it(home, name):
    path = scenario(home, MINIMAL + f'[stations]\nregion = "{name}"\n')
    with pytest.raises(ConfigurationError, match=r"stations\.region = .* points outside the file's own folder"):
        load_scenario(path)
    outside = home.parent / "outside.csv"
    assert load_scenario(path, ["stations.region=../outside.csv"]).stations.region == str(outside)
    assert load_scenario(path, ["stations.region=inside.csv"]).stations.region == str(home / "inside.csv")


@pytest.mark.parametrize("name", ["../elsewhere", "linked", "run", "/elsewhere"])
def test_a_run_outside_the_scenarios_folder_is_not_replayed_unless_the_user_names_it(home, name):
    path = scenario(home, MINIMAL.replace('"surge"\nover = "1s"', f'"replay"\nrun = "{name}"'))
    with pytest.raises(ConfigurationError, match=r"arrivals\.run = .* points outside the file's own folder"):
        load_scenario(path, planned_due=lambda _: {"3509191001001": 0.0})
    asked = []

    def planned_due(folder):
        asked.append(folder)
        return {"3509191001001": 0.0}

    load_scenario(path, ["arrivals.run=../elsewhere"], planned_due=planned_due)
    assert asked == [home.parent / "elsewhere"]


def test_an_experiment_reads_no_base_outside_its_folder_and_its_variants_are_not_the_users_words(home):
    scenario(home.parent, MINIMAL)
    path = home / "matrix.toml"
    path.write_text('name = "m"\nbase = "../mine.toml"\n[[variants]]\nname = "a"\n', "utf-8")
    with pytest.raises(ConfigurationError, match=r"base = .* points outside"):
        load_experiment(str(path))
    scenario(home, MINIMAL)
    path.write_text(
        'name = "m"\nbase = "mine.toml"\n[[variants]]\nname = "a"\nset = { "stations.region" = "../outside.csv" }\n', "utf-8"
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"stations\.region = .* points outside"):
        load_experiment(str(path))


def test_a_name_with_control_characters_is_no_path(tmp_path):
    with pytest.raises(ValueError, match="is not a valid path"):
        resolve_inside(tmp_path, "a\x1b[2Jb.csv")


def test_a_run_folder_with_a_link_is_not_read_and_nothing_is_written_through_it(tmp_path):
    folder = tmp_path / "run"
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "index.html").symlink_to(tmp_path / "precious")
    with pytest.raises(RunFolderError, match="is a symbolic link"):
        run_folder(folder)


def test_a_region_name_that_steers_a_terminal_is_refused(home):
    (home / "inside.csv").write_text("3509191001,\x1b]0;owned\x07,3\n", "utf-8")
    with pytest.raises(ConfigurationError, match="printable"):
        load_region(str(home / "inside.csv"))


def test_a_file_is_read_whole_up_to_its_limit_and_one_byte_more_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_bounded(path, 3) == b"abc"
    with pytest.raises(OSError, match=r"is larger than 0 MB"):
        read_bounded(path, 2)


@pytest.mark.heavy
def test_a_file_that_says_it_is_huge_is_refused_at_once(tmp_path):
    for name in ("five.csv", "run.json", "evening.toml"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(20_000_000_000)
    with pytest.raises(ConfigurationError, match=r"five\.csv(.|\n)*larger than 256 MB"):
        load_region(str(tmp_path / "five.csv"))
    with pytest.raises(ConfigurationError, match=r"evening\.toml(.|\n)*larger than 16 MB"):
        load_scenario(str(tmp_path / "evening.toml"))
    with pytest.raises(RunFolderError, match=r"run\.json can't be read: .*larger than 256 MB"):
        RunFolder(tmp_path).read_run()
    with (tmp_path / "comparison.json").open("wb") as file:
        file.truncate(20_000_000_000)
    with pytest.raises(RunFolderError, match=r"comparison\.json can't be read: .*larger than 256 MB"):
        load_comparison(RunFolder(tmp_path))


def test_what_is_wrong_with_a_file_of_json_is_told_by_its_key(tmp_path):
    (tmp_path / "run.json").write_text('{"id": 5}', "utf-8")
    with pytest.raises(RunFolderError, match=r"run\.json can't be read: id: .*string \(and \d+ more\)"):
        RunFolder(tmp_path).read_run()
    (tmp_path / "run.json").write_text('{"id"', "utf-8")
    with pytest.raises(RunFolderError, match=r"run\.json can't be read: Invalid JSON"):
        RunFolder(tmp_path).read_run()
    with pytest.raises(RunFolderError, match=r"can't be read: Not a directory$"):
        RunFolder(tmp_path / "run.json").read_run()


def test_a_past_run_whose_verdict_is_brackets_without_end_is_still_listed(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.create()
    run.write_run(RUN)
    run.verdict.write_text("[" * 100_000, "utf-8")
    assert [(past.verdict, past.name, past.record.name) for past in find_runs(tmp_path)] == [("", "run", RUN.name)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: int
    name: str = ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_is_its_model_with_or_without_the_mark_of_an_editor(encoding, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('size = 3\nname = "ä"\n', encoding)
    assert load_toml(file, Settings) == Settings(size=3, name="ä")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, ["can't be read"]),
        (b"name = \xff", ["can't be read"]),
        (b"size = ", ["is not TOML"]),
        (b"size = 'three'\nsise = 3", ["size", "sise"]),
    ],
)
def test_what_is_wrong_with_a_file_is_said_all_at_once_with_its_name(content, says, tmp_path):
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_toml(file, Settings)
    assert str(file) in str(caught.value)
    assert len(caught.value.problems) == len(says)
    for problem, said in zip(sorted(caught.value.problems), sorted(says), strict=True):
        assert said in problem


@pytest.mark.parametrize("text", [r'{"station": "\ud83d"}', r'["a\uDC00"]', r'{"\ud800": 1}'])
def test_half_a_character_is_refused(text):
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match="lone surrogate"):
            parse_json(content)


def test_a_whole_character_may_be_spelt_as_a_pair():
    assert parse_json(r'["\ud83d\ude00", "\\ud800"]') == ["\U0001f600", r"\ud800"]
