"""Whether a tool tells the truth: every tool against a server that knows it, at several rates, and through a freeze."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.peers.accuracy_figures import (
    FREEZE_S,
    AccuracyRound,
    arrival_rate,
    lag_p99_s,
    percentiles,
    responses_from_due,
    scheduled_responses,
)
from benchmarks.peers.reference_server import ObservedRequest, read_log
from benchmarks.peers.round import pinned_to
from benchmarks.peers.schedule import Trial, TrialSchedule
from benchmarks.peers.tools import Tool, ours
from benchmarks.peers.tools.tool import ToolJob, ToolReport
from harness.base.errors import ProcessFailedError

MEDIAN_S, SIGMA = 0.020, 0.5
MEAN_S = 0.0227
"""Of that lognormal distribution: as many connections as rate · mean keep a rate by themselves (wrk)."""
MAX_PEER_ROUNDS = 3
_BODY_BYTES = 1_000
_PACED_PER_S = 10.0
"""Rate of one connection of tools that pace each by itself: it has 100 ms, which only one answer in a thousand takes."""
_MAX_CLOCK_DRIFT_S = 0.0005


@dataclass(frozen=True)
class AccuracyCase:
    """A load on the known server."""

    name: str
    rate_per_s: float
    freeze_after_s: float | None = None

    @property
    def title(self) -> str:
        """Its name says it."""
        return self.name

    def connections(self, tool: Tool) -> int:
        """So many as the tool needs to keep the rate; through a freeze one that opens more has to have them."""
        if not tool.keeps_rate:
            return max(1, round(self.rate_per_s * MEAN_S))
        in_flight = self.rate_per_s * FREEZE_S if tool.name == "k6" and self.freeze_after_s is not None else 0
        return round(max(self.rate_per_s / _PACED_PER_S, in_flight))


ACCURACY_CASES = (
    AccuracyCase("200/s", 200),
    AccuracyCase("1,000/s", 1_000),
    AccuracyCase("3,000/s", 3_000),
    AccuracyCase("200/s, frozen for 2 s", 200, freeze_after_s=2.0),
)


def measure_accuracy(turns: TrialSchedule, cases: Sequence[AccuracyCase] = ACCURACY_CASES) -> list[AccuracyRound]:
    """What every tool tells in every case, and what is true: ours in every round, the others in at most `MAX_PEER_ROUNDS`.

    What is judged is ours.
    """
    found: list[AccuracyRound] = []
    for case, truth in turns.take(cases, takes_part, _measure_trial):
        turns.say(f"{case.name}: {truth.tool}: {truth.per_s:,.0f}/s, {_format_errors(truth)}")
        found.append(truth)
    return found


def takes_part(tool: Tool, _case: AccuracyCase, number: int) -> bool:
    """Whether a tool has a turn in the round of that number."""
    return tool.name == "ours" or (number < MAX_PEER_ROUNDS and not tool.is_floor)


def _measure_trial(turn: Trial, case: AccuracyCase) -> AccuracyRound:
    tool, log = turn.tool, turn.folder / "seen.csv"
    length_s = turn.seconds if case.freeze_after_s is None else turn.seconds + FREEZE_S
    offset_s = time.time() - time.monotonic()
    with running_reference_server(log, case.freeze_after_s, turn.number + 1, turn.cores.server) as url:
        job, played = turn.play(url, case, _BODY_BYTES, length_s, case.connections(tool))
    if abs(time.time() - time.monotonic() - offset_s) > _MAX_CLOCK_DRIFT_S:
        message = "the clock was set while it was running"
        raise ValueError(message)
    seen = read_log(log)
    if len(seen) < 2:
        message = "the server has seen no request"
        raise ValueError(message)
    until_s = float("inf") if case.freeze_after_s is None else seen[0].arrived_s + case.freeze_after_s
    told, true, service = _compare(tool, job, played.reading, seen, case.freeze_after_s, offset_s)
    return AccuracyRound(
        tool.name,
        case.name,
        len(seen),
        arrival_rate(seen, until_s),
        told,
        percentiles(true),
        service,
        lag_p99_s(seen),
        _lateness(tool, job),
    )


def _compare(
    tool: Tool,
    job: ToolJob,
    reading: ToolReport,
    seen: Sequence[ObservedRequest],
    freeze_after_s: float | None,
    offset_s: float,
) -> tuple[Mapping[str, float], list[float], dict[str, float]]:
    """What was told, the true responses, and (ours alone) the service.

    Where our summary refuses a percentile of so small a sample, it is taken from the rows that the summary is made of: here it
    is compared with the truth about the same attempts, so that no sample is too small.
    """
    if tool.name != "ours":
        return reading.seconds, scheduled_responses(seen, freeze_after_s), {}
    folder = ours.folder_of(job)
    query = "SELECT station, form, page, due_s, sent_s, done_s FROM read_parquet(?)"
    rows = duckdb.execute(query, [str(folder.attempts)]).fetchall()
    t0_s = (folder.read_run().t0_epoch or 0.0) - offset_s
    due_s = {ours.page_path(station, form, page): t0_s + due for station, form, page, due, *_ in rows}
    told = {**percentiles([done - due for *_, due, _, done in rows]), **reading.seconds}
    return told, responses_from_due(seen, due_s), percentiles([done - sent for *_, sent, done in rows])


def _lateness(tool: Tool, job: ToolJob) -> dict[str, float]:
    """How late ours was with sending, after its rows; {} for a tool that doesn't tell."""
    if tool.name != "ours":
        return {}
    query = "SELECT sent_s - due_s FROM read_parquet(?) WHERE sent_s IS NOT NULL"
    return percentiles([late for (late,) in duckdb.execute(query, [str(ours.folder_of(job).attempts)]).fetchall()])


@contextlib.contextmanager
def running_reference_server(
    log: Path, freeze_after_s: float | None, seed: int, cores: frozenset[int]
) -> Iterator[str]:
    """Its URL; its log is written when the block has been left."""
    freeze = (
        [] if freeze_after_s is None else ["--freeze-after-s", f"{freeze_after_s:g}", "--freeze-s", f"{FREEZE_S:g}"]
    )
    delays = ["--median-s", f"{MEDIAN_S:g}", "--sigma", f"{SIGMA:g}", "--seed", str(seed), *freeze]
    command = [sys.executable, "-P", "-m", "benchmarks.peers.reference_server", "--log", str(log), *delays]
    with (
        pinned_to(cores),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        if server.stdout is None or server.stdin is None:
            raise RuntimeError
        try:
            said = server.stdout.readline()
            if not said:
                message = f"the known server ended with exit code {server.wait(10)}"
                raise ProcessFailedError(message)
            yield f"http://127.0.0.1:{json.loads(said)['port']}"
            server.stdin.close()
            server.wait(30)
        finally:
            server.kill()


def _format_errors(truth: AccuracyRound) -> str:
    parts = [f"{name} {truth.error_s(name) or 0:+.4f} s" for name in truth.told if name in truth.true]
    return "told - true: " + ", ".join(parts)
