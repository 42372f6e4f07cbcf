"""Which percentiles of a scenario's thresholds its plan can't bear: they would fail for want of data, whatever the server does.

Told before a run. The plan knows how many pages and stations there will be at most, and so the largest sample that
there can be; attempts may be more than pages where there are retries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.durations import DURATION_METRICS
from harness.analysis.label_matchers import LabelMatcher, all_match, matchers_on
from harness.analysis.percentile import QUANTILES, min_sample_size
from harness.analysis.selection import PLACE_DIGITS
from harness.judge.thresholds.condition import MAY_NEVER_ARRIVE, Condition, parse_condition
from harness.plan import Plan

_UNLESS = ", unless retries make them more"


def find_undersized(assertions: Sequence[str], plan: Plan, warm_up_s: float, deadline_s: float) -> list[str]:
    """A line for each threshold whose percentile needs a larger sample than the plan has, with both sizes.

    The assertions must have passed `check_all`. Those with windows are left out: how much falls into one isn't known.
    """
    lines = []
    for assertion in dict.fromkeys(assertions):
        condition = parse_condition(assertion)
        found = _percentile_of(condition)
        if found is None or condition.span is not None or condition.over_s is not None:
            continue
        metric, quantile, rules = found
        stations, each = _chosen(plan, rules, warm_up_s, deadline_s)
        what, there = ("stations", stations) if metric == "completion_seconds" else ("pages", stations * each)
        if there < min_sample_size(quantile):
            unless = "" if metric in MAY_NEVER_ARRIVE else _UNLESS
            lines.append(
                f"{assertion} will fail for want of data{unless}: it needs {min_sample_size(quantile):,} {what}, the plan has {there:,}"
            )
    return lines


def _percentile_of(condition: Condition) -> tuple[str, float, Sequence[LabelMatcher]] | None:
    """Sample, quantile and rules of an assertion about a percentile of rows; None for any other."""
    if condition.source == "rows" and condition.quantile is not None and condition.metric in DURATION_METRICS:
        return condition.metric, condition.quantile, condition.rules
    if condition.source != "key":
        return None
    first, *_, last = condition.metric.split(".")
    return (first, QUANTILES[last], ()) if first in DURATION_METRICS and last in QUANTILES else None


def _chosen(plan: Plan, rules: Sequence[LabelMatcher], warm_up_s: float, deadline_s: float) -> tuple[int, int]:
    """How many stations of the places that are chosen turn up in time at most, and pages each of the forms that are."""
    due_s = plan.soonest_s
    in_time = due_s < deadline_s
    if plan.rounds is None:  # phones that go round are later than their soonest: the warm-up leaves out fewer
        in_time &= due_s >= warm_up_s
    places, forms = matchers_on(rules, *PLACE_DIGITS), matchers_on(rules, "form")
    numbers = np.flatnonzero(in_time).tolist()
    stations = (
        sum(all_match(places, _places(plan.stations[number].code)) for number in numbers) if places else len(numbers)
    )
    return stations, sum(all_match(forms, [("form", form)]) for form, _ in plan.slots)


def _places(code: str) -> list[tuple[str, str]]:
    return [(label, code[:digits]) for label, digits in PLACE_DIGITS.items()]
