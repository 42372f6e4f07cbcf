"""The table of a comparison: a row a figure, in words. Pure; page, Markdown and terminal show it."""

from __future__ import annotations

from harness.judge.comparison import Comparison, FigureComparison
from reports.quantities import quantity

HEADERS = ("", "figure", "base", "run", "change", "95 % interval", "may be worse by", "why")
WORDS = {
    "pass": "held",
    "fail": "WORSE",
    "inconclusive": "inconclusive",
    "not compared": "not compared",
    "not judged": "shown only",
}
HEADLINES = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}
_LIMITLESS = "?"


def rows(comparison: Comparison) -> list[list[str]]:
    """A row a figure: the judged ones first."""
    return [_row(figure) for figure in comparison.figures]


def signed(change: float | None, *, missing: str = _LIMITLESS) -> str:
    """A relative change as people write it.

    >>> signed(0.2), signed(-0.0312), signed(0.0), signed(0.0004), signed(30.0), signed(None)
    ('+20 %', '-3.1 %', '0 %', '+0.04 %', '+3,000 %', '?')
    """
    if change is None:
        return missing
    size = abs(change) * 100
    digits = 0 if size >= 9.95 else 1 if size >= 0.095 else 2
    text = f"{size:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} %" if float(text.replace(",", "")) == 0 else f"{'+' if change > 0 else '-'}{text} %"


def sides(comparison: Comparison) -> str:
    """What was compared, in a sentence."""
    base, run = ([one.id for one in side] for side in (comparison.base, comparison.run))
    return f"Base: {', '.join(base)}. Run: {', '.join(run)}."


def _row(figure: FigureComparison) -> list[str]:
    change = figure.change
    return [
        WORDS[figure.verdict],
        figure.key,
        _value(figure.base, figure),
        _value(figure.run, figure),
        "" if change is None else signed(change.change, missing="without end"),
        _interval(figure),
        "" if figure.tolerance is None else signed(figure.tolerance).removeprefix("+"),
        figure.reason,
    ]


def _value(value: float | None, figure: FigureComparison) -> str:
    if value is None and figure.change is not None:
        return "never"
    return quantity(value, figure.unit)


def _interval(figure: FigureComparison) -> str:
    if figure.change is None or not figure.change.how:
        return ""
    return f"{signed(figure.change.low)} to {signed(figure.change.high)}"
