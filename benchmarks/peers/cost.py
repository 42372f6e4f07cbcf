"""Cost of an upload: every tool against the same nginx, one after the other, round by round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.nginx_sink import NginxSink, running_nginx
from benchmarks.peers.round import ProcessCost
from benchmarks.peers.schedule import Trial, TrialSchedule
from benchmarks.peers.tools.tool import Tool
from harness.base.errors import ProcessFailedError

_WARM_UP_S = 1.0
"""Left out after the first answer: connections are opened, caches fill, a just-in-time compiler warms up."""
_WIND_DOWN_S = 0.5


@dataclass(frozen=True)
class CostCase:
    """A load on nginx."""

    name: str
    title: str
    size_bytes: int
    rate_per_s: float | None
    connections: int
    ours_only: bool = False
    """Only ours and the floor (the bare socket) take part."""


COST_CASES = (
    CostCase("small", "1 KB, 3,000/s", 1_000, 3_000, 50),
    CostCase("photos", "500 KB, 500/s", 500_000, 500, 25),
    CostCase("saturation", "1 KB, as fast as it can", 1_000, None, 64, ours_only=True),
)


@dataclass(frozen=True)
class Goal:
    """A ratio of CPU cost that ours shall not exceed, or a rate that it shall reach."""

    case: str
    against: str
    """A tool; "" if the value is a rate of our generator."""
    value: float


GOALS = (
    Goal("small", "k6", 0.8),
    Goal("photos", "k6", 0.4),
    Goal("photos", "wrk", 1.3),
    Goal("saturation", "", 10_000.0),
)
"""With journal, histograms and metrics on."""


@dataclass(frozen=True)
class RoundStats:
    """The median, minimum and maximum over some rounds."""

    median: float
    least: float
    greatest: float
    rounds: int


@dataclass(frozen=True)
class CostRound:
    """One round of one tool, from a second after its first upload to half a second before its last one."""

    tool: str
    case: str
    round: int
    """From 0."""
    uploads: int
    """Answered by nginx in that time."""
    seconds: float
    cpu_us: float
    """CPU of the processes that send, microseconds per upload."""
    beside_cpu_us: float
    """CPU of the processes that do not send (`harness run` itself, which scrapes and watches), microseconds per upload."""
    core_ratio: float
    """CPU time ÷ time."""
    peak_mb: float
    errors: int

    @property
    def per_s(self) -> float:
        """Uploads per second."""
        return self.uploads / self.seconds


@dataclass(frozen=True)
class CostSummary:
    """A tool in a case over all rounds."""

    case: str
    tool: str
    per_s: RoundStats
    cpu_us: RoundStats
    beside_cpu_us: RoundStats
    core_ratio: RoundStats
    peak_mb: RoundStats
    ratio: RoundStats | None
    """CPU per upload of our generator ÷ that of this tool; None for our own."""
    errors: int


@dataclass(frozen=True)
class GoalResult:
    """A goal, and what was measured."""

    goal: Goal
    measured: RoundStats | None
    """None if the tool was not measured."""

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None if nothing was measured."""
        if self.measured is None:
            return None
        if self.goal.against:
            return self.measured.median <= self.goal.value
        return self.measured.median >= self.goal.value


def measure_cost(schedule: TrialSchedule) -> list[CostRound]:
    """What every tool costs in every case. Raises ProcessFailedError if nginx answers before it has read a whole body."""
    rounds: list[CostRound] = []
    with running_nginx(schedule.folder / "nginx", schedule.cores.server) as sink:
        for case in COST_CASES:
            if not sink.reads_bodies(case.size_bytes):
                message = f"nginx answered before it had read {case.size_bytes:,} bytes: the cost of sending them would be wrong"
                raise ProcessFailedError(message)
        trials = schedule.run_trials(
            COST_CASES, takes_part_in_cost, lambda trial, case: _measure_trial(trial, case, sink)
        )
        for case, measured in trials:
            rounds.append(measured)
            schedule.log(_format_cost(case, measured))
    return rounds


def takes_part_in_cost(tool: Tool, case: CostCase, _number: int) -> bool:
    """Whether a tool takes part in a case."""
    return tool.name == "ours" or tool.is_floor or not case.ours_only


def compute_cost(
    tool: str, case: str, number: int, answered_at_s: Sequence[float], used: ProcessCost, errors: int
) -> CostRound:
    """The cost of one round, from when nginx answered each upload (in order) and the CPU used over time.

    CPU is divided by the uploads of the same time span, so starting and ending count for no tool. Raises ValueError if the
    round was too short to be measured.
    """
    if len(answered_at_s) < 2:
        message = f"nginx answered {len(answered_at_s)} uploads, at least 2 are needed"
        raise ValueError(message)
    begin_s, end_s = answered_at_s[0] + _WARM_UP_S, answered_at_s[-1] - _WIND_DOWN_S
    if end_s - begin_s < 1.0:
        message = f"the uploads lasted {answered_at_s[-1] - answered_at_s[0]:.1f} s: too short to measure"
        raise ValueError(message)
    uploads = sum(begin_s <= at_s < end_s for at_s in answered_at_s)
    cpu_s = used.cpu_between(begin_s, end_s)
    beside_s = used.cpu_between(begin_s, end_s, beside=True)
    return CostRound(
        tool=tool,
        case=case,
        round=number,
        uploads=uploads,
        seconds=end_s - begin_s,
        cpu_us=cpu_s / uploads * 1e6,
        beside_cpu_us=beside_s / uploads * 1e6,
        core_ratio=cpu_s / (end_s - begin_s),
        peak_mb=used.peak_bytes / 1e6,
        errors=errors,
    )


def summarise_costs(rounds: Sequence[CostRound]) -> list[CostSummary]:
    """Every tool in every case, in the order of the first round."""
    by_key: dict[tuple[str, str], list[CostRound]] = {}
    for measured in rounds:
        by_key.setdefault((measured.case, measured.tool), []).append(measured)
    return [_summarise(case, tool, of_tool, by_key.get((case, "ours"), [])) for (case, tool), of_tool in by_key.items()]


def evaluate_goals(summaries: Sequence[CostSummary]) -> list[GoalResult]:
    """Every goal with what was measured."""
    by_key = {(summary.case, summary.tool): summary for summary in summaries}
    results = []
    for goal in GOALS:
        summary = by_key.get((goal.case, goal.against or "ours"))
        measured = None if summary is None else summary.ratio if goal.against else summary.per_s
        results.append(GoalResult(goal, measured))
    return results


def round_stats(values: Sequence[float]) -> RoundStats:
    """Median, minimum and maximum. Raises ValueError for no values.

    >>> round_stats([3.0, 1.0, 2.0])
    RoundStats(median=2.0, least=1.0, greatest=3.0, rounds=3)
    """
    if not values:
        message = "no round was measured"
        raise ValueError(message)
    return RoundStats(statistics.median(values), min(values), max(values), len(values))


def paired_ratios(rounds: Sequence[tuple[float, float]]) -> RoundStats | None:
    """Statistics of ratios (ours, theirs) taken round by round; None without a round of both.

    Whatever disturbed the machine in a round disturbed both tools, so the ratio varies less than either cost.

    >>> paired_ratios([(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)])
    RoundStats(median=1.0, least=0.5, greatest=1.5, rounds=3)
    """
    return round_stats([ours / theirs for ours, theirs in rounds]) if rounds else None


def _measure_trial(trial: Trial, case: CostCase, sink: NginxSink) -> CostRound:
    sink.forget()
    _, run = trial.run(sink.url, case, case.size_bytes, trial.seconds, case.connections)
    answered = sink.answered()
    # a tool may report success for an upload whose body it cut short: nginx's log decides
    complete = [one.at_s for one in answered if one.status == 201 and one.bytes_read > case.size_bytes]
    errors = run.report.errors + len(answered) - len(complete)
    return compute_cost(trial.tool.name, case.name, trial.number, complete, run.cost, errors)


def _summarise(case: str, tool: str, rounds: Sequence[CostRound], ours: Sequence[CostRound]) -> CostSummary:
    by_round = {one.round: one.cpu_us for one in ours}
    pairs = [(by_round[one.round], one.cpu_us) for one in rounds if tool != "ours" and one.round in by_round]
    return CostSummary(
        case=case,
        tool=tool,
        per_s=round_stats([one.per_s for one in rounds]),
        cpu_us=round_stats([one.cpu_us for one in rounds]),
        beside_cpu_us=round_stats([one.beside_cpu_us for one in rounds]),
        core_ratio=round_stats([one.core_ratio for one in rounds]),
        peak_mb=round_stats([one.peak_mb for one in rounds]),
        ratio=paired_ratios(pairs),
        errors=sum(one.errors for one in rounds),
    )


def _format_cost(case: CostCase, measured: CostRound) -> str:
    return (
        f"{case.title}: {measured.tool}: {measured.per_s:,.0f}/s, {measured.cpu_us:.0f} µs of CPU each, "
        f"{measured.core_ratio:.0%} of a core, {measured.peak_mb:.0f} MB"
    )
