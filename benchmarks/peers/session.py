"""A whole bench: which tools are there, what is measured in which order, and where it is written."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from matplotlib import rc_context

from benchmarks.peers import accuracy, chart, cost, nginx_sink, results, tables
from benchmarks.peers.results import Peer, Results
from benchmarks.peers.round import split_cores
from benchmarks.peers.schedule import TrialSchedule
from benchmarks.peers.tools import TOOLS
from harness.base import host_info
from reports import palette, svg

PARTS = ("truth", "cost")
PNG_DPI = 150


def run_session(parts: Sequence[str], rounds: int, seconds: float, say: Callable[[str], None]) -> Results:
    """Measure these parts. Raises UsageError where the sink is missing, ChildError where a server of ours fails.

    A tool that is not installed or fails in a round is in the results by its name. Rounds' files are kept nowhere.
    """
    if "cost" in parts:
        nginx_sink.find_nginx()
    binaries = {tool.name: found for tool in TOOLS if (found := tool.find()) is not None}
    peers = [
        Peer(
            name=tool.name,
            version=tool.version(binaries[tool.name]) if tool.name in binaries else None,
            advice=tool.advice,
        )
        for tool in TOOLS
    ]
    for peer in peers:
        say(f"{peer.name} {peer.version}" if peer.version else tables.missing_tool(peer))
    cores, failures = split_cores(), list[str]()

    def fail(text: str) -> None:
        failures.append(text)
        say(text)

    load, at = os.getloadavg()[0], datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as name:
        turns = {part: TrialSchedule(binaries, rounds, seconds, Path(name) / part, cores, say, fail) for part in parts}
        told = accuracy.measure_accuracy(turns["truth"]) if "truth" in parts else []
        costs = cost.measure_cost(turns["cost"]) if "cost" in parts else []
    return Results(
        at=at,
        host={
            key: value
            for key, value in host_info.describe_host().items()
            if key in {"cpu", "cores", "system", "memory_bytes"}
        },
        load_average=load,
        generator_cores=sorted(cores.generator),
        server_cores=sorted(cores.server),
        rounds=rounds,
        seconds=seconds,
        peers=peers,
        truth=told,
        cost=costs,
        failures=failures,
    )


def write(folder: Path, measured: Results) -> list[Path]:
    """results.json, tables.md and, if costs were measured, cost.svg and cost.png; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json", folder / "tables.md"]
    results.write(written[0], measured)
    written[1].write_text(tables.markdown(measured), "utf-8")
    if measured.cost:
        with rc_context(palette.STYLE):
            figure = chart.draw(measured)
            (folder / "cost.svg").write_text(svg.to_svg(figure), "utf-8")
            figure.savefig(folder / "cost.png", dpi=PNG_DPI, metadata={"Software": None})
        written += [folder / "cost.svg", folder / "cost.png"]
    return written


def estimate_minutes(parts: Sequence[str], rounds: int, seconds: float) -> float:
    """About how long `run_session` takes with all tools there: each adds some seconds of starting and ending to a round."""
    starting_s = 3.0
    turns = [(tool, number) for tool in TOOLS for number in range(rounds)]
    of_truth = sum(
        accuracy.takes_part(tool, case, number) for case in accuracy.ACCURACY_CASES for tool, number in turns
    )
    of_cost = sum(cost.takes_part_in_cost(tool, case, number) for case in cost.COST_CASES for tool, number in turns)
    played = ("truth" in parts) * of_truth + ("cost" in parts) * of_cost
    return played * (seconds + starting_s) / 60


def default_folder() -> Path:
    """Where results go if nobody says."""
    return Path(f"bench-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
