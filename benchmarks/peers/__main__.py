"""`python -m benchmarks.peers`: compare our generator with others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.cli.app import main
from harness.cli.options import check_name
from reports import terminal


def bench(
    only: Annotated[str | None, typer.Option(metavar="PART", help="truth (accuracy of response times) or cost (CPU per upload); default: both.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Number of rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=3, max=600, help="Length of a round.")] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="A single round, for a trial run; do not quote its figures.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results.json, tables.md and the chart; default: bench-<time>.")] = None,
) -> None:  # fmt: skip
    """Compare our generator with wrk, hey, k6 and stock Locust: accuracy of response times, and CPU per upload."""
    from benchmarks.peers import session, tables  # noqa: PLC0415 - --help needs no matplotlib

    if only is not None and only not in session.PARTS:
        message = f"--only: {only!r} is not one of {', '.join(session.PARTS)}"
        raise UsageError(message)
    if out is not None:
        check_name(out)
    folder = out or session.default_folder()
    if folder.exists() and not folder.is_dir():
        message = f"--out: {folder} is a file, a folder is needed"
        raise UsageError(message)
    folder.mkdir(parents=True, exist_ok=True)  # fails now if it cannot be written, not after half an hour
    parts = session.PARTS if only is None else (only,)
    count = 1 if quick else rounds
    terminal.print_lines(
        [
            f"This takes about {session.estimate_minutes(parts, count, seconds):.0f} minutes. Do not use the machine meanwhile."
        ]
    )
    measured = session.run_session(parts, count, seconds, lambda text: terminal.print_lines([text]))
    for section in tables.sections(measured):
        terminal.print_lines(["", section.title])
        terminal.print_table(section.headers, section.rows)
        terminal.print_lines(section.notes)
    terminal.print_lines(
        ["", tables.describe_machine(measured), *(f"Written: {path}" for path in session.write(folder, measured))]
    )


if __name__ == "__main__":
    application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    application.command()(bench)
    main(application)
