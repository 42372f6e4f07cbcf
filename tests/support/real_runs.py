"""Real runs of the real command, small enough for many of them."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.base.errors import ExitCode
from harness.cli.app import main
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder

HARNESS = [sys.executable, "-P", "-m", "harness"]
PATIENCE_S = 120.0
"""A bound for what takes seconds on an idle machine; no test asserts it."""
TRIES = 3
"""A run whose generator was late is repeated until there were this many."""
TOO_BUSY = re.compile(
    r"the generator was late|the generator was above|stations that were due were never begun|the generator's CPU is not known"
    r"|the generator's .* lateness, .* (?:is more than a tenth of the limit|alone may be what breaches)"
)
"""Reasons for INVALID that a busy machine causes."""
TINY = """
name = "tiny"
title = "A dozen stations in two seconds"
seed = 5
deadline = "8s"
[stations]
count = 12
[photos]
size = "30KB"
bank = 2
[arrivals]
kind = "constant"
over = "2s"
[client]
timeout = "4s"
retry = { strategy = "full_jitter", base = "100ms", cap = "1s" }
[server]
workers = 4
service_time = { distribution = "lognormal", median = "20ms", sigma = 0.3 }
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 100%"
"""


REPORT, NO_REPORT = (
    {f"HARNESS_{command}_REPORT": value for command in ("RUN", "EXPERIMENT", "CAPACITY")} for value in ("true", "false")
)
"""Of a small run more CPU goes into drawing than into all else: runs of tests that read no page draw none."""


def environment(**more):
    """This process's environment without the variables that change the output, and NO_REPORT; with these ones added."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR", "COLUMNS", "HARNESS_RUN"}
    }
    return {**kept, **NO_REPORT, **more}


def family_of(folder):
    """Ids of the live processes that the run in this folder has started."""
    wanted = f"HARNESS_RUN={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
            state = (path.parent / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if wanted in variables and state != "Z":
            found.append(int(path.parent.name))
    return found


def was_late(folder):
    """Whether a run is INVALID only because the machine gave the generator too little CPU time."""
    validity = load_verdict(RunFolder(folder)).validity
    return not validity.valid and all(TOO_BUSY.search(reason) for reason in validity.reasons)


def in_time(*arguments, cwd, **more):
    """`harness run`, repeated while the generator was late, at most TRIES times: exit code, output, the run folder."""
    for number in range(TRIES):
        folder = cwd / f"run-{number}"
        code, output = told("run", *arguments, "--out", folder, cwd=cwd, **more)
        if code != ExitCode.INVALID or not was_late(folder):
            break
    return code, output, folder


def assert_passed_or_late(code, folder, output):
    """Check that a run passed, or is INVALID only because the machine was busy; for tests that do not look at figures."""
    assert code == ExitCode.PASSED or (code == ExitCode.INVALID and was_late(folder)), output


def wait_for(condition, timeout_s=PATIENCE_S):
    """Wait until the condition returns something true; returns that."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"did not happen within {timeout_s:g} s")


@dataclass
class Started:
    """A run in progress."""

    process: Any  # a Popen with pipes
    folder: Path

    def uploading(self):
        """Wait until attempts have reached the journal."""
        wait_for(lambda: any(path.stat().st_size for path in self.folder.glob("journal/*.journal")))
        return self

    def end(self, timeout_s=PATIENCE_S):
        """Exit code and output."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output


@contextlib.contextmanager
def killed_at_the_end():
    """A function that notes a started process; those that still run when the block ends are killed, with their process group."""
    noted: list[Any] = []

    def note(process):
        noted.append(process)
        return process

    yield note
    for process in noted:
        if process.poll() is None:
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # in our own group
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def runs_in_background(place):
    """A function that starts `harness run SCENARIO …` in this folder; what still runs at the end is killed."""
    with killed_at_the_end() as note:

        def start(scenario, *arguments, out="run", **options):
            folder = place / out
            process = subprocess.Popen(
                [*HARNESS, "run", str(scenario), "--out", str(folder), *arguments],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), cwd=place, **options,
            )  # fmt: skip
            return Started(note(process), folder)

        yield start


def run_to_end(place, scenario, *arguments, **more):
    """Run a scenario (TOML text) in this folder, to its end: the run folder, exit code and output."""
    (place / "scenario.toml").write_text(scenario, "utf-8")
    code, output = told("run", "scenario.toml", "--out", "run", *arguments, cwd=place, **more)
    return RunFolder(place / "run"), code, output


def harness(*arguments, cwd, timeout_s=PATIENCE_S, **more):
    """Run the command in a process of its own, to its end: exit code and output."""
    done = subprocess.run(
        [*HARNESS, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment(**more), timeout=timeout_s, check=False
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def told(*arguments, cwd, **more):
    """Run a command within this process: exit code and output.

    Saves the second that a new interpreter needs for its imports. The mock server and the generator are processes of their own
    all the same.
    """
    output = io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", ["harness", *map(str, arguments)]),
        mock.patch.dict(os.environ, environment(**more), clear=True),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            main()
        except SystemExit as end:
            return end.code or 0, output.getvalue()
    return 0, output.getvalue()
