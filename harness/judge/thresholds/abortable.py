"""Which thresholds can end a run early: those that something known while it goes on can rule out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.base.errors import ConfigurationError
from harness.base.model import Outcome
from harness.judge.thresholds.condition import Condition, parse_condition

LIVE_KEY = re.compile(r"attempts\.(?:total|by_outcome\.(\w+))")
"""The summary's keys that are known while a run goes on."""
LIVE_HISTOGRAMS = {"response_seconds": "harness_response_seconds", "service_seconds": "harness_service_seconds"}
"""The rows that a live histogram counts, and which."""
UPPER_OPERATORS = ("<", "<=")
_ONLY_AT_THE_END = "abort = true: nothing that is known during a run can rule this out"


@dataclass(frozen=True, slots=True)
class AbortThreshold:
    """A threshold that ends the run early, once so much time has passed since the warm-up."""

    assertion: str
    grace_s: float = 0.0


def check_abortable(watched: Sequence[str], source: str) -> None:
    """Raise ConfigurationError for assertions that can't be found hopeless before the end, however badly a run goes."""
    problems = []
    for assertion in watched:
        condition = parse_condition(assertion)
        why = _why_not(condition)
        if why:
            problems.append(f"thresholds: {assertion}: {_ONLY_AT_THE_END}: {why}")
    if problems:
        raise ConfigurationError(source, problems)


def _why_not(condition: Condition) -> str:
    """Why a condition can't be watched; "" where it can."""
    if condition.source != "rows":
        return _why_not_key(condition) if condition.source == "key" else why_series_not_abortable(condition)
    if condition.span is not None or condition.over_s is not None:
        return "windows of rows are judged at the end; name a series (docs/reference/metrics.md) to watch one"
    if any(rule.label != "outcome" for rule in condition.rules):
        return "rows are told apart by their outcome only while the run goes on"
    if condition.metric == "attempts":
        return _why_not_attempts(condition)
    if condition.metric not in LIVE_HISTOGRAMS or condition.rules or condition.aggregation not in {"p", "avg", "max"}:
        return "its rows are known at the end only"
    return "" if condition.operator in UPPER_OPERATORS else "slower answers may come"


def _why_not_attempts(condition: Condition) -> str:
    if condition.aggregation != "ratio":
        return "" if _is_upper(condition) else "more attempts may come"
    mendable = condition.operator not in ((">", ">=") if selects_accepted(condition) else UPPER_OPERATORS)
    return "attempts may still come that mend it" if mendable else ""


def _why_not_key(condition: Condition) -> str:
    if LIVE_KEY.fullmatch(condition.metric) is None:
        return "of the summary's keys only attempts.total and attempts.by_outcome.… are known while the run goes on"
    return "" if _is_upper(condition) else "more attempts may come"


def why_series_not_abortable(condition: Condition) -> str:
    """Why a condition on series can't be watched; "" where it can."""
    if condition.span is not None or condition.over_s is not None:
        return ""
    rises = condition.aggregation in {"max", "rate"} or (
        condition.source != "gauge" and condition.aggregation in {"count", "last"}
    )
    if rises and _is_upper(condition):
        return ""
    if condition.aggregation == "min" and condition.operator in {">", ">=", "=="}:
        return ""
    return "it may still come right; a window (over, during) that is over can't"


def _is_upper(condition: Condition) -> bool:
    exact = condition.operator == "==" and condition.aggregation in {"max", "count", "last", ""}
    return condition.operator in UPPER_OPERATORS or exact


def selects_accepted(condition: Condition) -> bool:
    """Whether a delivered page's attempt is among those that the condition chooses."""
    return all(rule.holds(str(Outcome.ACCEPTED)) for rule in condition.rules)
