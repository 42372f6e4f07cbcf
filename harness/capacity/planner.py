"""One capacity search: with and without faults, under every load, the least level that meets the goal."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.analysis.capacity import PlayedSeed
from harness.capacity.levels import VariedKey
from harness.capacity.played_seeds import PlayedSeeds
from harness.capacity.request import CapacityRequest, ConditionName, RequestedLoad
from harness.capacity.sampling import Decision, count_votes
from harness.capacity.search import Bracket, LevelSearch, SearchInterruptedError
from harness.capacity.twin import Twin
from reports.capacity import unit_noun


@dataclass(frozen=True)
class FinishedSearch:
    """The search under one load and condition, as far as it went."""

    load: RequestedLoad
    decisions: dict[int, Decision]
    """By level, of those that were tried."""
    bracket: Bracket
    is_complete: bool


class CapacityPlanner:
    """Searches one request. `search` may be interrupted at any time: what was played is kept in the folder."""

    def __init__(
        self, request: CapacityRequest, folder: Path, twin: Twin, *,
        log: Callable[[str], None], is_interrupted: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`log` gets a line for each level that is decided; `now` is a clock in seconds."""
        self._request = request
        self._folder = folder
        self._twin = twin
        self._log = log
        self._is_interrupted = is_interrupted
        self._now = now
        self._ends_s = float("inf") if request.budget_s is None else now() + request.budget_s
        scenario, goal = request.scenario, request.goal
        self._played = PlayedSeeds(folder, scenario, goal, request.vary.key)

    def search(self) -> list[FinishedSearch]:
        """Play what is needed and not known yet; one search per condition and load, as far as each went."""
        if self._played.count:
            self._log(f"{self._played.count:,} simulations of an earlier search are known")
        found: dict[ConditionName, list[FinishedSearch]] = {name: [] for name in self._request.conditions}
        for load in self._request.loads:  # each to its end before a greater one: a budget cuts off the greatest
            for name, searches in found.items():
                goal, _ = self._request.goal_of(name)
                one = RequestedLoad(self._request, name, goal, load, self._folder)
                # a greater load asks for no less than the one before
                searches.append(self._search_load(one, searches[-1].bracket.passes if searches else None))
        return [one for searches in found.values() for one in searches]

    def firm_up(self, found: FinishedSearch) -> None:
        """Play as many seeds of the level below the one that passes as that took: a failing level is decided by few.

        What the twin says of a level can be held against a few runs only if it says it exactly enough.
        """
        passes = found.bracket.passes
        if passes:
            try:
                with closing(self._play(found.load, passes - 1)) as played:
                    for _ in islice(played, self._request.rule.fewest):
                        pass
            except SearchInterruptedError:
                pass  # then it says less

    def known(self, one: RequestedLoad, level: int) -> list[PlayedSeed]:
        """Every seed that has been played at a level, ascending."""
        known = self._played.at(one.place(level))
        return [known[seed] for seed in sorted(known)]

    def check_time(self) -> None:
        """Raise SearchInterruptedError if the search is to end now."""
        if self._is_interrupted() or self._now() >= self._ends_s:
            raise SearchInterruptedError

    def _search_load(self, one: RequestedLoad, start: int | None) -> FinishedSearch:
        vary = self._request.vary

        def decide(level: int) -> Decision:
            with closing(self._play(one, level)) as played:  # what was begun ahead is cancelled
                decision = count_votes((seed.met for seed in played), self._request.rule).decision
            decisions = {**searched.decisions, level: decision}
            self._log(_describe_progress(one, vary, decisions, level, self.known(one, level)))
            return decision

        searched = LevelSearch(len(vary.values), decide)
        bound = one.least_by_arithmetic
        searched.start = max(start or 0, 0 if bound is None else vary.nearest(bound))
        return FinishedSearch(one, searched.decisions, searched.run(), searched.is_complete)

    def _play(self, one: RequestedLoad, level: int) -> Generator[PlayedSeed]:
        """The seeds of a level in their order: what is known, then what the twin plays. Common to all levels."""
        known = self._played.at(one.place(level))
        first = self._request.scenario.seed
        seeds = range(first, first + 2 * self._request.rule.most + 1)
        yield from (known[seed] for seed in seeds if seed in known)
        self.check_time()
        waiting = [seed for seed in seeds if seed not in known]
        with closing(self._twin.play(one.scenario_at(level), one.goal, waiting)) as played:
            for result in played:
                self._played.add(one.place(level), result)
                yield result
                self.check_time()


def _describe_progress(
    one: RequestedLoad, vary: VariedKey, decisions: dict[int, Decision], level: int, known: Sequence[PlayedSeed]
) -> str:
    """One line: the level that was just decided, and between which the demand lies as far as is known."""
    met = sum(seed.met is True for seed in known)
    where = f"{one.condition}, {one.load:g}x"
    so_far = describe_so_far(vary, decisions)
    return f"{where}: {vary.text(level)} {decisions[level]} ({met} of {len(known)} seeds); so far {so_far}"


def describe_so_far(vary: VariedKey, decisions: dict[int, Decision]) -> str:
    """Between which levels the demand lies: "between 5 and 8 workers"."""
    least = min((number for number, decision in decisions.items() if decision == "passes"), default=None)
    below = [
        number for number, decision in decisions.items() if decision != "passes" and (least is None or number < least)
    ]
    low = vary.text(max(below)) if below else None
    high = None if least is None else vary.text(least)
    noun = unit_noun(vary.key, high or low or "")
    if low and high:
        text = f"between {low} and {high}"
    elif high:
        text = f"at most {high}"
    else:
        text = f"more than {low}" if low else "nothing known yet"
    return f"{text} {noun}".rstrip() if low or high else text
