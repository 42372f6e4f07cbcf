"""Thresholds: assertions checked before a run, and held against its rows, figures and scrapes after it.

A threshold without a figure fails: no data, a sample too small for the percentile, and a percentile that never arrived
are breaches with their reason, never passes. What must hold in every window fails by one of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from harness.analysis.label_matchers import LabelRule
from harness.analysis.run_data import SeriesSource
from harness.analysis.selection import Chosen
from harness.analysis.summary import Summary
from harness.base.errors import ConfigurationError
from harness.judge.results import ThresholdResult, Window
from harness.judge.thresholds.aggregate import Figure, of_rows, of_series
from harness.judge.thresholds.condition import Condition, understood
from harness.judge.thresholds.metrics import names_behind
from harness.judge.thresholds.parser import WrongAssertionError
from harness.judge.thresholds.summary_keys import value_of, why_none
from harness.judge.thresholds.units import shown
from harness.judge.thresholds.windows import NoWindowError, stretches
from harness.run_folder.layout import RunRecord

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class EvidenceSource(SeriesSource, Protocol):
    """What conditions are held against: `harness.analysis.run_data.Evidence`."""

    @property
    def record(self) -> RunRecord:
        """What run.json says."""

    @property
    def stop_s(self) -> float:
        """When the run stopped making attempts."""

    def chosen(self, metric: str, rules: Sequence[LabelRule]) -> Chosen:
        """The rows of a metric that the rules choose."""

    def read(self, names: Collection[str]) -> None:
        """Read these series from the scrapes, all at once."""


def check(assertion: str) -> None:
    """Raise ConfigurationError where an assertion is wrong in word, place or unit; says what is allowed."""
    check_all([assertion])


def check_all(assertions: Sequence[str], source: str = "thresholds", faults: Collection[str] | None = None) -> None:
    """Raise ConfigurationError with everything that is wrong with a scenario's assertions, before anything starts.

    `faults` are the names of the scenario's faults, where they are known: no other can be named.
    """
    problems = []
    for number, assertion in enumerate(assertions):
        try:
            understood(assertion, faults)
        except WrongAssertionError as error:
            problems.append(f"thresholds[{number}].assert: {error}".replace("\n", "\n  "))
    if problems:
        raise ConfigurationError(source, problems)


def evaluate_all(assertions: Sequence[str], summary: Summary, evidence: EvidenceSource) -> list[ThresholdResult]:
    """The assertions, each held against the run once. They must have passed `check_all`."""
    conditions = [understood(assertion) for assertion in dict.fromkeys(assertions)]
    scraped = [one.metric for one in conditions if one.source not in {"key", "rows"}]
    evidence.read([name for metric in dict.fromkeys(scraped) for name in names_behind(metric)])
    return [held(condition, summary, evidence) for condition in conditions]


def evaluate(assertion: str, summary: Summary, evidence: EvidenceSource) -> ThresholdResult:
    """One assertion held against the run. Raises WrongAssertionError for one that `check` would refuse."""
    return held(understood(assertion), summary, evidence)


def held(condition: Condition, summary: Summary, evidence: EvidenceSource) -> ThresholdResult:
    """One condition held against the run."""
    if condition.source == "key":
        observed = value_of(summary, condition.metric)
        return _result(condition, observed, "" if observed is not None else why_none(summary, condition.metric))
    try:
        return judged(condition, figures_in(condition, evidence))
    except NoWindowError as error:
        return _result(condition, None, str(error))


def figures_in(condition: Condition, evidence: EvidenceSource) -> list[Figure]:
    """What was observed in each stretch in which the condition must hold. Raises NoWindowError where there is none."""
    found = stretches(condition, evidence.record, evidence.stop_s)
    if condition.source == "rows":
        return of_rows(condition, evidence, found)
    return of_series(condition, evidence, found)


def judged(condition: Condition, figures: Sequence[Figure]) -> ThresholdResult:
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
        reason += f", from {shown(window.from_s, 's')} to {shown(window.to_s, 's')}"
    if reason and len(figures) > 1:
        reason += f" ({_how_many(len(breaches), len(missing), len(figures))})"
    return _result(condition, one.observed, reason, window)


def limits_s(assertions: Sequence[str]) -> list[float]:
    """Every limit on seconds, rising: bounds that a live histogram of durations needs. They must have been checked.

    >>> limits_s(["p95(delivery_seconds) < 10s", "avg(response_seconds) < 150ms", "pages.undelivered == 0"])
    [0.15, 10.0]
    """
    conditions = [understood(assertion) for assertion in assertions]
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
    return COMPARE[condition.operator](observed, condition.limit)


def _badness(condition: Condition, figure: Figure) -> float:
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
        return f"it is {shown(limit, unit)}"
    side = "above" if observed > limit else "below"
    away = abs(observed - limit)
    if unit == "ratio":
        return f"{shown(away * 100, '')} percentage points {side} the limit"
    share = f" ({away / abs(limit) * 100:.0f} %)" if 0 < away <= 10 * abs(limit) else ""
    return f"{shown(away, unit)}{share} {side} the limit"
