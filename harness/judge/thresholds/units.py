"""Units of figures: limits parsed, and values formatted, in the unit of what they measure."""

from __future__ import annotations

import math
from typing import Literal

from mock_server.profile import units

Unit = Literal["s", "B", "ratio", "per_s", "B/s", "bool", ""]

_SUFFIXES: tuple[tuple[str, Unit], ...] = (
    ("bytes_per_s", "B/s"),
    ("_per_s", "per_s"),
    ("_bytes", "B"),
    ("_ratio", "ratio"),
    ("_seconds", "s"),
    ("_s", "s"),
)
_LONG_S = 172_800.0
"""From two days on, a duration is written in days."""
_MAX_PLAIN_RATIO = 2.0
"""A greater ratio without a percent sign is almost certainly a percentage whose sign was forgotten."""


def unit_from_name(name: str) -> Unit:
    """The unit that a figure's name ends with.

    >>> [unit_from_name(name) for name in ("recovered_after_s", "completed_ratio", "undelivered")]
    ['s', 'ratio', '']
    """
    return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), "")


def parse_limit(text: str, unit: Unit) -> float:
    """The value of a limit in base units (s, B, ratio, per second); a bare number is in base units already.

    As exact as it was written: 238 ms is 0.238, not 0.23800000000000002. Raises ValueError, whose message says what is
    allowed.

    >>> parse_limit("50ms", "s"), parse_limit("10", "s"), parse_limit("95%", "ratio")
    (0.05, 10.0, 0.95)
    """
    try:
        plain = float(text)
    except ValueError:
        try:
            return float(f"{_with_unit(text, unit):.15g}")
        except ValueError as error:
            message = f'"{text}" {error}'
            raise ValueError(message) from None
    if not math.isfinite(plain):
        message = f'"{text}" is not a valid limit: it must be finite'
        raise ValueError(message)
    if unit == "ratio" and plain > _MAX_PLAIN_RATIO:
        message = f'{text} would be {plain * 100:g} %: write "{text}%"'
        raise ValueError(message)
    return plain


def format_value(value: float, unit: Unit) -> str:
    """A value with its unit, to three significant digits (counts are exact).

    >>> format_value(0.0123, "s"), format_value(12.345, "s"), format_value(0.9214, "ratio"), format_value(1086.0, "")
    ('12.3 ms', '12.3 s', '92.1 %', '1,086')
    >>> format_value(1_468_800.0, "s")
    '17 d'
    """
    size = abs(value)
    if unit == "bool":
        return "true" if value else "false"
    if unit == "s" and size >= _LONG_S:  # of the recapitulation, in election time
        return f"{_rounded(value / 86_400)} d"
    if unit == "s":
        return f"{_rounded(value * 1000)} ms" if 0 < size < 1 else f"{_rounded(value)} s"
    if unit == "ratio":
        return f"{_rounded(value * 100)} %"
    if unit in {"B", "B/s"}:
        factor, prefix = next(
            ((f, p) for f, p in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if size >= f),
            (1.0, ""),
        )
        return f"{_rounded(value / factor)} {prefix}{unit}"
    return f"{_rounded(value)}/s" if unit == "per_s" else f"{_rounded(value)}"


def _with_unit(text: str, unit: Unit) -> float:
    if unit == "s":
        parsed: float = units.duration_s(text)
    elif unit == "B":
        parsed = units.size_bytes(text)
    elif unit == "B/s":
        parsed = units.rate_bytes_per_s(text)
    elif unit == "ratio":
        parsed = units.ratio(text)
    elif unit == "per_s" and text.endswith("/s"):
        parsed = parse_limit(text.removesuffix("/s").strip(), "per_s")
    elif text in {"true", "false"}:
        parsed = float(text == "true")
    else:
        message = "is not a number"
        raise ValueError(message)
    return parsed


def _rounded(value: float) -> str:
    if abs(value - round(value)) < 1e-9 or abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
