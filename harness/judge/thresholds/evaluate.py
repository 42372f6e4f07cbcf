"""Thresholds: assertions checked before a run, and held against its rows, figures and scrapes after it.

A threshold without a figure fails: no data, a sample too small for the percentile, and a percentile that never arrived
are breaches with their reason, never passes. What must hold in every window fails by one of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from harness.analysis.label_matchers import LabelMatcher
from harness.analysis.run_data import SeriesSource
from harness.analysis.selection import Selection
from harness.analysis.summary import Summary
from harness.base.errors import ConfigurationError
from harness.judge.results import ThresholdResult, Window
from harness.judge.thresholds.aggregate import WindowValue, aggregate_rows, aggregate_series
from harness.judge.thresholds.condition import Condition, parse_condition
from harness.judge.thresholds.metrics import scraped_names
from harness.judge.thresholds.parser import InvalidAssertionError
from harness.judge.thresholds.summary_keys import summary_value, why_no_value
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.windows import NoWindowError, find_windows
from harness.run_folder.layout import RunRecord

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class RunDataSource(SeriesSource, Protocol):
    """What conditions are held against: `harness.analysis.run_data.Evidence`."""

    @property
    def record(self) -> RunRecord:
        """What run.json says."""

    @property
    def stop_s(self) -> float:
        """When the run stopped making attempts."""

    def chosen(self, metric: str, rules: Sequence[LabelMatcher]) -> Selection:
        """The rows of a metric that the rules choose."""

    def read(self, names: Collection[str]) -> None:
        """Read these series from the scrapes, all at once."""


def check_assertion(assertion: str) -> None:
    """Raise ConfigurationError where an assertion is wrong in word, place or unit; says what is allowed."""
    check_assertions([assertion])


def check_assertions(
    assertions: Sequence[str], source: str = "thresholds", faults: Collection[str] | None = None
) -> None:
    """Raise ConfigurationError with everything that is wrong with a scenario's assertions, before anything starts.

    `faults` are the names of the scenario's faults, where they are known: no other can be named.
    """
    problems = []
    for number, assertion in enumerate(assertions):
        try:
            parse_condition(assertion, faults)
        except InvalidAssertionError as error:
            problems.append(f"thresholds[{number}].assert: {error}".replace("\n", "\n  "))
    if problems:
        raise ConfigurationError(source, problems)


def evaluate_thresholds(assertions: Sequence[str], summary: Summary, evidence: RunDataSource) -> list[ThresholdResult]:
    """The assertions, each held against the run once. They must have passed `check_assertions`."""
    conditions = [parse_condition(assertion) for assertion in dict.fromkeys(assertions)]
    scraped = [one.metric for one in conditions if one.source not in {"key", "rows"}]
    evidence.read([name for metric in dict.fromkeys(scraped) for name in scraped_names(metric)])
    return [evaluate_condition(condition, summary, evidence) for condition in conditions]


def evaluate_assertion(assertion: str, summary: Summary, evidence: RunDataSource) -> ThresholdResult:
    """One assertion held against the run. Raises WrongAssertionError for one that `check_assertion` would refuse."""
    return evaluate_condition(parse_condition(assertion), summary, evidence)


def evaluate_condition(condition: Condition, summary: Summary, evidence: RunDataSource) -> ThresholdResult:
    """One condition held against the run."""
    if condition.source == "key":
        observed = summary_value(summary, condition.metric)
        return _result(condition, observed, "" if observed is not None else why_no_value(summary, condition.metric))
    try:
        return evaluate_windows(condition, compute_window_values(condition, evidence))
    except NoWindowError as error:
        return _result(condition, None, str(error))


def compute_window_values(condition: Condition, evidence: RunDataSource) -> list[WindowValue]:
    """What was observed in each stretch in which the condition must hold. Raises NoWindowError where there is none."""
    found = find_windows(condition, evidence.record, evidence.stop_s)
    if condition.source == "rows":
        return aggregate_rows(condition, evidence, found)
    return aggregate_series(condition, evidence, found)


def evaluate_windows(condition: Condition, figures: Sequence[WindowValue]) -> ThresholdResult:
    """The condition held against what was observed in each stretch: the worst one decides."""
    missing = [one for one in figures if one.observed is None]
    breaches = [one for one in figures if one.observed is not None and not _passes(condition, one.observed)]
    if breaches:
        one = max(breaches, key=lambda figure: _badness(condition, figure))
        reason = _breach(one.observed or 0.0, condition)
    elif missing:
        one = missing[0]
        reason = one.missing
    else:
        one, reason = max(figures, key=lambda figure: _badness(condition, figure)), ""
    has_window = condition.span is not None or condition.over_s is not None
    window = Window(from_s=round(one.stretch.from_s, 6), to_s=round(one.stretch.to_s, 6)) if has_window else None
    if reason and window is not None:
        reason += f", from {format_value(window.from_s, 's')} to {format_value(window.to_s, 's')}"
    if reason and len(figures) > 1:
        reason += f" ({_how_many(len(breaches), len(missing), len(figures))})"
    return _result(condition, one.observed, reason, window)


def limits_s(assertions: Sequence[str]) -> list[float]:
    """Every limit on seconds, rising: bounds that a live histogram of durations needs. They must have been checked.

    >>> limits_s(["p95(delivery_seconds) < 10s", "avg(response_seconds) < 150ms", "pages.undelivered == 0"])
    [0.15, 10.0]
    """
    conditions = [parse_condition(assertion) for assertion in assertions]
    return sorted({one.limit for one in conditions if one.unit == "s" and one.limit > 0})


def _result(condition: Condition, observed: float | None, reason: str, window: Window | None = None) -> ThresholdResult:
    passed = observed is not None and not reason and _passes(condition, observed)
    if observed is not None and not passed and not reason:
        reason = _breach(observed, condition)
    return ThresholdResult(
        assertion=condition.text, observed=observed, limit=condition.limit, unit=condition.unit, window=window,
        passed=passed, reason=reason,
    )  # fmt: skip


def _passes(condition: Condition, observed: float) -> bool:
    return COMPARISONS[condition.operator](observed, condition.limit)


def _badness(condition: Condition, figure: WindowValue) -> float:
    """How bad a figure is for a condition: the greatest is the worst."""
    observed = figure.observed or 0.0
    if condition.operator in {"<", "<="}:
        return observed
    if condition.operator in {">", ">="}:
        return -observed
    away = abs(observed - condition.limit)
    return away if condition.operator == "==" else -away


def _how_many(breaches: int, missing: int, windows: int) -> str:
    parts = [f"{breaches:,} of {windows:,} windows breach it"] if breaches else []
    if missing:
        parts.append(f"{missing:,} of {windows:,} windows have no figure")
    return ", ".join(parts)


def _breach(observed: float, condition: Condition) -> str:
    """By how much a limit is breached, in words."""
    limit, unit = condition.limit, condition.unit
    if condition.operator == "!=" or observed == limit:
        return f"it is {format_value(limit, unit)}"
    side = "above" if observed > limit else "below"
    away = abs(observed - limit)
    if unit == "ratio":
        return f"{format_value(away * 100, '')} percentage points {side} the limit"
    share = f" ({away / abs(limit) * 100:.0f} %)" if 0 < away <= 10 * abs(limit) else ""
    return f"{format_value(away, unit)}{share} {side} the limit"
