"""Closed workloads, for real: phones that go round under `harness run`, and Locust's own users under stock Locust."""

import csv
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from harness.analysis.rows import load_rows
from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_plan
from harness.scenario.scenario import parse_resolved
from tests.support.real_runs import PATIENCE_S, TINY, assert_passed_or_late, told, wait_for

CLOSED = TINY.replace('kind = "constant"\nover = "2s"', 'kind = "closed"\nphones = 3\nthink = { distribution = "exponential", mean = "20ms" }')  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A closed run with two workers: folder, plan, rows."""
    place = tmp_path_factory.mktemp("closed")
    (place / "closed.toml").write_text(CLOSED, "utf-8")
    code, output = told("run", "closed.toml", "--workers", "2", "--out", "run", cwd=place)
    assert_passed_or_late(code, place / "run", output)
    folder = RunFolder(place / "run")
    return folder, make_plan(parse_resolved(folder.read_run().scenario)), load_rows(folder)


def test_each_phone_s_next_station_is_due_its_think_time_after_the_end_of_the_one_before(finished):
    _, plan, rows = finished
    for stations in plan.closed_loop.phones:
        due_s, ended_s = rows.stations.due_s[stations], rows.completed_s[stations]
        assert due_s[0] == pytest.approx(plan.due_s[stations[0]])
        assert due_s[1:] - ended_s[:-1] == pytest.approx(plan.closed_loop.think_s[stations[1:]], abs=1e-6)


def test_never_are_more_stations_at_it_at_once_than_there_are_phones(finished):
    _, _, rows = finished
    edges = [(moment, 1) for moment in rows.stations.due_s] + [(moment, -1) for moment in rows.completed_s]
    at_once = np.cumsum([step for _, step in sorted(edges)])
    assert at_once.max() == 3


def test_a_closed_run_is_accounted_for_like_any_other(finished):
    folder, _, _ = finished
    summary = load_summary(folder)
    assert (summary.stations.planned, summary.stations.due, summary.stations.begun) == (12, 12, 12)
    assert summary.completion_seconds.count == 12
    assert summary.pages.delivered == 36
    assert summary.audit.lost == 0
    assert summary.generator.never_begun == 0


def test_the_plan_s_file_says_when_only_the_first_stations_are_due(finished):
    folder, plan, _ = finished
    columns = read_plan(folder.plan)
    known = np.isfinite(columns["due_s"])
    assert known.sum() == 3 * 3
    assert set(columns["station"][known]) == {plan.stations[stations[0]].code for stations in plan.closed_loop.phones}


@pytest.mark.slow
def test_stations_that_no_phone_came_to_are_not_due_and_stay_unattempted(tmp_path):
    (tmp_path / "closed.toml").write_text(CLOSED, "utf-8")
    code, output = told("run", "closed.toml", "--set", "deadline=1s", "--set", "server.service_time=300ms", "--out", "run", cwd=tmp_path)  # fmt: skip
    assert code in {ExitCode.FAILED, ExitCode.INVALID}, output
    summary = load_summary(RunFolder(tmp_path / "run"))
    assert summary.stations.due == summary.stations.begun < 12
    assert summary.pages.unattempted >= 3 * (12 - summary.stations.due)
    assert summary.generator.never_begun == 0


LOCUST = [sys.executable, "-P", "-m", "harness", "locust", "--headless", "--only-summary"]


def stock_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "HARNESS_"))}


def test_an_abbreviated_option_of_locust_is_refused_before_anything_starts(tmp_path):
    """Locust itself would take --headles for --headless, and -t for nothing: a test without an end."""
    command = [*LOCUST[:5], "--headles", "--run-tim", "1s"]
    done = subprocess.run(command, cwd=tmp_path, env=stock_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "unrecognized arguments: --headles --run-tim" in done.stderr


def uploads_so_far(place):
    """How many uploads Locust's own statistics have counted."""
    path = place / "seen_stats.csv"
    if not path.exists():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return sum(int(row["Request Count"]) for row in csv.DictReader(file) if row["Name"] == "upload")


def test_stock_locust_with_two_processes_loads_a_mock_server_of_its_own_until_it_is_stopped(tmp_path):
    arguments = ["--processes", "2", "-u", "4", "-r", "4", "--scenario", "smoke", "--think", "100ms", "--csv", "seen"]
    with subprocess.Popen(
        [*LOCUST, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        cwd=tmp_path, env=stock_environment(),
    ) as process:  # fmt: skip
        wait_for(lambda: uploads_so_far(tmp_path) > 20)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    # the scenario's own fault may answer 503 (unavailable); nothing refused or cut: the server outlived its users
    assert set(re.findall(r"\d+\s+POST upload: (\w+)", output)) <= {"unavailable"}, output
    assert "Traceback" not in output
    assert '"StationUser"' in output


def test_stock_locust_refuses_a_host_elsewhere_before_anything_starts(tmp_path):
    done = subprocess.run(
        [*LOCUST, "--host", "http://198.51.100.7"], capture_output=True, text=True, cwd=tmp_path, env=stock_environment(),
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.splitlines()[-1].startswith("--host http://198.51.100.7: only servers on this machine")
