"""The results of a benchmark as tables, for the terminal and, as Markdown, for docs/explanation/measuring.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers.accuracy import LATENESS_GOAL, AccuracySummary, PercentileError, summarise_accuracy
from benchmarks.peers.cost import (
    COST_CASES,
    CostCase,
    CostSummary,
    GoalResult,
    RoundStats,
    evaluate_goals,
    summarise_costs,
)
from benchmarks.peers.results import Peer, Results
from reports.number_format import plural

_PERCENTILES = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p99_9": "p99.9"}
_PERCENTILES_AND_MAX = {**_PERCENTILES, "max": "max"}
_TITLES = {case.name: case.title for case in COST_CASES}


@dataclass(frozen=True)
class Section:
    """A table under a title, with notes below it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def sections(results: Results) -> list[Section]:
    """Goals, accuracy, then cost; parts that were not measured are left out, missing tools are named in the notes."""
    accuracies, costs = summarise_accuracy(results.truth), summarise_costs(results.cost)
    found = [_goals(accuracies, costs)]
    steady = [summary for summary in accuracies if "frozen" not in summary.case]
    frozen = [summary for summary in accuracies if "frozen" in summary.case]
    missing = [missing_tool(peer) for peer in results.missing]
    versioned = {peer.name: f"{peer.name} {peer.version}" for peer in results.peers if peer.version is not None}
    if steady:
        found.append(_accuracy("Reported response times and their error (ms)", steady, versioned, missing))
    if frozen:
        found.append(_frozen(frozen, versioned, missing))
    for case in COST_CASES:
        of_case = [summary for summary in costs if summary.case == case.name]
        if of_case:
            found.append(_cost(case, of_case, versioned, [] if case.ours_only else missing))
    return found


def markdown(results: Results) -> str:
    """All tables, with where and how they were measured."""
    parts = [describe_machine(results)]
    for section in sections(results):
        rows = [section.headers, ["---"] * len(section.headers), *section.rows]
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        parts += [f"**{section.title}**", table, *section.notes]
    if results.failures:
        parts.append("Trials that are missing:\n" + "\n".join(f"- {failure}" for failure in results.failures))
    return "\n\n".join(parts) + "\n"


def describe_machine(results: Results) -> str:
    """Where and how the benchmark ran, in a few sentences."""
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in results.peers if peer.version is not None)
    host = results.host
    return (
        f"{results.at[:10]}, {host['cpu'] or 'unknown CPU'}, {host['cores']} cores, {host['system']}; "
        f"load average {results.load_average:.1f} before the start. {versions}. "
        f"{plural(results.rounds, 'round')} of {results.seconds:g} s{_fewer_rounds(results)}, tools alternating; "
        f"generators on core {_cores(results.generator_cores)}, servers on {_cores(results.server_cores)}."
    )


def missing_tool(peer: Peer) -> str:
    """A sentence: a tool is not installed, and the command that installs it."""
    return f"{peer.name} is not installed: {peer.advice}"


def _fewer_rounds(results: Results) -> str:
    """The number of accuracy rounds of the other tools, if they had fewer than ours."""
    of_others = [measured for measured in results.truth if measured.tool != "ours"]
    counts = Counter((measured.case, measured.tool) for measured in of_others)
    most = max(counts.values(), default=results.rounds)
    return "" if most >= results.rounds else f" ({most} of accuracy for the other tools)"


def _goals(accuracies: Sequence[AccuracySummary], costs: Sequence[CostSummary]) -> Section:
    ours = [summary for summary in accuracies if summary.tool == "ours"]
    rows = [_accuracy_goal(summary) for summary in ours]
    # only the case of the goal: at low rates lateness is near 0 anyway
    rows += [_lateness_goal(summary) for summary in ours if summary.case == LATENESS_GOAL[0]]
    rows += [_cost_goal(result) for result in evaluate_goals(costs)] if costs else []
    return Section("Goals", ("goal", "measured", ""), rows)


def _accuracy_goal(summary: AccuracySummary) -> list[str]:
    errors = [error for name, error in summary.percentiles.items() if name != "max"]
    # relative to its tolerance: 1 ms of 2 is worse than 5 of 10
    worst = max(errors, key=lambda error: error.abs_error_s / error.allowed_s)
    goal = f"accuracy at {summary.case}: p50 to p99 within max(2 ms, 2 %), p99.9 within max(10 ms, 5 %)"
    return [
        goal,
        f"worst {worst.abs_error_s * 1e3:.1f} of {worst.allowed_s * 1e3:.1f} ms",
        _goal_result(summary.holds),
    ]


def _lateness_goal(summary: AccuracySummary) -> list[str]:
    limit_s, late_s = LATENESS_GOAL[1], summary.lateness.get("p99")
    measured = "not measured" if late_s is None else f"{late_s * 1e3:.1f} ms"
    goal = f"lateness at {summary.case} from one core: p99 at most {limit_s * 1e3:g} ms"
    return [goal, measured, _goal_result(None if late_s is None else late_s <= limit_s)]


def _cost_goal(result: GoalResult) -> list[str]:
    goal, measured = result.goal, result.measured
    title = _TITLES[goal.case]
    if not goal.against:
        text = "not measured" if measured is None else _format_range(measured, ",.0f", "/s")
        return [f"{title}: at least {goal.value:,.0f}/s from one core", text, _goal_result(result.met)]
    text = "not measured" if measured is None else _format_range(measured, ".2f", "")
    return [f"{title}: CPU per upload at most {goal.value:g} of {goal.against}'s", text, _goal_result(result.met)]


def _accuracy(
    title: str, summaries: Sequence[AccuracySummary], versioned: Mapping[str, str], notes: Sequence[str]
) -> Section:
    rows = []
    for summary in summaries:
        cells = [_format_error(summary.percentiles.get(name)) for name in _PERCENTILES]
        lag = f"{summary.lag_p99_s * 1e3:.1f}"
        rows.append([summary.case, versioned.get(summary.tool, summary.tool), f"{summary.per_s:,.0f}", *cells, lag])
    return Section(title, ("load", "tool", "kept, /s", *_PERCENTILES.values(), "server's lag p99"), rows, notes)


def _frozen(summaries: Sequence[AccuracySummary], versioned: Mapping[str, str], notes: Sequence[str]) -> Section:
    """What every tool reported about the freeze, beside what users who arrive on schedule really wait."""
    rows = []
    names = _PERCENTILES_AND_MAX
    for summary in summaries:
        tool = versioned.get(summary.tool, summary.tool)
        rows.append([f"{tool}, reported", *(_format_error(summary.percentiles.get(name)) for name in names)])
        true = [f"{error.true_s * 1e3:,.1f}" if (error := summary.percentiles.get(name)) else "" for name in names]
        rows.append([f"{tool}, true", *true])
        if summary.service:
            service = [f"{summary.service[name] * 1e3:,.1f}" if name in summary.service else "" for name in names]
            rows.append([f"{tool}, `service`", *service])
    return Section("A server that freezes for 2 s, at 200/s (ms)", ("", *names.values()), rows, notes)


def _cost(
    case: CostCase, summaries: Sequence[CostSummary], versioned: Mapping[str, str], notes: Sequence[str]
) -> Section:
    rows = [
        [
            versioned.get(summary.tool, summary.tool),
            _format_range(summary.per_s, ",.0f", ""),
            _format_range(summary.cpu_us, ".0f", ""),
            f"{summary.beside_cpu_us.median:.0f}",
            f"{summary.core_ratio.median * 100:.0f} %",
            f"{summary.peak_mb.median:,.0f}",
            "" if summary.ratio is None else _format_range(summary.ratio, ".2f", ""),
            f"{summary.errors:,}",
        ]
        for summary in summaries
    ]
    headers = (
        "tool", "uploads/s", "CPU per upload, µs", "other processes, µs", "of a core", "peak MB", "ours ÷ this", "errors",
    )  # fmt: skip
    return Section(f"Cost: {case.title}", headers, rows, notes)


def _format_error(error: PercentileError | None) -> str:
    if error is None:
        return "not reported"
    return f"{error.reported_s * 1e3:,.1f} ({error.error_s * 1e3:+,.1f}{'' if error.holds else ' ✗'})"


def _format_range(stats: RoundStats, form: str, unit: str) -> str:
    # a range of one value would look like certainty
    if stats.rounds == 1:
        return f"{stats.median:{form}}{unit}"
    return f"{stats.median:{form}}{unit} ({stats.least:{form}} to {stats.greatest:{form}})"


def _goal_result(met: bool | None) -> str:
    return {True: "met", False: "not met", None: "not measured"}[met]


def _cores(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
