"""Thresholds that a plan decides before the run: its numbers leave no value that fails them, or none that passes.

`value_range` knows what a figure can be in any run; here the plan's own sizes and the client's timeout narrow it. These are
warnings, because the same assertion may make sense with another `--set`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.judge.thresholds.condition import Condition, parse_condition
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.value_range import ValueRange, is_met_by_all, is_met_by_none, value_range

_TIMER_SLACK_S = 1.0
"""A timeout fires late on a busy machine: an attempt may be recorded this much longer than `client.timeout`."""
_NOT_OF_THE_PLAN = {"audit.unexpected", "audit.unsafe"}
"""Counts of the audit that include stored copies of pages that nobody planned."""


def find_decided(assertions: Sequence[str], pages: int, stations: int, client_timeout_s: float) -> list[str]:
    """One line for each threshold that can't fail or can't pass in a run of this size.

    The assertions must have passed `check_condition`.

    >>> for line in find_decided(["pages.delivered >= 40", "pages.delivered == 36", "max(service_seconds) < 30s"], 36, 12, 10.0):
    ...     print(line)
    pages.delivered >= 40 can't pass: the plan has 36 pages
    max(service_seconds) < 30s can't fail: no attempt takes longer than client.timeout, 10 s
    """
    lines = []
    for text in dict.fromkeys(assertions):
        condition = parse_condition(text)
        possible, why = _planned_range(condition, pages, stations, client_timeout_s)
        if is_met_by_none(condition.operator, condition.limit, possible):
            lines.append(f"{text} can't pass: {why}")
        elif is_met_by_all(condition.operator, condition.limit, possible):
            lines.append(f"{text} can't fail: {why}")
    return lines


def _planned_range(condition: Condition, pages: int, stations: int, client_timeout_s: float) -> tuple[ValueRange, str]:
    """The values that a figure can have in this run, and why no others."""
    table, _, key = condition.metric.partition(".")
    if condition.source == "key" and "." not in key and condition.metric not in _NOT_OF_THE_PLAN:
        size, name = {"pages": (pages, "pages"), "audit": (pages, "pages"), "stations": (stations, "stations")}.get(
            table, (0, "")
        )
        general = value_range(condition)
        if name and general.whole and math.isinf(general.high):
            low = float(size) if key == "planned" else 0.0
            return ValueRange(low, size, whole=True), f"the plan has {size:,} {name}"
    is_duration = condition.source == "rows" and condition.metric in {"service_seconds", "response_seconds"}
    if is_duration and condition.unit == "s":
        limit = format_value(client_timeout_s, "s")
        high = client_timeout_s + _TIMER_SLACK_S
        return ValueRange(0.0, high), f"no attempt takes longer than client.timeout, {limit}"
    return value_range(condition), ""
