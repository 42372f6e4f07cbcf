"""The greatest rate that an external target sustains, found by real runs alone, each no longer than needed to decide."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.analysis.rows import Rows
from harness.analysis.sustained import Sustained, SustainedFigures, SustainedLevel, SustainedState, judge_sustained
from harness.base.errors import ExitCode, UsageError
from harness.base.host import available_cores
from harness.base.signals import Interruption, SignalHandler
from harness.capacity.load import with_stations
from harness.capacity.measured import is_finished
from harness.capacity.played_seeds import PlayedSeeds
from harness.capacity.rates import RateSearch
from harness.capacity.search import SearchInterruptedError
from harness.judge.verdict import SAFETY_UNKNOWN, Judgement, evaluate_run
from harness.plan import Plan, make_plan
from harness.plan import capacity as plan_capacity
from harness.plan.demand import choose_worker_count, max_within
from harness.run_folder.layout import RunFolder
from harness.runner.between import BetweenCommand
from harness.runner.live_stats import RunView
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario.arrivals import ConstantArrivals
from harness.scenario.scenario import Scenario
from harness.scenario.target import StoredNone
from harness.target.external import ExternalTarget, admit_target, peak_requests_per_s

_SECONDS = (10.0, 20.0, 40.0, 80.0, 160.0)
"""Lengths of a level's runs: the next one only if the one before did not decide."""
_MOST_ASKED = 4
"""No rate above this multiple of what the plan asks is tried: it bears the plan in any case."""
_BUSIEST_S = 60.0
_HEADROOM = 0.9
"""Of the consent's rate: a run's busiest second has a little more than its mean."""
_SURE_GROWTH_RATIO = 0.25
"""A server that leaves over at least this part of what arrives has no short pause."""
_TRIES = 2
"""Runs of a length before nobody can tell: an INVALID one is repeated."""


class UnknownError(Exception):
    """Nobody can tell, with the reason."""


@dataclass(frozen=True)
class TargetRequest:
    """What is searched for."""

    source: str
    scenario: Scenario
    url: str
    width: float
    """The ratio between the two rates of the bracket: 1.05."""
    also: tuple[str, ...] = ()
    """URLs of other servers that the scenario's steps may send to."""
    allow_command: bool = False
    """The user allows commands to run on this machine."""
    between: BetweenCommand | None = None
    """Run before each run."""


@dataclass(frozen=True)
class Asked:
    """What the scenario's own plan asks of a server in its busiest time."""

    pages_per_s: float
    window_s: float


def busiest_rate(plan: Plan) -> Asked:
    """Pages per second of the plan's busiest minute, or of all of its arrivals if they come within less."""
    due = np.sort(plan.earliest_due_s)
    span_s = float(due.max(initial=0.0) - due.min(initial=0.0))
    window_s = min(_BUSIEST_S, max(span_s, 1.0))
    return Asked(max_within(due, window_s) * len(plan.slots) / window_s, window_s)


@dataclass
class TargetProber:
    """Makes the runs of one search, each in a run folder of its own by which a finished one is known."""

    request: TargetRequest
    folder: Path
    command: list[str]
    view: Callable[[str], RunView]
    log: Callable[[str], None]
    signals: SignalHandler
    check_time: Callable[[], None]
    """Raises SearchInterruptedError if no further run is to start."""
    levels: dict[float, SustainedLevel] = field(default_factory=dict)

    def decide(self, pages_per_s: float) -> SustainedState:
        """Whether a rate is sustained, by runs that double in length until they decide.

        Raises SearchInterruptedError, and UnknownError if the runs are INVALID.
        """
        runs: list[str] = []
        before: Sustained | None = None
        for seconds in _SECONDS:
            judged, found = self._valid_run(pages_per_s, seconds, runs)
            self.levels[pages_per_s] = _level(pages_per_s, seconds, found, judged, runs)
            if is_decided(found, before):
                break
            before = found
        self.log(f"{pages_per_s:.3g} pages/s: {found.state} after {seconds:g} s; {found.why}")
        return found.state

    def _valid_run(self, pages_per_s: float, seconds: float, runs: list[str]) -> tuple[Judgement, Sustained]:
        reasons: list[str] = []
        for number in range(1, _TRIES + 1):
            name = f"{pages_per_s:.4g}-per-s-{seconds:g}s-{number}"
            runs.append(name)
            judged = self._run(name, pages_per_s, seconds)
            # a rate can be found of a server whose store is out of reach
            reasons = [one for one in judged.verdict.validity.reasons if not one.startswith(SAFETY_UNKNOWN)]
            if not reasons:
                return judged, _judge(judged.run_data.rows, seconds, self.request.scenario.client.timeout)
        message = f"{_TRIES} runs at {pages_per_s:.3g} pages/s were INVALID: {'; '.join(reasons)}"
        raise UnknownError(message)

    def _run(self, name: str, pages_per_s: float, seconds: float) -> Judgement:
        folder = RunFolder(self.folder / "runs" / name)
        if not is_finished(folder):
            self.check_time()
            self._execute(folder, self.scenario_at(pages_per_s, seconds))
        return evaluate_run(folder, [])

    def scenario_at(self, pages_per_s: float, seconds: float) -> Scenario:
        """The scenario with as many stations, evenly, as make this rate for this long."""
        return scenario_at(self.request.scenario, pages_per_s, seconds, self.folder)

    def _execute(self, folder: RunFolder, scenario: Scenario) -> None:
        if folder.path.exists():
            shutil.rmtree(folder.path)  # an unfinished run of this very search: check_target_folder made sure of that
        plan = make_plan(scenario)
        workers = choose_worker_count(scenario, plan, available_cores()).workers
        external = self.admit(scenario, plan, workers)
        problems = plan_capacity.find_capacity_problems(scenario, plan, workers, external.address)
        if problems:
            message = f"a greater load does not fit this machine: {problems[0]}"
            raise UnknownError(message)
        spec = RunSpec(
            scenario=scenario, plan=plan, folder=folder, run_id=folder.path.name, command=self.command, limits_s=[],
            workers=workers, external=external,
        )  # fmt: skip
        if self.request.between is not None:
            self.request.between.run(folder.path.name, self.log)
        try:
            Run(spec, self.view(folder.path.name), self.signals).execute()
        except Interruption as interruption:
            raise SearchInterruptedError from interruption
        if not is_finished(folder) and self.signals.received is not None:
            raise SearchInterruptedError

    def admit(self, scenario: Scenario, plan: Plan, workers: int) -> ExternalTarget:
        """The target, if it may be loaded with this plan. Raises UsageError if it may not."""
        asked = self.request
        return admit_target(
            asked.url, scenario, plan, workers, os.environ, allow_command=asked.allow_command, also=asked.also
        )


def is_decided(found: Sustained, before: Sustained | None) -> bool:
    """Whether a run decides its rate, given the shorter one before it.

    A server that pauses for a second looks like one that falls behind, so growth counts once a run of twice the length shows it
    too, or at once if a large part of what arrives is left over.
    """
    if found.state != "grows":
        return found.state == "sustained"
    is_sure = found.growth_low > _SURE_GROWTH_RATIO * found.arrivals_per_s
    return is_sure or (before is not None and before.state == "grows")


def scenario_at(scenario: Scenario, pages_per_s: float, seconds: float, folder: Path) -> Scenario:
    """A scenario of evenly arriving stations with this many pages per second; without faults, thresholds and recapitulation."""
    pages = len(make_plan(with_stations(scenario, 1, folder)).slots)
    count = max(1, round(pages_per_s * seconds / pages))
    arrivals = ConstantArrivals.model_validate({"kind": "constant", "over": f"{count * pages / pages_per_s:.9g}s"})
    # what earlier runs have stored would be unexpected in the next one: the store is left alone
    target = None if scenario.target is None else scenario.target.model_copy(update={"stored": StoredNone()})
    return with_stations(scenario, count, folder).model_copy(
        update={
            "target": target,
            "arrivals": arrivals, "deadline": max(seconds, arrivals.over), "warm_up": 0.0, "faults": (), "thresholds": (),
            "recapitulation": None,
        }
    )  # fmt: skip


def run_target(request: TargetRequest, prober: TargetProber) -> SustainedFigures:
    """Search the greatest rate, and hold it against what the scenario's plan asks.

    Raises UsageError if the target may not be loaded at all.
    """
    asks = busiest_rate(make_plan(request.scenario))
    least = 1.0
    start = max(asks.pages_per_s / 4, least)
    most, limit = _greatest_rate(prober, max(_MOST_ASKED * asks.pages_per_s, start))
    search = RateSearch(prober.decide, start, most, request.width, min(least, most))
    why = ""
    try:
        search.run()
    except UnknownError as unknown:
        why = str(unknown)
    code, why = conclude(search, asks.pages_per_s, limit, why)
    return _figures(request, asks, search, prober, limit, code, why)


def conclude(search: RateSearch, asks_per_s: float, limit: str, why: str) -> tuple[ExitCode, str]:
    """The exit code, and why nobody can tell if it is 3: 0 if what the plan asks is borne, 99 if it is not.

    `why` is a reason that is known already, `limit` why no greater rate was tried.
    """
    bears, fails = search.bears, search.fails
    if bears is not None and bears >= asks_per_s:
        return ExitCode.PASSED, ""
    if fails is not None and fails <= asks_per_s and search.states[fails] == "grows":
        return ExitCode.FAILED, ""
    return ExitCode.INVALID, why or _why_unknown(search, limit)


def _why_unknown(search: RateSearch, limit: str) -> str:
    fails = search.fails
    if not search.is_complete:
        return "the search was interrupted, or its budget spent, before it was known"
    if fails is None:
        return f"no greater rate could be tried: {limit}"
    if search.states[fails] == "undecided":
        return f"{fails:.3g} pages/s could not be decided within {_SECONDS[-1]:g} s"
    return "what the plan asks lies within the width of the bracket: give a smaller --width"


def _greatest_rate(prober: TargetProber, wanted: float) -> tuple[float, str]:
    """The greatest rate that may be tried, and why no greater one."""
    probe = prober.scenario_at(1.0, _SECONDS[0])
    plan = make_plan(probe)
    external = prober.admit(probe, plan, 1)
    times = f"it is {_MOST_ASKED} times what the plan asks"
    if external.consent is None:
        return wanted, times
    per_page = peak_requests_per_s(probe, plan) / busiest_rate_of(plan)
    allowed = _HEADROOM * external.consent.max_requests_per_s / per_page
    if allowed < 1:
        message = (
            f"the consent of {external.consent.max_requests_per_s:g} requests/s is too low for one page per second"
        )
        raise UsageError(message)
    return (wanted, times) if wanted <= allowed else (allowed, "the target's consent allows no more")


def check_target_folder(folder: Path, request: TargetRequest) -> None:
    """Make the folder, or raise UsageError if it belongs to another search: its runs would be taken for those of this one."""
    PlayedSeeds(folder, request.scenario, [], f"target {request.url}")


def busiest_rate_of(plan: Plan) -> float:
    """Pages in the plan's busiest second."""
    return float(max_within(np.sort(plan.earliest_due_s), 1.0) * len(plan.slots))


def _judge(rows: Rows, seconds: float, timeout_s: float) -> Sustained:
    found = judge_sustained(rows.stations.due_s, rows.completed_s, seconds)
    nothing = not (rows.completed_s <= seconds).any()
    if found.state == "undecided" and nothing and seconds >= timeout_s:
        return Sustained(
            "grows", "no station was complete", found.arrivals_per_s, found.in_flight, found.growth_per_s,
            found.growth_low, found.growth_high, found.little_ratio,
        )  # fmt: skip
    return found


def _level(pages_per_s: float, seconds: float, found: Sustained, judged: Judgement, runs: list[str]) -> SustainedLevel:
    rate = found.arrivals_per_s
    p95 = judged.summary.delivery_seconds.p95
    return SustainedLevel(
        pages_per_s=pages_per_s, seconds=seconds, state=found.state, why=found.why,
        growth_ratio=found.growth_per_s / rate if rate else None, growth_low=found.growth_low / rate if rate else None,
        growth_high=found.growth_high / rate if rate else None, little_ratio=found.little_ratio, in_flight=found.in_flight,
        p95_delivery_s=p95, runs=list(runs),
    )  # fmt: skip


def _figures(
    request: TargetRequest, asks: Asked, search: RateSearch, prober: TargetProber, limit: str, code: ExitCode, why: str
) -> SustainedFigures:
    scenario = request.scenario
    return SustainedFigures(
        name=scenario.name, title=scenario.title, target=request.url, asks_per_s=asks.pages_per_s, asks_window_s=asks.window_s,
        bears_per_s=search.bears, fails_per_s=search.fails, limit=limit if search.is_complete and search.fails is None else "",
        levels=[prober.levels[rate] for rate in sorted(prober.levels)], exit_code=code, why_unknown=why,
    )  # fmt: skip
