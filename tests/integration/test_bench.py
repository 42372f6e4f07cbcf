"""The bench against its real server, with our real generator."""

import pytest

from benchmarks.peers import accuracy, cost, nginx_sink
from benchmarks.peers.reference_server import read_log, running_reference_server
from benchmarks.peers.round import run_tool, split_cores
from benchmarks.peers.schedule import TOOLS, TrialSchedule
from benchmarks.peers.tools import ours
from benchmarks.peers.tools.tool import ToolJob

SLACK_S = 0.1
"""What a busy machine may add; the delays are 20 ms at the median, the freeze is 2 s."""


@pytest.mark.slow
def test_ours_tells_what_a_server_that_knows_the_truth_knows_and_a_freeze_in_full(tmp_path):
    failures: list[str] = []
    cases = [case for case in accuracy.ACCURACY_CASES if case.rate_per_s == 200]
    binaries = {"ours": str(ours.TOOL.find())}
    well, frozen = accuracy.measure_accuracy(
        TrialSchedule(binaries, 1, 3.0, tmp_path, split_cores(), print, failures.append), cases
    )
    assert not failures
    assert well.requests == 600
    for name in ("p50", "p90", "p99"):
        assert well.reported[name] == pytest.approx(well.true[name], abs=SLACK_S), name
        assert frozen.reported[name] == pytest.approx(frozen.true[name], abs=SLACK_S), name
    assert well.reported["max"] < 1.0
    assert 1.9 < frozen.reported["max"] < 3.0
    assert frozen.true["p90"] > 0.3  # a first page a station, a third of all, falls due in the freeze as at any time


@pytest.mark.peers
def test_nginx_reads_every_body_before_it_answers_and_logs_what_it_read(tmp_path):
    with nginx_sink.running_nginx(tmp_path / "nginx", split_cores().server) as running:
        for case in cost.COST_CASES:
            assert running.reads_bodies(case.size_bytes), case
        running.forget()
        assert running.reads_bodies(500_000)
        (answered,) = running.answered()
    assert (answered.status, answered.bytes_read > 500_000) == (201, True)


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_does_a_job_and_its_output_is_understood(tool, tmp_path):
    """As the server counts: a version that prints otherwise than the recorded ones is found here."""
    binary = tool.find()
    assert binary is not None, tool.advice
    body = tmp_path / "body"
    body.write_bytes(bytes(1000))
    assert tool.version(binary)
    with running_reference_server(tmp_path / "observed.csv", None, 1, split_cores().server) as url:
        done = run_tool(
            tool, binary, ToolJob(url, body, 3.0, 5, tmp_path / "job", 50.0 if tool.keeps_rate else None), split_cores()
        )
    seen = len(read_log(tmp_path / "observed.csv"))
    assert done.report.count == pytest.approx(seen, abs=10)  # those in flight when it ended
    assert seen > 100
    assert done.report.errors == 0
    assert 0.005 < done.report.seconds["p50"] < 0.5
    assert done.cost.cpu_s[-1] > 0
    assert done.cost.peak_bytes > 1e6
