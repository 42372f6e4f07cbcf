"""A whole benchmark: which tools are installed, what is measured in which order, and where the results are written."""

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
from benchmarks.peers.schedule import TOOLS, TrialSchedule
from harness.base.host import describe_host
from reports import palette
from reports.drawing import write_figure

PARTS = ("truth", "cost")
_STARTING_S = 3.0
"""What starting and ending add to the length of a trial, about."""


def run_session(parts: Sequence[str], rounds: int, seconds: float, log: Callable[[str], None]) -> Results:
    """Measure these parts; `log` is called with a line of text after each trial.

    A tool that is not installed or fails in a round is named in the results. Raises UsageError if nginx is missing,
    ProcessFailedError if a server of the benchmark fails. The files of the rounds are deleted.
    """
    if "cost" in parts:
        nginx_sink.find_nginx()  # fail before half an hour of rounds, not after
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
        log(f"{peer.name} {peer.version}" if peer.version else tables.missing_tool(peer))
    cores, failures = split_cores(), list[str]()

    def report_failure(text: str) -> None:
        failures.append(text)
        log(text)

    load_average, at = os.getloadavg()[0], datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as name:
        schedules = {
            part: TrialSchedule(binaries, rounds, seconds, Path(name) / part, cores, log, report_failure)
            for part in parts
        }
        accuracies = accuracy.measure_accuracy(schedules["truth"]) if "truth" in parts else []
        costs = cost.measure_cost(schedules["cost"]) if "cost" in parts else []
    host = describe_host()
    return Results(
        at=at,
        host={key: value for key, value in host.items() if key in {"cpu", "cores", "system", "memory_bytes"}},
        load_average=load_average,
        generator_cores=sorted(cores.generator),
        server_cores=sorted(cores.server),
        rounds=rounds,
        seconds=seconds,
        peers=peers,
        truth=accuracies,
        cost=costs,
        failures=failures,
    )


def write(folder: Path, measured: Results) -> list[Path]:
    """Write results.json, tables.md and, if costs were measured, cost.svg and cost.png; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "results.json", folder / "tables.md"]
    results.write(written[0], measured)
    written[1].write_text(tables.markdown(measured), "utf-8")
    if measured.cost:
        with rc_context(palette.STYLE):
            write_figure(chart.draw(measured), folder, "cost")
        written += [folder / "cost.svg", folder / "cost.png"]
    return written


def estimate_minutes(parts: Sequence[str], rounds: int, seconds: float) -> float:
    """About how long `run_session` takes if all tools are installed."""
    turns = [(tool, number) for tool in TOOLS for number in range(rounds)]
    of_truth = sum(
        accuracy.takes_part(tool, case, number) for case in accuracy.ACCURACY_CASES for tool, number in turns
    )
    of_cost = sum(cost.takes_part_in_cost(tool, case, number) for case in cost.COST_CASES for tool, number in turns)
    trials = ("truth" in parts) * of_truth + ("cost" in parts) * of_cost
    return trials * (seconds + _STARTING_S) / 60


def default_folder() -> Path:
    """The folder for results if none is given: bench-<UTC time>."""
    return Path(f"bench-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
