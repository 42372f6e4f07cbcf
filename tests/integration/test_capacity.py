"""`harness capacity` as a user runs it."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from harness.base.errors import ConfigurationError, UsageError
from harness.cli.app import app

SMALL = [
    "smoke",
    "--set",
    "stations.count=10",
    "--goal",
    "max(delivery_seconds) < 700ms",
    "--probability",
    "50%",
    "--simulate-only",
]


def capacity(*options):
    command = [sys.executable, "-m", "harness", "capacity", *SMALL, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


SEARCH = """
name = "ten-stations"
base = "smoke"
set = { "stations.count" = 10 }
goal = ["max(delivery_seconds) < 700ms"]
vary = "server.workers=1..8"
probability = "50%"
simulate_only = true
"""


@pytest.mark.heavy
def test_a_search_that_is_interrupted_resumes_and_plays_no_seed_again(tmp_path):
    (tmp_path / "search.toml").write_text(SEARCH)
    command = [sys.executable, "-m", "harness", "capacity", "search.toml"]
    out = tmp_path / "runs" / "capacity" / "ten-stations"
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert first.stdout is not None
    first.stdout.readline()  # a level is decided: there are seeds to keep
    first.send_signal(signal.SIGINT)
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 130, text
    assert "Interrupted. Run the same command again to resume." in text
    played = (out / "seeds.jsonl").read_text()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "of an earlier search" in again.stdout
    assert "SIMULATED FOUND For 10 stations within 10 s " in " ".join(again.stdout.split())
    whole = (out / "seeds.jsonl").read_text()
    assert whole.startswith(played)
    places = [
        (one["condition"], one["load"], one["value"], one["played"]["seed"])
        for one in map(json.loads, whole.splitlines())
    ]
    assert len(places) == len(set(places)) > len(played.splitlines())
    figures = json.loads((out / "capacity.json").read_text())
    assert [one["name"] for one in figures["conditions"]] == ["bears", "recovers"]
    bracket = figures["conditions"][0]["loads"][0]["bracket"]
    assert bracket["is_complete"]
    assert bracket["passes"] is not None
    assert {path.name for path in out.iterdir()} >= {
        "capacity.json",
        "junit.xml",
        "summary.md",
        "seeds.jsonl",
        "search.json",
    }


@pytest.mark.heavy
def test_a_goal_that_nothing_meets_is_99(tmp_path):
    goal = ["--goal", "max(delivery_seconds) < 1ms"]
    done = capacity("--vary", "server.workers=1..2", *goal, "--out", str(tmp_path / "out"))
    assert done.returncode == 99, done.stdout + done.stderr
    assert "NOT IN THE RANGE  For 10 stations within 10 s nothing up to two workers suffices" in done.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "--vary is missing"),
        (["--vary", "server.workers"], "KEY=WEAKEST..STRONGEST"),
        (["--vary", "server.wrokers=1..4"], "server.wrokers"),
        (["--vary", "server.workers=1..4", "--load", "2"], "should be a factor"),
        (["--vary", "server.workers=1..4", "--confidence", "10%"], "from 50% to 99.9%"),
        (["--vary", "server.workers=1..4", "--budget", "20"], "--budget 20"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(options, named, tmp_path):
    # before a process is started, so that it can be called within this one
    done = CliRunner().invoke(app, ["capacity", *SMALL, *options, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError)
    assert named in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--map", "load"], "two or three keys"),
        (["--map", "load,client.retry.strategy", "--vary", "server.workers=1..4"], "--vary does not go with --map"),
        (["--map", "load,client.retry.strategy", "--load", "2x"], "put the loads on the map"),
        (["--map", "load,client.timeout"], "client.timeout needs values"),
        (["--target", "http://127.0.0.1:1", "--vary", "server.workers=1..4"], "--vary does not go with --target"),
        (["--target", "http://127.0.0.1:1", "--simulate-only"], "--simulate-only does not go with --target"),
        (["--target", "http://127.0.0.1:1", "--width", "2"], "should be a percentage"),
        (["--target", "127.0.0.1"], "should be an address"),
    ],
)
def test_options_that_exclude_each_other_are_refused_by_name(options, named, tmp_path):
    done = CliRunner().invoke(app, ["capacity", "smoke", *options, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UsageError)
    assert named in str(done.exception)


@pytest.mark.parametrize(
    ("file", "options", "named"),
    [
        (SEARCH.replace("1..8", "0..8"), [], "both ends should be above 0"),
        (SEARCH.replace("50%", "20%"), [], "from 50% to 99.9%"),
        (SEARCH, ["--vary", "server.wrokers=1..4"], "server.wrokers"),
        (SEARCH.replace("set =", "sets ="), [], "sets"),
    ],
)
def test_a_file_that_cannot_be_searched_is_refused_by_name(file, options, named, tmp_path):
    (tmp_path / "search.toml").write_text(file)
    done = CliRunner().invoke(
        app, ["capacity", str(tmp_path / "search.toml"), *options, "--out", str(tmp_path / "out")]
    )
    assert isinstance(done.exception, ConfigurationError)
    assert named in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_was_found_is_measured_with_other_seeds(tmp_path):
    # twenty-four seconds of work until a deadline of six: one worker is too few and sixteen are plenty, however busy the machine
    slow = 'server.service_time={distribution="fixed",value="400ms"}'
    options = [
        "--set",
        slow,
        "--set",
        "stations.count=20",
        "--set",
        "faults=[]",
        "--set",
        "client.timeout=5s",
        "--set",
        "deadline=6s",
        "--set",
        "arrivals.over=1s",
    ]
    goal = ["--goal", "stations.completed_by_deadline_ratio >= 100%"]
    command = [sys.executable, "-m", "harness", "capacity", "smoke", *options, *goal, "--probability", "50%"]
    done = subprocess.run(
        [*command, "--vary", "server.workers=1..16", "--width", "15", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulated, 3 of 3 measured); 1 does not (" in done.stdout
    assert "simulated, 0 of 3 measured)" in done.stdout
    (condition,) = json.loads((tmp_path / "out" / "capacity.json").read_text())["conditions"]
    levels = {one["value"]: one for one in condition["loads"][0]["levels"]}
    simulated = {seed["seed"] for level in levels.values() for seed in level["seeds"]}
    assert simulated.isdisjoint(run["seed"] for level in levels.values() for run in level["measured"])
    assert len(list((tmp_path / "out" / "runs").iterdir())) >= 6
