"""Thresholds: assertions checked before a run, and held against its figures after it.

A threshold without a figure fails: no data, a sample too small for the percentile, and a percentile that never arrived
are breaches with their reason, never passes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.errors import ConfigurationError
from harness.figures.percentile import percentile
from harness.figures.spreads import METRICS
from harness.figures.summary import Summary
from harness.judge.grammar import Parsed, WrongAssertionError, parse
from harness.judge.keys import unit_of_key, value_of, why_no_percentile, why_none
from harness.judge.quantity import Unit, limit_of, shown
from harness.judge.results import ThresholdResult
from mock_server.problems import suggestion

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

_PERCENTILE = re.compile(r"p([0-9]+(?:\.[0-9]+)?)")
_AGGREGATIONS = ("pN", "avg", "min", "max", "count")
_COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


class SampleSource(Protocol):
    """Where the rows' samples come from: `harness.figures.spreads.Samples`."""

    def of(self, metric: str) -> FloatArray:
        """A sample by its name: sorted upwards, +infinity for what never arrived."""


def check(assertion: str) -> None:
    """Raise ConfigurationError where an assertion is wrong in word, place or unit; says what is allowed."""
    check_all([assertion])


def check_all(assertions: Sequence[str], source: str = "thresholds") -> None:
    """Raise ConfigurationError with everything that is wrong with a scenario's assertions, before anything starts."""
    problems = []
    for number, assertion in enumerate(assertions):
        try:
            _understood(assertion)
        except WrongAssertionError as error:
            problems.append(f"thresholds[{number}].assert: {error}".replace("\n", "\n  "))
    if problems:
        raise ConfigurationError(source, problems)


def evaluate_all(assertions: Sequence[str], summary: Summary, samples: SampleSource) -> list[ThresholdResult]:
    """The assertions, each held against the figures once. They must have passed `check_all`."""
    return [evaluate(assertion, summary, samples) for assertion in dict.fromkeys(assertions)]


def evaluate(assertion: str, summary: Summary, samples: SampleSource) -> ThresholdResult:
    """One assertion held against the figures. Raises WrongAssertionError for one that `check` would refuse."""
    parsed, unit, limit = _understood(assertion)
    if parsed.aggregation is None:
        observed = value_of(summary, parsed.metric.text)
        missing = "" if observed is not None else why_none(summary, parsed.metric.text)
    else:
        observed, missing = _aggregated(parsed.aggregation.text, samples.of(parsed.metric.text))
    passed = observed is not None and bool(_COMPARE[parsed.operator](observed, limit))
    reason = "" if passed or observed is None else _breach(observed, parsed.operator, limit, unit)
    return ThresholdResult(
        assertion=assertion, observed=observed, limit=limit, unit=unit, passed=passed, reason=missing or reason
    )


def limits_s(assertions: Sequence[str]) -> list[float]:
    """Every limit on seconds, rising: bounds that a live histogram of durations needs. They must have been checked.

    >>> limits_s(["p95(delivery_seconds) < 10s", "avg(response_seconds) < 150ms", "pages.undelivered == 0"])
    [0.15, 10.0]
    """
    understood = [_understood(assertion) for assertion in assertions]
    return sorted({limit for _, unit, limit in understood if unit == "s" and limit > 0})


def metric_of(assertion: str) -> tuple[str, str]:
    """The sample or key that an assertion is about, and its operator."""
    parsed = parse(assertion)
    return parsed.metric.text, parsed.operator


def _understood(assertion: str) -> tuple[Parsed, Unit, float]:
    """An assertion's parts, the unit of its figure and its limit in base units. Raises WrongAssertionError."""
    parsed = parse(assertion)
    unit = _unit_of(parsed)
    try:
        return parsed, unit, limit_of(parsed.value.text, unit)
    except ValueError as error:
        raise parsed.problem(parsed.value, str(error)) from None


def _unit_of(parsed: Parsed) -> Unit:
    if parsed.aggregation is None:
        try:
            return unit_of_key(parsed.metric.text)
        except ValueError as error:
            note = f'; for its rows write "p95({parsed.metric.text})"' if parsed.metric.text in METRICS else ""
            raise parsed.problem(parsed.metric, f"{error}{note}") from None
    if parsed.metric.text not in METRICS:
        near = suggestion(parsed.metric.text, METRICS) or f"; there are {', '.join(METRICS)}"
        raise parsed.problem(parsed.metric, f'there is no sample "{parsed.metric.text}"{near}')
    name = parsed.aggregation.text
    quantile = _quantile(name)
    if quantile is None and name not in _AGGREGATIONS[1:]:
        message = f'there is no aggregation "{name}"; there are {", ".join(_AGGREGATIONS)}'
        raise parsed.problem(parsed.aggregation, message)
    if quantile is not None and not 0 < quantile < 1:
        message = f"{name} is no percentile: it lies between p0 and p100; write max or min for the ends"
        raise parsed.problem(parsed.aggregation, message)
    return "" if name == "count" else "s"


def _aggregated(name: str, rising: FloatArray) -> tuple[float | None, str]:
    """What an aggregation gives of a sample, or None and why."""
    count = len(rising)
    never = count - int(np.searchsorted(rising, np.inf))
    quantile = _quantile(name)
    value: float | None
    if count == 0:
        value = None
    elif name == "count":
        value = float(count)
    elif quantile is not None:
        value = percentile(rising, quantile)
    else:
        value = float({"avg": rising.mean(), "min": rising[0], "max": rising[-1]}[name])
    if value is None or np.isinf(value):
        return None, why_no_percentile(count, never, quantile)
    return value, ""


def _quantile(name: str) -> float | None:
    match = _PERCENTILE.fullmatch(name)
    return float(Decimal(match[1]) / 100) if match else None


def _breach(observed: float, compare: str, limit: float, unit: Unit) -> str:
    """By how much a limit is breached, in words."""
    if compare == "!=" or observed == limit:
        return f"it is {shown(limit, unit)}"
    side = "above" if observed > limit else "below"
    away = abs(observed - limit)
    if unit == "ratio":
        return f"{shown(away * 100, '')} percentage points {side} the limit"
    share = f" ({away / abs(limit) * 100:.0f} %)" if 0 < away <= 10 * abs(limit) else ""
    return f"{shown(away, unit)}{share} {side} the limit"
