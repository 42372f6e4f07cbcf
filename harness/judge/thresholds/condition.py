"""A parsed and checked assertion: what is aggregated over which rows or series, when, and against which limit.

Everything an assertion can get wrong is reported here, before a run begins; evaluate.py applies the condition to a run.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from harness.analysis.durations import DURATION_METRICS
from harness.analysis.places import STATION
from harness.analysis.selection import ROW_LABELS, LabelMatcher
from harness.analysis.time_series import COUNTER_SUFFIXES
from harness.base.model import OUTCOMES
from harness.judge.thresholds.metrics import KNOWN_METRICS, find_metric, unit_of_key
from harness.judge.thresholds.parser import ParsedAssertion, ParsedMatcher, Token, WindowClause, parse_assertion
from harness.judge.thresholds.units import Unit, parse_limit, unit_from_name
from harness.scenario.stations import PLACE_LABELS
from mock_server.profile.units import duration_s
from mock_server.profile.validation_messages import suggestion

AGGREGATIONS = ("pN", "avg", "min", "max", "count", "rate", "ratio", "last")
MAY_NEVER_ARRIVE = ("delivery_seconds", "completion_seconds")
"""Durations whose rows may be +infinity."""
MIN_WINDOW_S = 1.0
"""Shortest window of `over`: there is one scrape per second."""
_PERCENTILE = re.compile(r"p([0-9]+(?:\.[0-9]+)?)")
_VALUE_AGGREGATIONS = ("p", "avg", "min", "max", "last", "count")

ConditionSource = Literal["key", "rows", "gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A part of the run, relative to a fault: while it lasts, after it, or from `within_s` after its end on."""

    kind: Literal["during", "after", "within"]
    fault: str
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed and checked assertion."""

    text: str
    source: ConditionSource
    metric: str
    aggregation: str
    """One of `AGGREGATIONS`, with "p" for every percentile; empty for a key of the summary."""
    quantile: float | None
    matchers: tuple[LabelMatcher, ...]
    operator: str
    limit: float
    """In base units."""
    unit: Unit
    fault_span: FaultSpan | None
    over_s: float | None
    """Length of the windows that the condition must hold in, each by itself; None without `over`."""

    @property
    def is_upper_limit_of_rows_s(self) -> bool:
        """Whether it is an upper limit on durations that contain the generator's lateness."""
        name = self.metric.split(".")[0]
        of_rows = name in DURATION_METRICS and name != "lateness_seconds"
        return of_rows and self.unit == "s" and self.operator in {"<", "<="}


def parse_condition(
    assertion: str, faults: Collection[str] | None = None, places: Sequence[str] | None = None
) -> Condition:  # fmt: skip
    """Parse and check an assertion; `faults` are the names that a window may refer to, `places` the labels of places, if known.

    An assertion that was checked before is parsed again without them: then any label of rows may be a group of the user's own.

    Raises InvalidAssertionError, whose message says what is allowed instead.
    """
    parsed = parse_assertion(assertion)
    source, quantile = _source(parsed), None
    name = ""
    if parsed.aggregation is not None:
        name, quantile = _aggregation(parsed, parsed.aggregation, source)
    matchers = tuple(_matcher(parsed, matcher, source, places) for matcher in parsed.matchers)
    if name == "ratio":
        _check_ratio(parsed, matchers, source)
    unit = _unit(parsed, name, source)
    try:
        limit = parse_limit(parsed.value.text, unit)
    except ValueError as error:
        raise parsed.error_at(parsed.value, str(error)) from None
    fault_span, over_s = _windows(parsed, source, faults)
    return Condition(
        text=assertion, source=source, metric=parsed.metric.text, aggregation=name, quantile=quantile, matchers=matchers,
        operator=parsed.operator, limit=limit, unit=unit, fault_span=fault_span, over_s=over_s,
    )  # fmt: skip


def _source(parsed: ParsedAssertion) -> ConditionSource:
    name = parsed.metric.text
    if parsed.aggregation is None:
        return "key"
    if name in ROW_LABELS:
        return "rows"
    found = find_metric(name)
    if found is not None:
        return found.kind
    # Which series an external server publishes is known only once it has been scraped, so any name with a target goes.
    if any(matcher.label.text == "target" for matcher in parsed.matchers):
        return "counter" if name.endswith(COUNTER_SUFFIXES) else "gauge"
    known = [*ROW_LABELS, *KNOWN_METRICS]
    others = ", the series in docs/reference/metrics.md, and those of your own server with {target=…}"
    near = suggestion(name, known) or f"; available: {', '.join(ROW_LABELS)}{others}"
    note = "; a key of the summary is written without an aggregation" if "." in name else near
    raise parsed.error_at(parsed.metric, f'there is no metric "{name}"{note}')


def _aggregation(parsed: ParsedAssertion, token: Token, source: ConditionSource) -> tuple[str, float | None]:
    match = _PERCENTILE.fullmatch(token.text)
    name = "p" if match else token.text
    if name not in {"p", *AGGREGATIONS[1:]}:
        raise parsed.error_at(token, f'there is no aggregation "{token.text}"; available: {", ".join(AGGREGATIONS)}')
    allowed, why = _allowed(parsed.metric.text, source)
    if name not in allowed:
        listed = ", ".join("pN" if one == "p" else one for one in allowed)
        raise parsed.error_at(token, f"{token.text} does not apply to {parsed.metric.text}{why}: use one of {listed}")
    if match is None:
        return name, None
    quantile = float(Decimal(match[1]) / 100)  # in decimals, so that p99.9 is 0.999 and not 0.9990000000000001
    if not 0 < quantile < 1:
        message = f"{token.text} is not a percentile: it must lie between p0 and p100; use max or min for the ends"
        raise parsed.error_at(token, message)
    return "p", quantile


def _allowed(metric: str, source: ConditionSource) -> tuple[tuple[str, ...], str]:
    """The aggregations of a metric, and why it has no others."""
    if source == "gauge":
        return _VALUE_AGGREGATIONS, ", a gauge"
    if source == "counter":
        return ("rate", "count", "ratio", "last"), ", a counter, which only rises"
    if source == "histogram":
        return ("avg", "count", "rate"), ", a histogram, whose buckets are too coarse (use the rows for percentiles)"
    if metric in {"attempts", "reads"}:
        return ("count", "rate", "ratio"), ", which has no value"
    if metric == "deliveries":
        return ("count", "rate"), ", which has no value"
    return (*_VALUE_AGGREGATIONS, "ratio") if metric in MAY_NEVER_ARRIVE else _VALUE_AGGREGATIONS, ""


def _row_labels(metric: str, places: Sequence[str] | None) -> tuple[str, ...]:
    """The labels of a metric of rows: those of places are the run's own."""
    labels = ROW_LABELS[metric]
    if places is None or STATION not in labels:
        return labels
    return (*places, *(label for label in labels if label not in PLACE_LABELS))


def _matcher(
    parsed: ParsedAssertion, matcher: ParsedMatcher, source: ConditionSource, places: Sequence[str] | None
) -> LabelMatcher:
    name, label = parsed.metric.text, matcher.label.text
    known = find_metric(name)
    labels = _row_labels(name, places) if source == "rows" else (*(known.labels if known else ()), "target")
    is_external = source != "rows" and known is None
    may_be_group = source == "rows" and places is None and STATION in labels
    if label not in labels and not is_external and not may_be_group:
        near = suggestion(label, labels) or f"; available: {', '.join(labels)}"
        raise parsed.error_at(matcher.label, f'{name} has no label "{label}"{near}')
    compiled = _compile(parsed, matcher)
    if label == "outcome" and not is_external and not any(compiled.matches(str(outcome)) for outcome in OUTCOMES):
        near = suggestion(matcher.value.text, OUTCOMES) or f"; available: {', '.join(OUTCOMES)}"
        raise parsed.error_at(matcher.value, f"this matches no outcome{near}")
    # A misspelt != would match every outcome and never be noticed.
    if label == "outcome" and not is_external and matcher.operator == "!=" and matcher.value.text not in OUTCOMES:
        raise parsed.error_at(matcher.value, f'there is no outcome "{matcher.value.text}"')
    return compiled


def _compile(parsed: ParsedAssertion, matcher: ParsedMatcher) -> LabelMatcher:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarning: valid today, possibly read differently by a later Python
            return LabelMatcher(matcher.label.text, matcher.operator, matcher.value.text)
    except (re.error, OverflowError, RecursionError) as error:
        raise parsed.error_at(matcher.value, f"invalid regular expression: {error}") from None


def _check_ratio(parsed: ParsedAssertion, matchers: tuple[LabelMatcher, ...], source: ConditionSource) -> None:
    """Require a label that selects a share: without one, the ratio would always be 1."""
    name = parsed.metric.text
    if source == "rows" and name in MAY_NEVER_ARRIVE:
        return
    dividing = [one for one in matchers if (one.label == "outcome" if source == "rows" else one.label != "target")]
    if not dividing:
        example = f'ratio({name}{{outcome="accepted"}})' if source == "rows" else f'ratio({name}{{label="…"}})'
        raise parsed.error_at(parsed.metric, f"a ratio needs a label that selects a share, as in {example}")


def _unit(parsed: ParsedAssertion, name: str, source: ConditionSource) -> Unit:
    metric = parsed.metric.text
    if source == "key":
        try:
            return unit_of_key(metric)
        except ValueError as error:
            note = f'; for its rows write "p95({metric})"' if metric in DURATION_METRICS else ""
            is_metric = find_metric(metric) is not None or metric in ROW_LABELS
            note = note or ("; it needs an aggregation, as in max(…)" if is_metric else "")
            raise parsed.error_at(parsed.metric, f"{error}{note}") from None
    if name == "ratio":
        return "ratio"
    if source == "rows":
        return "" if name == "count" else "per_s" if name == "rate" else "s"
    base = unit_from_name(metric.removesuffix("_total").removesuffix("_sum"))
    if name == "rate":  # seconds per second are a ratio, such as the CPU of a process; a histogram's rate counts events
        return {"B": "B/s", "s": "per_s" if source == "histogram" else "ratio"}.get(base, "per_s")
    if name == "count" and source != "counter":
        return ""
    return base


def _windows(
    parsed: ParsedAssertion, source: ConditionSource, faults: Collection[str] | None
) -> tuple[FaultSpan | None, float | None]:
    fault_span: FaultSpan | None = None
    over_s: float | None = None
    for window in parsed.windows:
        if source == "key":
            message = f"{parsed.metric.text} is a figure of the whole run and can't have a window"
            raise parsed.error_at(window.keyword, message)
        if window.keyword.text == "over":
            if over_s is not None:
                raise parsed.error_at(window.keyword, 'duplicate "over"')
            over_s = _length_s(parsed, window)
            if over_s < MIN_WINDOW_S:
                raise parsed.error_at(window.keyword, f"a window must be at least {MIN_WINDOW_S:g} s long")
        elif fault_span is not None:
            message = (
                f'"{window.keyword.text}" can\'t be combined with "{fault_span.kind}": one part of the run at a time'
            )
            raise parsed.error_at(window.keyword, message)
        else:
            fault_span = _fault_span(parsed, window, faults)
    return fault_span, over_s


def _fault_span(parsed: ParsedAssertion, window: WindowClause, faults: Collection[str] | None) -> FaultSpan:
    fault = window.fault or Token("", window.keyword.position)
    if faults is not None and fault.text not in faults:
        available = f"; available: {', '.join(faults)}" if faults else "; it has none"
        near = suggestion(fault.text, faults) or available
        raise parsed.error_at(fault, f'the scenario has no fault "{fault.text}"{near}')
    if window.keyword.text == "during":
        return FaultSpan("during", fault.text)
    if window.keyword.text == "after":
        return FaultSpan("after", fault.text)
    return FaultSpan("within", fault.text, _length_s(parsed, window))


def _length_s(parsed: ParsedAssertion, window: WindowClause) -> float:
    token = window.length or window.keyword
    try:
        return duration_s(token.text)
    except ValueError as error:
        raise parsed.error_at(token, f'"{token.text}" {error}') from None
