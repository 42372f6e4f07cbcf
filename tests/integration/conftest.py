"""Real runs of the real command, small enough to be many."""

import contextlib
import io
import os
import re
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
"""For what takes seconds on a machine that has nothing else to do. It proves nothing but that there is an end."""
TRIES = 3
"""A run whose generator was late is made so often at the most."""
TOO_BUSY = re.compile(
    r"the generator was late|the generator was above|stations that were due were never begun|the generator's CPU is not known"
    r"|the generator's .* lateness, .* (?:is more than a tenth of the limit|alone may be what breaches)"
)
"""Reasons that a machine which is busy with other things gives for INVALID."""
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


def environment(**more):
    """Our environment without what makes the output differ from machine to machine."""
    kept = {
        name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR", "COLUMNS", "HARNESS_RUN"}
    }
    return {**kept, **more}


def family_of(folder):
    """Process ids of everything that a run in that folder has started and that still lives."""
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
    """Whether a run is INVALID for nothing but that the generator did not get the machine's time when it needed it."""
    validity = load_verdict(RunFolder(folder)).validity
    return not validity.valid and all(TOO_BUSY.search(reason) for reason in validity.reasons)


def in_time(*arguments, cwd, **more):
    """`harness run` until its generator was in time, at most three times: exit code, all output, the run folder."""
    for number in range(TRIES):
        folder = cwd / f"run-{number}"
        code, output = harness("run", *arguments, "--out", folder, cwd=cwd, **more)
        if code != ExitCode.INVALID or not was_late(folder):
            break
    return code, output, folder


def assert_passed_or_late(code, folder, output):
    """For a run that is not about its figures: it passed, or would have on a machine that is less busy."""
    assert code == ExitCode.PASSED or (code == ExitCode.INVALID and was_late(folder)), output


def wait_for(condition, timeout_s=PATIENCE_S):
    """Wait until the condition gives something true, and give it back."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail("it did not happen in time")


@dataclass
class Started:
    """A run of the command that is under way."""

    process: Any  # a Popen whose pipes are there
    folder: Path

    def uploading(self):
        """Wait until attempts have reached the journal."""
        wait_for(lambda: any(path.stat().st_size for path in self.folder.glob("journal/*.journal")))
        return self

    def end(self, timeout_s=PATIENCE_S):
        """Exit code and output."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, "utf-8")
    return path


@pytest.fixture
def start(tmp_path):
    """Starts `harness run SCENARIO` with more arguments, in the background."""
    started: list[Any] = []

    def begin(scenario, *arguments, out="run", **options):
        folder = tmp_path / out
        process = subprocess.Popen(
            [*HARNESS, "run", str(scenario), "--out", str(folder), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), cwd=tmp_path, **options,
        )  # fmt: skip
        started.append(process)
        return Started(process, folder)

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def harness(*arguments, cwd, timeout_s=PATIENCE_S, **more):
    """The command, run to its end: exit code and all output."""
    done = subprocess.run(
        [*HARNESS, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment(**more), timeout=timeout_s, check=False
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def told(*arguments, cwd, **more):
    """What a command that starts no processes says, called within this one: exit code and all output.

    Spares the second and more that a new interpreter needs for its imports.
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
