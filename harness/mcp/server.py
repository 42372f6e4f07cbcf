"""The tools of `tools.py` as a Model Context Protocol server, by the official SDK (extra `mcp`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from harness import __version__
from harness.base.errors import HarnessError
from harness.mcp.tools import RunQuestions

INSTRUCTIONS = (
    "Runs of upload-harness, which load-tests photo-upload servers. Begin with list_runs; explain_verdict says why a run failed or "
    "is INVALID; describe_tables and query_rows read every attempt, page and station. simulate_scenario plays a scenario in virtual "
    "time. No tool sends load."
)
Answer = TypeVar("Answer")


def make_server(runs: Path) -> MCPServer[Any]:
    """The server for the runs in a folder."""
    server: MCPServer[Any] = MCPServer(
        "upload-harness", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR"
    )
    questions = RunQuestions(runs)
    reading = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    for tool in (
        questions.list_runs, questions.summarise_run, questions.explain_verdict, questions.describe_tables, questions.query_rows,
        questions.list_scenarios,
    ):  # fmt: skip
        server.add_tool(_reported(tool), annotations=reading)
    playing = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    server.add_tool(_reported(questions.simulate_scenario), annotations=playing)

    @wraps(questions.chart)
    def chart(run: Any, name: Any) -> Image:
        return Image(data=questions.chart(run, name), format="png")

    chart.__annotations__ = {**questions.chart.__annotations__, "return": Image}
    server.add_tool(_reported(chart), annotations=reading, structured_output=False)
    return server


def _reported(tool: Callable[..., Answer]) -> Callable[..., Answer]:
    """The tool with errors of the harness as answers that an agent can act on, instead of "internal error"."""

    @wraps(tool)
    def answer(*args: Any, **named: Any) -> Answer:
        try:
            return tool(*args, **named)
        except HarnessError as error:
            raise ToolError(str(error)) from None

    return answer
