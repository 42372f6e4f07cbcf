"""What an upload costs a generator: every tool against the same nginx, one after the other, round by round."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.bench import sink as sinks
from harness.bench.cost_figures import Cost, cost_of
from harness.bench.peers import TOOLS, Tool
from harness.bench.peers.tool import Job, UnreadableOutputError
from harness.bench.rounds import Cores, play
from harness.errors import ChildError


@dataclass(frozen=True)
class Case:
    """A load."""

    name: str
    title: str
    size_bytes: int
    rate_per_s: float | None
    connections: int
    only_ours: bool = False


CASES = (
    Case("small", "1 KB, 3,000/s", 1_000, 3_000, 50),
    Case("photos", "500 KB, 500/s", 500_000, 500, 25),
    Case("saturation", "1 KB, as fast as it can", 1_000, None, 64, only_ours=True),
)


def measure(
    binaries: Mapping[str, str],
    rounds: int,
    seconds: float,
    folder: Path,
    cores: Cores,
    say: Callable[[str], None],
    fail: Callable[[str], None],
) -> list[Cost]:
    """Every tool in every case, `rounds` times, the tools taking turns within a round.

    `binaries`: tool -> path, of those that are there. Raises ChildError if the sink doesn't do what it has to; a tool that
    fails in a round is told to `fail`, and its round is missing.
    """
    costs: list[Cost] = []
    with sinks.running(folder / "nginx", cores.server) as sink:
        for case in CASES:
            if not sink.reads_bodies(case.size_bytes):
                message = f"nginx answered before it had read {case.size_bytes:,} bytes: what it costs to send them can't be told"
                raise ChildError(message)
        for number in range(rounds):
            for case in CASES:
                for tool in TOOLS:
                    if tool.name in binaries and (tool.name == "ours" or not case.only_ours):
                        where = folder / f"{case.name}-{number}-{tool.name.replace(' ', '-')}"
                        try:
                            cost = _one(tool, binaries[tool.name], case, seconds, number, where, cores, sink)
                        except (ChildError, UnreadableOutputError, ValueError) as error:
                            fail(f"{case.title}, round {number + 1}: {tool.name}: {error}")
                            continue
                        costs.append(cost)
                        say(_said(case, cost))
    return costs


def _one(
    tool: Tool, binary: str, case: Case, seconds: float, number: int, folder: Path, cores: Cores, sink: sinks.Sink
) -> Cost:
    folder.mkdir(parents=True)
    body = folder / "body"
    body.write_bytes(os.urandom(case.size_bytes))
    rate = case.rate_per_s if tool.keeps_rate else None
    sink.forget()
    played = play(tool, binary, Job(sink.url, body, seconds, case.connections, folder, rate), cores)
    answered = sink.answered()
    good = [one.at_s for one in answered if one.status == 201 and one.bytes_read > case.size_bytes]
    errors = played.reading.errors + len(answered) - len(good)
    return cost_of(tool.name, case.name, number, good, played.tally, errors)


def _said(case: Case, cost: Cost) -> str:
    return (
        f"{case.title}: {cost.tool}: {cost.per_s:,.0f}/s, {cost.cpu_us:.0f} µs of CPU each, "
        f"{cost.core_ratio:.0%} of a core, {cost.peak_mb:.0f} MB"
    )
