"""The promise of `harness compare`, on real runs: the same raises no alarm, and a server that is 20 % slower is found.

Fifty runs of some seconds each: about ten minutes.
"""

import subprocess

import pytest

from harness.analysis.comparable import JUDGED_FIGURES
from harness.judge.compare.compare import compare_sides
from harness.judge.compare.figure import Sides, Tolerances
from harness.judge.compare.run import load_compared_run
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import HARNESS, environment

pytestmark = pytest.mark.slow

PAIRS, SLOWER = 20, 10
SPARE = 8
"""Runs more than are needed: a busy machine may spoil the measurement of some."""
SCENARIO = """
name = "proof"
title = "Eighty stations in two and a half seconds, at a server that is never full"
seed = 5
deadline = "12s"
[stations]
count = 80
[photos]
size = "10KB"
bank = 2
[arrivals]
kind = "poisson"
over = "2500ms"
[client]
timeout = "5s"
[server]
workers = 200
queue_capacity = 400
service_time = { distribution = "lognormal", median = "400ms", sigma = 0.25 }
"""


def runs(folder, scenario, wanted, *overrides):
    """So many runs of a scenario whose measurement is valid, made by the real command."""
    done = subprocess.run(
        [*HARNESS, "calibrate", str(scenario), "--runs", str(wanted + SPARE), "--out", str(folder), *overrides],
        capture_output=True, text=True, env=environment(XDG_STATE_HOME=str(folder.parent)), timeout=1800, check=False,
    )  # fmt: skip
    print(done.stdout)  # noqa: T201 - the machine's noise, which a closing note quotes
    assert done.returncode == 0, done.stdout + done.stderr
    made = [load_compared_run(RunFolder(path), [], Tolerances().shown) for path in sorted(folder.iterdir())]
    valid = [run for run in made if not run.reasons]
    if len(valid) < wanted:
        pytest.fail(f"only {len(valid)} of {len(made)} runs are valid: this machine is too busy to prove anything")
    return valid[:wanted]


def told(comparison):
    (p50,) = [figure.change for figure in comparison.figures if figure.key == JUDGED_FIGURES[0]]
    return f"{comparison.verdict}: p50 {p50.change:+.1%} ({p50.low:+.1%} to {p50.high:+.1%}). {comparison.finding}"


def test_twenty_pairs_of_the_same_raise_at_most_one_alarm_and_a_slower_server_is_found_in_nine_of_ten(tmp_path):
    scenario = tmp_path / "proof.toml"
    scenario.write_text(SCENARIO, "utf-8")
    same = runs(tmp_path / "same", scenario, 2 * PAIRS)
    slower = runs(tmp_path / "slower", scenario, SLOWER, "--set", "server.service_time.median=480ms")
    pairs = [
        compare_sides(Sides([one], [other]), Tolerances()) for one, other in zip(same[::2], same[1::2], strict=True)
    ]
    planted = [compare_sides(Sides([one], [other]), Tolerances()) for one, other in zip(same, slower, strict=False)]
    for comparison in [*pairs, *planted]:
        print(told(comparison))  # noqa: T201 - as above
    assert sum(comparison.verdict == "fail" for comparison in pairs) <= 1
    assert sum(comparison.verdict == "fail" for comparison in planted) >= SLOWER - 1
