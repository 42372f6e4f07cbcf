"""What a bench has measured, as tables: for the terminal and, as Markdown, for docs/explanation/measuring.md. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import accuracy_curves, cost, cost_figures
from benchmarks.peers.accuracy_curves import LATENESS_GOAL, AccuracySummary, PercentileError
from benchmarks.peers.results import Peer, Results
from benchmarks.peers.spread import RoundStats

_SHOWN = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p99_9": "p99.9"}
_FROZEN = {**_SHOWN, "max": "max"}
TITLES = {case.name: case.title for case in cost.COST_CASES}


@dataclass(frozen=True)
class Section:
    """A table under a title; notes below it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def sections(results: Results) -> list[Section]:
    """Goals first, then truth, then cost; what was not measured is left out, what is missing is named."""
    told, costs = accuracy_curves.summarise_accuracy(results.truth), cost_figures.summarise_costs(results.cost)
    found = [_goals(told, costs)]
    well = [line for line in told if "frozen" not in line.case]
    frozen = [line for line in told if "frozen" in line.case]
    absent = [missing_tool(peer) for peer in results.missing]
    if well:
        found.append(_truth("Response times as told, and how far they are from the truth (ms)", _SHOWN, well, absent))
    if frozen:
        found.append(_frozen(frozen, absent))
    for case in cost.COST_CASES:
        of_case = [line for line in costs if line.case == case.name]
        if of_case:
            found.append(_cost(case, of_case, [] if case.of_ours else absent))
    return found


def markdown(results: Results) -> str:
    """All tables, with where and how they were measured."""
    parts = [describe_machine(results)]
    for section in sections(results):
        rows = [section.headers, ["---"] * len(section.headers), *section.rows]
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        parts += [f"**{section.title}**", table, *section.notes]
    if results.failures:
        parts.append("Rounds that are missing:\n" + "\n".join(f"- {failure}" for failure in results.failures))
    return "\n\n".join(parts) + "\n"


def describe_machine(results: Results) -> str:
    """Where and how the bench was held, in a sentence or two."""
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in results.peers if peer.version is not None)
    host = results.host
    return (
        f"{results.at[:10]}, {host['cpu'] or 'unknown CPU'}, {host['cores']} cores, {host['system']}; "
        f"load average {results.load_average:.1f} before it began. {versions}. "
        f"{_plural(results.rounds, 'round')} of {results.seconds:g} s{_fewer_rounds(results)}, the tools taking turns; generators on core "
        f"{_cores(results.generator_cores)}, servers on {_cores(results.server_cores)}."
    )


def _fewer_rounds(results: Results) -> str:
    """How many rounds of truth the other tools had, where those were fewer: what is judged there is ours."""
    of_others = [truth for truth in results.truth if truth.tool != "ours"]
    counts = Counter((truth.case, truth.tool) for truth in of_others)
    most = max(counts.values(), default=results.rounds)
    return "" if most >= results.rounds else f" ({most} of truth for the others)"


def missing_tool(peer: Peer) -> str:
    """That a tool is not there, and what to do about it."""
    return f"{peer.name} is not installed: {peer.advice}"


def _goals(told: Sequence[AccuracySummary], costs: Sequence[cost_figures.CostSummary]) -> Section:
    ours = [line for line in told if line.tool == "ours"]
    rows = [_truth_goal(line) for line in ours] + [
        _lateness_goal(line) for line in ours if line.case == LATENESS_GOAL[0]
    ]
    judged = cost_figures.evaluate_goals(costs) if costs else []
    rows += [_cost_goal(one) for one in judged]
    return Section("Goals", ("goal", "measured", ""), rows)


def _truth_goal(line: AccuracySummary) -> list[str]:
    worst = max(
        (said for name, said in line.said.items() if name != "max"), key=lambda said: said.far_s / said.allowed_s
    )
    goal = f"truth at {line.case}: p50 to p99 within max(2 ms, 2 %), p99.9 within max(10 ms, 5 %)"
    return [goal, f"farthest {worst.far_s * 1e3:.1f} of {worst.allowed_s * 1e3:.1f} ms", _goal_result(line.holds)]


def _lateness_goal(line: AccuracySummary) -> list[str]:
    limit_s, late_s = LATENESS_GOAL[1], line.lateness.get("p99")
    measured = "not measured" if late_s is None else f"{late_s * 1e3:.1f} ms"
    goal = f"lateness at {line.case} from one core: p99 at most {limit_s * 1e3:g} ms"
    return [goal, measured, _goal_result(None if late_s is None else late_s <= limit_s)]


def _cost_goal(judged: cost_figures.GoalResult) -> list[str]:
    goal, measured = judged.goal, judged.measured
    if not goal.against:
        said = "not measured" if measured is None else _format_range(measured, ",.0f", "/s")
        return [f"{TITLES[goal.case]}: at least {goal.value:,.0f}/s from one core", said, _goal_result(judged.met)]
    limit = f"{TITLES[goal.case]}: CPU an upload at most {goal.value:g} of {goal.against}'s"
    return [limit, "not measured" if measured is None else _format_range(measured, ".2f", ""), _goal_result(judged.met)]


def _truth(title: str, shown: dict[str, str], lines: Sequence[AccuracySummary], notes: Sequence[str]) -> Section:
    rows = []
    for line in lines:
        cells = [_format_error(line.said.get(name)) for name in shown]
        rows.append([line.case, line.tool, f"{line.per_s:,.0f}", *cells, f"{line.lag_p99_s * 1e3:.1f}"])
    return Section(title, ("load", "tool", "kept, /s", *shown.values(), "server's lag p99"), rows, notes)


def _frozen(lines: Sequence[AccuracySummary], notes: Sequence[str]) -> Section:
    """Every tool's word on the freeze, beside what those who came on schedule waited."""
    rows = []
    for line in lines:
        rows.append([f"{line.tool}, told", *(_format_error(line.said.get(name)) for name in _FROZEN)])
        true = [f"{said.true_s * 1e3:,.1f}" if (said := line.said.get(name)) else "" for name in _FROZEN]
        rows.append([f"{line.tool}, true", *true])
        if line.service:
            service = [f"{line.service[name] * 1e3:,.1f}" if name in line.service else "" for name in _FROZEN]
            rows.append([f"{line.tool}, `service`", *service])
    return Section("A server that freezes for 2 s, at 200/s (ms)", ("", *_FROZEN.values()), rows, notes)


def _cost(case: cost.CostCase, lines: Sequence[cost_figures.CostSummary], notes: Sequence[str]) -> Section:
    rows = [
        [
            line.tool,
            _format_range(line.per_s, ",.0f", ""),
            _format_range(line.cpu_us, ".0f", ""),
            f"{line.beside_cpu_us.median:.0f}",
            f"{line.core_ratio.median * 100:.0f} %",
            f"{line.peak_mb.median:,.0f}",
            "" if line.ratio is None else _format_range(line.ratio, ".2f", ""),
            f"{line.errors:,}",
        ]
        for line in lines
    ]
    headers = ("tool", "uploads/s", "CPU an upload, µs", "beside, µs", "of a core", "peak MB", "ours ÷ it", "errors")
    return Section(f"Cost: {case.title}", headers, rows, notes)


def _format_error(said: PercentileError | None) -> str:
    if said is None:
        return "not told"
    return f"{said.told_s * 1e3:,.1f} ({said.off_s * 1e3:+,.1f}{'' if said.holds else ' ✗'})"


def _format_range(spread: RoundStats, form: str, unit: str) -> str:
    if spread.rounds == 1:
        return f"{spread.median:{form}}{unit}"
    return f"{spread.median:{form}}{unit} ({spread.least:{form}} to {spread.greatest:{form}})"


def _goal_result(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not measured"}[met]


def _cores(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
