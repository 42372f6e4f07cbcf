"""Numbers as text: every count, duration, size, rate and ratio that a user reads is formatted here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from harness.analysis.summary import Distribution

PERCENTILE_MIN_SAMPLES = {"p50": 20, "p90": 100, "p95": 200, "p99": 1_000, "p99_9": 10_000, "p99_99": 100_000}
"""Sample size at which ten values lie beyond a percentile; smaller samples give no usable estimate."""

NOT_AVAILABLE = "n/a"
NEAR_SHARE = 0.02
"""A ratio this near to a small fraction is called by it: 82 % is 4 of 5."""


def format_count(value: float) -> str:
    """A whole number with a comma between thousands.

    >>> format_count(1086)
    '1,086'
    """
    return f"{round(value):,}"


def plural(number: int, one: str, many: str = "") -> str:
    """A number with its noun in the singular or plural.

    >>> plural(1, "page"), plural(1086, "page"), plural(2, "retry", "retries")
    ('1 page', '1,086 pages', '2 retries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def join_phrases(phrases: Sequence[str]) -> str:
    """Phrases as a list in a sentence.

    >>> join_phrases(["a"]), join_phrases(["a", "b"]), join_phrases(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _significant(value: float, digits: int = 2) -> str:
    """A positive number with at least `digits` significant figures, without trailing zeros.

    >>> _significant(1.849), _significant(18.49), _significant(1849.2), _significant(0.0123), _significant(6.0)
    ('1.8', '18', '1,849', '0.012', '6')
    """
    if value == 0:
        return "0"
    # rounding may carry into a new digit (9.96 -> 10), so the number of decimals is taken from the rounded value
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value)))) if abs(value) < 1000 else round(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded if places else value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_duration(value: float) -> str:
    """A duration: µs and ms below a second, minutes and hours from two minutes on, days from two days on.

    >>> [format_duration(s) for s in (0, 0.00007, 0.35, 0.9996, 7.25, 72, 150, 7200)]
    ['0 s', '70 µs', '350 ms', '1 s', '7.2 s', '72 s', '2 min 30 s', '2 h']
    >>> [format_duration(s) for s in (86_400, 172_800, 232_000)]
    ['24 h', '2 d', '2 d 16 h']
    """
    if value < 0:
        return "-" + format_duration(-value)
    if value == 0:
        return "0 s"
    if value < 0.000_999_5:
        return f"{_significant(value * 1e6)} µs"
    if value < 0.999_5:
        return f"{_significant(value * 1e3)} ms"
    if value < 120:  # "90 s" reads better than "1 min 30 s", "150 s" does not
        return f"{_significant(value)} s"
    if value < 172_800:
        whole = round(value)
        hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
        parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    else:
        whole = round(value / 3600)
        parts = [(whole // 24, "d"), (whole % 24, "h")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def format_day_time(value: float) -> str:
    """A moment of the election as the day and its time; `value` counts seconds from the midnight before T0, on day 0.

    >>> format_day_time(9 * 86_400 + 15.5 * 3600), format_day_time(86_399)
    ('day 9 at 15:30', 'day 1 at 00:00')
    """
    minutes = round(value / 60)
    return f"day {minutes // 1440} at {minutes // 60 % 24:02d}:{minutes % 60:02d}"


def format_bytes(value: float) -> str:
    """Bytes, in powers of ten.

    >>> [format_bytes(b) for b in (0, 512, 1_600_000, 1.8e9)]
    ['0 B', '512 B', '1.6 MB', '1.8 GB']
    """
    if value < 0:
        return "-" + format_bytes(-value)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{format_count(value) if unit == 'B' else _significant(value)} {unit}"
        value /= 1000
    return f"{_significant(value)} TB"


def format_ratio(value: float) -> str:
    """A ratio as a percentage; never rounded up to 100 % or down to 0 %.

    >>> [format_ratio(r) for r in (0, 0.0004, 0.0312, 0.05, 0.314, 0.9996, 1)]
    ['0 %', '0.04 %', '3.1 %', '5 %', '31 %', '99.96 %', '100 %']
    """
    if value in {0, 1} or value < 0 or value > 1:
        return f"{value * 100:,.0f} %"
    # "100 %" for 9,999 of 10,000 pages would hide the lost one: add decimals until it differs from 0 and 100
    for places in (0, 1, 2):
        text = f"{value * 100:.{places}f}"
        if (value >= 0.1 or places > 0) and float(text) not in {0.0, 100.0}:
            return f"{text.rstrip('0').rstrip('.') if places else text} %"
    return "< 0.01 %" if value < 0.5 else "> 99.99 %"


def format_share(part: int, whole: int, noun: str) -> tuple[str, str]:
    """A part of a whole as a reader would say it, and the verb that fits; a percentage where no small fraction is near.

    >>> format_share(81, 100, "upload"), format_share(7, 7, "upload"), format_share(37, 100, "upload")
    (('4 of 5 uploads', 'were'), ('All 7 uploads', 'were'), ('37 % of 100 uploads', 'were'))
    >>> format_share(1, 1, "upload"), format_share(167, 1000, "upload")
    (('The upload', 'was'), ('1 of 6 uploads', 'was'))
    """
    if part == whole:
        return ("The " + noun, "was") if whole == 1 else (f"All {plural(whole, noun)}", "were")
    ratio = part / whole
    near = (Fraction(round(ratio * below), below) for below in (2, 3, 4, 5, 6, 10, 20))
    share = next((one for one in near if 0 < one < 1 and abs(one - ratio) <= NEAR_SHARE), None)
    if share is None:
        return f"{format_ratio(ratio)} of {plural(whole, noun)}", "were"
    return f"{share.numerator} of {share.denominator} {noun}s", "was" if share.numerator == 1 else "were"


def format_rate(value: float) -> str:
    """A rate per second, with three significant figures.

    >>> format_rate(15.1), format_rate(0), format_rate(1240.4)
    ('15.1/s', '0/s', '1,240/s')
    """
    return f"{_significant(value, 3)}/s"


def format_byte_rate(value: float) -> str:
    """Bytes per second.

    >>> format_byte_rate(25_000_000)
    '25 MB/s'
    """
    return f"{format_bytes(value)}/s"


def format_quantity(value: float | None, unit: str) -> str:
    """A value with the unit of a threshold: "s", "B", "ratio", "per_s", "B/s", "bool" or "" (a number).

    >>> format_quantity(0.35, "s"), format_quantity(0.95, "ratio"), format_quantity(None, "s"), format_quantity(1.5, "")
    ('350 ms', '95 %', 'n/a', '1.5')
    """
    if value is None:
        return NOT_AVAILABLE
    if not math.isfinite(value):
        return "never" if value > 0 else "-∞"
    if unit == "bool":
        return "true" if value else "false"
    if unit == "":
        return format_count(value) if float(value).is_integer() else f"{value:,.3g}"
    show = {
        "s": format_duration,
        "B": format_bytes,
        "ratio": format_ratio,
        "per_s": format_rate,
        "B/s": format_byte_rate,
    }
    return show[unit](value)


def format_percentile(distribution: Distribution, name: str) -> str:
    """A percentile of a distribution ("p50" … "p99_9"), or why there is none.

    >>> few = Distribution(count=12, mean=1, p50=None, p90=None, p95=None, p99=None, p99_9=None, max=2)
    >>> format_percentile(few, "p95")
    'n/a (needs 200)'
    """
    value: float | None = getattr(distribution, name)
    if value is not None:
        return format_duration(value)
    if distribution.count < PERCENTILE_MIN_SAMPLES[name]:
        return f"{NOT_AVAILABLE} (needs {PERCENTILE_MIN_SAMPLES[name]:,})"
    return f"never (for {distribution.never:,} of {distribution.count:,})" if distribution.never else NOT_AVAILABLE


def format_place_name(name: str) -> str:
    """A place name in title case; the public lists have capitals only.

    >>> format_place_name("JEMBERKIDUL"), format_place_name("Tegalbesar"), format_place_name("3509191001")
    ('Jemberkidul', 'Tegalbesar', '3509191001')
    """
    return name.title() if name.isupper() else name


def format_place(name: str, group: str) -> str:
    """A place name as `format_place_name` shows it; names of the user's own groups stay as they are.

    >>> format_place("JEMBERKIDUL", "kelurahan"), format_place("NGO", "operator")
    ('Jemberkidul', 'NGO')
    """
    return format_place_name(name) if group == "kelurahan" else name


def group_title(group: str) -> str:
    """What the places are called as a heading of a column.

    >>> group_title("kelurahan"), group_title("district"), group_title("")
    ('Kelurahan', 'district', 'Group')
    """
    return "Kelurahan" if group == "kelurahan" else group or "Group"


_UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|µs|min|h|d|B|kB|MB|GB|TB)\b|%)")


_PARTS = re.compile(r"(?<=\d\u00a0[dh]) (?=\d)")
"""Between the parts of a duration: "5 d 18 h"."""


def escape_control_characters(text: str, keep: str = "") -> str:
    r"""Untrusted text with its control characters (except those in `keep`) escaped, so that it cannot steer a terminal.

    >>> escape_control_characters("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in text
    )


def non_breaking(text: str) -> str:
    r"""The text with no-break spaces, so that no line breaks between a number and its unit.

    >>> non_breaking("after 36 s, 51 % of 5 pages"), non_breaking("5 d 18 h")
    ('after 36\xa0s, 51\xa0% of 5 pages', '5\xa0d\xa018\xa0h')
    """
    return _PARTS.sub("\u00a0", _UNIT.sub("\u00a0", text))
