"""`python -m benchmarks.peers`: the generator against others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.cli.app import main
from harness.cli.options import check_name
from reports import terminal


def bench(
    only: Annotated[str | None, typer.Option(metavar="PART", help="truth (do they tell the truth?) or cost (CPU an upload); default: both.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=3, max=600, help="Length of a round.")] = 5.0,
    quick: Annotated[bool, typer.Option("--quick", help="One round, to try it: no figure to quote.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where results.json, tables.md and the chart go; default: bench-<time>.")] = None,
) -> None:  # fmt: skip
    """Measure the generator beside wrk, hey, k6 and stock Locust: whether it tells the truth, and what an upload costs."""
    from benchmarks.peers import session, tables  # noqa: PLC0415 - what no other command needs

    if only is not None and only not in session.PARTS:
        message = f"--only: {only!r} is not one of {', '.join(session.PARTS)}"
        raise UsageError(message)
    if out is not None:
        check_name(out)
    folder = out or session.default_folder()
    if folder.exists() and not folder.is_dir():
        message = f"--out: {folder} is a file: name a folder"
        raise UsageError(message)
    folder.mkdir(parents=True, exist_ok=True)  # a place that can't be written is told now, not after the rounds
    parts = session.PARTS if only is None else (only,)
    held = 1 if quick else rounds
    terminal.print_lines(
        [f"This takes about {session.estimate_minutes(parts, held, seconds):.0f} minutes; leave the machine alone."]
    )
    measured = session.run_session(parts, held, seconds, lambda text: terminal.print_lines([text]))
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
