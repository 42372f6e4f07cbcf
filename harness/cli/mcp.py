"""`harness mcp`: run folders for agents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.cli.runs import RUNS


def mcp(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder with the runs.")] = RUNS,
) -> None:
    """Serve a folder of runs to agents by the Model Context Protocol, on standard input and output; read-only.

    Needs the extra mcp: pip install "upload-harness[mcp]". No tool sends load; simulate_scenario plays in virtual time.
    """
    try:
        from harness.mcp.server import make_server  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        message = 'harness mcp needs the Model Context Protocol SDK: pip install "upload-harness[mcp]"'
        raise UsageError(message) from None
    # the protocol needs the stream below the guard that makes a closed pipe a message
    if sys.__stdout__ is not None:
        sys.stdout = sys.__stdout__
    make_server(folder).run("stdio")
