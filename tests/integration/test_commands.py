"""What the commands print, and that a mistake is reported where it was made, with exit code 2 and nothing started."""

import pytest

from harness.base.errors import ExitCode
from harness.scenario.experiment import shipped_experiments
from harness.scenario.loader import shipped_scenarios
from tests.support.real_runs import harness, told


def test_help_lists_every_command(tmp_path):
    code, output = harness("--help", cwd=tmp_path)
    assert code == 0
    for command in ("scenarios", "init", "validate", "run", "list", "report", "gate", "export"):
        assert f"  {command} " in output


def test_scenarios_lists_what_ships_with_its_title(tmp_path):
    code, output = told("scenarios", cwd=tmp_path)
    assert code == 0
    for name, title in {**shipped_scenarios(), **shipped_experiments()}.items():
        assert name in output
        assert title[:40] in output


def test_init_writes_a_scenario_that_validates_and_never_overwrites_one(tmp_path):
    assert told("init", "mine", cwd=tmp_path)[0] == 0
    before = (tmp_path / "mine.toml").read_bytes()
    assert before.startswith(b"#:schema ./scenario.schema.json\n")
    assert (tmp_path / "scenario.schema.json").read_text("utf-8") == told("schema", cwd=tmp_path)[1]
    code, output = told("validate", "mine.toml", cwd=tmp_path)
    assert code == 0
    assert "180" in output  # 60 stations, 3 pages each
    code, output = told("init", "mine", cwd=tmp_path)
    assert (code, "already exists" in output) == (ExitCode.USAGE, True)
    assert (tmp_path / "mine.toml").read_bytes() == before


def test_validate_tells_stations_pages_bytes_and_peaks(tmp_path):
    code, output = told("validate", "kaliwates", cwd=tmp_path)
    assert code == 0
    for said in ("362", "1,086", "1.8 GB in all", "uploads, peak", "in that second", "Fits this machine"):
        assert said in output


def test_validate_tells_readers_and_the_shared_line(tmp_path):
    more = ["--set", "readers.rate=3000/min", "--set", "readers.cached=false", "--set", "server.ingress=80Mbit/s"]
    code, output = told("validate", "kaliwates", *more, cwd=tmp_path, COLUMNS="200")
    assert code == 0, output
    lines = {line.split()[0]: " ".join(line.split()) for line in output.splitlines() if line.strip()}
    assert "Not enough ingress: the plan needs at least 25 MB/s, and the server has 10 MB/s." in output
    assert "ingress binds" in output
    assert lines["readers"].startswith("readers 50/s 3,")
    assert "nation, province, kabupaten, kecamatan, kelurahan, station; no cache may answer" in lines["readers"]
    assert lines["ingress"] == "ingress 25 MB/s 10 MB/s 246 % sustained; 1.8 GB of photos"
    assert "readers" not in told("validate", "kaliwates", cwd=tmp_path)[1]


def test_a_percentile_that_the_plan_can_not_bear_is_warned_of_and_stops_nothing(tmp_path):
    unbearable = ["smoke", "--set", "thresholds.0.assert=p99.9(delivery_seconds) < 5s"]
    warning = "Warning: p99.9(delivery_seconds) < 5s will fail for lack of data: it needs 10,000 pages, the plan has 60"
    code, output = told("validate", *unbearable, cwd=tmp_path)
    assert (code, warning in output.splitlines()) == (0, True), output
    code, output = told(
        "run", *unbearable, "--target", "http://127.0.0.1:1", cwd=tmp_path
    )  # which stops it, all else is well
    assert (code, warning in output.splitlines()) == (ExitCode.USAGE, True), output
    assert "--target: connection refused by http://127.0.0.1:1: start the server" in output
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_does_not_fit_this_machine_is_refused_with_the_arithmetic(tmp_path):
    arguments = ["--set", "stations.region=jember", "--set", "client.max_in_flight=1000000", "--set", "photos.size=2KB"]
    code, output = told("validate", "kaliwates", *arguments, "--set", "stations.region=provinces", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "does not fit this machine" in output
    assert "823,332 stations at once" in output
    assert "client.source_addresses" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "Missing"),
        (["frobnicate"], "No such command"),
        (["run", "kaliwats"], 'did you mean "kaliwates"?'),
        (["run", "smoke", "--set", "server.wrokers=3"], 'server.wrokers is not a known key; did you mean "workers"?'),
        (["run", "smoke", "--set", "deadline=10"], "deadline = 10 is not a duration"),
        (["run", "smoke", "--set", "thresholds.0.assert=p95(delivry_seconds) < 1"], 'did you mean "delivery_seconds"?'),
        (["run", "smoke", "--workers", "0"], "--workers"),
        (["validate", "smoke", "--workers", "0"], "--workers"),
        (["run", "smoke", "--out", "/dev/null/x"], "/dev/null/x"),
        (["run", "smoke", "--target", "http://127.0.0.1:8080/path"], "--target"),
        (
            ["calibrate", "smoke", "--workers", "auto", "--target", "http://127.0.0.1:1"],
            "--workers auto: 1 (the plan's",
        ),
        (["calibrate", "smoke", "--workers", "many"], '--workers "many" should be a number from 1 to 64, or auto'),
        (["validate", "smoke", "--set", "deadline=1e400s"], "too large for a duration"),
        (
            ["validate", "kaliwates", "--set", "stations.count=1000"],
            "kaliwates:\n  stations.count: 1,000: kaliwates has 362 stations",
        ),
        (["run", "smoke", "--name", "../x"], "--name"),
        (["run", "smoke", "--seed", "x"], "--seed"),
        (
            ["run", "smoke", "--prometheus", "http://127.0.0.1:9"],
            '--prometheus "http://127.0.0.1:9": ConnectionRefused',
        ),
        (["run", "smoke", "--prometheus-sd", "nowhere"], "--prometheus-sd nowhere: should be a folder"),
        (["report", "nowhere"], "is not a run folder"),
        (["export", "nowhere"], "--openmetrics"),
        (["export", "nowhere", "--openmetrics"], "is not a run folder"),
        (["gate", "nowhere"], "is not a run folder"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_started(tmp_path, arguments, said):
    code, output = told(*arguments, cwd=tmp_path)
    assert code == ExitCode.USAGE, output
    assert said in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_written_into(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years", "utf-8")
    code, output = told("run", "smoke", "--out", "full", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "is not an empty folder, and nothing is overwritten: choose another --out" in output
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_list_without_runs_says_how_to_make_one(tmp_path):
    code, output = told("list", cwd=tmp_path)
    assert code == 0
    assert "harness run kaliwates" in output
