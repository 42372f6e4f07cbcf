"""The steps of action.yml, run as GitHub runs them: bash with the step's environment, inputs put in their places."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import yaml  # type: ignore[import-untyped]

from harness.base.errors import ExitCode
from harness.judge.verdict import judge_run
from tests.support.real_runs import PATIENCE_S, TRIES, environment, wait_for, was_late
from tests.support.run_builder import RunBuilder

ROOT = Path(__file__).parents[2]


def run_step(place, inputs):
    """The step that runs the scenario, taken to its end."""
    with start_step(place, inputs) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start_step(place, inputs):
    """The step that runs the scenario, in `place`, with a `harness` where the step before would have installed it."""
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    (step,) = (step for step in action["runs"]["steps"] if step.get("id") == "run")
    given = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | inputs
    filled = {
        name: re.sub(r"\$\{\{ inputs\.([a-z]+) }}", lambda found: given[found[1]], text)
        for name, text in step["env"].items()
    }
    programs = place / "temp" / "harness" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m harness "$@"\n')
    (programs / "harness").chmod(0o755)
    (programs / "python").unlink(missing_ok=True)
    (programs / "python").symlink_to(sys.executable)
    told = {"RUNNER_TEMP": str(place / "temp"), "GITHUB_OUTPUT": str(place / "output"), "GITHUB_ACTIONS": "true"}
    told |= {"GITHUB_STEP_SUMMARY": str(place / "summary"), "PYTHONPATH": str(ROOT)}
    told["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.Popen(
        command,
        cwd=place,
        env=environment(**told, **filled),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs_of(place):
    """The outputs of the last step: GitHub takes the last value of each."""
    return dict(line.split("=", 1) for line in (place / "output").read_text().splitlines())


def test_a_run_that_can_not_pass_any_more_is_aborted_and_fails_the_step_with_outputs_a_summary_and_annotations(
    tmp_path, tiny
):
    """From the second second on every answer is a 500: the share of accepted attempts is hopeless after seconds of the minute that it has."""
    with Path(tmp_path / tiny).open("a", encoding="utf-8") as file:
        file.write(
            "[[thresholds]]\nassert = 'ratio(attempts{outcome=\"accepted\"}) >= 90%'\nabort = true\n"
            '[[faults]]\nname = "errors"\nkind = "abort"\nstart = "1s"\nduration = "60s"\nstatus = 500\n'
        )
    for number in range(TRIES):
        place = tmp_path / str(number)
        done = run_step(place, {"scenario": str(tiny), "arguments": "--seed 3\n--set deadline=60s", "out": "the-run"})
        if done.returncode != ExitCode.INVALID or not was_late(place / "the-run"):
            break
    assert done.returncode == ExitCode.FAILED, done.stdout + done.stderr
    record = json.loads((place / "the-run" / "run.json").read_text())
    assert outputs_of(place) == {"exit-code": "99", "verdict": "fail", "artifact": f"harness-run-{record['id']}"}
    assert (record["seed"], record["ended"]["how"]) == (3, "aborted")
    assert record["ended"]["at_s"] < 30
    assert last_due_s(place / "the-run") < record["ended"]["at_s"] + 2  # nothing was sent after that
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error title=FAIL%3A tiny::")]
    assert any('ratio(attempts{outcome="accepted"}) >= 90%25%0Aobserved ' in line for line in errors), done.stdout
    assert (place / "summary").read_text().startswith("## ❌ FAIL: tiny\n")


def last_due_s(folder):
    query = "SELECT max(due_s) FROM read_parquet(?) WHERE sent_s > 0"
    ((latest,),) = duckdb.execute(query, [str(folder / "attempts.parquet")]).fetchall()
    return latest


def test_a_usage_error_leaves_no_verdict(tmp_path):
    done = run_step(tmp_path, {"scenario": "no-such-scenario"})
    assert done.returncode == ExitCode.USAGE, done.stdout + done.stderr
    assert outputs_of(tmp_path) == {"exit-code": "2", "verdict": "none", "artifact": ""}


def test_a_run_that_never_began_does_not_repeat_the_verdict_of_an_earlier_one_in_its_folder(tmp_path):
    earlier = RunBuilder(tmp_path / "harness-run", stations=20)
    for page in range(20):
        earlier.attempt(page)
    earlier.scrape_idle_generator(3)
    earlier.store_all()
    assert judge_run(earlier.finish(at_s=2.0), []).verdict.verdict == "pass"
    done = run_step(tmp_path, {"scenario": "smoke"})
    assert done.returncode == ExitCode.USAGE, done.stdout + done.stderr
    assert "is not an empty folder" in done.stderr
    assert outputs_of(tmp_path) == {"exit-code": "2", "verdict": "none", "artifact": ""}


def test_cancelling_the_step_interrupts_the_run_which_is_then_invalid(tmp_path, tiny):
    """GitHub sends SIGINT to the shell alone; the artifact has the name that the user gave."""
    inputs = {"scenario": str(tiny), "arguments": "--set arrivals.over=60s --set deadline=60s", "artifact": "mine"}
    with start_step(tmp_path, inputs) as process:
        journals = tmp_path / "harness-run" / "journal"
        wait_for(lambda: any(journal.stat().st_size for journal in journals.glob("*.journal")))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.INTERRUPTED, output + errors
    assert outputs_of(tmp_path) == {"exit-code": "130", "verdict": "invalid", "artifact": "mine"}
    assert "the run was interrupted after" in output
