"""The results as the tables of docs/explanation/fidelity.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.twin.fidelity import (
    GOALS,
    VERDICTS_GOAL_RATIO,
    FidelityCell,
    FidelityResults,
    Group,
    chance_misses,
    is_within,
    score,
    score_with_defaults,
)
from harness.analysis.against import FigurePair
from reports.against import format_error
from reports.number_format import NOT_AVAILABLE, format_count, format_quantity, format_ratio, plural

_GROUPS: Sequence[Group] = ("open", "held out")


def markdown(results: FidelityResults) -> str:
    """The summary, the cells and the misses."""
    parts = [_conditions(results), _goals(results), _verdicts(results), *(_cells(results, group) for group in _GROUPS)]
    return "\n\n".join([*parts, _misses(results)])


def _conditions(results: FidelityResults) -> str:
    invalid = [cell.name for cell in results.cells if not cell.is_valid]
    repeated = sum(cell.tries - 1 for cell in results.cells)
    host = results.host
    text = (
        f"Measured {results.at[:10]} on {host.get('cpu', 'an unknown CPU')} ({plural(int(host.get('cores', 0)), 'core')}), load average "
        f"{results.load_average:g} before the first cell, in {results.seconds / 60:.0f} minutes: "
        f"{plural(len(results.cells), 'cell')}, one run each"
    )
    text += f", and {plural(repeated, 'repetition')} because a run was INVALID." if repeated else "; none was INVALID."
    if invalid:
        text += f" Without a valid run and left out of the goals: {'; '.join(invalid)}."
    costs = ", ".join(f"`{name} = {value}`" for name, value in results.costs.items())
    return f"{text} Constants, fitted to a run of the base scenario with another seed: {costs}."


def _goals(results: FidelityResults) -> str:
    held_out = [cell for cell in results.valid if cell.group == "held out"]
    rows = []
    for key, goal in GOALS.items():
        every, held = score(key, results.valid), score(key, held_out)
        middle = None if every.median_error is None else format_ratio(every.median_error)
        if middle is not None and key == "completed_by_deadline_ratio":
            middle = f"{100 * (every.median_error or 0):.1f} points"
        worst = (
            NOT_AVAILABLE
            if every.worst is None
            else f"{format_error(every.worst.pair.figure(key))} ({every.worst.name})"
        )
        chance = len(chance_misses(key, results.valid))
        rows.append([
            goal.title, goal.text, _of(every.met, every.counted), str(chance), _of(held.met, held.counted),
            _of(score_with_defaults(key, results.valid), every.counted), middle or NOT_AVAILABLE, worst,
        ])  # fmt: skip
    headers = [
        "figure", "goal", "met", "missed by chance", "met, held out", "met with default constants", "median error", "greatest error",
    ]  # fmt: skip
    return _table(headers, rows)


def _verdicts(results: FidelityResults) -> str:
    clear = [cell for cell in results.valid if not cell.is_near_limit]
    agreeing = sum(cell.verdict_agrees for cell in clear)
    near = len(results.valid) - len(clear)
    met = "met" if clear and agreeing >= VERDICTS_GOAL_RATIO * len(clear) else "missed"
    return (
        f"The verdict is the same in {agreeing} of the {len(clear)} cells whose figures are not within 10 % of a limit "
        f"(goal: {format_ratio(VERDICTS_GOAL_RATIO)}, {met}). {near} more are so near that another run may come out the other way; "
        f"there {sum(cell.verdict_agrees for cell in results.valid) - agreeing} agree."
    )


def _cells(results: FidelityResults, group: Group) -> str:
    headers = [group, "stations", "last page", "p50", "p95", "amplification", "wasted work", "verdict"]
    rows = [_row(cell) for cell in results.cells if cell.group == group]
    return _table(headers, rows)


def _row(cell: FidelityCell) -> list[str]:
    verdict = cell.pair.predicted.verdict.upper()
    if not cell.verdict_agrees:
        verdict = f"**{verdict} for {cell.pair.measured.verdict.upper()}**"
    if cell.is_valid and cell.is_near_limit:
        verdict += " (near a limit)"
    return [cell.name, *(_figure(key, cell.pair.figure(key)) for key in GOALS), verdict]


def _figure(key: str, pair: FigurePair) -> str:
    """Predicted for measured, with the error; bold where the goal is missed."""
    within = is_within(GOALS[key], pair)
    if within is None:
        return NOT_AVAILABLE
    text = f"{_value(pair.predicted, pair)} for {_value(pair.measured, pair)}"
    error = format_error(pair)
    if error and pair.predicted != pair.measured:
        text += f" ({error})"
    return text if within else f"**{text}**"


def _value(value: float | None, pair: FigurePair) -> str:
    if value is None:
        return "never" if pair.key == "finished_s" else NOT_AVAILABLE
    return format_count(value) if pair.key == "wasted_work" else format_quantity(value, pair.unit)


def _misses(results: FidelityResults) -> str:
    lines = [
        f"- {GOALS[key].title}: {_name(missed, chance_misses(key, results.valid))}"
        for key in GOALS
        if (missed := score(key, results.valid).misses)
    ]
    return "Goals are missed in these cells:\n\n" + "\n".join(lines) if lines else "No goal is missed in any cell."


def _name(missed: Sequence[FidelityCell], by_chance: Sequence[FidelityCell]) -> str:
    return "; ".join(f"{cell.name}{' (by chance)' if cell in by_chance else ''}" for cell in missed)


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
