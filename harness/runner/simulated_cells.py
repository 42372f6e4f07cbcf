"""Many simulations at once, in processes of their own: seeds of a scenario, cells of an experiment."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from harness.analysis.run_figures import RunFigures, ThresholdOutcome, completion_curve, compute_values
from harness.base.host import available_cores
from harness.base.temporary import temporary_folder
from harness.judge.thresholds.abort_on_fail import AbortThreshold
from harness.judge.thresholds.evaluate import limits_s
from harness.judge.verdict import Judgement, judge_run
from harness.run_folder.layout import RunFolder
from harness.runner.run_spec import RunSpec
from harness.runner.simulated_run import SimulatedRun, make_simulated_plan
from harness.scenario.scenario import Scenario, parse_resolved

Cell = TypeVar("Cell")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SimulatedCell:
    """One simulation to be played: a scenario with its seed, and where its run folder goes."""

    scenario: dict[str, Any]
    """The resolved scenario: it crosses to another process."""
    folder: Path | None = None
    """None: in a temporary folder, removed afterwards."""
    run_id: str = ""
    command: tuple[str, ...] = ()


def play_cells(
    cells: Sequence[SimulatedCell], processes: int | None = None, is_stopped: Callable[[], bool] = lambda: False
) -> list[RunFigures]:
    """The figures of all cells in their order, played on all cores; those finished by then, once `is_stopped`."""
    return list(play_on_all_cores(play_cell, cells, processes, is_stopped))


def play_on_all_cores(
    play: Callable[[Cell], Result], cells: Sequence[Cell], processes: int | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Result]:  # fmt: skip
    """What `play` (a function of a module) makes of each cell, in their order, in processes of their own."""
    number = min(processes or available_cores(), len(cells))
    if number <= 1:
        yield from (play(cell) for cell in cells if not is_stopped())
        return
    # Not forked: this process may have threads (DuckDB's), whose locks a fork would copy in any state.
    with ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), leave_signals_to_the_parent) as pool:
        waiting = iter(cells)
        # One more than can run: a pool does not take back what it has queued, and a stop must not wait for that.
        running = deque(pool.submit(play, cell) for cell in islice(waiting, number + 1))
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(play, cell) for cell in islice(waiting, 0 if is_stopped() else 1))


def leave_signals_to_the_parent() -> None:
    """Ctrl-C reaches every process of the group: the parent decides what becomes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def play_cell(cell: SimulatedCell) -> RunFigures:
    """Play one cell and judge it; its figures."""
    scenario = parse_resolved(cell.scenario)
    if cell.folder is not None:
        return _play_into(RunFolder(cell.folder), scenario, cell)
    with temporary_folder("simulation") as folder:
        return _play_into(RunFolder(folder), scenario, cell)


def _play_into(folder: RunFolder, scenario: Scenario, cell: SimulatedCell) -> RunFigures:
    assertions = [threshold.assertion for threshold in scenario.thresholds]
    abort = [AbortThreshold(one.assertion, one.grace) for one in scenario.thresholds if one.abort]
    run_scenario(folder, scenario, assertions, run_id=cell.run_id, command=cell.command, abort=abort)
    return figures_of(judge_run(folder, assertions))


def run_scenario(
    folder: RunFolder, scenario: Scenario, assertions: Sequence[str], *, run_id: str = "", command: Sequence[str] = (),
    abort: Sequence[AbortThreshold] = (),
) -> None:  # fmt: skip
    """Play a scenario into a run folder, to be judged by these assertions; `abort` are those that end it early."""
    spec = RunSpec(
        scenario=scenario,
        plan=make_simulated_plan(scenario),
        folder=folder,
        run_id=run_id or folder.path.name,
        command=list(command),
        limits_s=limits_s(assertions),
        abort_thresholds=abort,
        simulated=True,
    )
    SimulatedRun(spec).execute()


def figures_of(judged: Judgement) -> RunFigures:
    """The key figures of a judged run."""
    rows = judged.run_data.rows
    times, shares = completion_curve(rows)
    return RunFigures(
        seed=judged.summary.seed,
        verdict=judged.verdict.verdict,
        safety=None if judged.verdict.safety == "unknown" else judged.verdict.safety,
        values=compute_values(judged.summary, rows),
        by_outcome=judged.summary.attempts.by_outcome,
        thresholds=[
            ThresholdOutcome(assertion=one.assertion, observed=one.observed, passed=one.passed)
            for one in judged.verdict.thresholds
        ],
        curve_t_s=times,
        curve=shares,
    )
