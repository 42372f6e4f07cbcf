"""One round of one tool: its process on its cores, watched from start to end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.process_cost import ProcessCost, ProcessSampler
from benchmarks.peers.tools.tool import Tool, ToolJob, ToolReport, tail
from harness.base.errors import ProcessFailedError
from harness.measure.process_monitor import process_tree

_OVERTIME_S = 90.0
_TOOL_VARIABLES = ("LOCUST_", "K6_", "HARNESS_", "GOMAXPROCS", "GOGC")
"""Variables of the user's that would make a tool another one."""


@dataclass(frozen=True)
class CoreSplit:
    """Who runs where: the server and whoever watches on the one, the generator on the other."""

    server: frozenset[int]
    generator: frozenset[int]

    def place(self, pid: int, sends: bool) -> None:
        """Move a process, with all its threads. Raises OSError when it has gone."""
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), self.generator if sends else self.server)


def split_cores() -> CoreSplit:
    """The generator gets the last core of those that we may use, alone; on a machine of one core they share it."""
    allowed = sorted(os.sched_getaffinity(0))
    return CoreSplit(frozenset(allowed[:-1] or allowed), frozenset(allowed[-1:]))


@contextlib.contextmanager
def pinned_to(cores: frozenset[int]) -> Iterator[None]:
    """What this thread starts within the block runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class ToolRun:
    """What a tool said of a job, and what was seen of it."""

    reading: ToolReport
    tally: ProcessCost


def run_tool(tool: Tool, binary: str, job: ToolJob, cores: CoreSplit) -> ToolRun:
    """Let a tool do a job: what sends on the generator's core, what doesn't beside the server.

    Raises ChildError if it fails or doesn't end, UnreadableOutputError if it can't be understood.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / "stderr.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_TOOL_VARIABLES)}
    with log.open("wb") as errors, pinned_to(cores.generator):
        process = subprocess.Popen(
            tool.command(binary, job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**inherited, **tool.environment(job)},
            start_new_session=True,
        )
    with ProcessSampler(process.pid, tool.marker, cores.place) as watch:
        try:
            output, _ = process.communicate(timeout=job.duration_s + _OVERTIME_S)
        except subprocess.TimeoutExpired:
            message = f"{tool.name} did not end within {job.duration_s + _OVERTIME_S:.0f} s"
            raise ProcessFailedError(message) from None
        finally:
            _kill_tree(process)
    if process.returncode not in {0, 1} or (
        process.returncode and not output.strip()
    ):  # 1: Locust's "some have failed"
        said = tail(log.read_text("utf-8", "replace"))
        message = f"{tool.name} ended with exit code {process.returncode}: {said}"
        raise ProcessFailedError(message)
    return ToolRun(tool.read(output, job), watch.tally)


def _kill_tree(process: subprocess.Popen[str]) -> None:
    """Nothing of it is left, whatever has happened."""
    if process.poll() is None:
        for pid in reversed(process_tree(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
