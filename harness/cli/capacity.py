"""`harness capacity`: how much of a resource a scenario needs to meet its goal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.capacity import CapacityFigures
from harness.base.errors import ConfigurationError, UsageError
from harness.base.safe_files import write_json
from harness.base.signals import SignalHandler
from harness.base.temporary import temporary_folder
from harness.capacity.levels import parse_varied_key
from harness.capacity.load import parse_loads, scale_load
from harness.capacity.map import MapRequest, column_of
from harness.capacity.map_axes import parse_map
from harness.capacity.request import CapacityRequest
from harness.capacity.sampling import SamplingRule
from harness.capacity.session import SearchSession, run_against, run_map, run_search
from harness.capacity.target_capacity import TargetRequest
from harness.cli.options import (
    AllowCode,
    AllowCommand,
    AlsoTarget,
    Between,
    Overrides,
    Report,
    Seed,
    Web,
    assertions_of,
    check_code_allowed,
    check_fits,
    check_name,
    command_line,
    planning,
)
from harness.cli.runs import RUNS
from harness.cli.web import LivePage, live_page, parse_web
from harness.plan import capacity as plan_capacity
from harness.plan import make_plan
from harness.run_folder.tables import read_planned_due
from harness.runner.between import parse_between
from harness.scenario.capacity_file import CapacityFile, load_capacity_file
from harness.scenario.loader import load_scenario
from harness.scenario.scenario import Scenario
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
from reports.capacity_map import map_badge, map_finding, map_headers, map_markdown, map_rows, render_map
from reports.live_view import QuietView
from reports.sustained import (
    HEADERS,
    render_sustained,
    sustained_badge,
    sustained_finding,
    sustained_junit,
    sustained_markdown,
    sustained_rows,
)
from reports.terminal import display_path

CAPACITIES = RUNS / "capacity"
CAPACITY_FILE, MAP_FILE, SUSTAINED_FILE = "capacity.json", "map.json", "sustained.json"


def capacity(
    source: Annotated[str, typer.Argument(metavar="SCENARIO", help="Name of a built-in scenario, or a .toml file: a scenario, or a capacity file with base, vary and the other options.")],
    vary: Annotated[str | None, typer.Option(metavar="KEY=WEAKEST..STRONGEST", help="The key to vary, and its range: server.workers=1..64.")] = None,
    overrides: Overrides = [],
    seed: Seed = None,
    load: Annotated[str | None, typer.Option(metavar="F,F,…", help="Loads, as factors on the scenario's stations: 0.5x,1x,2x,4x. Default: 1x.")] = None,
    goal: Annotated[list[str], typer.Option("--goal", metavar="ASSERTION", help="What must hold, instead of the scenario's thresholds; may be given several times. No acknowledged page may be lost in any case.")] = [],
    probability: Annotated[str | None, typer.Option(metavar="RATIO", help="In how many runs the goal must be met. Default: 95%.")] = None,
    confidence: Annotated[str | None, typer.Option(metavar="RATIO", help="How certain that must be. Default: 95%.")] = None,
    map_keys: Annotated[str | None, typer.Option("--map", metavar="KEY,KEY[,KEY]", help="Instead of --vary: draw where the scenario recovers from its faults and where it stays down, over two or three keys, each with values if it has none of its own: client.retry.strategy,load or client.retry.strategy=none|outbox,load=0.5x|1x,faults.brownout.duration=2s..20s.")] = None,
    target: Annotated[str | None, typer.Option(metavar="URL", help="Instead of --vary: find by real runs which rate the server under test sustains, within its consent, and hold it against the plan's busiest minute.")] = None,
    also_target: AlsoTarget = [],
    allow_command: AllowCommand = False,
    between: Between = None,
    allow_code: AllowCode = False,
    width: Annotated[str | None, typer.Option(metavar="STEP", help="Step between two levels: 1, or 5%. Default: 1 for whole numbers without a unit, else 5%; with --target 5%.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Stop after this time with what is known: 20m.")] = None,
    simulate_only: Annotated[bool, typer.Option("--simulate-only", help="Leave out the measured runs at the end.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result folder; the same folder resumes. Default: runs/capacity/<name>-<key>, or the capacity file's name.")] = None,
    report: Report = True,
    web: Web = None,
) -> None:  # fmt: skip
    """Search how much of a resource a scenario needs to meet its goal. Exit code 0 found, 99 not in the range, 3 can't tell.

    In virtual time, without the scenario's faults (what the server bears) and with them (from what it recovers). Then the least
    level that passes and the one below are measured, three runs each. Resumes if interrupted. --map draws where the scenario
    recovers and where it stays down. --target finds what a server of your own bears.
    """
    if target is not None:
        _check_target_options(vary=vary, map=map_keys, load=load, goal=goal or None, probability=probability, confidence=confidence,
                              simulate_only=simulate_only or None)  # fmt: skip
    else:
        _check_needs_target(also_target=also_target or None, allow_command=allow_command or None, between=between, allow_code=allow_code or None)  # fmt: skip
    reset = parse_between(between, allow_command=allow_command)
    asked = _Asked.read(
        source, overrides, seed, target is not None,
        _given(vary=vary, map=None if map_keys is None else (map_keys,), width=width, simulate_only=simulate_only or None, goal=tuple(goal) or None,
               load=None if load is None else tuple(load.split(",")),
               probability=_share("--probability", probability), confidence=_share("--confidence", confidence),
               budget=_budget_s(budget)),
    )  # fmt: skip
    loaded = asked.scenario()
    if target is not None:
        check_code_allowed(source, loaded, allow_code=allow_code)
    folder = (out or CAPACITIES / asked.folder_name(loaded)).absolute()
    check_name(folder)
    web_address = parse_web(web)
    with SignalHandler() as signals, live_page(web_address, "capacity", loaded.title or loaded.name, folder) as live:
        session = SearchSession(
            folder, command_line(), live.views(QuietView), live.logger(_log), signals,
            asked.options.simulate_only, report,
        )  # fmt: skip
        if target is not None:
            request = TargetRequest(
                source, loaded, target, 1 + _width_ratio(width), tuple(also_target), allow_command, reset
            )
            code = _load_target(asked, request, session, live)
        elif asked.options.map:
            code = _draw_map(asked, loaded, session, live)
        else:
            code = _search(asked, loaded, session, live)
    if signals.received is not None:
        print("Interrupted. Run the same command again to resume.")
        raise typer.Exit(128 + signals.received)
    raise typer.Exit(code)


def _search(asked: _Asked, loaded: Scenario, session: SearchSession, live: LivePage) -> int:
    request = asked.request(loaded)
    if not session.simulate_only:
        _check_fits(request.source, request.scenario, request.main_load)
    figures = run_search(request, session)
    page = _write(session.folder, figures)
    _print(figures, page)
    live.finish(page)
    return figures.exit_code


def _load_target(asked: _Asked, request: TargetRequest, session: SearchSession, live: LivePage) -> int:
    figures = run_against(request, session, asked.options.budget)
    write_json(session.folder / SUSTAINED_FILE, figures.model_dump(mode="json"))
    (session.folder / "junit.xml").write_text(sustained_junit(figures), "utf-8")
    (session.folder / "summary.md").write_text(sustained_markdown(figures), "utf-8")
    page = render_sustained(session.folder, figures)
    live.finish(page)
    print(f"\n{sustained_badge(figures)}  {sustained_finding(figures)}.\n")
    terminal.print_table(HEADERS, sustained_rows(figures))
    print(f"\nReport: {display_path(page)}")
    return figures.exit_code


def _draw_map(asked: _Asked, loaded: Scenario, session: SearchSession, live: LivePage) -> int:
    request = asked.map_request(loaded)
    if not session.simulate_only:
        most = max(request.load(at) for at in request.cells())
        _check_fits(request.source, request.scenario, most)
    figures = run_map(request, session, asked.options.budget)
    write_json(session.folder / MAP_FILE, figures.model_dump(mode="json"))
    (session.folder / "summary.md").write_text(map_markdown(figures), "utf-8")
    page = render_map(session.folder, figures, column_of(request.axes))
    live.finish(page)
    print(f"\n{map_badge(figures)}  {map_finding(figures)}.\n")
    terminal.print_table(map_headers(figures), map_rows(figures))
    print(f"\nReport: {display_path(page)}")
    return figures.exit_code


@dataclass(frozen=True)
class _Asked:
    """What the command line and the capacity file ask for together."""

    source: str
    """Of the scenario, as `load_scenario` takes it."""
    overrides: list[str]
    options: CapacityFile
    is_file: bool

    @classmethod
    def read(
        cls, source: str, overrides: list[str], seed: int | None, has_target: bool, given: dict[str, object]
    ) -> _Asked:
        """The capacity file at `source`, with what the command line gives in its place, or the command line alone.

        Raises ConfigurationError for a file with problems, UsageError if it is not known what to search.
        """
        file = load_capacity_file(source)
        given |= _given(seed=seed)
        _check_one_question(given)
        if file is not None:
            if "vary" in given or "map" in given:  # it asks another question than the file
                given = {"vary": None, "map": (), **given}
            changed = file.options.model_copy(update=given)
            return cls(file.base, [*file.overrides, *overrides], changed, is_file=True)
        if "vary" not in given and "map" not in given and not has_target:
            message = "--vary is missing: the key to vary, and its range, as in --vary server.workers=1..64"
            raise UsageError(message)
        options = CapacityFile.model_construct(name="", base=source, **given)  # type: ignore[arg-type]
        return cls(source, list(overrides), options, is_file=False)

    def scenario(self, *more: str) -> Scenario:
        """The scenario with further overrides."""
        overrides = [*self.overrides, *more]
        return load_scenario(
            self.source, overrides, self.options.seed, read_planned_due, trusted_overrides=not self.is_file
        )

    def request(self, loaded: Scenario) -> CapacityRequest:
        """The search. Raises UsageError or ConfigurationError for one that can't be made."""
        options = self.options
        try:
            varied, loads = parse_varied_key(options.vary or "", options.width), parse_loads(",".join(options.load))
            for name in ("probability", "confidence"):
                _check_share(f"--{name}", getattr(options, name))
        except UsageError as error:
            if not self.is_file:
                raise
            raise ConfigurationError(options.name, [str(error)]) from None
        request = CapacityRequest(
            source=self.source,
            scenario=loaded,
            scenario_at=lambda level: self.scenario(varied.override(level)),
            vary=varied,
            goal=tuple(options.goal or assertions_of(loaded)),
            loads=loads,
            rule=SamplingRule(options.probability, options.confidence),
            budget_s=options.budget,
        )
        request.check()
        return request

    def map_request(self, loaded: Scenario) -> MapRequest:
        """The map. Raises UsageError or ConfigurationError for one that can't be drawn."""
        text = ",".join(self.options.map)
        try:
            axes = parse_map(text, loaded)
        except UsageError as error:
            if not self.is_file:
                raise
            raise ConfigurationError(self.options.name, [str(error)]) from None
        goal = tuple(self.options.goal or assertions_of(loaded))
        request = MapRequest(self.source, loaded, lambda more: self.scenario(*more), axes, goal)
        request.check()
        return request

    def folder_name(self, loaded: Scenario) -> str:
        """The name of the result folder below runs/capacity."""
        if self.options.name:
            return self.options.name
        if self.options.vary is None and not self.options.map:
            return f"{loaded.name}-target"
        if self.options.map:
            return f"{loaded.name}-map"
        key = (self.options.vary or "").partition("=")[0].strip()
        return f"{loaded.name}-{key.replace('.', '-')}"


def _check_one_question(given: dict[str, object]) -> None:
    """Raise UsageError for options that exclude each other."""
    if "map" in given:
        for name in ("vary", "width", "load", "probability", "confidence"):
            if name in given:
                message = f"--{name} does not go with --map" + (
                    ": put the loads on the map, as in load=0.5x|1x" if name == "load" else ""
                )
                raise UsageError(message)


def _check_target_options(**given: object) -> None:
    """Raise UsageError for options that do not go with --target."""
    for name, value in given.items():
        if value is not None:
            message = f"--{name.replace('_', '-')} does not go with --target: the rate is varied, by real runs alone"
            raise UsageError(message)


def _check_needs_target(**given: object) -> None:
    """Raise UsageError for options that are only for a search against a server under test."""
    for name, value in given.items():
        if value is not None:
            message = f"--{name.replace('_', '-')} needs --target: without it the runs are against the mock server"
            raise UsageError(message)


def _width_ratio(text: str | None) -> float:
    try:
        value = 0.05 if text is None else ratio(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1 or (text is not None and "%" not in text):
        message = f'--width "{text}": with --target it should be a percentage from 1% to 100%'
        raise UsageError(message)
    return value


def _given(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _log(line: str) -> None:
    print(line, flush=True)


def _check_fits(source: str, scenario: Scenario, load: float) -> None:
    """Raise ConfigurationError if a measured run would not fit this machine."""
    with temporary_folder("capacity") as folder, planning(source):
        scaled = scale_load(scenario, load, folder)
        problems = plan_capacity.find_capacity_problems(scaled, make_plan(scaled), 1, None)
    check_fits(source, [*problems, "or leave out the measured runs: --simulate-only"] if problems else [])


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


def _share(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = ratio(text)
    except ValueError:
        value = 0.0
    _check_share(option, value, text)
    return value


def _check_share(option: str, value: float, text: str = "") -> None:
    if not 0.5 <= value <= 0.999:
        message = f"{option} {text or value}: should be a share from 50% to 99.9%"
        raise UsageError(message)


def _budget_s(text: str | None) -> float | None:
    try:
        return None if text is None else duration_s(text)
    except ValueError as error:
        message = f"--budget {text} {error}"
        raise UsageError(message) from None
