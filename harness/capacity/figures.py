"""The figures of a capacity search: capacity.json, from the searches, the seeds and the measured runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.analysis.capacity import (
    CapacityBracket,
    CapacityCondition,
    CapacityFigures,
    CapacityLevel,
    LoadConfirmation,
    LoadDemand,
    PlayedSeed,
    VariedResource,
)
from harness.base.errors import ExitCode
from harness.capacity.confirmation import BracketConfirmer, Confirmation
from harness.capacity.levels import VariedKey
from harness.capacity.planner import FinishedSearch
from harness.capacity.request import CapacityRequest, ConditionName, RequestedLoad
from harness.capacity.search import Bracket


@dataclass(frozen=True)
class CapacityResults:
    """Everything that is known of a request."""

    request: CapacityRequest
    searches: Sequence[FinishedSearch]
    known: Callable[[RequestedLoad, int], list[PlayedSeed]]
    """The simulated seeds of a level."""
    confirmations: Mapping[tuple[ConditionName, float], Confirmation] = field(default_factory=dict)
    """By condition and load, of those that were confirmed by runs."""

    def figures(self) -> CapacityFigures:
        """The content of capacity.json."""
        request, vary = self.request, self.request.vary
        recapitulation = request.scenario.recapitulation
        conditions = [self._condition(name) for name in request.conditions]
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

    def _condition(self, name: ConditionName) -> CapacityCondition:
        goal, left_out = self.request.goal_of(name)
        faults = self.request.scenario.faults if name == "recovers" else ()
        loads = [self._demand(found) for found in self.searches if found.load.condition == name]
        return CapacityCondition(
            name=name,
            faults=[fault.name for fault in faults],
            durations_s={fault.name: None if fault.end is None else fault.end - fault.start for fault in faults},
            goal=goal,
            left_out=left_out,
            loads=loads,
        )

    def _demand(self, found: FinishedSearch) -> LoadDemand:
        one, vary = found.load, self.request.vary
        confirmation = self.confirmations.get((one.condition, one.load))
        measured = {} if confirmation is None else confirmation.measured
        stations, pages = one.size
        return LoadDemand(
            load=one.load,
            stations=stations,
            pages=pages,
            least_by_arithmetic=one.least_by_arithmetic,
            bracket=_bracket_texts(found.bracket, vary, is_complete=found.is_complete),
            confirmation=None if confirmation is None else _confirmation_texts(confirmation, vary),
            levels=[
                self._level(found, level, measured.get(level, [])) for level in sorted({*found.decisions, *measured})
            ],
        )

    def _level(self, found: FinishedSearch, level: int, measured: Sequence[PlayedSeed]) -> CapacityLevel:
        one, rule, vary = found.load, self.request.rule, self.request.vary
        known = self.known(one, level)
        passed, failed = sum(seed.met is True for seed in known), sum(seed.met is False for seed in known)
        low, high = rule.interval(passed, failed)
        used = one.used_at(level)
        binding = max(used, key=lambda name: used[name], default=None)
        return CapacityLevel(
            level=vary.values[level],
            value=vary.text(level),
            decision=found.decisions.get(level, "undecided"),
            passed=passed,
            failed=failed,
            unknown=len(known) - passed - failed,
            probability_low=low,
            probability_high=high,
            breached=dict(Counter(name for seed in known for name in seed.breached).most_common()),
            binds=binding,
            used_ratio=None if binding is None else used[binding],
            used=used,
            seeds=known,
            measured=list(measured),
        )


def confirm_searches(
    searches: Sequence[FinishedSearch], request: CapacityRequest, measure: Callable[[RequestedLoad, int], Iterable[PlayedSeed]],
    known: Callable[[RequestedLoad, int], list[PlayedSeed]],
) -> dict[tuple[ConditionName, float], Confirmation]:  # fmt: skip
    """Hold each bracket against measured runs. The rest stays unknown once the runs are interrupted."""
    found = {}
    for search in searches:
        if search.bracket.passes is not None:
            confirmer = BracketConfirmer(
                levels=len(request.vary.values),
                rule=request.rule,
                measure=partial(measure, search.load),
                most_likely=partial(_most_likely, search.load, request, known),
            )
            found[search.load.condition, search.load.load] = confirmer.confirm(search.bracket.passes)
    return found


def _most_likely(
    one: RequestedLoad, request: CapacityRequest, known: Callable[[RequestedLoad, int], list[PlayedSeed]], level: int
) -> float:
    seeds = known(one, level)
    return request.rule.interval(sum(seed.met is True for seed in seeds), sum(seed.met is False for seed in seeds))[1]


def conclude(conditions: Sequence[CapacityCondition]) -> tuple[ExitCode, str]:
    """The exit code of a search, and why nobody can tell if it is 3.

    99 if under some load nothing in the range suffices: every level that was tried fails. 3 if some load has no level that
    passes although not all were shown to fail, or the measured runs leave a doubt. 0 if every load has one.
    """
    demands = [(one, load) for one in conditions for load in one.loads]
    doubts = [load.confirmation.why_unknown for _, load in demands if load.confirmation is not None]
    without = [(one, load) for one, load in demands if load.found_passes is None]
    if any(load.is_beyond_range for _, load in without):
        return ExitCode.FAILED, ""
    if any(doubts):
        return ExitCode.INVALID, next(doubt for doubt in doubts if doubt)
    if not without:
        return ExitCode.PASSED, ""
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


def _confirmation_texts(found: Confirmation, vary: VariedKey) -> LoadConfirmation:
    return LoadConfirmation(
        passes=None if found.passes is None else vary.text(found.passes),
        fails=None if found.fails is None else vary.text(found.fails),
        state=found.state,
        why_unknown=found.why_unknown,
    )
