"""`harness capacity`: how much of a resource a scenario needs to meet its goal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.capacity import CapacityFigures
from harness.base.errors import UsageError
from harness.base.safe_files import write_json
from harness.base.signals import SignalHandler
from harness.base.temporary import temporary_folder
from harness.capacity.confirmation import RUNS_PER_LEVEL
from harness.capacity.figures import CapacityResults, confirm_searches
from harness.capacity.levels import parse_varied_key
from harness.capacity.load import parse_loads, scale_load
from harness.capacity.measured import Measurer
from harness.capacity.planner import CapacityPlanner
from harness.capacity.request import CapacityRequest
from harness.capacity.sampling import SamplingRule
from harness.capacity.twin import Twin
from harness.cli.options import RUNS, Overrides, ScenarioName, Seed, assertions_of, check_fits, check_name, command_line
from harness.plan import capacity as plan_capacity
from harness.plan import make_plan
from harness.run_folder.tables import read_planned_due
from harness.scenario import loader
from mock_server.profile.units import duration_s, ratio
from reports import terminal
from reports.capacity import (
    DEMAND_HEADERS,
    LEVEL_HEADERS,
    capacity_badge,
    capacity_finding,
    capacity_junit,
    capacity_markdown,
    condition_title,
    demand_rows,
    level_rows,
)
from reports.live_view import QuietView
from reports.terminal import display_path

CAPACITIES = RUNS / "capacity"
CAPACITY_FILE = "capacity.json"


def capacity(
    source: ScenarioName,
    vary: Annotated[str, typer.Option(metavar="KEY=WEAKEST..STRONGEST", help="The key to vary, and its range: server.workers=1..64.")],
    overrides: Overrides = [],
    seed: Seed = None,
    load: Annotated[str, typer.Option(metavar="F,F,…", help="Loads, as factors on the scenario's stations: 0.5x,1x,2x,4x.")] = "1x",
    goal: Annotated[list[str], typer.Option("--goal", metavar="ASSERTION", help="What must hold, instead of the scenario's thresholds; may be given several times. No acknowledged page may be lost in any case.")] = [],
    probability: Annotated[str, typer.Option(metavar="RATIO", help="In how many runs the goal must be met.")] = "95%",
    confidence: Annotated[str, typer.Option(metavar="RATIO", help="How certain that must be.")] = "95%",
    width: Annotated[str | None, typer.Option(metavar="STEP", help="Step between two levels: 1, or 5%. Default: 1 for whole numbers without a unit, else 5%.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Stop after this time with what is known: 20m.")] = None,
    simulate_only: Annotated[bool, typer.Option("--simulate-only", help="Leave out the measured runs at the end.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result folder; the same folder resumes. Default: runs/capacity/<name>-<key>.")] = None,
) -> None:  # fmt: skip
    """Search how much of a resource a scenario needs to meet its goal. Exit code 0 found, 99 not in the range, 3 can't tell.

    In virtual time, without the scenario's faults (what the server bears) and with them (from what it recovers). Then the least
    level that passes and the one below are measured, three runs each. Resumes if interrupted.
    """
    varied = parse_varied_key(vary, width)
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    request = CapacityRequest(
        source=source,
        scenario=loaded,
        scenario_at=lambda level: loader.load_scenario(
            source, [*overrides, varied.override(level)], seed, read_planned_due
        ),
        vary=varied,
        goal=tuple(goal or assertions_of(loaded)),
        loads=parse_loads(load),
        rule=SamplingRule(_share("--probability", probability), _share("--confidence", confidence)),
        budget_s=None if budget is None else _budget_s(budget),
    )
    request.check()
    folder = (out or CAPACITIES / f"{loaded.name}-{varied.key.replace('.', '-')}").absolute()
    check_name(folder)
    if not simulate_only:
        _check_fits(request)
    with SignalHandler() as signals:
        figures = _search(request, folder, signals, simulate_only=simulate_only)
    _print(figures, _write(folder, figures))
    if signals.received is not None:
        print("Interrupted. Run the same command again to resume.")
        raise typer.Exit(128 + signals.received)
    raise typer.Exit(figures.exit_code)


def _search(request: CapacityRequest, folder: Path, signals: SignalHandler, *, simulate_only: bool) -> CapacityFigures:
    """Search in virtual time, then confirm by runs what was found for the scenario's own load."""
    with Twin() as twin:
        planner = CapacityPlanner(request, folder, twin, log=_log, is_interrupted=lambda: signals.received is not None)
        searches = planner.search()
        confirmed = [] if simulate_only else [one for one in searches if one.load.load == request.main_load]
        for found in confirmed:
            planner.firm_up(found)
    # the processes of the twin have ended: what is measured has the machine for itself
    left = RUNS_PER_LEVEL * sum(
        min(2, found.bracket.passes + 1) for found in confirmed if found.bracket.passes is not None
    )
    measurer = Measurer(request, folder, command_line(), QuietView, _log, signals, planner.check_time, left)
    confirmations = confirm_searches(confirmed, request, measurer.measure, planner.known)
    return CapacityResults(request, searches, planner.known, confirmations).figures()


def _log(line: str) -> None:
    print(line, flush=True)


def _check_fits(request: CapacityRequest) -> None:
    """Raise ConfigurationError if a measured run would not fit this machine."""
    with temporary_folder("capacity") as folder:
        scenario = scale_load(request.scenario, request.main_load, folder)
        problems = plan_capacity.find_capacity_problems(scenario, make_plan(scenario), 1, None)
    check_fits(request.source, [*problems, "or leave out the measured runs: --simulate-only"] if problems else [])


def _write(folder: Path, figures: CapacityFigures) -> Path:
    """Write every file of the results; the page's path."""
    from reports.capacity_page import render_capacity  # noqa: PLC0415 - Matplotlib takes half a second to import

    write_json(folder / CAPACITY_FILE, figures.model_dump(mode="json"))
    (folder / "junit.xml").write_text(capacity_junit(figures), "utf-8")
    (folder / "summary.md").write_text(capacity_markdown(figures), "utf-8")
    return render_capacity(folder, figures)


def _print(figures: CapacityFigures, page: Path) -> None:
    print(f"\n{capacity_badge(figures)}  {capacity_finding(figures)}.")
    for condition in figures.conditions:
        print(f"\n{condition_title(condition)}")
        if len(condition.loads) > 1:
            terminal.print_table(DEMAND_HEADERS, demand_rows(figures, condition))
        else:
            terminal.print_table((figures.vary.key, *LEVEL_HEADERS[1:]), level_rows(condition.loads[0]))
    print(f"\nReport: {display_path(page)}")


def _share(option: str, text: str) -> float:
    try:
        value = ratio(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value <= 0.999:
        message = f"{option} {text}: should be a share from 50% to 99.9%"
        raise UsageError(message)
    return value


def _budget_s(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        message = f"--budget {text} {error}"
        raise UsageError(message) from None
