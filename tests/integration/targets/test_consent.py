"""Consent over a real network: no byte of load goes to an address that hasn't consented, and a run stops when consent ends."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.analysis.summarise import load_summary
from harness.base.address import Origin
from harness.base.errors import ExitCode, UsageError
from harness.judge.verdict import load_verdict
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.launch import LOCUSTFILE
from harness.scenario import loader
from harness.target.consent import derive_token
from harness.target.consent_reader import load_machine_secret
from harness.target.external import admit_target
from tests.support.real_runs import HARNESS, PATIENCE_S, environment, wait_for
from tests.support.veth_network import namespace, place

SCENARIO = """
name = "away"
seed = 5
deadline = "20s"
[stations]
count = 60
[photos]
size = "4KB"
bank = 2
[arrivals]
kind = "constant"
over = "4s"
[client]
timeout = "2s"
retry = { strategy = "immediate" }
[target]
path = "/photos/{station}/{form}/{page}.jpg"
stored = { kind = "url", path = "/stored", format = "sha256sum", name = "/{station}/{form}/{page}.jpg" }
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs root; CI is root")


@pytest.fixture(scope="module")
def far():
    with namespace() as found:
        yield found


@pytest.fixture
def server(far, tmp_path):
    name, address = far
    with place(name, address, tmp_path / "far") as found:
        yield found


@pytest.fixture
def run(tmp_path, server):
    """Runs the scenario against the far server: exit code, output."""
    (tmp_path / "away.toml").write_text(SCENARIO, "utf-8")
    variables = environment(XDG_STATE_HOME=str(tmp_path / "state"))
    started = []

    def begin(*arguments):
        process = subprocess.Popen(
            [*HARNESS, "run", "away.toml", "--target", server.url, "--out", "run", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=tmp_path,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output


def document(token, *, rate=200.0, minutes=5.0):
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    return json.dumps(
        {"token": token, "contact": "t@example.org", "until": until.isoformat(), "max_requests_per_s": rate}
    )


def asked(server):
    """Everything that reached the far end: (time, method, path)."""
    path = server.folder / "requests"
    return [json.loads(line)[:3] for line in path.read_text().splitlines()] if path.exists() else []


def uploads(server):
    return [moment for moment, method, _ in asked(server) if method == "PUT"]


@pytest.fixture
def token(tmp_path, server):
    """What the harness tells the far server's owner to publish."""
    return derive_token(
        load_machine_secret(tmp_path / "state" / "upload-harness"), Origin("http", server.address, 8080)
    )


@pytest.fixture
def look(tmp_path, server):
    """Looks at the far server as the command does before a run: what it says against loading it."""
    (tmp_path / "away.toml").write_text(SCENARIO, "utf-8")
    scenario = loader.load_scenario(str(tmp_path / "away.toml"))
    plan = make_plan(scenario)
    variables = {"XDG_STATE_HOME": str(tmp_path / "state")}

    def say():
        with pytest.raises(UsageError) as caught:
            admit_target(server.url, scenario, plan, 1, variables, allow_command=False)
        return str(caught.value)

    return say


def test_a_document_that_is_not_this_consent_is_none(look, server, token):
    assert f'"token": "{token}"' in look()
    assert f'"token": "{token}"' in look()  # stable for this machine and target
    for body, why in [
        (document("ltc1-somebody-elses-token"), "another token"),
        (document(token, minutes=-1), "ended at"),
        (document(token, minutes=0.5), "the run may take 52 s"),
        (document(token, minutes=60 * 24 * 40), "days ahead"),
        (document(token, rate=10), "busiest second"),
        ("[]", "the document"),
        ("{", "is not JSON"),
        ("x" * 5000, "larger than"),
    ]:
        server.consents(body)
        assert why in look()
    server.consents(document(token), **{"Transfer-Encoding": "chunked"})
    assert "chunked" in look()
    server.consents("", status=302, Location="http://127.0.0.1:1/")
    assert "redirects elsewhere" in look()
    server.consents("", status=302, Location="/the/same/place")
    assert "HTTP status 302" in look()  # no redirect is followed
    began = time.monotonic()
    (server.folder / "consent").write_text("silent")
    assert "TimeoutError" in look()
    assert time.monotonic() - began < 20, "the server is silent for 30 s"
    assert {path for _, _, path in asked(server)} == {"/.well-known/load-test-consent"}


@pytest.mark.timed  # the far server must answer within the second that the harness waits for a consent
def test_the_command_asks_for_consent_and_sends_nothing_without_it(run, server, token, tmp_path):
    code, output = finish(run())
    assert code == ExitCode.USAGE, output
    assert "HTTP status 404" in output
    assert f'"token": "{token}"' in output
    assert not (tmp_path / "run").exists()
    assert {path for _, _, path in asked(server)} == {"/.well-known/load-test-consent"}


@pytest.mark.slow
def test_with_consent_two_workers_deliver_everything_and_the_store_is_read(run, server, token, tmp_path):
    server.consents(document(token))
    code, output = finish(run("--workers", "2"))
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # a busy machine is late
    summary = load_summary(RunFolder(tmp_path / "run"))
    assert summary.pages.delivered == len(uploads(server)) == 180
    assert load_verdict(RunFolder(tmp_path / "run")).safety is True


@pytest.mark.timed  # two real seconds are what is promised to the owner of the far server
@pytest.mark.parametrize("end", ["withdrawn", pytest.param("silent", marks=pytest.mark.slow), pytest.param("elsewhere", marks=pytest.mark.slow)])  # fmt: skip
def test_a_run_stops_within_two_seconds_when_the_consent_ends(run, server, token, tmp_path, end):
    server.consents(document(token))
    process = run("--set", "arrivals.over=15s")
    wait_for(lambda: len(uploads(server)) > 20 or process.poll() is not None)
    assert process.poll() is None, process.stdout.read()
    if end == "withdrawn":
        (server.folder / "consent").unlink()
    elif end == "silent":
        server.consents("")
        (server.folder / "consent").write_text("silent")
    else:
        (server.folder / "redirect").write_text("http://10.255.0.1/elsewhere")
    ended = time.monotonic()
    code, output = finish(process)
    assert code == ExitCode.INVALID, output
    assert "consent ended" in output
    assert max(uploads(server)) - ended < 2.0
    record = RunFolder(tmp_path / "run").read_run()
    assert record.ended is not None
    assert record.ended.how == "withdrawn"
    assert record.stock is not None
    assert "must not be asked" in record.stock.reason
    assert {path for moment, _, path in asked(server) if moment > ended + 2.5} == set()


@pytest.mark.slow
def test_no_second_has_more_requests_than_the_target_consents_to_whatever_the_retries_want(run, server, token):
    server.consents(document(token, rate=60))
    (server.folder / "redirect").write_text("/the-same-place-that-never-takes-it")
    process = run("--workers", "2", "--set", "deadline=5s", "--set", "arrivals.over=5s")
    code, output = finish(process)
    assert code == ExitCode.INVALID, output
    assert "requests to stay within the rate that the target consents to" in output
    moments = uploads(server)
    busiest = max(sum(start <= moment < start + 1 for moment in moments) for start in moments)
    assert 50 <= busiest <= 66, busiest  # 60 as sent; threads at the far end note them a little late


@pytest.mark.slow
def test_a_worker_refuses_a_target_that_has_not_consented_whatever_its_master_says(far, run, server, token, tmp_path):
    """The run folder of a run that may go on is turned to another port, and Locust is started by hand."""
    server.consents(document(token))
    process = run("--set", "deadline=3s", "--set", "arrivals.over=2s")
    assert finish(process)[0] in {ExitCode.PASSED, ExitCode.INVALID}
    folder = tmp_path / "run"
    with place(far[0], far[1], tmp_path / "other", port=8081) as other:
        other.consents(document("ltc1-somebody-elses-token"))
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "target": other.url}))
        started: Any = subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "-u", "1", "-r", "1", "--only-summary"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
            env=environment(HARNESS_RUN=str(folder), HARNESS_CONSENT_TOKEN=token),
        )  # fmt: skip
        try:
            said = next(line for line in started.stdout if line.startswith('{"event"'))
            assert json.loads(said)["event"] == "refused"
            assert "another token" in said
            started.stdin.write('{"event": "t0", "monotonic": 0}\n')
            started.stdin.flush()
            time.sleep(1)
            assert {path for _, _, path in asked(other)} == {"/.well-known/load-test-consent"}
        finally:
            started.kill()
            started.communicate()
