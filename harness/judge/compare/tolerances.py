"""How much worse a figure may be: read from the command line, before anything else happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.comparable import COMPARABLE_FIGURES, JUDGED_FIGURES, SHOWN_FIGURES
from harness.base.errors import UsageError
from harness.judge.thresholds.units import parse_limit
from mock_server.profile.validation_messages import suggestion

DEFAULT_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How much worse a figure may be, relative to the base: 0.05 is 5 %."""

    default: float = DEFAULT_TOLERANCE
    by_key: Mapping[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> list[str]:
        """The figures that are judged: the usual ones, and those that were given a tolerance of their own."""
        return list(dict.fromkeys([*JUDGED_FIGURES, *self.by_key]))

    @property
    def shown(self) -> list[str]:
        """The figures that are judged, and those that are only shown."""
        return list(dict.fromkeys([*self.judged, *SHOWN_FIGURES]))

    def of(self, key: str) -> float | None:
        """The tolerance of a figure; None where it is not judged."""
        return self.by_key.get(key, self.default) if key in self.judged else None


def parse_tolerances(texts: Sequence[str]) -> Tolerances:
    """Tolerances as written: "5%" for all, "response_seconds.p95=10%" for one.

    Raises UsageError for what is no ratio, or no figure that can be compared; says what is allowed.

    >>> parse_tolerances(["10%", "attempts.amplification=1%"]).of("attempts.amplification")
    0.01
    """
    default, by_key = DEFAULT_TOLERANCE, {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if equals and key not in COMPARABLE_FIGURES:
            near = suggestion(key, list(COMPARABLE_FIGURES)) or f": there are {', '.join(COMPARABLE_FIGURES)}"
            message = f'--tolerance "{text}": {key} is no figure that can be compared{near}'
            raise UsageError(message)
        if equals:
            by_key[key] = _ratio(text, value)
        else:
            default = _ratio(text, value)
    return Tolerances(default, by_key)


def _ratio(text: str, value: str) -> float:
    try:
        tolerance = parse_limit(value.strip(), "ratio")
    except ValueError as error:
        message = f'--tolerance "{text}": {error}'
        raise UsageError(message) from None
    if tolerance < 0:
        message = f'--tolerance "{text}" must not be negative: it says how much worse a figure may be'
        raise UsageError(message)
    return tolerance
