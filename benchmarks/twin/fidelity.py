"""What the cells came to, as one record (docs/data/twin.json), and how it is held against the goals. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from benchmarks.results_file import read_results
from harness.analysis.against import FigurePair, RunPair
from harness.judge.thresholds.condition import parse_condition

FORMAT = 1
NEAR_LIMIT_RATIO = 0.1
"""A measured value this near to its threshold's limit may fall on either side in the next run of the same cell."""
VERDICTS_GOAL_RATIO = 0.95
_ROUNDING = 1e-9
"""33 % is within 3 points of 30 %, though not in binary fractions."""
Group = Literal["open", "held out"]


class Goal(NamedTuple):
    """How near a predicted figure should come."""

    title: str
    error: float
    """In ratio points for a ratio, else as a share of the measured value."""
    text: str
    least_difference: float = 0.0
    """Smaller differences than this are within the goal: a share of a small count is chance."""


GOALS: dict[str, Goal] = {
    "completed_by_deadline_ratio": Goal("stations by the deadline", 0.03, "3 points"),
    "finished_s": Goal("last page delivered", 0.05, "5 %"),
    "delivery_p50_s": Goal("delivery p50", 0.10, "10 %"),
    "delivery_p95_s": Goal("delivery p95", 0.10, "10 %"),
    "amplification": Goal("amplification", 0.10, "10 %"),
    "wasted_work": Goal("wasted work", 0.10, "10 % or 10", 10.0),
}
"""By the figure's key."""


class FidelityCell(BaseModel):
    """One cell: the run that was made of it, and its simulation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: Group
    tries: int
    """Runs that were made of it, INVALID ones included."""
    pair: RunPair
    """Without completion curves."""
    default_costs: Mapping[str, float | None]
    """The figures predicted with the defaults of [simulate] instead of fitted ones."""
    varied: Mapping[str, list[float | None]]
    """The figures predicted with the constants up to a third smaller or larger: how far chance carries this cell."""

    @property
    def is_valid(self) -> bool:
        """Whether its run was a valid measurement."""
        return self.pair.measured.verdict != "invalid"

    @property
    def verdict_agrees(self) -> bool:
        """Whether the predicted verdict is the measured one."""
        return self.pair.measured.verdict == self.pair.predicted.verdict

    @property
    def is_near_limit(self) -> bool:
        """Whether a threshold's measured value is so near to its limit that its verdict is chance."""
        return any(
            one.observed is not None and abs(one.observed - limit) <= NEAR_LIMIT_RATIO * abs(limit)
            for one in self.pair.measured.thresholds
            if (limit := parse_condition(one.assertion).limit)
        )

    def is_chance(self, key: str) -> bool:
        """Whether the measured value lies within what a change of a third in the constants makes of the predicted one.

        Retries amplify a millisecond: which upload finds the queue full decides who waits for seconds. A figure that such a change
        carries as far as this can't be predicted better by anything. Never is later than any time.
        """
        values = [math.inf if one is None else one for one in (*self.varied[key], self.pair.predicted.values[key])]
        measured = self.pair.measured.values[key]
        return min(values) <= (math.inf if measured is None else measured) <= max(values)


class FidelityResults(BaseModel):
    """Every cell, the machine, and the constants that were fitted before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    at: str
    """UTC, ISO 8601."""
    host: Mapping[str, str | int]
    load_average: float
    """Over the minute before the first cell: near 0 on a quiet machine."""
    seconds: float
    """How long all of it took."""
    costs: Mapping[str, str]
    """[simulate], as fitted to the run that is made before the cells."""
    cells: list[FidelityCell]

    @property
    def valid(self) -> list[FidelityCell]:
        """The cells that count."""
        return [cell for cell in self.cells if cell.is_valid]


def is_within(goal: Goal, pair: FigurePair) -> bool | None:
    """Whether a prediction meets its goal; None if neither side has a value. A value that one side lacks is a miss."""
    if pair.measured is None and pair.predicted is None:
        return None
    if pair.measured is None or pair.predicted is None:
        return False
    if abs(pair.predicted - pair.measured) <= goal.least_difference:
        return True
    return pair.error is not None and abs(pair.error) <= goal.error + _ROUNDING


class GoalScore(NamedTuple):
    """How many predictions of one figure meet its goal."""

    goal: Goal
    met: int
    counted: int
    median_error: float | None
    """Median of the absolute errors; None without any."""
    worst: FidelityCell | None
    """The cell with the greatest error."""
    misses: list[FidelityCell]


def score(key: str, cells: Sequence[FidelityCell]) -> GoalScore:
    """The score of one figure over cells."""
    goal, pairs = GOALS[key], [(cell, cell.pair.figure(key)) for cell in cells]
    judged = [(cell, pair, within) for cell, pair in pairs if (within := is_within(goal, pair)) is not None]
    errors = [(abs(pair.error), cell) for cell, pair, _ in judged if pair.error is not None]
    return GoalScore(
        goal,
        sum(within for *_, within in judged),
        len(judged),
        median(error for error, _ in errors) if errors else None,
        max(errors, key=lambda one: one[0])[1] if errors else None,
        [cell for cell, _, within in judged if not within],
    )


def chance_misses(key: str, cells: Sequence[FidelityCell]) -> list[FidelityCell]:
    """The cells that miss a figure's goal by no more than chance."""
    return [cell for cell in score(key, cells).misses if cell.is_chance(key)]


def score_with_defaults(key: str, cells: Sequence[FidelityCell]) -> int:
    """How many predictions would meet the goal with the defaults of [simulate]."""
    pairs = [
        cell.pair.figure(key).model_copy(update={"predicted": cell.default_costs.get(key)})
        for cell in cells
    ]  # fmt: skip
    return sum(bool(is_within(GOALS[key], pair)) for pair in pairs)


def load_results(path: Path) -> FidelityResults:
    """Read the results of an earlier session. Raises UsageError for anything else."""
    return read_results(path, FidelityResults, "the results of the twin benchmark")
