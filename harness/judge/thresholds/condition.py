"""An assertion understood: what is aggregated over which rows or series, when, and against which limit.

What an assertion can say is checked here, before a run begins; thresholds.py holds it against the figures.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from harness.analysis.durations import DURATION_METRICS
from harness.analysis.label_matchers import LabelMatcher
from harness.analysis.selection import ROW_LABELS
from harness.base.model import OUTCOMES
from harness.judge.thresholds.metrics import KNOWN_METRICS, find_metric
from harness.judge.thresholds.parser import ParsedAssertion, ParsedMatcher, Token, WindowClause, parse_assertion
from harness.judge.thresholds.summary_keys import unit_of_key
from harness.judge.thresholds.units import Unit, parse_limit, unit_from_name
from mock_server.profile.units import duration_s
from mock_server.profile.validation_messages import suggestion

AGGREGATIONS = ("pN", "avg", "min", "max", "count", "rate", "ratio", "last")
COUNTER_SUFFIXES = ("_total", "_count", "_sum", "_bucket")
"""How the counters of a server that is not ours are told from its gauges: by the ends of their names."""
MAY_NEVER_ARRIVE = ("delivery_seconds", "completion_seconds")
"""Samples whose rows may never arrive."""
MIN_WINDOW_S = 1.0
"""Shortest window of `over`: scrapes come once a second."""
_PERCENTILE = re.compile(r"p([0-9]+(?:\.[0-9]+)?)")
_VALUES = ("p", "avg", "min", "max", "last", "count")

ConditionSource = Literal["key", "rows", "gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A part of the run, told by a fault: while it lasts, after it, or from so long after its end on."""

    kind: Literal["during", "after", "within"]
    fault: str
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """One assertion, understood."""

    text: str
    source: ConditionSource
    metric: str
    aggregation: str
    """One of `AGGREGATIONS`, with "p" for every percentile; "" for a key."""
    quantile: float | None
    rules: tuple[LabelMatcher, ...]
    operator: str
    limit: float
    """In base units."""
    unit: Unit
    span: FaultSpan | None
    over_s: float | None

    @property
    def is_upper_limit_of_rows_s(self) -> bool:
        """Whether it puts an upper limit on durations that the generator's lateness is part of."""
        name = self.metric.split(".")[0]
        of_rows = name in DURATION_METRICS and name != "lateness_seconds"
        return of_rows and self.unit == "s" and self.operator in {"<", "<="}


def parse_condition(assertion: str, faults: Collection[str] | None = None) -> Condition:
    """An assertion, understood; `faults` are the names that a window may give, where they are known.

    Raises WrongAssertionError where it says what can't be.
    """
    parsed = parse_assertion(assertion)
    source, quantile = _source(parsed), None
    name = ""
    if parsed.aggregation is not None:
        name, quantile = _aggregation(parsed, parsed.aggregation, source)
    rules = tuple(_rule(parsed, matcher, source) for matcher in parsed.matchers)
    if name == "ratio":
        _check_ratio(parsed, rules, source)
    unit = _unit(parsed, name, source)
    try:
        limit = parse_limit(parsed.value.text, unit)
    except ValueError as error:
        raise parsed.problem(parsed.value, str(error)) from None
    span, over_s = _windows(parsed, source, faults)
    return Condition(
        text=assertion, source=source, metric=parsed.metric.text, aggregation=name, quantile=quantile, rules=rules,
        operator=parsed.operator, limit=limit, unit=unit, span=span, over_s=over_s,
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
    if any(matcher.label.text == "target" for matcher in parsed.matchers):
        return "counter" if name.endswith(COUNTER_SUFFIXES) else "gauge"
    known = [*ROW_LABELS, *KNOWN_METRICS]
    others = ", the series of docs/reference/metrics.md, and those of a server of yours with its {target=…}"
    near = suggestion(name, known) or f"; there are {', '.join(ROW_LABELS)}{others}"
    note = "; a key of the summary stands alone, without an aggregation" if "." in name else near
    raise parsed.problem(parsed.metric, f'there is no metric "{name}"{note}')


def _aggregation(parsed: ParsedAssertion, word: Token, source: ConditionSource) -> tuple[str, float | None]:
    match = _PERCENTILE.fullmatch(word.text)
    name = "p" if match else word.text
    if name not in {"p", *AGGREGATIONS[1:]}:
        raise parsed.problem(word, f'there is no aggregation "{word.text}"; there are {", ".join(AGGREGATIONS)}')
    allowed, why = _allowed(parsed.metric.text, source)
    if name not in allowed:
        listed = ", ".join("pN" if one == "p" else one for one in allowed)
        raise parsed.problem(word, f"{word.text} can't be taken of {parsed.metric.text}{why}: take one of {listed}")
    if match is None:
        return name, None
    share = Decimal(match[1])
    quantile = float(share / 100)
    if not 0 < quantile < 1:
        message = f"{word.text} is no percentile: it lies between p0 and p100; write max or min for the ends"
        raise parsed.problem(word, message)
    return "p", quantile


def _allowed(metric: str, source: ConditionSource) -> tuple[tuple[str, ...], str]:
    """The aggregations that a metric has, and why it has no other, in words."""
    if source == "gauge":
        return _VALUES, ", a gauge"
    if source == "counter":
        return ("rate", "count", "ratio", "last"), ", a counter, which only rises"
    if source == "histogram":
        return ("avg", "count", "rate"), ", a histogram, whose buckets are too coarse (the rows have percentiles)"
    if metric == "attempts":
        return ("count", "rate", "ratio"), ", which has no value"
    if metric == "deliveries":
        return ("count", "rate"), ", which has no value"
    return (*_VALUES, "ratio") if metric in MAY_NEVER_ARRIVE else _VALUES, ""


def _rule(parsed: ParsedAssertion, matcher: ParsedMatcher, source: ConditionSource) -> LabelMatcher:
    name, label = parsed.metric.text, matcher.label.text
    known = find_metric(name)
    labels = ROW_LABELS[name] if source == "rows" else (*(known.labels if known else ()), "target")
    is_foreign = source != "rows" and known is None
    if label not in labels and not is_foreign:
        near = suggestion(label, labels) or f"; there are {', '.join(labels)}"
        raise parsed.problem(matcher.label, f'{name} has no label "{label}"{near}')
    rule = _compiled(parsed, matcher)
    if label == "outcome" and not is_foreign and not any(rule.holds(str(outcome)) for outcome in OUTCOMES):
        near = suggestion(matcher.value.text, OUTCOMES) or f"; there are {', '.join(OUTCOMES)}"
        raise parsed.problem(matcher.value, f"no outcome is chosen by this{near}")
    if label == "outcome" and not is_foreign and matcher.operator == "!=" and matcher.value.text not in OUTCOMES:
        raise parsed.problem(matcher.value, f'there is no outcome "{matcher.value.text}"')
    return rule


def _compiled(parsed: ParsedAssertion, matcher: ParsedMatcher) -> LabelMatcher:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python may read otherwise one day is still read
            return LabelMatcher(matcher.label.text, matcher.operator, matcher.value.text)
    except (re.error, OverflowError, RecursionError) as error:
        raise parsed.problem(matcher.value, f"this is no regular expression: {error}") from None


def _check_ratio(parsed: ParsedAssertion, rules: tuple[LabelMatcher, ...], source: ConditionSource) -> None:
    """A share needs to be told what of: without a label that divides, it would always be all."""
    name = parsed.metric.text
    if source == "rows" and name in MAY_NEVER_ARRIVE:
        return
    dividing = [rule for rule in rules if (rule.label == "outcome" if source == "rows" else rule.label != "target")]
    if not dividing:
        example = f'ratio({name}{{outcome="accepted"}})' if source == "rows" else f'ratio({name}{{label="…"}})'
        raise parsed.problem(parsed.metric, f"a ratio needs a label that says which share, as in {example}")


def _unit(parsed: ParsedAssertion, name: str, source: ConditionSource) -> Unit:
    metric = parsed.metric.text
    if source == "key":
        try:
            return unit_of_key(metric)
        except ValueError as error:
            note = f'; for its rows write "p95({metric})"' if metric in DURATION_METRICS else ""
            note = note or (
                "; it needs an aggregation, as in max(…)" if find_metric(metric) or metric in ROW_LABELS else ""
            )
            raise parsed.problem(parsed.metric, f"{error}{note}") from None
    if name == "ratio":
        return "ratio"
    if source == "rows":
        return "" if name == "count" else "per_s" if name == "rate" else "s"
    base = (
        unit_from_name(metric.removesuffix("_total").removesuffix("_sum"))
        if not metric.endswith(("_count", "_bucket"))
        else ""
    )
    if name == "rate":
        return {"B": "B/s", "s": "per_s" if source == "histogram" else "ratio"}.get(base, "per_s")
    if name == "count" and source != "counter":
        return ""
    return base


def _windows(
    parsed: ParsedAssertion, source: ConditionSource, faults: Collection[str] | None
) -> tuple[FaultSpan | None, float | None]:
    span: FaultSpan | None = None
    over_s: float | None = None
    for window in parsed.windows:
        if source == "key":
            raise parsed.problem(
                window.keyword, f"{parsed.metric.text} is a figure of the whole run: it has no windows"
            )
        if window.keyword.text == "over":
            if over_s is not None:
                raise parsed.problem(window.keyword, '"over" stands twice')
            over_s = _length(parsed, window)
            if over_s < MIN_WINDOW_S:
                raise parsed.problem(
                    window.keyword, f"a window of less than {MIN_WINDOW_S:g} s is too short to be judged"
                )
        elif span is not None:
            message = f'"{window.keyword.text}" can\'t stand beside "{span.kind}": one part of the run at a time'
            raise parsed.problem(window.keyword, message)
        else:
            span = _span(parsed, window, faults)
    return span, over_s


def _span(parsed: ParsedAssertion, window: WindowClause, faults: Collection[str] | None) -> FaultSpan:
    fault = window.fault or Token("", window.keyword.place)
    if faults is not None and fault.text not in faults:
        near = suggestion(fault.text, faults) or (f"; there are {', '.join(faults)}" if faults else "; there are none")
        raise parsed.problem(fault, f'the scenario has no fault "{fault.text}"{near}')
    if window.keyword.text == "during":
        return FaultSpan("during", fault.text)
    if window.keyword.text == "after":
        return FaultSpan("after", fault.text)
    return FaultSpan("within", fault.text, _length(parsed, window))


def _length(parsed: ParsedAssertion, window: WindowClause) -> float:
    word = window.length or window.keyword
    try:
        return duration_s(word.text)
    except ValueError as error:
        raise parsed.problem(word, f'"{word.text}" {error}') from None
