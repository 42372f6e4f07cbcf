"""`harness locust`: Locust's own commands and web UI with the harness's users."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from harness.runner.launch import LOCUSTFILE, PYTHON_COMMAND


def locust(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="LOCUST_OPTION...", help="Locust's own options; harness locust -- --help lists them.")] = None,
) -> None:  # fmt: skip
    """Start Locust itself with the harness's users: its web UI, or --headless. For exploring; nothing is judged."""
    sys.stdout.flush()
    # Locust takes this process's place: signals and the exit code are its own.
    os.execv(  # noqa: S606
        sys.executable, [*PYTHON_COMMAND, "harness.drive", "-f", str(LOCUSTFILE), *(arguments or [])]
    )
