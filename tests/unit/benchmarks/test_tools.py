"""What each tool says of its round is read as it stands: outputs recorded from k6 1.1.0, wrk 4.1.0, hey 0.1.4, Locust 2.47.0."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import accuracy, cost
from benchmarks.peers.schedule import TOOLS
from benchmarks.peers.tools import bare, ours
from benchmarks.peers.tools.others import HEY, K6, PLAIN_LOCUST, WRK
from benchmarks.peers.tools.tool import ToolJob, UnreadableOutputError
from harness.scenario.loader import load_scenario

RECORDED = Path(__file__).with_name("recorded")


@pytest.fixture
def job(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(bytes(1000))
    return ToolJob("http://127.0.0.1:1", body, 5.0, 20, tmp_path, 200.0)


def recorded(name):
    return (RECORDED / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("tool", "name", "count", "seconds"),
    [
        (K6, "k6", 201, {"p50": 0.020467, "p90": 0.032244, "p95": 0.039603, "p99": 0.05865, "p99_9": 0.081875, "max": 0.084375}),
        (WRK, "wrk", 437, {"p50": 0.021, "p90": 0.036835, "p95": 0.048463, "p99": 0.062528, "p99_9": 0.094717, "max": 0.094717}),
        (HEY, "hey", 200, {"p50": 0.0189, "p90": 0.0366, "p95": 0.0431, "p99": 0.0502, "max": 0.0551}),
        (PLAIN_LOCUST, "stock-locust", 166, {"p50": 0.022, "p90": 0.042, "p95": 0.052, "p99": 0.097, "p99_9": 0.14, "max": 0.136149}),
    ],
)  # fmt: skip
def test_a_tools_percentiles_are_read_in_seconds(tool, name, count, seconds, job):
    reading = tool.read_report(recorded(name), job)
    assert (reading.count, reading.errors) == (count, 0)
    assert dict(reading.seconds) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("tool", "name", "count", "errors"),
    [
        (K6, "k6-503", 201, 50),
        (WRK, "wrk-503", 29_552, 7_388),
        (HEY, "hey-503", 200, 50),
        (PLAIN_LOCUST, "stock-locust-503", 180, 45),
        (K6, "k6-refused", 201, 201),
        (HEY, "hey-refused", 200, 200),
        (PLAIN_LOCUST, "stock-locust-refused", 165, 165),
    ],
)
def test_every_fourth_answer_that_was_a_503_and_every_refused_connection_is_an_error(tool, name, count, errors, job):
    reading = tool.read_report(recorded(name), job)
    assert (reading.count, reading.errors) == (count, errors)


def test_hey_tells_no_greatest_time_of_nothing(job):
    assert HEY.read_report(recorded("hey-refused"), job).seconds == {}


def test_iterations_that_k6_dropped_are_errors(job):
    metrics = json.loads(recorded("k6"))
    metrics["dropped_iterations"] = {"type": "counter", "contains": "default", "values": {"count": 7, "rate": 3.5}}
    assert K6.read_report(json.dumps(metrics), job).errors == 7


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
@pytest.mark.parametrize("output", ["", "something else\n", "{}\n", "[]\n"])
def test_an_output_that_is_none_is_refused_and_never_a_zero(tool, output, job):
    with pytest.raises(UnreadableOutputError):
        tool.read_report(output, job)


def test_ours_tells_what_its_summary_tells_and_leaves_out_what_that_refuses(job):
    told = {"p50": 0.02, "p90": 0.03, "p95": 0.04, "p99": 0.06, "p99_9": None, "max": 0.1}
    response = {**told, "by_outcome": {"accepted": {"count": 990}, "reset": {"count": 4}}}
    folder = ours.folder_of(job)
    folder.path.mkdir()
    folder.summary.write_text(json.dumps({"response_seconds": response, "attempts": {"total": 1000}}))
    reading = ours.TOOL.read_report("", job)
    assert (reading.count, reading.errors) == (1000, 10)
    assert reading.seconds == {name: value for name, value in told.items() if value is not None}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_rate_of_a_job_reaches_the_command_of_a_tool_that_keeps_one(tool, job):
    """The whole, or what one of its 20 connections has to do."""
    given = " ".join(tool.command("tool", job)) + str(tool.environment(job)) + ours.scenario(job) * (tool is ours.TOOL)
    wanted = {
        "k6": "'BENCH_RATE': '200'",
        "hey": "-q 10 ",
        "stock Locust": "'BENCH_RATE_OF_ONE': '10'",
        "ours": "count = 334",
        "bare gevent socket": " 20 200 5",
    }
    assert tool.keeps_rate is (tool.name in wanted)
    assert wanted.get(tool.name, "-c20") in given


@pytest.mark.parametrize("rate", [200.0, None])
def test_the_scenario_of_ours_is_one_that_harness_run_takes(job, rate, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text(ours.scenario(replace(job, rate_per_s=rate)))
    loaded = load_scenario(str(file))
    assert loaded.arrivals.kind == ("closed" if rate is None else "constant")
    assert loaded.stations.count is not None
    assert loaded.stations.count * ours.PAGES >= (200 if rate else 40_000) * job.duration_s


def test_the_floor_is_held_against_ours_by_cost_alone():
    floors = [tool for tool in TOOLS if tool.is_floor]
    assert [tool.name for tool in floors] == ["bare gevent socket"]
    assert all(cost.takes_part_in_cost(tool, case, 0) for tool in floors for case in cost.COST_CASES)
    assert not any(accuracy.takes_part(tool, case, 0) for tool in floors for case in accuracy.ACCURACY_CASES)
    (alone,) = (case for case in cost.COST_CASES if case.ours_only)
    assert [tool.name for tool in TOOLS if cost.takes_part_in_cost(tool, alone, 0)] == ["ours", "bare gevent socket"]


def test_the_floor_tells_what_it_sent_and_no_times(job):
    reading = bare.TOOL.read_report('{"requests": 300, "errors": 1}', job)
    assert (reading.count, reading.errors, reading.seconds) == (300, 1, {})
