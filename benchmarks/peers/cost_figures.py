"""What an upload costs, from what was seen of the rounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.process_cost import ProcessCost
from benchmarks.peers.spread import RoundStats, paired_ratios, round_stats

_WARM_UP_S = 1.0
"""After the first answer: connections are made, caches fill, a just-in-time compiler warms up."""
_WIND_DOWN_S = 0.5


@dataclass(frozen=True)
class Goal:
    """A ratio that ours is to stay below, or a rate that it is to reach."""

    case: str
    against: str
    """A tool; "" for a rate of ours."""
    value: float


GOALS = (
    Goal("small", "k6", 0.6),
    Goal("photos", "k6", 0.4),
    Goal("photos", "wrk", 1.3),
    Goal("saturation", "", 10_000.0),
)
"""Issue and README: with journal, histograms and metrics on."""


@dataclass(frozen=True)
class CostRound:
    """One round of one tool, between a second after its first upload and half a second before its last one."""

    tool: str
    case: str
    round: int
    """From 0."""
    uploads: int
    """Answered by the sink in that time."""
    seconds: float
    cpu_us: float
    """Microseconds of CPU of the processes that send, an upload."""
    beside_cpu_us: float
    """Of processes that don't send (`harness run` itself, which scrapes and watches), an upload."""
    core_ratio: float
    """CPU time ÷ time."""
    peak_mb: float
    errors: int

    @property
    def per_s(self) -> float:
        """Uploads a second."""
        return self.uploads / self.seconds


def compute_cost(
    tool: str, case: str, number: int, answered_at_s: Sequence[float], tally: ProcessCost, errors: int
) -> CostRound:
    """Raises ValueError where a round was too short to be measured.

    `answered_at_s`: when the sink answered each upload, upwards.
    """
    if len(answered_at_s) < 2:
        message = "the sink has seen no upload"
        raise ValueError(message)
    begin_s, end_s = answered_at_s[0] + _WARM_UP_S, answered_at_s[-1] - _WIND_DOWN_S
    if end_s - begin_s < 1.0:
        message = f"the uploads lasted {answered_at_s[-1] - answered_at_s[0]:.1f} s: too short to measure"
        raise ValueError(message)
    uploads = sum(begin_s <= at_s < end_s for at_s in answered_at_s)
    cpu_s = tally.cpu_between(begin_s, end_s)
    beside_s = tally.cpu_between(begin_s, end_s, beside=True)
    return CostRound(
        tool,
        case,
        number,
        uploads,
        end_s - begin_s,
        cpu_s / uploads * 1e6,
        beside_s / uploads * 1e6,
        cpu_s / (end_s - begin_s),
        tally.peak_bytes / 1e6,
        errors,
    )


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
    """Ours ÷ this tool's CPU an upload; None for ours."""
    errors: int


def summarise_costs(costs: Sequence[CostRound]) -> list[CostSummary]:
    """Every tool in every case, in the order of the first round."""
    by_key: dict[tuple[str, str], list[CostRound]] = {}
    for cost in costs:
        by_key.setdefault((cost.case, cost.tool), []).append(cost)
    return [_summarise(case, tool, rounds, by_key.get((case, "ours"), [])) for (case, tool), rounds in by_key.items()]


def _summarise(case: str, tool: str, rounds: Sequence[CostRound], ours: Sequence[CostRound]) -> CostSummary:
    by_round = {cost.round: cost.cpu_us for cost in ours}
    both = [(by_round[cost.round], cost.cpu_us) for cost in rounds if tool != "ours" and cost.round in by_round]
    return CostSummary(
        case=case,
        tool=tool,
        per_s=round_stats([cost.per_s for cost in rounds]),
        cpu_us=round_stats([cost.cpu_us for cost in rounds]),
        beside_cpu_us=round_stats([cost.beside_cpu_us for cost in rounds]),
        core_ratio=round_stats([cost.core_ratio for cost in rounds]),
        peak_mb=round_stats([cost.peak_mb for cost in rounds]),
        ratio=paired_ratios(both),
        errors=sum(cost.errors for cost in rounds),
    )


@dataclass(frozen=True)
class GoalResult:
    """A goal, and what was measured."""

    goal: Goal
    measured: RoundStats | None
    """None: the peer is not there."""

    @property
    def met(self) -> bool | None:
        """Whether the median meets it; None where nothing was measured."""
        if self.measured is None:
            return None
        if self.goal.against:
            return self.measured.median <= self.goal.value
        return self.measured.median >= self.goal.value


def evaluate_goals(found: Sequence[CostSummary]) -> list[GoalResult]:
    """Every goal."""
    by_key = {(line.case, line.tool): line for line in found}
    answers = []
    for goal in GOALS:
        line = by_key.get((goal.case, goal.against or "ours"))
        measured = None if line is None else line.ratio if goal.against else line.per_s
        answers.append(GoalResult(goal, measured))
    return answers
