"""What a label must be: the rules that choose rows and series, as in PromQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabelMatcher:
    """One matcher. A regular expression must match the whole value (Prometheus anchors it too).

    >>> LabelRule("outcome", "=~", "timeout_.*").holds("timeout_send")
    True
    """

    label: str
    operator: str
    value: str
    _pattern: re.Pattern[str] | None = field(init=False, compare=False, repr=False, default=None)

    def __post_init__(self) -> None:
        """Raises re.error where the value should be a regular expression and is none."""
        if self.operator.endswith("~"):
            object.__setattr__(self, "_pattern", re.compile(self.value))

    def holds(self, value: str) -> bool:
        """Whether a label with this value is chosen. Values of `le` are compared as numbers."""
        if self._pattern is not None:
            matched = self._pattern.fullmatch(value) is not None
        elif self.label == "le":
            matched = _number(value) == _number(self.value)
        else:
            matched = value == self.value
        return matched != self.operator.startswith("!")


def matchers_on(rules: Iterable[LabelMatcher], *labels: str) -> list[LabelMatcher]:
    """Those of the rules that are about one of these labels."""
    return [rule for rule in rules if rule.label in labels]


def matchers_except(rules: Iterable[LabelMatcher], *labels: str) -> list[LabelMatcher]:
    """Those of the rules that are about another label than these."""
    return [rule for rule in rules if rule.label not in labels]


def all_match(rules: Sequence[LabelMatcher], labels: Iterable[tuple[str, str]]) -> bool:
    """Whether a series with these labels is chosen; a label that it lacks is empty, as in PromQL."""
    known = dict(labels)
    return all(rule.holds(known.get(rule.label, "")) for rule in rules)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
