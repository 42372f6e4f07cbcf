"""One capacity search: with and without faults, under every load, the least level that meets the goal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from harness.analysis.capacity import (
    CapacityBracket,
    CapacityCondition,
    CapacityFigures,
    CapacityLevel,
    LoadDemand,
    PlayedSeed,
    VariedResource,
)
from harness.base.errors import ExitCode
from harness.capacity.levels import VariedKey
from harness.capacity.played_seeds import PlayedSeeds
from harness.capacity.request import CapacityRequest, ConditionName, RequestedLoad
from harness.capacity.sampling import Decision, count_votes
from harness.capacity.search import Bracket, LevelSearch, SearchInterruptedError
from harness.capacity.twin import Twin


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

    def search(self) -> CapacityFigures:
        """Play what is needed and not known yet; the figures of everything that is known."""
        request, vary = self._request, self._request.vary
        if self._played.count:
            self._log(f"{self._played.count:,} simulations of an earlier search are known")
        conditions = [self._search_condition(name) for name in request.conditions]
        recapitulation = request.scenario.recapitulation
        code, why = conclude(conditions)
        return CapacityFigures(
            name=request.scenario.name,
            title=request.scenario.title,
            deadline_s=request.scenario.deadline,
            time_scale=request.scenario.time_scale,
            t0_s=None if recapitulation is None else recapitulation.t0,
            vary=VariedResource(
                key=vary.key,
                unit=vary.unit,
                weakest=vary.text(0),
                strongest=vary.text(len(vary.values) - 1),
                step=vary.step,
            ),
            probability=request.rule.probability,
            confidence=request.rule.confidence,
            first_seed=request.scenario.seed,
            conditions=conditions,
            exit_code=code,
            why_unknown=why,
        )

    def _search_condition(self, name: ConditionName) -> CapacityCondition:
        goal, left_out = self._request.goal_of(name)
        faults = [fault.name for fault in self._request.scenario.faults] if name == "recovers" else []
        loads: list[LoadDemand] = []
        start: int | None = None
        for load in self._request.loads:
            one = RequestedLoad(self._request, name, goal, load, self._folder)
            found, start = self._search_load(one, start)
            loads.append(found)
        return CapacityCondition(name=name, faults=faults, goal=goal, left_out=left_out, loads=loads)

    def _search_load(self, one: RequestedLoad, start: int | None) -> tuple[LoadDemand, int | None]:
        """The demand of one load, and where to start with the next one, which asks for no less."""
        vary, searched = self._request.vary, LevelSearch(len(self._request.vary.values), lambda _: "undecided")

        def decide(level: int) -> Decision:
            decision = self._decide(one, level)
            searched.decisions[level] = decision
            self._log(_describe_progress(one, vary, searched, level, self._known(one, level)))
            return decision

        searched.decide = decide
        bound = one.least_by_arithmetic
        searched.start = max(start or 0, 0 if bound is None else vary.nearest(bound))
        bracket = searched.run()
        stations, pages = one.size
        return LoadDemand(
            load=one.load,
            stations=stations,
            pages=pages,
            least_by_arithmetic=bound,
            bracket=_bracket_texts(bracket, vary, is_complete=searched.is_complete),
            levels=[
                self._describe_level(one, level, searched.decisions[level]) for level in sorted(searched.decisions)
            ],
        ), bracket.passes

    def _decide(self, one: RequestedLoad, level: int) -> Decision:
        with closing(self._play(one, level)) as played:  # what was begun ahead is cancelled
            return count_votes((seed.met for seed in played), self._request.rule).decision

    def _play(self, one: RequestedLoad, level: int) -> Generator[PlayedSeed]:
        """The seeds of a level in their order: what is known, then what the twin plays. Common to all levels."""
        known = self._played.at(one.place(level))
        first = self._request.scenario.seed
        seeds = range(first, first + 2 * self._request.rule.most + 1)
        yield from (known[seed] for seed in seeds if seed in known)
        self._check_time()
        waiting = [seed for seed in seeds if seed not in known]
        with closing(self._twin.play(one.scenario_at(level), one.goal, waiting)) as played:
            for result in played:
                self._played.add(one.place(level), result)
                yield result
                self._check_time()

    def _check_time(self) -> None:
        if self._is_interrupted() or self._now() >= self._ends_s:
            raise SearchInterruptedError

    def _known(self, one: RequestedLoad, level: int) -> list[PlayedSeed]:
        known = self._played.at(one.place(level))
        return [known[seed] for seed in sorted(known)]

    def _describe_level(self, one: RequestedLoad, level: int, decision: Decision) -> CapacityLevel:
        known, rule = self._known(one, level), self._request.rule
        passed, failed = sum(seed.met is True for seed in known), sum(seed.met is False for seed in known)
        low, high = rule.interval(passed, failed)
        binding, used_ratio = one.binding_at(level)
        return CapacityLevel(
            level=self._request.vary.values[level],
            value=self._request.vary.text(level),
            decision=decision,
            passed=passed,
            failed=failed,
            unknown=len(known) - passed - failed,
            probability_low=low,
            probability_high=high,
            breached=dict(Counter(name for seed in known for name in seed.breached).most_common()),
            binds=binding,
            used_ratio=used_ratio,
            seeds=known,
        )


def conclude(conditions: Sequence[CapacityCondition]) -> tuple[ExitCode, str]:
    """The exit code of a search, and why nobody can tell if it is 3.

    99 if under some load nothing in the range suffices: every level that was tried fails. 3 if some load has no level that
    passes although not all were shown to fail. 0 if every load has one.
    """
    demands = [(one, load) for one in conditions for load in one.loads]
    without = [(one, load) for one, load in demands if load.bracket.passes is None]
    if not without:
        return ExitCode.PASSED, ""
    if any(load.bracket.is_complete and all(level.decision == "fails" for level in load.levels) for _, load in without):
        return ExitCode.FAILED, ""
    _, load = without[0]
    reasons = [seed.why_unknown for level in load.levels for seed in level.seeds if seed.met is None]
    if not load.bracket.is_complete:
        return ExitCode.INVALID, "the search was interrupted, or its budget spent, before a level passed"
    if reasons:
        return ExitCode.INVALID, reasons[0]
    return (
        ExitCode.INVALID,
        f"no level was shown to pass or to fail in {load.levels[-1].passed + load.levels[-1].failed} seeds",
    )


def _bracket_texts(bracket: Bracket, vary: VariedKey, *, is_complete: bool) -> CapacityBracket:
    return CapacityBracket(
        passes=None if bracket.passes is None else vary.text(bracket.passes),
        fails=None if bracket.fails is None else vary.text(bracket.fails),
        undecided=[vary.text(level) for level in bracket.undecided],
        out_of_order=[vary.text(level) for level in bracket.out_of_order],
        is_complete=is_complete,
    )


def _describe_progress(
    one: RequestedLoad, vary: VariedKey, searched: LevelSearch, level: int, known: Sequence[PlayedSeed]
) -> str:
    """One line: the level that was just decided, and between which the demand lies as far as is known."""
    decisions = searched.decisions
    least = min((number for number, decision in decisions.items() if decision == "passes"), default=None)
    below = [
        number for number, decision in decisions.items() if decision != "passes" and (least is None or number < least)
    ]
    met = sum(seed.met is True for seed in known)
    low = vary.text(max(below)) if below else None
    high = None if least is None else vary.text(least)
    so_far = (
        f"between {low} and {high}"
        if low and high
        else f"at most {high}"
        if high
        else f"more than {low}"
        if low
        else "nothing known yet"
    )
    where = f"{one.condition}, {one.load:g}x"
    return f"{where}: {vary.text(level)} {decisions[level]} ({met} of {len(known)} seeds); so far {so_far}"
