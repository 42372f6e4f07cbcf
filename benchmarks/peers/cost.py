"""What an upload costs a generator: every tool against the same nginx, one after the other, round by round."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers import nginx_sink as sinks
from benchmarks.peers.cost_figures import Cost, cost_of
from benchmarks.peers.schedule import Turn, Turns
from benchmarks.peers.tools import Tool
from harness.base.errors import ChildError


@dataclass(frozen=True)
class Case:
    """A load."""

    name: str
    title: str
    size_bytes: int
    rate_per_s: float | None
    connections: int
    of_ours: bool = False
    """It is about ours, and how far it is from the floor; the others don't take part."""


CASES = (
    Case("small", "1 KB, 3,000/s", 1_000, 3_000, 50),
    Case("photos", "500 KB, 500/s", 500_000, 500, 25),
    Case("saturation", "1 KB, as fast as it can", 1_000, None, 64, of_ours=True),
)


def measure(turns: Turns) -> list[Cost]:
    """What every tool costs in every case. Raises ChildError if the sink doesn't do what it has to."""
    costs: list[Cost] = []
    with sinks.running(turns.folder / "nginx", turns.cores.server) as sink:
        for case in CASES:
            if not sink.reads_bodies(case.size_bytes):
                message = f"nginx answered before it had read {case.size_bytes:,} bytes: what it costs to send them can't be told"
                raise ChildError(message)
        for case, cost in turns.take(CASES, plays, lambda turn, case: _one(turn, case, sink)):
            costs.append(cost)
            turns.say(_said(case, cost))
    return costs


def plays(tool: Tool, case: Case, _number: int) -> bool:
    """Whether a tool has a turn."""
    return tool.name == "ours" or tool.is_floor or not case.of_ours


def _one(turn: Turn, case: Case, sink: sinks.Sink) -> Cost:
    sink.forget()
    _, played = turn.play(sink.url, case, case.size_bytes, turn.seconds, case.connections)
    answered = sink.answered()
    good = [one.at_s for one in answered if one.status == 201 and one.bytes_read > case.size_bytes]
    errors = played.reading.errors + len(answered) - len(good)
    return cost_of(turn.tool.name, case.name, turn.number, good, played.tally, errors)


def _said(case: Case, cost: Cost) -> str:
    return (
        f"{case.title}: {cost.tool}: {cost.per_s:,.0f}/s, {cost.cpu_us:.0f} µs of CPU each, "
        f"{cost.core_ratio:.0%} of a core, {cost.peak_mb:.0f} MB"
    )
