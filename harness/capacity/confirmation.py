"""Whether measured runs bear out what the twin says of a bracket: pure, over the numbers of ordered levels.

The least level that passes and the one below it are run for real. A few runs cannot show that a goal is met in 95 % of all; they
can contradict it. A level is contradicted if its runs would be less likely than 5 % (with 95 % confidence) were the twin right.
Then the bracket moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from scipy.stats import binom

from harness.analysis.capacity import PlayedSeed
from harness.capacity.sampling import SamplingRule
from harness.capacity.search import SearchInterruptedError

ConfirmationState = Literal["confirmed", "moved", "unknown"]

RUNS_PER_LEVEL = 3
"""Valid runs of a level."""
MOST_MOVES = 3
"""After this many contradictions twin and reality disagree."""
INTERRUPTED = "the measured runs were interrupted, or the budget spent"


@dataclass(frozen=True)
class Confirmation:
    """What the measured runs leave of a bracket."""

    passes: int | None
    """The least level that passes and is not contradicted; None if nothing up to the strongest does."""
    fails: int | None
    """The greatest level below that fails and is not contradicted; None if the weakest passes."""
    state: ConfirmationState
    measured: dict[int, list[PlayedSeed]]
    """The runs of each level."""
    why_unknown: str = ""
    """Why nobody can tell; empty unless that is the state."""


class _UnknownError(Exception):
    """Nobody can tell."""


@dataclass
class BracketConfirmer:
    """Confirms one bracket; `confirm` once."""

    levels: int
    rule: SamplingRule
    measure: Callable[[int], Iterable[PlayedSeed]]
    """Runs of a level, with seeds that the search has not used; more than are needed. May raise SearchInterruptedError."""
    most_likely: Callable[[int], float]
    """The greatest probability of meeting the goal that the twin leaves to a level."""
    _measured: dict[int, list[PlayedSeed]] = field(default_factory=dict)
    _moves: int = 0

    def confirm(self, passes: int) -> Confirmation:
        """Measure the level that passes and the one below it, and move the bracket where they are contradicted."""
        try:
            level, fails = self._move_up(passes)
            if level is not None and fails is None:
                level, fails = self._move_down(level)
        except SearchInterruptedError:
            return Confirmation(passes, None, "unknown", self._measured, INTERRUPTED)
        except _UnknownError as unknown:
            return Confirmation(passes, None, "unknown", self._measured, str(unknown))
        return Confirmation(level, fails, "moved" if self._moves else "confirmed", self._measured)

    def _move_up(self, level: int) -> tuple[int | None, int | None]:
        """The first level from this one on that is not contradicted, and the one before it if that was."""
        fails, step = None, 1
        while self._contradicts_passing(level):
            self._count_move()
            if level == self.levels - 1:
                return None, level
            fails, level, step = level, min(self.levels - 1, level + step), 2 * step
        return level, fails

    def _move_down(self, level: int) -> tuple[int, int | None]:
        """The weakest level below which one fails, and that one."""
        while level > 0:
            if not self._contradicts_failing(level - 1):
                return level, level - 1
            self._count_move()
            level -= 1
        return level, None

    def _contradicts_passing(self, level: int) -> bool:
        passed, failed = self._count(level)
        chance = binom.sf(failed - 1, passed + failed, 1 - self.rule.probability)
        return bool(chance <= 1 - self.rule.confidence)

    def _contradicts_failing(self, level: int) -> bool:
        passed, failed = self._count(level)
        chance = binom.sf(passed - 1, passed + failed, min(self.most_likely(level), self.rule.probability))
        return bool(chance <= 1 - self.rule.confidence)

    def _count(self, level: int) -> tuple[int, int]:
        """How many runs met the goal and how many did not; an INVALID run does not count, it is repeated."""
        runs = self._measured.setdefault(level, [])
        for run in _enough(self.measure(level)):
            runs.append(run)
        passed, failed = sum(run.met is True for run in runs), sum(run.met is False for run in runs)
        if passed + failed < RUNS_PER_LEVEL:
            reasons = [run.why_unknown for run in runs if run.met is None]
            message = f"{len(reasons)} of {len(runs)} measured runs were INVALID: {reasons[-1] if reasons else 'none'}"
            raise _UnknownError(message)
        return passed, failed

    def _count_move(self) -> None:
        self._moves += 1
        if self._moves > MOST_MOVES:
            message = f"simulated and measured runs disagree at {self._moves} levels: the scenario does not describe this server"
            raise _UnknownError(message)


def _enough(runs: Iterable[PlayedSeed]) -> Iterator[PlayedSeed]:
    """Runs until `RUNS_PER_LEVEL` are valid, at most twice as many."""
    valid = 0
    for number, run in enumerate(runs, 1):
        yield run
        valid += run.met is not None
        if valid == RUNS_PER_LEVEL or number == 2 * RUNS_PER_LEVEL:
            return
