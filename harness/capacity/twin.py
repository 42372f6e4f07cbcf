"""Whether seeds meet the goal, played in virtual time in processes of their own; no run folder is kept."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from harness.analysis.capacity import PlayedSeed
from harness.base.errors import ProcessKilledError
from harness.base.host import available_cores
from harness.base.temporary import temporary_folder
from harness.judge.verdict import Judgement, evaluate_run
from harness.run_folder.layout import RunFolder
from harness.runner.simulated_cells import leave_signals_to_the_parent, run_scenario
from harness.scenario.scenario import Scenario, parse_resolved
from harness.scenario.simulation import FittedRange
from harness.simulate.fitting.server_model import peak_per_s

if TYPE_CHECKING:
    import numpy.typing as npt

SAFETY = "safety"
"""Stands among the breached thresholds where an acknowledged page was lost."""
_MOST_COMPLETE = 0.95
_AHEAD = 2
"""Simulations per process that are begun before it is known whether they are needed."""


class Twin:
    """Plays seeds on all cores; enter it to start the processes."""

    def __init__(self, processes: int | None = None) -> None:
        """`processes` is the number of simulations at once; by default one per core."""
        self._processes = processes or available_cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        # Not forked: this process may have threads (DuckDB's), whose locks a fork would copy in any state.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=leave_signals_to_the_parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def play(self, scenario: Scenario, goal: Sequence[str], seeds: Iterable[int]) -> Generator[PlayedSeed]:
        """What each seed shows, in their order. A few are played ahead; close the iterator to cancel those not begun."""
        if self._pool is None:
            message = "the twin is played inside of `with Twin()`"
            raise RuntimeError(message)
        resolved, waiting = scenario.resolved(), iter(seeds)
        begun: deque[Future[PlayedSeed]] = deque()
        try:
            while True:
                for seed in islice(waiting, _AHEAD * self._processes - len(begun)):
                    begun.append(self._pool.submit(play_seed, resolved, seed, list(goal)))
                if not begun:
                    return
                try:
                    played = begun.popleft().result()
                except BrokenProcessPool:
                    message = "a simulation was killed, by a user or by the kernel's OOM killer: run the same command again to go on"
                    raise ProcessKilledError(message) from None
                yield played
        finally:
            for future in begun:
                future.cancel()


def play_seed(resolved: dict[str, Any], seed: int, goal: list[str]) -> PlayedSeed:
    """Play one seed of a resolved scenario in virtual time and judge it by the goal."""
    scenario = parse_resolved({**resolved, "seed": seed})
    with temporary_folder("capacity") as folder:
        run_folder = RunFolder(folder / f"seed-{seed}")
        run_scenario(run_folder, scenario, goal)
        judged = evaluate_run(run_folder, goal)
        return describe_played(judged, _beyond_range(judged, scenario.simulate.fitted))


def describe_played(judged: Judgement, doubt: str = "") -> PlayedSeed:
    """What a judged run says about the goal: not met if a threshold is breached or a page was lost, else what the verdict is.

    With a `doubt` about the model nobody can tell.
    """
    verdict, summary = judged.verdict, judged.summary
    breached = [one.assertion for one in verdict.thresholds if not one.passed]
    if verdict.safety is False:
        breached.insert(0, SAFETY)
    is_known = verdict.verdict != "invalid" or (verdict.simulated and bool(breached)) or verdict.safety is False
    is_known = is_known and not doubt
    completed_s = judged.run_data.rows.completed_s
    return PlayedSeed(
        seed=summary.seed,
        met=verdict.verdict == "pass" if is_known else None,
        breached=breached,
        completed_ratio=summary.stations.completed_by_deadline_ratio,
        complete_95_s=_when_complete(completed_s, _MOST_COMPLETE),
        finish_s=_when_complete(completed_s, 1.0),
        amplification=summary.attempts.amplification,
        why_unknown="" if is_known else doubt or "; ".join(verdict.validity.reasons),
    )


def _beyond_range(judged: Judgement, fitted: FittedRange | None) -> str:
    """Why a fitted model says nothing about a run: it was shown to hold for less; empty if not."""
    if fitted is None:
        return ""
    reached_per_s = peak_per_s(judged.run_data.rows.attempts.sent_s)
    if reached_per_s <= fitted.attempts_per_s:
        return ""
    return (
        f"the model was fitted to at most {fitted.attempts_per_s:g} attempts/s, and the run reached {reached_per_s:.4g}: "
        "fit it to runs with more load (harness fit)"
    )


def _when_complete(completed_s: npt.NDArray[np.float64], share: float) -> float | None:
    """When this share of the stations was complete; None if that never was."""
    if not len(completed_s):
        return None
    found = float(np.sort(completed_s)[max(0, int(np.ceil(share * len(completed_s) - 1e-9)) - 1)])
    return found if np.isfinite(found) else None
