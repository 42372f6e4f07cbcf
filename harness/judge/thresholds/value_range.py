"""The values that the figure of a threshold can have, and the thresholds that no value or every value would meet.

Such a threshold judges nothing: `audit.lost < 0` fails every run, `attempts.total >= 0` passes every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.time_series import COUNTER_SUFFIXES
from harness.judge.thresholds.condition import Condition
from harness.judge.thresholds.metrics import find_metric, is_whole_key
from harness.judge.thresholds.units import Unit, format_value


@dataclass(frozen=True, slots=True)
class ValueRange:
    """All values from `low` to `high`, both included unless infinite; with `whole` only the whole numbers."""

    low: float
    high: float
    whole: bool = False

    def contains(self, value: float) -> bool:
        """Whether a figure can have this value.

        >>> ValueRange(0, math.inf, whole=True).contains(0.5), ValueRange(0, 1).contains(0.5)
        (False, True)
        """
        return self.low <= value <= self.high and not (self.whole and value != int(value))

    def describe(self, unit: Unit) -> str:
        """The range as the end of a sentence.

        >>> ValueRange(0, 1).describe("ratio"), ValueRange(0, math.inf, whole=True).describe("")
        ('is always from 0 % to 100 %', 'is always a whole number of at least 0')
        """
        if unit == "bool":
            return "is always true or false"
        kind = "a whole number " if self.whole else ""
        if math.isfinite(self.high):
            return f"is always {kind}from {format_value(self.low, unit)} to {format_value(self.high, unit)}"
        return f"is always {kind + 'of ' if kind else ''}at least {format_value(self.low, unit)}"


SHARE = ValueRange(0, 1)
COUNT = ValueRange(0, math.inf, whole=True)
NOT_NEGATIVE = ValueRange(0, math.inf)
ANY = ValueRange(-math.inf, math.inf)
TRUE_OR_FALSE = ValueRange(0, 1, whole=True)

_BY_KEY = {
    # attempts sent ÷ pages that at least one attempt was sent for
    "attempts.amplification": ValueRange(1, math.inf),
    "attempts.resent_ratio": SHARE,
    "stations.completed_ratio": SHARE,
    "stations.completed_by_deadline_ratio": SHARE,
    "generator.cpu_above_90_ratio": SHARE,
    "readers.answered_ratio": SHARE,
    "recapitulation.in_time_ratio": SHARE,
    "recapitulation.late_s": ANY,
    "recapitulation.spare_s": ANY,
}
"""Figures of the summary with a range of their own. A share of a core (`cpu_max_ratio`) may exceed 1."""
_BY_SERIES = {"mock_server_fault_active": SHARE, "harness_run_info": ValueRange(1, 1)}


def value_range(condition: Condition) -> ValueRange:
    """The values that the figure of a condition can have, whatever happens in the run."""
    if condition.unit == "bool":
        return TRUE_OR_FALSE
    if condition.source == "key":
        return _range_of_key(condition.metric)
    if condition.aggregation == "ratio":
        return SHARE
    if condition.source == "rows":
        return _range_of_rows(condition)
    return _range_of_series(condition)


def _range_of_key(key: str) -> ValueRange:
    if key in _BY_KEY:
        return _BY_KEY[key]
    if key.startswith("lateness_seconds.") and not is_whole_key(key):
        return ANY
    return COUNT if is_whole_key(key) else NOT_NEGATIVE


def _range_of_rows(condition: Condition) -> ValueRange:
    if condition.aggregation == "count":
        return COUNT
    # A timer may fire a fraction of a millisecond early: an attempt is sent before it is due.
    has_sign = condition.metric == "lateness_seconds" and condition.aggregation != "rate"
    return ANY if has_sign else NOT_NEGATIVE


def _range_of_series(condition: Condition) -> ValueRange:
    name, known = condition.metric, find_metric(condition.metric)
    if condition.source == "gauge":
        if condition.aggregation == "count":
            return COUNT
        return ANY if known is None else _BY_SERIES.get(name, NOT_NEGATIVE)
    # The sum of an external histogram falls where its values are negative.
    is_external_sum = known is None and name.endswith("_sum") and name.endswith(COUNTER_SUFFIXES)
    return ANY if is_external_sum else NOT_NEGATIVE


def why_foregone(condition: Condition) -> str:
    """Why a condition can't pass, or can't fail, whatever happens in the run; empty if both are possible."""
    possible = value_range(condition)
    if is_met_by_none(condition.operator, condition.limit, possible):
        outcome = "can't pass: no value meets it, because"
    elif is_met_by_all(condition.operator, condition.limit, possible):
        outcome = "can't fail: every value meets it, because"
    else:
        return ""
    subject = condition.metric if not condition.aggregation else "this figure"
    return f"{outcome} {subject} {possible.describe(condition.unit)}"


def is_met_by_none(operator: str, limit: float, possible: ValueRange) -> bool:
    """Whether no value of a range is `operator` than the limit."""
    inverse = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
    return is_met_by_all(inverse[operator], limit, possible)


def is_met_by_all(operator: str, limit: float, possible: ValueRange) -> bool:
    """Whether every value of a range is `operator` than the limit.

    >>> is_met_by_all(">=", 0, COUNT), is_met_by_all(">", 0, COUNT), is_met_by_all("<=", 1.5, SHARE)
    (True, False, True)
    """
    match operator:
        case "<":
            return possible.high < limit
        case "<=":
            return possible.high <= limit
        case ">":
            return possible.low > limit
        case ">=":
            return possible.low >= limit
        case "==":
            return possible.low == possible.high == limit
        case _:
            return not possible.contains(limit)
