"""Uploads of several steps, two of them to another server, by real workers: rows, audit, secrets, and what is refused."""

import duckdb
import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import told
from tests.support.step_server import SECRET, step_server

SCENARIO = """
name = "steps"
seed = 5
deadline = "8s"
[stations]
count = 6
[photos]
size = "20KB"
bank = 2
[arrivals]
kind = "constant"
over = "1s"
[client]
timeout = "4s"
retry = { strategy = "fixed", base = "200ms", max_attempts = 2 }
[target.stored]
kind = "url"
path = "/stored"
format = "sha256sum"
name = "/{station}-{form}-{page}.jpg"
[[target.steps]]
name = "session"
once = "station"
path = "/session"
body = "json"
content = '{"who": "{station}"}'
[[target.steps]]
name = "create"
path = "/uploads"
body = "json"
content = '{"name": "{station}-{form}-{page}.jpg"}'
take = { upload_url = "/url", id = "/id" }
[[target.steps]]
name = "put"
method = "PUT"
url = "{upload_url}"
body = "raw"
[[target.steps]]
name = "confirm"
path = "/uploads/{id}"
success = { pointer = "/ok", equals = true, otherwise = "unavailable" }
[[thresholds]]
assert = "pages.delivered == 18"
"""


@pytest.fixture
def server(tmp_path):
    (tmp_path / "steps.toml").write_text(SCENARIO, "utf-8")
    with step_server() as found:
        yield found


def test_two_workers_take_every_photo_through_its_steps_and_leave_a_row_for_each(server, tmp_path):
    refused: set[str] = set()

    def confirm(name):
        first = name not in refused
        refused.add(name)
        return not (first and name.endswith("-1.jpg"))  # each first page is denied once, with a 200

    server.confirm = confirm
    arguments = ["steps.toml", "--target", server.url, "--also-target", server.files_url, "--workers", "2"]
    code, output = told("run", *arguments, "--out", "run", cwd=tmp_path)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    folder = tmp_path / "run"
    summary = load_summary(RunFolder(folder))
    assert (summary.audit.ok, summary.attempts.total, load_verdict(RunFolder(folder)).safety) == (18, 24, True)
    assert {step.name: (step.requests, step.by_status) for step in summary.steps} == {
        "session": (6, {"204": 6}), "create": (24, {"201": 24}), "put": (24, {"200": 24}), "confirm": (24, {"200": 24}),
    }  # fmt: skip
    assert summary.attempts.unusable == {"confirm answered 200, and /ok is not true; its keys: ok": 6}
    (failure,) = summary.attempts.failures
    assert (failure.step, failure.status, failure.outcome) == ("confirm", 200, "unavailable")
    rows = duckdb.execute(
        "SELECT step, part, outcome, sent_s <= done_s, sent_bytes > 0 FROM read_parquet(?) ORDER BY sent_s", [str(folder / "steps.parquet")]
    ).fetchall()  # fmt: skip
    assert {row[1:] for row in rows} == {(None, "accepted", True, True), (None, "unavailable", True, True)}
    steps = duckdb.execute("SELECT step, outcome, count(*) FROM read_parquet(?) GROUP BY ALL ORDER BY ALL", [str(folder / "attempts.parquet")])  # fmt: skip
    assert steps.fetchall() == [("confirm", "accepted", 18), ("confirm", "unavailable", 6)]
    for path in folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_a_photo_that_is_gone_after_its_confirmation_fails_the_run(server, tmp_path):
    lost: list[str] = []

    def keep(name):
        if len(lost) < 2:
            lost.append(name)
        return name not in lost

    server.keep = keep
    arguments = ["steps.toml", "--target", server.url, "--also-target", server.files_url, "--out", "run"]
    code, output = told("run", *arguments, cwd=tmp_path)
    assert code == ExitCode.FAILED, output
    assert load_summary(RunFolder(tmp_path / "run")).audit.lost == 2


EXPERIMENT = """
name = "elsewhere"
title = "Does a second attempt help?"
base = "steps.toml"
seeds = [5]
at = ["2s"]
[[variants]]
name = "one"
set = { "client.retry.max_attempts" = 1 }
[[variants]]
name = "two"
set = { "client.retry.max_attempts" = 2 }
"""


def test_an_experiment_compares_clients_that_send_to_another_server(server, tmp_path):
    start, end = SCENARIO.index("[target.stored]"), SCENARIO.index("[[target.steps]]")
    unread = SCENARIO[:start] + "[target]\naccept_unknown_safety = true\n" + SCENARIO[end:]
    (tmp_path / "steps.toml").write_text(unread, "utf-8")
    (tmp_path / "elsewhere.toml").write_text(EXPERIMENT, "utf-8")
    arguments = ["elsewhere.toml", "--target", server.url, "--also-target", server.files_url, "--out", "found"]
    code, output = told("experiment", *arguments, cwd=tmp_path)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    for name in ("one-5", "two-5"):
        assert load_summary(RunFolder(tmp_path / "found" / "runs" / name)).pages.delivered == 18


@pytest.mark.parametrize("command", ["experiment", "calibrate", "capacity"])
def test_each_command_that_runs_several_times_checks_the_other_server(command, server, tmp_path):
    (tmp_path / "elsewhere.toml").write_text(EXPERIMENT, "utf-8")
    source = "elsewhere.toml" if command == "experiment" else "steps.toml"
    code, output = told(command, source, "--target", server.url, "--also-target", "ftp://x", cwd=tmp_path)
    assert code == ExitCode.USAGE, output
    assert '--also-target "ftp://x" should be an address' in output
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--between", "false"], "--between would run a command on this machine"),
        (["--between", "false", "--allow-command"], "--between false exited with code 1"),
    ],
)
def test_a_capacity_search_resets_the_target_before_it_sends_anything(arguments, why, server, tmp_path):
    code, output = told(
        "capacity", "steps.toml", "--target", server.url, "--also-target", server.files_url, *arguments, cwd=tmp_path
    )
    assert code == ExitCode.USAGE, output
    assert why in output
    assert server.requests == []


def test_a_capacity_search_runs_an_own_client_only_if_that_is_allowed(server, tmp_path):
    (tmp_path / "mine.py").write_text("class Client:\n    pass\n", "utf-8")
    own = SCENARIO[: SCENARIO.index("[target.stored]")].replace("[client]", '[client]\nprotocol = "mine:Client"')
    (tmp_path / "own.toml").write_text(own, "utf-8")
    code, output = told("capacity", "own.toml", "--target", server.url, cwd=tmp_path)
    assert (code, "if you trust it, add --allow-code" in output) == (ExitCode.USAGE, True), output
    arguments = ["--allow-code", "--between", "false", "--allow-command"]
    code, output = told("capacity", "own.toml", "--target", server.url, *arguments, cwd=tmp_path)
    assert "--between false exited with code 1" in output  # which is what comes after the check


@pytest.mark.parametrize(
    "option", [["--also-target", "http://127.0.0.1:9"], ["--between", "true"], ["--allow-command"], ["--allow-code"]]
)
def test_options_of_a_target_are_refused_in_a_search_without_one(option, tmp_path):
    code, output = told("capacity", "smoke", "--vary", "server.workers=1..4", *option, cwd=tmp_path)
    assert (code, f"{option[0]} needs --target" in output) == (ExitCode.USAGE, True), output
