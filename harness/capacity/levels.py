"""The levels of a resource that is varied: `server.workers=1..64`, from the weakest to the strongest."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from harness.base.errors import UsageError

MAX_LEVELS = 10_000
_DEFAULT_RATIO = 0.05
_RANGE = re.compile(r"\s*([\w.-]+)\s*=\s*([\d.]+?)\s*([A-Za-z%/]*)\s*\.\.\s*([\d.]+)\s*([A-Za-z%/]*)\s*")
_MORE_IS_STRONGER = re.compile(r"server\.(workers|ingress|egress|bytes_per_s|max_connections)")
_LESS_IS_STRONGER = re.compile(r"server\.(service_time(\.\w+)?|reading_time(\.\w+)?|contention_slope)")
"""Keys of which it is known which end of a range is the stronger one."""
_RATIO = re.compile(r"([\d.]+)\s*%")


@dataclass(frozen=True)
class VariedKey:
    """A key of the scenario and the values that it takes, from the weakest level to the strongest."""

    key: str
    values: tuple[float, ...]
    unit: str
    """As written behind the numbers: "", "MB/s", "s"."""
    step: str
    """The width between two levels, as written: "1" or "5%"."""

    def text(self, level: int) -> str:
        """The value of a level, as in a scenario file."""
        return f"{self.values[level]:.12g}{self.unit}"

    def override(self, level: int) -> str:
        """The override that sets it, as `--set` takes it."""
        return f"{self.key}={self.text(level)}"

    def nearest(self, value: float) -> int:
        """The weakest level that is at least this strong; the strongest if none is."""
        if self.values[0] <= self.values[-1]:
            return next((level for level, one in enumerate(self.values) if one >= value), len(self.values) - 1)
        return next((level for level, one in enumerate(self.values) if one <= value), len(self.values) - 1)


def parse_varied_key(text: str, width: str | None = None) -> VariedKey:
    """The levels of "KEY=WEAKEST..STRONGEST"; `width` is the step between two: a number in the same unit, or a percentage.

    By default whole numbers go up by 1, all others by 5 %. Raises UsageError for anything else.

    >>> parse_varied_key("server.workers=1..4").values
    (1.0, 2.0, 3.0, 4.0)
    >>> one = parse_varied_key("client.timeout=60s..40s", "10s")
    >>> [one.text(level) for level in range(3)]
    ['60s', '50s', '40s']
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        message = f'--vary "{text}" should be KEY=WEAKEST..STRONGEST, as in server.workers=1..64 or server.ingress=1MB/s..50MB/s'
        raise UsageError(message)
    key, first_text, first_unit, last_text, unit = found.groups()
    if first_unit not in {"", unit}:
        message = f'--vary "{text}": both ends should have the same unit, not {first_unit} and {unit or "none"}'
        raise UsageError(message)
    first, last = _number(first_text, text), _number(last_text, text)
    _check_direction(key, first, last, text)
    is_whole = not unit and first.is_integer() and last.is_integer()
    step = width or ("1" if is_whole else f"{_DEFAULT_RATIO:.0%}")
    values = _values(first, last, step, text, is_whole=is_whole)
    return VariedKey(key, values, unit, step)


def _check_direction(key: str, first: float, last: float, source: str) -> None:
    """Raise UsageError for a range that begins with its strongest level: the search would find that everything suffices."""
    is_reversed = (_MORE_IS_STRONGER.fullmatch(key) and first > last) or (
        _LESS_IS_STRONGER.fullmatch(key) and first < last
    )
    if is_reversed:
        message = f'--vary "{source}" begins with the strongest: write KEY=WEAKEST..STRONGEST, as in server.workers=1..64 or server.service_time.median=400ms..20ms'
        raise UsageError(message)


def _number(text: str, source: str) -> float:
    try:
        return float(text)
    except ValueError:
        message = f'--vary "{source}": "{text}" is not a number'
        raise UsageError(message) from None


def _values(first: float, last: float, step: str, source: str, *, is_whole: bool) -> tuple[float, ...]:
    if first <= 0 or last <= 0 or first == last:
        message = f'--vary "{source}": both ends should be above 0 and differ'
        raise UsageError(message)
    percent = _RATIO.fullmatch(step)
    if percent is not None:
        ratio = float(percent[1]) / 100
        number = math.ceil(abs(math.log(last / first)) / math.log1p(ratio)) if 0 < ratio <= 1 else 0
    else:
        width = _step_width(step)
        number = math.ceil(abs(last - first) / width) if width > 0 else 0
    if not 0 < number < MAX_LEVELS:
        message = f'--width "{step}" should be a step such as 1, or a percentage such as 5%, that makes 2 to {MAX_LEVELS:,} levels'
        raise UsageError(message)
    if percent is not None:
        found = [first * (last / first) ** (place / number) for place in range(number + 1)]
    else:
        found = [first + math.copysign(width, last - first) * place for place in range(number)] + [last]
    # a whole number stays one: 5 % of a few workers is less than one worker
    found = [float(round(value)) if is_whole else float(f"{value:.4g}") for value in found]
    return tuple(dict.fromkeys(found))


def _step_width(step: str) -> float:
    number = re.fullmatch(r"([\d.]+)\s*[A-Za-z/]*", step)
    try:
        return float(number[1]) if number else 0.0
    except ValueError:
        return 0.0
