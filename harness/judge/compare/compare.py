"""Base against run: every figure, and the verdict over all of them. Pure.

The intervals of all judged figures hold together with 95 % confidence (Bonferroni), so more figures do not mean more false
alarms.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.base.errors import ExitCode
from harness.judge.compare.figure import Sides, Tolerances, compare_figure, figure_name, why_missing
from harness.judge.compare.noise import Noise
from harness.judge.compare.results import (
    Comparison,
    ComparisonVerdict,
    FigureComparison,
    format_percent,
    format_signed_percent,
)
from harness.judge.compare.run import ComparedRun, find_differences
from harness.run_folder.layout import RunRecord

CONFIDENCE = 0.95
_MAX_NAMED_FIGURES = 2
"""Number of figures that a finding names; the others are counted."""
_CODES: dict[ComparisonVerdict, ExitCode] = {
    "pass": ExitCode.PASSED,
    "fail": ExitCode.FAILED,
    "inconclusive": ExitCode.INVALID,
}


def list_differences(base: Sequence[RunRecord], run: Sequence[RunRecord]) -> list[str]:
    """In what the runs differ, one line each; empty if they can be compared. At least one run per side."""
    first, *others = [*base, *run]
    lines = [line for other in others for line in find_differences(first, other)]
    seeds = [sorted({record.seed for record in side}) for side in (base, run)]
    if seeds[0] != seeds[1]:
        lines.append(f"seed: {', '.join(map(str, seeds[0]))} against {', '.join(map(str, seeds[1]))}")
    # that one side is simulated explains most of the other differences: it comes first
    return sorted(dict.fromkeys(lines), key=lambda line: not line.startswith("simulated:"))


def compare_sides(sides: Sides, tolerances: Tolerances, noise: Noise | None = None) -> Comparison:
    """The comparison of base and run; `noise` is what calibration has measured on this machine with this scenario."""
    present = [key for key in tolerances.judged if why_missing(key, sides) is None]
    alpha = (1 - CONFIDENCE) / max(1, len(present))
    figures = [compare_figure(key, sides, tolerances, noise, alpha) for key in tolerances.shown]
    unsafe, invalid = _unsafe(sides.run), _invalid(sides)
    if invalid:
        figures = [figure.model_copy(update={"verdict": "not judged", "reason": ""}) for figure in figures]
    word = _word(figures, unsafe=bool(unsafe), invalid=bool(invalid))
    return Comparison(
        verdict=word,
        exit_code=_CODES[word],
        finding=_finding(figures, unsafe=bool(unsafe), invalid=bool(invalid)),
        reasons=[*unsafe, *invalid],
        unlike=list_differences([one.record for one in sides.base], [one.record for one in sides.run]),
        confidence=CONFIDENCE,
        calibration="" if noise is None else f"{noise.runs} runs, {noise.made_at}",
        base=[one.facts for one in sides.base],
        run=[one.facts for one in sides.run],
        figures=figures,
    )


def _unsafe(side: Sequence[ComparedRun]) -> list[str]:
    return [
        f"{one.path} is not safe: its audit found {one.unsafe:,} unsafe {'page' if one.unsafe == 1 else 'pages'}"
        for one in side
        if one.unsafe
    ]


def _invalid(sides: Sides) -> list[str]:
    return [f"{one.path} can't be compared: {reason}" for one in sides.runs for reason in one.reasons]


def _word(figures: Sequence[FigureComparison], *, unsafe: bool, invalid: bool) -> ComparisonVerdict:
    judged = [figure.verdict for figure in figures]
    if unsafe:
        return "fail"
    if invalid:
        return "inconclusive"
    if "fail" in judged:
        return "fail"
    return "pass" if "pass" in judged and "inconclusive" not in judged else "inconclusive"


def _finding(figures: Sequence[FigureComparison], *, unsafe: bool, invalid: bool) -> str:
    """The result in one sentence."""
    if unsafe:
        return "The server of the run did not keep what it acknowledged"
    if invalid:
        return "No conclusion: not every run is a valid measurement"
    worse = [figure for figure in figures if figure.verdict == "fail"]
    if worse:
        named = "; ".join(_describe(figure) for figure in worse[:_MAX_NAMED_FIGURES])
        return f"Worse: {named}{_more(worse)}"
    unsure = [figure for figure in figures if figure.verdict == "inconclusive"]
    if unsure:
        named = "; ".join(map(_describe_doubt, unsure[:_MAX_NAMED_FIGURES]))
        return f"Can't tell: {named}{_more(unsure)}"
    held = [figure for figure in figures if figure.verdict == "pass"]
    if not held:
        return "Nothing could be compared: the runs are too small for any figure"
    return f"No figure of {len(held)} is worse by more than {format_percent(max(figure.tolerance or 0.0 for figure in held))}"


def _more(figures: Sequence[FigureComparison]) -> str:
    rest = len(figures) - _MAX_NAMED_FIGURES
    return f"; and {rest} more" if rest > 0 else ""


def _describe(figure: FigureComparison) -> str:
    name = figure_name(figure.key)
    if figure.change is None or figure.change.change is None:
        return f"{name} (infinite)"
    return f"{name} {format_signed_percent(figure.change.change)}"


def _describe_doubt(figure: FigureComparison) -> str:
    """How much better or worse a figure may be, as a clause."""
    name = figure_name(figure.key)
    if figure.change is None:
        return f"{name} is missing"
    low, high = figure.change.informative_bounds
    worse, better = (high, low) if figure.better == "lower" else (low, high)
    # an end without a bound may be any distance away
    sides = [
        "much better" if better is None else _side(better, figure),
        "much worse" if worse is None else _side(worse, figure),
    ]
    if better is not None and worse is not None and sides[0].endswith(" worse") and sides[1].endswith(" worse"):
        return f"{name} may be {sides[0].removesuffix(' worse')} to {sides[1]}"
    return f"{name} may be {sides[0]} or {sides[1]}"


def _side(change: float, figure: FigureComparison) -> str:
    """A change with the direction that it means for this figure: "18 % better"."""
    is_worse = change > 0 if figure.better == "lower" else change < 0
    size = format_percent(abs(change))
    return "no different" if size == "0 %" else f"{size} {'worse' if is_worse else 'better'}"
