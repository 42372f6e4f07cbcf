"""The `harness` command: which commands there are, and how an exception becomes an exit code.

Only the module of the invoked command is imported. All of them together import NumPy, DuckDB, Matplotlib and pydantic, which takes
most of a second: too long for `--help` and shell completion.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from harness import __version__
from harness.base.address import mask_credentials
from harness.base.errors import ExitCode, HarnessError, describe_shortage
from harness.base.garbage import without_collections
from harness.base.signals import ImmediateExit, Interruption
from reports.output_guard import OutputGuard

_USAGE_ERRNOS = frozenset(
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
"""A path that can't be used as the user wrote it: exit code 2 instead of a traceback."""


_ADDRESS = re.compile(r"^\d+$|^[^/]*:[^/.]*$")
"""What can only be meant as the address of `--web`: a number, or with a colon but no path. The name of a scenario is neither."""


class LazyCommand(NamedTuple):
    """A command whose module is imported only when it is invoked."""

    function: str
    """module:function below harness.cli."""
    help: str
    """First paragraph of the function's docstring; a test compares the two."""
    only_prints: bool = False
    """What it prints is all it gives, so that it has failed if that could not be written; other commands write files."""
    passes_options: bool = False
    """Options that it does not know are arguments, for the program that it starts."""


COMMANDS = {
    "scenarios": LazyCommand("scenarios:scenarios", "List the built-in scenarios and experiments.", only_prints=True),
    "init": LazyCommand("init:init", "Write NAME.toml, a commented scenario to start from."),
    "schema": LazyCommand(
        "schema:schema",
        "Print the JSON Schema of a file, for editors and validators: scenario, experiment, capacity, profile or thresholds.",
        only_prints=True,
    ),
    "validate": LazyCommand(
        "validate:validate", "Check a scenario: size, peak rates, does it fit this machine.", only_prints=True
    ),
    "try": LazyCommand(
        "try_target:try_target",
        "Send one station's pages to a server of yours and print each request, its answer, and what it was taken for.",
        only_prints=True,
    ),
    "run": LazyCommand("run:run", "Run a scenario: drive the load, judge it, write the report."),
    "simulate": LazyCommand(
        "simulate:simulate", "Play a scenario in virtual time, in seconds: the same run folder, judged the same way."
    ),
    "capacity": LazyCommand(
        "capacity:capacity",
        "Search how much of a resource a scenario needs to meet its goal. Exit code 0 found, 99 not in the range, 3 can't tell.",
    ),
    "fit": LazyCommand("fit:fit", "Fit a simulation to measured runs and write it as a scenario for harness simulate."),
    "worker": LazyCommand(
        "worker:worker", "Start a worker for a run led by another machine (harness run --remote-workers)."
    ),
    "report": LazyCommand("report:report", "Write the report of a run again, from its folder alone."),
    "gate": LazyCommand(
        "gate:gate",
        "Judge a finished run again; the exit code is the verdict's. With --thresholds nothing is written.",
    ),
    "audit": LazyCommand(
        "audit:audit", "Audit what became of every page of a run. Exit code 0 safe, 99 not safe, 3 unknown."
    ),
    "experiment": LazyCommand(
        "experiment:experiment", "Run a matrix of scenarios and compare them; resumes if interrupted."
    ),
    "compare": LazyCommand(
        "compare:compare", "Check whether RUN is worse than BASE. Exit code 0 no, 99 yes, 3 can't tell."
    ),
    "calibrate": LazyCommand("calibrate:calibrate", "Measure run-to-run noise; report the smallest detectable change."),
    "export": LazyCommand(
        "export:export", "Export the scrapes or the rows of a run for another program.", only_prints=True
    ),
    "powercut": LazyCommand(
        "powercut:powercut",
        "Run a server with its data on a disk whose power is cut: what was not synced is lost. Needs root and FUSE.",
    ),
    "locust": LazyCommand(
        "locust:locust",
        "Start Locust itself with the harness's users: its web UI, or --headless. For exploring; nothing is judged.",
        passes_options=True,
    ),
    "mcp": LazyCommand(
        "mcp:mcp",
        "Serve a folder of runs to agents by the Model Context Protocol, on standard input and output; read-only.",
    ),
    "doctor": LazyCommand(
        "doctor:doctor",
        "Check whether this machine is fit to measure and what to change. Exit code 0 fit, 3 unfit.",
        only_prints=True,
    ),
    "list": LazyCommand(
        "list:list_runs", "List earlier runs with their verdicts and key figures, newest first.", only_prints=True
    ),
    "history": LazyCommand(
        "history:history",
        "Show how a scenario's runs came out over time, and mark changes beyond the calibrated noise.",
    ),
}


class LazyGroup(TyperGroup):
    """Lists every command from `COMMANDS`, and imports a command's module when its name has been parsed."""

    def __init__(self, **attributes: Any) -> None:
        """Takes what TyperGroup takes."""
        super().__init__(**attributes)
        # Stand-ins with name and help only: enough for --help, completion and "did you mean".
        self.commands = {name: TyperCommand(name, help=command.help) for name, command in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with; from here on it is the real one."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


class CommandWithWeb(TyperCommand):
    """A command whose option --web may stand without its value: typer knows no optional values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        return super().parse_args(ctx, complete_web(args))


def complete_web(arguments: list[str]) -> list[str]:
    """The arguments with the default address for a `--web` that is given without one.

    >>> complete_web(["--web", "smoke"]), complete_web(["smoke", "--web", "8080"])
    (['--web=127.0.0.1:0', 'smoke'], ['smoke', '--web', '8080'])
    """
    following = [*arguments[1:], ""]
    return [
        "--web=127.0.0.1:0" if one == "--web" and not _ADDRESS.search(after) else one
        for one, after in zip(arguments, following, strict=False)
    ]


def load_command(name: str) -> TyperCommand:
    """A command with its options; each option is also read from the environment, as HARNESS_<COMMAND>_<OPTION>."""
    module, _, function = COMMANDS[name].function.partition(":")
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    with without_collections():  # importing makes hundreds of thousands of objects, of which none is garbage
        imported = import_module(f"harness.cli.{module}")
    settings = {"ignore_unknown_options": COMMANDS[name].passes_options}
    single.command(name, cls=CommandWithWeb, context_settings=settings)(getattr(imported, function))
    command = typer.main.get_command(single)
    if not isinstance(command, TyperCommand):
        raise TypeError(type(command))
    for option in command.params:
        if isinstance(option, TyperOption) and option.name != "help":
            declared = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
            # set here and not by `auto_envvar_prefix`, which would name --set after its Python parameter
            option.envvar = [variable_of(name, option.opts), *declared]
            option.show_envvar = False  # twice the length of every help page; the group's help has the rule
    return command


def variable_of(command: str, spellings: list[str]) -> str:
    """The environment variable of an option, by its longest spelling.

    >>> variable_of("run", ["--metrics-port"])
    'HARNESS_RUN_METRICS_PORT'
    """
    return "_".join(["HARNESS", command, *max(spellings, key=len).strip("-").split("-")]).upper()


app = typer.Typer(
    name="harness",
    cls=LazyGroup,
    help=(
        "Load-test a photo-upload server: plan, drive, measure, judge, report.\n\n"
        "Every option can also be set in the environment, as HARNESS_<COMMAND>_<OPTION>: HARNESS_RUN_WORKERS=2."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of `harness` itself."""


def main(application: typer.Typer = app) -> None:
    """Run a command and exit. The only place where an exception becomes an exit code; harness/__main__.py sets the signals."""
    sys.stdout, sys.stderr = output, errors = OutputGuard(sys.stdout), OutputGuard(sys.stderr)
    code = _exit_code_of(application)
    output.flush()
    if output.failure is not None:
        errors.write(f"output was lost: standard output could not be written: {output.failure.strerror}\n")
        command = COMMANDS.get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
        if code == 0 and (command is None or command.only_prints):
            code = ExitCode.INVALID
    errors.flush()
    sys.exit(code)


def _exit_code_of(application: typer.Typer) -> int:
    try:
        application()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (ImmediateExit, Interruption) as stopped:
        when = "" if isinstance(stopped, ImmediateExit) else " before the first upload"
        return _fail(f"{stopped}: stopped{when}", 128 + stopped.number)
    except HarnessError as error:
        return _fail(str(error), error.exit_code)
    except (OSError, RuntimeError) as error:
        if shortage := describe_shortage(error):
            text = f"{shortage}\nFree some, then write the report with: harness report RUN"
            return _fail(text, ExitCode.INVALID)
        # Anything else is a bug, and its traceback is wanted.
        if not isinstance(error, OSError) or error.filename is None or error.errno not in _USAGE_ERRNOS:
            raise
        return _fail(f"{os.fsdecode(error.filename)}: {error.strerror}", ExitCode.USAGE)
    return ExitCode.PASSED


def _fail(text: str, code: int) -> int:
    from reports.number_format import escape_control_characters  # noqa: PLC0415 - imports pydantic

    # The text may quote a file or a server, which must not steer the terminal, or a URL with a password.
    sys.stderr.write(escape_control_characters(mask_credentials(text), keep="\n\t") + "\n")
    return code
