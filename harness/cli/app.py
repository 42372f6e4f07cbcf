"""The command line: which commands there are (`harness/cli/`), and how an exception becomes an exit code."""

from __future__ import annotations

import errno
import os
import sys

import typer

from harness.base.errors import RESOURCE_ERRNOS, ExitCode, HarnessError, describe_exhaustion
from harness.base.signals import ImmediateExit
from harness.cli import audit, compare, doctor, experiment, export, report, run, scenario, worker
from harness.runner.subprocesses import Interruption
from reports import terminal
from reports.number_format import escape_control_characters

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
"""A path that can't be used as the user wrote it."""

app = typer.Typer(
    name="harness",
    help="Load-test a photo-upload server: plan, drive, measure, judge, report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


for command in (
    scenario.scenarios, scenario.init, scenario.validate, run.run, worker.worker, report.report, report.gate, audit.audit,
    experiment.experiment, compare.compare, compare.calibrate, export.export, doctor.doctor,
):  # fmt: skip
    app.command()(command)
app.command("list")(report.list_runs)


def main(application: typer.Typer = app) -> None:
    """The only place where an exception becomes an exit code; harness/__main__.py has set the signals."""
    sys.stdout = terminal.BrokenPipeGuard(sys.stdout)
    try:
        application()
    except ImmediateExit as stopped:
        _fail(f"{stopped}: stopped", 128 + stopped.number)
    except Interruption as interruption:
        _fail(f"{interruption}: stopped before the first upload", 128 + interruption.number)
    except HarnessError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno in RESOURCE_ERRNOS:
            _fail(
                f"{describe_exhaustion(error)}\nMake room; harness report RUN then draws what is known.",
                ExitCode.INVALID,
            )
        if error.filename is None or error.errno not in _USAGE_ERRNOS:
            raise
        _fail(f"{os.fsdecode(error.filename)}: {error.strerror}", ExitCode.USAGE)


def _fail(text: str, code: int) -> None:
    sys.stderr.write(
        escape_control_characters(text, leave="\n\t") + "\n"
    )  # a file's own words may hold what steers a terminal
    sys.exit(code)
