"""The table of a comparison: a row a figure, in words. Pure; page, Markdown and terminal show it."""

from __future__ import annotations

from harness.analysis.comparable import JUDGED_FIGURES
from harness.judge.compare.noise import ALPHA, Noise
from harness.judge.compare.results import Comparison, FigureComparison, format_percent, format_signed_percent
from reports.number_format import format_quantity

HEADERS = ("", "figure", "base", "run", "change", "95 % interval", "may be worse by", "why")
RESULT_LABELS = {
    "pass": "held",
    "fail": "WORSE",
    "inconclusive": "inconclusive",
    "not compared": "not compared",
    "not judged": "not judged",
}
COMPARISON_LABELS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
UNBOUNDED = "without end"


NOISE_HEADERS = ("figure", "differs by", "1 run a side", "3 runs a side", "5 runs a side")


def noise_rows(noise: Noise) -> list[list[str]]:
    """A row a judged figure: how much it differs from run to run, and the smallest change that so many runs show."""
    return [
        [
            key,
            format_percent(found.log_sd),
            *(format_percent(found.detectable(ALPHA, runs, runs)) for runs in (1, 3, 5)),
        ]
        for key in JUDGED_FIGURES
        if (found := noise.figures.get(key)) is not None
    ]


def rows(comparison: Comparison) -> list[list[str]]:
    """A row a figure: the judged ones first, then those that are only shown, where there are such."""
    wanted = [one for one in comparison.figures if one.tolerance is not None or one.change is not None]
    return [_row(figure) for figure in wanted]


def format_change(figure: FigureComparison) -> str:
    """The change in words, with its sign; nothing where there is none."""
    if figure.change is None:
        return ""
    return UNBOUNDED if figure.change.change is None else format_signed_percent(figure.change.change)


def _row(figure: FigureComparison) -> list[str]:
    return [
        RESULT_LABELS[figure.verdict],
        figure.key,
        _value(figure.base, figure),
        _value(figure.run, figure),
        format_change(figure),
        _interval(figure),
        "" if figure.tolerance is None else format_percent(figure.tolerance),
        "" if figure.verdict == "fail" else figure.reason,
    ]


def _value(value: float | None, figure: FigureComparison) -> str:
    if value is None and figure.change is not None:
        return "never"
    return format_quantity(value, figure.unit)


def _interval(figure: FigureComparison) -> str:
    if figure.change is None or not figure.change.how:
        return ""
    low, high = figure.change.telling
    least = "?" if low is None else format_signed_percent(low).removesuffix(" %")
    most = "?" if high is None else format_signed_percent(high)
    return f"{least} to {most}"
