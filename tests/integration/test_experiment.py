"""`harness experiment`, for real: a small matrix, interrupted and resumed."""

import json
import signal
import subprocess

import psutil

from harness.base.errors import ExitCode
from tests.support.real_runs import HARNESS, PATIENCE_S, REPORT, environment, harness, told, wait_for
from tests.support.run_builder import RunBuilder

MATRIX = """
name = "small"
title = "Does a second worker help?"
base = "tiny.toml"
seeds = [5]
at = ["2s"]
[[variants]]
name = "one worker"
set = { "server.workers" = 1, "server.service_time" = "150ms" }
[[variants]]
name = "two workers"
set = { "server.workers" = 2, "server.service_time" = "150ms" }
"""


def test_a_matrix_is_run_interrupted_and_resumed_without_repeating_a_finished_cell(tmp_path, tiny):
    (tmp_path / "matrix.toml").write_text(MATRIX, "utf-8")
    runs = tmp_path / "runs" / "experiments" / "small" / "runs"
    with subprocess.Popen(
        [*HARNESS, "experiment", "matrix.toml"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(**REPORT),
        cwd=tmp_path,
    ) as process:
        wait_for(lambda: list((runs / "two-workers-5" / "journal").glob("*.journal")))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert "Run the same command again to resume" in output
    finished = (runs / "one-worker-5" / "run.json").stat().st_mtime_ns
    code, output = harness("experiment", "matrix.toml", cwd=tmp_path, **REPORT)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # the machine may be too busy to measure
    assert "1 of 2 cells are already finished" in output
    assert "left" in output
    assert (runs / "one-worker-5" / "run.json").stat().st_mtime_ns == finished
    content = json.loads((tmp_path / "runs" / "experiments" / "small" / "experiment.json").read_text())
    assert [len(variant["cells"]) for variant in content["variants"]] == [1, 1]
    one, two = (variant["mean"]["delivery_p50_s"] for variant in content["variants"])
    assert one > two
    page = (tmp_path / "runs" / "experiments" / "small" / "report" / "index.html").read_text()
    for name in ("one-worker-5", "two-workers-5"):
        assert f'href="../runs/{name}/report/index.html"' in page
        assert (runs / name / "report" / "index.html").exists()


def test_sigterm_ends_an_experiment_with_143_and_nothing_is_claimed_of_a_part_of_it(tmp_path, tiny):
    (tmp_path / "matrix.toml").write_text(MATRIX, "utf-8")
    runs = tmp_path / "runs" / "experiments" / "small" / "runs"
    with subprocess.Popen(
        [*HARNESS, "experiment", "matrix.toml"], stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
    ) as process:
        wait_for(lambda: list((runs / "one-worker-5" / "journal").glob("*.journal")))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.TERMINATED, output
    assert "No run has finished yet." in output


def test_a_folder_of_another_experiment_is_not_touched(tmp_path, tiny):
    (tmp_path / "matrix.toml").write_text(MATRIX, "utf-8")
    foreign = tmp_path / "runs" / "experiments" / "small" / "runs" / "one-worker-5"
    RunBuilder(foreign).finish("completed", at_s=1.0)
    before = sorted(path.stat().st_mtime_ns for path in foreign.rglob("*"))
    code, output = told("experiment", "matrix.toml", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "is a run of another scenario" in output
    assert sorted(path.stat().st_mtime_ns for path in foreign.rglob("*")) == before


def test_a_simulated_matrix_is_confirmed_by_real_runs_of_the_base_and_the_best_variants(tmp_path, tiny):
    (tmp_path / "matrix.toml").write_text(MATRIX, "utf-8")
    code, output = harness("experiment", "matrix.toml", "--simulate", "--confirm", "1", cwd=tmp_path)
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # the machine may be too busy to measure
    folder = tmp_path / "runs" / "experiments" / "small-simulated"
    against = json.loads((folder / "against.json").read_text())
    assert [pair["name"] for pair in against["pairs"]] == ["one worker", "two workers"]
    for pair in against["pairs"]:
        assert pair["predicted"]["by_outcome"]["accepted"] == pair["measured"]["by_outcome"]["accepted"]
    simulated, measured = (
        json.loads((folder / place / "two-workers-5" / "run.json").read_text())["simulated"]
        for place in ("runs", "confirmed/runs")
    )
    assert (simulated, measured) == (True, False)
    assert "In 2 runs the stations by the deadline are off by at most" in output
    page = (folder / "report" / "index.html").read_text()
    assert "Predicted and measured" in page
    assert "Runs without a link have no page yet" in page
    assert not list(folder.glob("**/runs/*/report/index.html"))


def test_a_simulation_that_is_interrupted_exits_with_130(tmp_path):
    command = [*HARNESS, "simulate", "kaliwates", "--set", "server.workers=1", "--seeds", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path) as process:
        wait_for(lambda: _children(process.pid))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert "of 500 seeds" in output


def _children(pid: int) -> bool:
    return len(psutil.Process(pid).children()) > 1
