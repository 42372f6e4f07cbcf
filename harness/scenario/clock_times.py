"""Times of day in a scenario: "21:00" for a moment, where `starts_at` says what time it is at T0.

They are turned into seconds from T0 before the scenario is validated, so that nothing else knows of them. A time of day
counts in election time: with `time_scale = 60` an hour of the evening is a minute of the run.
"""

from __future__ import annotations

import re
from typing import Any

DAY_S = 86_400
CLOCK_PATTERN = r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?"
_CLOCK = re.compile(CLOCK_PATTERN)
MOMENTS = frozenset({"deadline", "start", "until"})
"""Keys whose values are moments and not lengths of time."""
LISTS_OF_MOMENTS = frozenset({"points", "rates"})
"""Lists of [moment, …]."""
_OWN_CLOCK = frozenset({"recapitulation"})
"""Tables that count in times of day themselves."""


class ClockTimeError(ValueError):
    """A time of day that can't be placed; the text names the key, the value and what to do."""


def resolve_clock_times(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a scenario with seconds from T0 in place of times of day. Raises ClockTimeError.

    A time of day before `starts_at` is that of the next day.

    >>> resolve_clock_times({"starts_at": "17:00", "deadline": "21:00", "arrivals": {"start": "17:30"}})
    {'starts_at': '17:00', 'deadline': '14400s', 'arrivals': {'start': '1800s'}}
    """
    starts_at = content.get("starts_at")
    start_s = clock_s(starts_at) if isinstance(starts_at, str) else None
    if start_s is None and starts_at:
        message = f'starts_at = "{starts_at}" should be a time of day from 00:00 to 23:59:59'
        raise ClockTimeError(message)
    scale = content.get("time_scale", 1)
    per_s = float(scale) if isinstance(scale, int | float) and scale > 0 else 1.0
    return {
        key: value if key in _OWN_CLOCK else _Resolver(start_s, per_s).value(key, key, value)
        for key, value in content.items()
    }


def clock_s(text: str) -> int | None:
    """Seconds since midnight of a time of day; None if a text is not one.

    >>> clock_s("17:44"), clock_s("9:00:30"), clock_s("24:00"), clock_s("90s")
    (63840, 32430, None, None)
    """
    found = _CLOCK.fullmatch(text.strip())
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)


class _Resolver:
    def __init__(self, start_s: int | None, per_s: float) -> None:
        self._start_s = start_s
        self._per_s = per_s

    def value(self, path: str, key: str, value: Any) -> Any:
        """A value with its times of day resolved, those of its items too."""
        if isinstance(value, dict):
            return {name: self.value(f"{path}.{name}", name, inner) for name, inner in value.items()}
        if isinstance(value, list) and key in LISTS_OF_MOMENTS:
            return [self._point(path, point) for point in value]
        if isinstance(value, list):
            return [self.value(path, "", inner) for inner in value]
        return self._moment(path, value) if key in MOMENTS else value

    def _point(self, path: str, point: Any) -> Any:
        return [self._moment(path, point[0]), *point[1:]] if isinstance(point, list) and point else point

    def _moment(self, path: str, value: Any) -> Any:
        at_s = clock_s(value) if isinstance(value, str) else None
        if at_s is None:
            return value
        if self._start_s is None:
            message = f'{path} = "{value}" is a time of day: add starts_at = "17:00", the time of day at T0, at the top'
            raise ClockTimeError(message)
        return f"{(at_s - self._start_s) % DAY_S / self._per_s:g}s"
