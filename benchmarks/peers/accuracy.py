"""Accuracy of reported response times: every tool against a server that knows the true ones, at several rates.

True response = time of the true answer - due time, and each tool has its own schedule of due times:

- Ours: the due time of every attempt (attempts.parquet), so that each attempt has a true response of its own.
- The others do not report due times. While the server is well, they are assumed to have been on schedule: the truth is what
  each request met at the server, from its arrival to its answer, and being late does not count against the tool. During a
  freeze the schedule goes on at the rate that the tool had before: a user who arrives then waits for the thaw, and then as
  long as others. That is Tene's correction for coordinated omission ("How NOT to Measure Latency").
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import duckdb
from pydantic import Field

from benchmarks.peers.reference_server import (
    FREEZE_S,
    MEAN_DELAY_S,
    ObservedRequest,
    read_log,
    running_reference_server,
)
from benchmarks.peers.schedule import Trial, TrialSchedule
from benchmarks.peers.tools import ours
from benchmarks.peers.tools.tool import PERCENTILES, Tool, ToolJob, ToolReport

LATENESS_GOAL = ("3,000/s", 0.002)
"""At this load the p99 lateness of our generator shall be at most this many seconds."""
MAX_PEER_ROUNDS = 3
"""The other tools take part in fewer rounds: only ours is judged, and each round of all tools takes minutes."""
_BODY_BYTES = 1_000
_PACED_PER_S = 10.0
"""Rate of one connection of a tool that paces each by itself: of answers within 100 ms only one in a thousand is late."""
_MAX_CLOCK_STEP_S = 0.0005


@dataclass(frozen=True)
class AccuracyCase:
    """A load on the reference server."""

    name: str
    rate_per_s: float
    freeze_after_s: float | None = None

    @property
    def title(self) -> str:
        """The same as the name."""
        return self.name

    def connections(self, tool: Tool) -> int:
        """As many connections as the tool needs to keep the rate."""
        if not tool.keeps_rate:
            return max(1, round(self.rate_per_s * MEAN_DELAY_S))  # Little's law: in flight = rate x mean delay
        # k6 opens a connection for each iteration that falls due in the freeze: it must be allowed to have that many
        in_flight = self.rate_per_s * FREEZE_S if tool.name == "k6" and self.freeze_after_s is not None else 0
        return round(max(self.rate_per_s / _PACED_PER_S, in_flight))


ACCURACY_CASES = (
    AccuracyCase("200/s", 200),
    AccuracyCase("1,000/s", 1_000),
    AccuracyCase("3,000/s", 3_000),
    AccuracyCase("200/s, frozen for 2 s", 200, freeze_after_s=2.0),
)


@dataclass(frozen=True)
class AccuracyRound:
    """One round of one tool. Durations in seconds, by the names of `PERCENTILES` and `max`."""

    tool: str
    case: str
    requests: int
    """Answered by the server."""
    per_s: float
    """The rate that the tool really kept; before the freeze, if there was one."""
    reported: Annotated[Mapping[str, float], Field(alias="told")]  # the key in results.json
    true: Mapping[str, float]
    service: Mapping[str, float]
    """From sending to the answer; ours only."""
    lag_p99_s: float
    """How late the server itself was with its answers."""
    lateness: Mapping[str, float] = field(default_factory=dict)
    """How late attempts were sent, which is a part of their response times; ours only."""

    def error_s(self, name: str) -> float | None:
        """Reported - true; None if the tool does not report it."""
        return self.reported[name] - self.true[name] if name in self.reported else None


@dataclass(frozen=True)
class PercentileError:
    """A percentile, medians over the rounds. Seconds."""

    reported_s: float
    true_s: float
    error_s: float
    """Reported - true."""
    abs_error_s: float
    """|reported - true|. This is what is judged: errors of opposite sign in two rounds must not cancel."""
    allowed_s: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.abs_error_s <= self.allowed_s


@dataclass(frozen=True)
class AccuracySummary:
    """A tool at a load over all rounds."""

    case: str
    tool: str
    rounds: int
    per_s: float
    percentiles: Mapping[str, PercentileError]
    service: Mapping[str, float]
    """Medians, seconds; ours only."""
    lag_p99_s: float
    """Of the worst round."""
    lateness: Mapping[str, float]
    """Medians, seconds; ours only, and {} if not recorded."""

    @property
    def holds(self) -> bool:
        """Whether every reported percentile is within its tolerance. The maximum is a single value and not judged."""
        return all(error.holds for name, error in self.percentiles.items() if name != "max")


def measure_accuracy(schedule: TrialSchedule, cases: Sequence[AccuracyCase] = ACCURACY_CASES) -> list[AccuracyRound]:
    """What every tool reports in every case beside what is true; a tool that fails in a round is missing there."""
    rounds: list[AccuracyRound] = []
    for case, measured in schedule.run_trials(cases, takes_part, _measure_trial):
        schedule.log(f"{case.name}: {measured.tool}: {measured.per_s:,.0f}/s, {_format_errors(measured)}")
        rounds.append(measured)
    return rounds


def takes_part(tool: Tool, _case: AccuracyCase, number: int) -> bool:
    """Whether a tool takes part in the round of that number (from 0)."""
    return tool.name == "ours" or (number < MAX_PEER_ROUNDS and not tool.is_floor)


def tolerance_s(name: str, true_s: float) -> float:
    """How far a reported percentile may be from the true one.

    >>> tolerance_s("p50", 0.02), tolerance_s("p99", 0.5), tolerance_s("p99_9", 0.09)
    (0.002, 0.01, 0.01)
    """
    return max(0.010, 0.05 * true_s) if name in {"p99_9", "max"} else max(0.002, 0.02 * true_s)


def summarise_accuracy(rounds: Sequence[AccuracyRound]) -> list[AccuracySummary]:
    """Every tool at every load, in the order of the first round."""
    by_key: dict[tuple[str, str], list[AccuracyRound]] = {}
    for one_round in rounds:
        by_key.setdefault((one_round.case, one_round.tool), []).append(one_round)
    return [_summarise(case, tool, of_tool) for (case, tool), of_tool in by_key.items()]


def percentiles(sample: Sequence[float]) -> dict[str, float]:
    """The nearest-rank percentiles and the maximum of a sample; {} for an empty one.

    >>> percentiles([0.1, 0.3, 0.2, 0.4])["p50"]
    0.2
    """
    if not sample:
        return {}
    ordered = sorted(sample)
    found = {name: ordered[max(0, math.ceil(ratio * len(ordered)) - 1)] for name, ratio in PERCENTILES.items()}
    return {**found, "max": ordered[-1]}


def arrival_rate(requests: Sequence[ObservedRequest], until_s: float = math.inf) -> float:
    """Arrivals per second up to a moment."""
    arrived = [request.arrived_s for request in requests if request.arrived_s < until_s]
    return (len(arrived) - 1) / (arrived[-1] - arrived[0]) if len(arrived) > 1 else 0.0


def scheduled_responses(requests: Sequence[ObservedRequest], freeze_after_s: float | None) -> list[float]:
    """True responses for a tool that reports no due times.

    `requests` in order of arrival; `freeze_after_s` counts from the first arrival.
    """
    if freeze_after_s is None:
        return [request.answered_s - request.arrived_s for request in requests]
    begin_s = requests[0].arrived_s + freeze_after_s
    thaw_s = begin_s + FREEZE_S
    well = [one.answered_s - one.arrived_s for one in requests if not begin_s <= one.arrived_s < thaw_s]
    usual = [one.answered_s - one.arrived_s for one in requests if one.answered_s < begin_s] or [0.0]
    rate = arrival_rate(requests, begin_s)
    due_s = (begin_s + number / rate for number in range(math.floor(FREEZE_S * rate)))
    return well + [thaw_s - due + usual[number % len(usual)] for number, due in enumerate(due_s)]


def responses_from_due(requests: Sequence[ObservedRequest], due_s: Mapping[str, float]) -> list[float]:
    """True responses for known due times by path, on the server's clock."""
    return [request.answered_s - due_s[request.path] for request in requests]


def lag_p99_s(requests: Sequence[ObservedRequest]) -> float:
    """How late the server answered, compared with the moment that its delay ended."""
    return percentiles([request.answered_s - request.scheduled_s for request in requests])["p99"]


def _measure_trial(trial: Trial, case: AccuracyCase) -> AccuracyRound:
    tool, log = trial.tool, trial.folder / "observed.csv"
    length_s = trial.seconds if case.freeze_after_s is None else trial.seconds + FREEZE_S
    # the server logs the monotonic clock, attempts.parquet the wall clock: a step between the two would look like an error
    offset_s = time.time() - time.monotonic()
    with running_reference_server(log, case.freeze_after_s, trial.number + 1, trial.cores.server) as url:
        job, run = trial.run(url, case, _BODY_BYTES, length_s, case.connections(tool))
    if abs(time.time() - time.monotonic() - offset_s) > _MAX_CLOCK_STEP_S:
        message = "the wall clock was set during the round"
        raise ValueError(message)
    requests = read_log(log)
    if len(requests) < 2:
        message = f"the server received {len(requests)} requests, at least 2 are needed"
        raise ValueError(message)
    until_s = float("inf") if case.freeze_after_s is None else requests[0].arrived_s + case.freeze_after_s
    reported, true, service = _compare(tool, job, run.report, requests, case.freeze_after_s, offset_s)
    return AccuracyRound(
        tool.name, case.name, len(requests), arrival_rate(requests, until_s), reported, percentiles(true), service,
        lag_p99_s(requests), _lateness(tool, job),
    )  # fmt: skip


def _compare(
    tool: Tool, job: ToolJob, report: ToolReport, requests: Sequence[ObservedRequest], freeze_after_s: float | None,
    offset_s: float,
) -> tuple[Mapping[str, float], list[float], dict[str, float]]:  # fmt: skip
    """What was reported, the true responses, and (ours only) the service times.

    A percentile that our summary refuses for so small a sample is computed here from the same attempts: it is compared with
    the truth about these very attempts, so no sample is too small.
    """
    if tool.name != "ours":
        return report.seconds, scheduled_responses(requests, freeze_after_s), {}
    folder = ours.folder_of(job)
    query = "SELECT station, form, page, due_s, sent_s, done_s FROM read_parquet(?)"
    rows = duckdb.execute(query, [str(folder.attempts)]).fetchall()
    t0_s = (folder.read_run().t0_epoch or 0.0) - offset_s
    due_s = {ours.page_path(station, form, page): t0_s + due for station, form, page, due, *_ in rows}
    reported = {**percentiles([done - due for *_, due, _, done in rows]), **report.seconds}
    return reported, responses_from_due(requests, due_s), percentiles([done - sent for *_, sent, done in rows])


def _lateness(tool: Tool, job: ToolJob) -> dict[str, float]:
    """How late ours sent its attempts; {} for a tool that does not report it."""
    if tool.name != "ours":
        return {}
    query = "SELECT sent_s - due_s FROM read_parquet(?) WHERE sent_s IS NOT NULL"
    return percentiles([late for (late,) in duckdb.execute(query, [str(ours.folder_of(job).attempts)]).fetchall()])


def _format_errors(measured: AccuracyRound) -> str:
    names = [name for name in measured.reported if name in measured.true]
    return "reported - true: " + ", ".join(f"{name} {measured.error_s(name) or 0:+.4f} s" for name in names)


def _summarise(case: str, tool: str, rounds: Sequence[AccuracyRound]) -> AccuracySummary:
    names = [name for name in rounds[0].reported if all(name in one.reported and name in one.true for one in rounds)]
    return AccuracySummary(
        case=case,
        tool=tool,
        rounds=len(rounds),
        per_s=statistics.median(one.per_s for one in rounds),
        percentiles={name: _percentile_error(name, rounds) for name in names},
        service=_medians([one.service for one in rounds]),
        lag_p99_s=max(one.lag_p99_s for one in rounds),
        lateness=_medians([one.lateness for one in rounds]),
    )


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Medians of the figures that every round has."""
    names = [name for name in rounds[0] if all(name in one for one in rounds)]
    return {name: statistics.median(one[name] for one in rounds) for name in names}


def _percentile_error(name: str, rounds: Sequence[AccuracyRound]) -> PercentileError:
    true_s = statistics.median(one.true[name] for one in rounds)
    errors = [one.reported[name] - one.true[name] for one in rounds]
    return PercentileError(
        reported_s=statistics.median(one.reported[name] for one in rounds),
        true_s=true_s,
        error_s=statistics.median(errors),
        abs_error_s=statistics.median(map(abs, errors)),
        allowed_s=tolerance_s(name, true_s),
    )
