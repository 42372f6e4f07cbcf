"""What an upload costs a generator: every tool against the same nginx, one after the other, round by round."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers import nginx_sink as sinks
from benchmarks.peers.cost_figures import CostRound, compute_cost
from benchmarks.peers.schedule import Trial, TrialSchedule
from benchmarks.peers.tools import Tool
from harness.base.errors import ProcessFailedError


@dataclass(frozen=True)
class CostCase:
    """A load."""

    name: str
    title: str
    size_bytes: int
    rate_per_s: float | None
    connections: int
    of_ours: bool = False
    """It is about ours, and how far it is from the floor; the others don't take part."""


COST_CASES = (
    CostCase("small", "1 KB, 3,000/s", 1_000, 3_000, 50),
    CostCase("photos", "500 KB, 500/s", 500_000, 500, 25),
    CostCase("saturation", "1 KB, as fast as it can", 1_000, None, 64, of_ours=True),
)


def measure_cost(turns: TrialSchedule) -> list[CostRound]:
    """What every tool costs in every case. Raises ChildError if the sink doesn't do what it has to."""
    costs: list[CostRound] = []
    with sinks.running_nginx(turns.folder / "nginx", turns.cores.server) as sink:
        for case in COST_CASES:
            if not sink.reads_bodies(case.size_bytes):
                message = f"nginx answered before it had read {case.size_bytes:,} bytes: what it costs to send them can't be told"
                raise ProcessFailedError(message)
        for case, cost in turns.take(
            COST_CASES, takes_part_in_cost, lambda turn, case: _measure_trial(turn, case, sink)
        ):
            costs.append(cost)
            turns.say(_format_cost(case, cost))
    return costs


def takes_part_in_cost(tool: Tool, case: CostCase, _number: int) -> bool:
    """Whether a tool has a turn."""
    return tool.name == "ours" or tool.is_floor or not case.of_ours


def _measure_trial(turn: Trial, case: CostCase, sink: sinks.NginxSink) -> CostRound:
    sink.forget()
    _, played = turn.play(sink.url, case, case.size_bytes, turn.seconds, case.connections)
    answered = sink.answered()
    good = [one.at_s for one in answered if one.status == 201 and one.bytes_read > case.size_bytes]
    errors = played.reading.errors + len(answered) - len(good)
    return compute_cost(turn.tool.name, case.name, turn.number, good, played.tally, errors)


def _format_cost(case: CostCase, cost: CostRound) -> str:
    return (
        f"{case.title}: {cost.tool}: {cost.per_s:,.0f}/s, {cost.cpu_us:.0f} µs of CPU each, "
        f"{cost.core_ratio:.0%} of a core, {cost.peak_mb:.0f} MB"
    )
