"""Three hosts with real addresses: every sum agrees, and whatever goes wrong is said on both sides and never passes."""

import json
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.summarise import load_summary
from harness.base.address import Origin
from harness.base.errors import ExitCode
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from harness.target.consent import derive_token
from harness.target.consent_reader import load_machine_secret
from tests.support.documents import own_client_example
from tests.support.real_runs import killed_at_the_end, wait_for
from tests.support.three_hosts import DELAY_S, end_of, three_hosts
from tests.support.veth_network import place

SCENARIO = """
name = "three-hosts"
seed = 5
deadline = "30s"
[stations]
count = 80
[photos]
size = "30KB"
bank = 2
[arrivals]
kind = "constant"
over = "2s"
[client]
timeout = "5s"
retry = { strategy = "full_jitter", base = "100ms", cap = "1s" }
[server]
workers = 8
service_time = { distribution = "lognormal", median = "5ms", sigma = 0.3 }
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 100%"
"""
LONG = ["--set", "arrivals.over=20s"]


@pytest.fixture
def hosts(tmp_path):
    with three_hosts(tmp_path) as found:
        (found[0].folder / "three.toml").write_text(SCENARIO, "utf-8")
        yield found


@pytest.fixture
def started():
    with killed_at_the_end() as note:
        yield note


def lead(hosts, started, *options):
    """`harness run` on the first host, for workers of the others."""
    a = hosts[0]
    arguments = ["run", "three.toml", "--remote-workers", "2", "--bind", a.address, "--out", "run", *options]
    return started(a.harness(*arguments))


def serve(hosts, started, number, *python, **more):
    """`harness worker` on another host; `python` is code to run first, in its process."""
    words = ["worker", "--master", hosts[0].address, "--join-timeout", "60s"]
    if not python:
        return started(hosts[number].harness(*words, **more))
    code = "\n".join([*python, "from harness.__main__ import main", "main()"])
    return started(hosts[number].start(sys.executable, "-P", "-c", code, *words, **more))


def folder_of(hosts):
    return RunFolder(hosts[0].folder / "run")


def uploading(hosts):
    """Wait until rows of both workers have reached the leader."""
    journal = folder_of(hosts).journal
    wait_for(lambda: sum(path.stat().st_size > 3_000 for path in journal.glob("*.journal")) == 2, 60)


def locust_of(host):
    """Process id of Locust's worker on a host."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, home = path.read_bytes().split(b"\0"), (path.parent / "cwd").resolve()
        except OSError:
            continue
        if b"harness.drive" in words and b"--worker" in words and home.is_relative_to(host.folder):
            return int(path.parent.name)
    return None


def check_invalid(hosts, output, code, host, why):
    assert code == ExitCode.INVALID, output
    verdict, record = load_verdict(folder_of(hosts)), folder_of(hosts).read_run()
    text = "\n".join(verdict.validity.reasons)
    (rank,) = [worker.rank for worker in record.workers if worker.lost]
    assert record.workers[rank].host == host
    assert re.search(rf"worker {rank} on {host} was lost after [\d.]+ s: {why}", text), text
    assert "it was responsible for 40 stations: 3509" in text
    assert record.ended is not None
    assert record.ended.at_s < 18  # at once: arrivals go on for 20 s, the deadline is at 30 s
    return record


@pytest.mark.peers
def test_three_machines_make_one_run_and_every_sum_agrees(hosts, started):
    run, b, c = lead(hosts, started), serve(hosts, started, 1), serve(hosts, started, 2)
    code, output = end_of(run)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, (
        output
    )  # a noisy machine may be late; the sums hold all the same
    for worker in (b, c):
        assert end_of(worker)[0] == ExitCode.PASSED
    folder = folder_of(hosts)
    record, summary = folder.read_run(), load_summary(folder)
    assert not record.problems
    assert {worker.host for worker in record.workers} == {"b", "c"}
    assert sum(worker.attempts for worker in record.workers) == summary.attempts.total >= 240
    assert summary.generator.scraped["attempts"] == summary.attempts.total
    assert summary.generator.scraped["delivered"] == summary.pages.delivered == 240
    assert summary.generator.scraped["sent_bytes"] == summary.attempts.sent_bytes
    assert summary.generator.scrapes_failed == 0
    audit = json.loads(folder.audit.read_text("utf-8"))
    assert (audit["safety"], audit["counts"]["ok"], audit["sets"]["held"]) == (True, 240, 240)
    far = next(worker for worker in record.workers if worker.host == "c")
    # Its own boot, taken off all its times. A busy machine makes the answer late, which the uncertainty has to say.
    assert far.clock_offset_s == pytest.approx(1_000, abs=far.clock_uncertainty_s)
    assert DELAY_S <= far.clock_uncertainty_s < 1
    rows = load_rows(folder)
    assert -0.05 < rows.attempts.due_s.min() < rows.attempts.done_s.max() < 30 + 5  # all on one clock


@pytest.mark.slow
def test_a_worker_whose_process_is_killed_makes_the_run_invalid_at_once(hosts, started):
    run, _, c = lead(hosts, started, *LONG), serve(hosts, started, 1), serve(hosts, started, 2)
    uploading(hosts)
    killed_s = time.monotonic()
    os.kill(wait_for(lambda: locust_of(hosts[2])), signal.SIGKILL)
    code, output = end_of(run)
    assert time.monotonic() - killed_s < 15  # of the 18 s that were left and the report
    record = check_invalid(hosts, output, code, "c", "its process was killed by SIGKILL")
    assert record.ended.how == "killed"
    assert end_of(c)[0] == ExitCode.INVALID  # nobody's bug


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["locust", "all"])
def test_a_worker_that_falls_silent_makes_the_run_invalid_at_once(hosts, started, whom):
    run, b, c = lead(hosts, started, *LONG), serve(hosts, started, 1), serve(hosts, started, 2)
    uploading(hosts)
    locust = wait_for(lambda: locust_of(hosts[2]))
    for pid in [locust] if whom == "locust" else [locust, c.pid]:
        os.kill(pid, signal.SIGSTOP)
    try:
        code, output = end_of(run)
        check_invalid(hosts, output, code, "c", "nothing was received from it for 5 s")
        assert end_of(b)[0] == ExitCode.PASSED
    finally:
        os.kill(locust, signal.SIGCONT)
        os.kill(c.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_whose_master_is_gone_stops_its_load(hosts, started):
    run, b, _ = lead(hosts, started, *LONG), serve(hosts, started, 1), serve(hosts, started, 2)
    uploading(hosts)
    os.killpg(run.pid, signal.SIGKILL)
    code, output = end_of(b, 20)
    assert code == ExitCode.INVALID, output
    assert "the leader has been silent for 5 s: stopping the load" in output
    assert locust_of(hosts[1]) is None


@pytest.mark.slow
def test_who_may_not_join_is_told_why_and_so_is_the_run(hosts, started):
    run = lead(hosts, started, "--join-timeout", "15s")
    old = serve(hosts, started, 1, "import harness", "harness.__version__ = '0.0.9'")
    wrong = serve(hosts, started, 2, "import time", "real = time.time", "time.time = lambda: real() + 1.5")
    stranger = serve(hosts, started, 1, HARNESS_JOIN_TOKEN="another-token-of-24-letters")
    code, output = end_of(run)
    assert code == ExitCode.USAGE, output
    assert "0 of 2 workers joined within 15 s" in output
    told = {
        old: r"it has upload-harness 0\.0\.9 \(protocol 1\), the run has",
        wrong: r"its clock differs from the leader's by \+1,\d\d\d ms ",
    }
    for process, words in told.items():
        ended, said = end_of(process)
        assert ended == ExitCode.USAGE, said
        assert re.search(words, said), said
        assert re.search(words, output), output
    ended, said = end_of(stranger)
    assert ended == ExitCode.USAGE
    assert "uses another HARNESS_JOIN_TOKEN" in said


@pytest.mark.slow
def test_a_late_worker_is_waited_for(hosts, started):
    run, _ = lead(hosts, started), serve(hosts, started, 1)
    time.sleep(8)
    late = serve(hosts, started, 2)
    code, output = end_of(run)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    assert load_summary(folder_of(hosts)).pages.delivered == 240
    assert end_of(late)[0] == ExitCode.PASSED


@pytest.mark.slow
def test_workers_that_need_files_and_secrets_of_the_master_get_them(hosts, started):
    """A station list of one's own, and TLS: neither lies on the workers' machines."""
    (hosts[0].folder / "own.csv").write_text("code,name,stations\n3509191001,MANGLI,80\n", "utf-8")
    run = lead(hosts, started, "--set", "stations.region=own.csv", "--set", "server.tls=true")
    serve(hosts, started, 1)
    serve(hosts, started, 2)
    code, output = end_of(run)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    assert load_summary(folder_of(hosts)).pages.delivered == 240
    assert folder_of(hosts).read_run().target.startswith("https://10.")


@pytest.mark.slow
def test_an_own_client_that_every_machine_allows_delivers_from_all_of_them(hosts, started):
    scenario = SCENARIO.replace("[client]\n", '[client]\nprotocol = "my_upload:Delivery"\n')
    (hosts[0].folder / "three.toml").write_text(scenario, "utf-8")
    for host in hosts:
        (host.folder / "my_upload.py").write_text(own_client_example(), "utf-8")
    run = lead(hosts, started, "--allow-code")
    workers = [
        started(
            host.harness(
                "worker", "--master", hosts[0].address, "--join-timeout", "60s", "--allow-code", "my_upload.py"
            )
        )
        for host in hosts[1:]
    ]
    code, output = end_of(run)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    assert [end_of(worker)[0] for worker in workers] == [ExitCode.PASSED] * 2
    folder = folder_of(hosts)
    record = folder.read_run()
    assert sorted(worker.host for worker in record.workers if worker.attempts) == ["b", "c"]
    assert load_summary(folder).pages.delivered == 240
    assert json.loads(folder.audit.read_text("utf-8"))["counts"]["ok"] == 240
    assert folder.own_client.read_text("utf-8") == own_client_example()


@pytest.fixture
def target(hosts):
    """An upload server of somebody else's on the second host, which has consented to nothing yet."""
    with place(hosts[1].name, hosts[1].address, hosts[1].folder / "target") as found:
        scenario = SCENARIO[: SCENARIO.index("[server]")] + '[target]\npath = "/photos/{station}/{form}/{page}.jpg"\n'
        (hosts[0].folder / "three.toml").write_text(scenario, "utf-8")
        yield found


def consent_for(hosts, target):
    token = derive_token(load_machine_secret(hosts[0].folder / "upload-harness"), Origin("http", target.address, 8080))
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    return json.dumps({"token": token, "contact": "t@example.org", "until": until, "max_requests_per_s": 2000})


def uploads(target):
    lines = (target.folder / "requests").read_text().splitlines()
    return [moment for moment, method, *_ in map(json.loads, lines) if method == "PUT"]


@pytest.mark.slow
def test_a_worker_refuses_a_target_that_does_not_consent_when_it_asks_itself(hosts, started, target):
    """The master accepts; the same request from the third host is rejected."""
    target.consents(consent_for(hosts, target))
    (target.folder / f"consent-{hosts[2].address}").write_text("404\n\n", "utf-8")
    run, b, c = lead(hosts, started, "--target", target.url), serve(hosts, started, 1), serve(hosts, started, 2)
    code, output = end_of(run)
    assert code == ExitCode.USAGE, output
    assert re.search(r"worker \d on c: .*HTTP status 404", output), output
    assert uploads(target) == []
    ended, said = end_of(c)
    assert ended == ExitCode.USAGE
    assert "HTTP status 404" in said
    assert end_of(b)[0] != ExitCode.PASSED


@pytest.mark.slow
def test_every_worker_stops_within_two_seconds_of_the_consents_end(hosts, started, target):
    target.consents(consent_for(hosts, target))
    run, _, _ = lead(hosts, started, "--target", target.url, *LONG), serve(hosts, started, 1), serve(hosts, started, 2)
    uploading(hosts)
    withdrawn_s = time.monotonic()
    (target.folder / "consent").unlink()
    code, output = end_of(run)
    assert code == ExitCode.INVALID, output
    ended = folder_of(hosts).read_run().ended
    assert ended is not None
    assert ended.how == "withdrawn"
    assert max(uploads(target)) < withdrawn_s + 2


@pytest.mark.slow
def test_a_worker_is_not_led_to_its_own_loopback(hosts, started):
    """The master refuses that, and where one does not, the worker does."""
    code, output = end_of(lead(hosts, started, "--target", "http://127.0.0.1:9"))
    assert code == ExitCode.USAGE
    assert "--target leads to 127.0.0.1, which is another machine on every machine" in output
