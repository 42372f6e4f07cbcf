"""The commands. Each parses, calls one room, and prints what it got; the exit codes are in errors.py."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from harness import machine, scenario_files
from harness.children import Interruption
from harness.errors import BrokenRunError, ConfigurationError, ExitCode, HarnessError, UsageError
from harness.experiment import load_experiment
from harness.figures.matrix import ExperimentFigures
from harness.figures.tables import planned_due
from harness.judge.thresholds import check_all, limits_s
from harness.order import Order
from harness.past import past_runs
from harness.plan import make_plan
from harness.plan.forecast import forecast
from harness.run import Run
from harness.runfolder import RunFolder
from harness.scenario import Scenario
from harness.signals import Signals, Stopped
from reports import terminal
from reports.quantities import count, size
from reports.terminal import LiveView

RUNS = Path("runs")
EXPERIMENTS = RUNS / "experiments"
_USERS_ERRNOS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.EINVAL,
        errno.ENAMETOOLONG,
    }
)
"""A path that can't be used as the user wrote it."""

app = typer.Typer(
    name="harness",
    help="Load-test a photo-upload server: plan, drive, measure, judge, report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="A shipped scenario's name, or a .toml file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="K=V", help="Override a key: client.retry.strategy=none")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed than the scenario's.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that send.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name below runs/.")]


@app.command()
def scenarios() -> None:
    """Say what ships, one line each."""
    terminal.print_table(["scenario", "what it shows"], list(scenario_files.shipped().items()))


@app.command()
def init(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new scenario.")]) -> None:
    """Write NAME.toml, a commented scenario to start from."""
    path = Path(f"{name}.toml")
    text = scenario_files.template(name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} exists already: remove it or choose another name"
        raise UsageError(message) from None
    print(f"Wrote {path}. Next: harness validate {path}; harness run {path}")


@app.command()
def validate(source: ScenarioName, overrides: Overrides = [], seed: Seed = None, workers: Workers = 1) -> None:  # noqa: B006
    """Check a scenario, plan it dry: MB, peaks, does it fit here."""
    loaded = scenario_files.load(source, overrides, seed, planned_due)
    _check_thresholds(source, loaded)
    plan = make_plan(loaded)
    numbers = forecast(plan, loaded.deadline)
    rows = [
        ["stations", count(numbers.stations), f"turning up from {numbers.first_s:.1f} s to {numbers.last_s:.1f} s"],
        ["pages", count(numbers.pages), f"{size(numbers.total_bytes)} in all"],
        ["uploads, peak", f"{numbers.peak_uploads_per_s:,.0f}/s", f"{size(numbers.peak_bytes_per_s)}/s in that second"],
        ["uploads, mean", f"{numbers.mean_uploads_per_s:,.1f}/s", "until the last station turns up"],
        ["deadline", f"{loaded.deadline:g} s", _late(numbers.beyond_deadline)],
        ["faults", str(len(loaded.faults)), ", ".join(f"{fault.name} ({fault.kind})" for fault in loaded.faults)],
        ["thresholds", str(len(loaded.thresholds)), "and that nothing acknowledged is lost"],
    ]
    terminal.print_table(["", loaded.name, ""], rows)
    _check_fits(source, machine.misfits(loaded, plan, workers))
    print("Fits this machine. Valid.")


@app.command()
def run(
    source: ScenarioName,
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; must be empty or new. Default: runs/<time>-<name>-<hex>.")] = None,
    workers: Workers = 1,
    target: Annotated[str | None, typer.Option(metavar="URL", help="An upload server of yours, on loopback; default: the mock.")] = None,
    name: Annotated[str | None, typer.Option(help="What the run folder is named after, instead of the scenario.")] = None,
    metrics_port: Annotated[int, typer.Option(min=0, max=65_000, help="Port of the first worker's /metrics; 0: any.")] = 0,
) -> None:  # fmt: skip
    """Run a scenario: drive the load, judge it, draw the report."""
    loaded = scenario_files.load(source, overrides, seed, planned_due)
    _check_thresholds(source, loaded)
    _check_target(target)
    _check_ports(metrics_port, workers)
    plan = make_plan(loaded)
    _check_fits(source, machine.misfits(loaded, plan, workers))
    run_id = _run_id(name or loaded.name)
    _check_name(out or RUNS)
    folder = RunFolder((out or RUNS / run_id).absolute())
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        message = f"{folder.path} is not an empty folder: nothing is overwritten"
        raise UsageError(message)
    order = Order(
        scenario=loaded,
        plan=plan,
        folder=folder,
        run_id=run_id,
        command=_command(),
        limits_s=limits_s([threshold.assertion for threshold in loaded.thresholds]),
        workers=workers,
        target=target,
        metrics_port=metrics_port,
    )
    with Signals() as signals:
        with LiveView(loaded.name) as view:
            Run(order, view, signals).execute()
        print("Counting, judging, drawing", flush=True)
        code = _conclude(folder, _assertions(loaded))
        raise typer.Exit(code if signals.heard is None else 128 + signals.heard)


@app.command("list")
def list_runs() -> None:
    """Past runs with their verdicts, the newest first."""
    terminal.print_runs(past_runs(RUNS))


@app.command()
def report(path: RunPath) -> None:
    """Draw charts and page again, from the folder alone."""
    folder = _run_folder(path)
    _conclude(folder, _own_assertions(folder))


@app.command()
def gate(
    path: RunPath,
    thresholds: Annotated[Path | None, typer.Option(metavar="FILE", help="[[thresholds]] to judge by, instead of the run's.")] = None,
) -> None:  # fmt: skip
    """Judge a finished run again; the exit code is the verdict's."""
    folder = _run_folder(path)
    if thresholds is None:
        assertions = _own_assertions(folder)
    else:
        assertions = scenario_files.load_thresholds(thresholds)
        check_all(assertions, str(thresholds))
    raise typer.Exit(_conclude(folder, assertions))


@app.command()
def experiment(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A matrix: base scenario, variants, seeds.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; the same again resumes. Default: runs/experiments/<name>.")
    ] = None,
) -> None:
    """Run a matrix of scenarios and compare them; resumable."""
    from harness.matrix import Matrix, assertions_of  # noqa: PLC0415 - drawing takes most of a second to import
    from reports.experiment import table  # noqa: PLC0415
    from reports.experiment.render import render_experiment  # noqa: PLC0415

    loaded, cells = load_experiment(file, planned_due)
    for cell in cells:
        check_all(assertions_of(cell), str(file))
    folder = (out or EXPERIMENTS / loaded.name).absolute()
    matrix = Matrix(loaded, cells, folder, _command())
    matrix.check_folder()
    print(f"{len(cells)} cells: {len(loaded.variants)} variants, {len(loaded.seeds)} seeds, into {folder}", flush=True)
    with Signals() as signals:
        finished = matrix.run(terminal.QuietView, lambda text: print(text, flush=True), signals)
    figures = matrix.figures()
    page = render_experiment(folder, figures)
    terminal.print_table(*table.brief(figures))
    print(f"\n{table.finding(figures)}.\nReport: {page}")
    if not finished:
        print("Interrupted; the same command goes on where it stopped.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(_experiment_code(figures))


def main() -> None:
    """The only place where an exception becomes an exit code; harness/__main__.py has set the signals."""
    sys.stdout = terminal.Steady(sys.stdout)
    try:
        app()
    except Stopped as stopped:
        _fail(f"{stopped}: stopped", 128 + stopped.number)
    except Interruption as interruption:
        _fail(f"{interruption}: stopped before the first upload", 128 + interruption.number)
    except HarnessError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.filename is None or error.errno not in _USERS_ERRNOS:
            raise
        _fail(f"{os.fsdecode(error.filename)}: {error.strerror}", ExitCode.USAGE)


def _fail(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


def _assertions(loaded: Scenario) -> list[str]:
    return [threshold.assertion for threshold in loaded.thresholds]


def _conclude(folder: RunFolder, assertions: list[str]) -> int:
    from harness.conclude import conclude  # noqa: PLC0415 - drawing takes most of a second to import

    return conclude(folder, assertions)


def _experiment_code(figures: ExperimentFigures) -> ExitCode:
    cells = [cell for variant in figures.variants for cell in variant.cells]
    if any(cell.safety is False for cell in cells):
        return ExitCode.FAILED
    return ExitCode.PASSED if all(cell.valid for cell in cells) else ExitCode.INVALID


def _own_assertions(folder: RunFolder) -> list[str]:
    try:
        return [str(threshold["assert"]) for threshold in folder.read_run().scenario.get("thresholds", [])]
    except (TypeError, KeyError, AttributeError):
        message = f"{folder.run_json}: its scenario's thresholds can't be read"
        raise BrokenRunError(message) from None


def _check_thresholds(source: str, loaded: Scenario) -> None:
    check_all(_assertions(loaded), source)


def _check_fits(source: str, misfits: list[str]) -> None:
    if misfits:
        label = f"{source} does not fit this machine"
        raise ConfigurationError(label, misfits)


def _check_target(target: str | None) -> None:
    if target is None:
        return
    try:
        parts = urlsplit(target)
        usable = parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
        usable = usable and parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable:
        message = f'--target "{target}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    if not _is_loopback(parts.hostname or ""):
        message = f"--target {target}: only servers on this machine (localhost, 127.0.0.0/8, ::1) may be loaded"
        raise UsageError(message)


def _check_ports(first: int, workers: int) -> None:
    for port in range(first, first + workers) if first else ():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                message = f"--metrics-port {first}: port {port} can't be had: {error.strerror}"
                raise UsageError(message) from None


def _is_loopback(host: str) -> bool:
    """By the address itself: a name other than localhost could lead anywhere."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _run_folder(path: Path) -> RunFolder:
    _check_name(path)
    return RunFolder(path if path.exists() or len(path.parts) > 1 else RUNS / path)


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        message = f"{os.fsencode(path)!r} is not UTF-8: choose another path"
        raise UsageError(message) from None


def _run_id(name: str) -> str:
    if not name.replace("-", "").replace("_", "").isalnum():
        message = f'--name "{name}" may have letters, digits, "-" and "_" only'
        raise UsageError(message)
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(2)}"


def _command() -> list[str]:
    return ["harness", *sys.argv[1:]]


def _late(stations: int) -> str:
    return f"{count(stations)} stations turn up after it" if stations else "all stations turn up before it"
