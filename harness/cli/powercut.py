"""`harness powercut`: the user's own server on a disk that loses in a power cut what was not synced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.runner.power_cuts import PowerCutPlan, ServerOnCutDisk
from mock_server.profile.units import duration_s


def powercut(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The server's data folder; it must exist.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="How to start the server, behind --; in the foreground.")],
    after: Annotated[str, typer.Option(metavar="DURATION", help="Cut the power so long after each start of the command, or at SIGUSR1.")] = "10s",
    times: Annotated[int, typer.Option(min=0, max=1000, help="How often; afterwards the command runs on.")] = 1,
    restart_after: Annotated[str, typer.Option(metavar="DURATION", help="Start the command again after so long.")] = "2s",
    torn: Annotated[bool, typer.Option("--torn", help="Leave some of what was not synced on the disk: pages of a write, names of files.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Which part --torn leaves.")] = 1,
) -> None:  # fmt: skip
    """Run a server with its data on a disk whose power is cut: what was not synced is lost. Needs root and FUSE."""
    if not folder.is_dir():
        message = f"{folder} is not a folder: name the folder that the server keeps its data in"
        raise UsageError(message)
    plan = PowerCutPlan(_seconds("--after", after), times, _seconds("--restart-after", restart_after), torn, seed)
    with SignalHandler() as signals:
        code = ServerOnCutDisk(folder, command, plan, lambda text: print(text, flush=True)).run(signals)
    if signals.received is not None:
        raise typer.Exit(128 + signals.received)
    raise typer.Exit(1 if code is not None and code < 0 else code or 0)


def _seconds(option: str, text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        message = f'{option} "{text}" {error}'
        raise UsageError(message) from None
