"""The shape of a server's load from its access log: a curve of arrivals for a new scenario.

Understands the Common and Combined Log Format (Apache, nginx) and lines with a date and time of ISO 8601, such as JSON logs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.base.errors import UsageError

MAX_LINES = 20_000_000
_MAX_LINE_LENGTH = 65_536
_POINTS = 40
_PAGES_PER_STATION = 3
"""Of the template's form, ppwp."""
_REGION_STATIONS = (("kaliwates", 362), ("jember", 7_706), ("provinces", 823_332))
_REGION = re.compile(r'^region = "\w+"', re.MULTILINE)
_COUNT = re.compile(r"^count = \d+", re.MULTILINE)
_COMMON = re.compile(r"\[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\]")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?")
_UPLOAD = re.compile(r"\b(?:POST|PUT|PATCH)\b")


@dataclass(frozen=True)
class LoggedArrivals:
    """When the uploads of a log came, in seconds from the first one, ascending."""

    at_s: tuple[float, ...]
    only_uploads: bool
    """Whether only POST, PUT and PATCH are counted; False if the log has none, so that every request is."""
    unread: int
    """Lines without a time."""

    @property
    def over_s(self) -> float:
        """From the first to the last."""
        return self.at_s[-1]

    @property
    def stations(self) -> int:
        """How many stations send that much."""
        return math.ceil(len(self.at_s) / _PAGES_PER_STATION)

    @property
    def pages(self) -> int:
        """What these stations send."""
        return self.stations * _PAGES_PER_STATION

    @property
    def peak_per_s(self) -> int:
        """The most uploads within one second of the clock."""
        counts: dict[int, int] = {}
        for at_s in self.at_s:
            counts[int(at_s)] = counts.get(int(at_s), 0) + 1
        return max(counts.values())

    def points(self) -> list[tuple[float, float]]:
        """The cumulative curve: (seconds, share of all that had come by then), from 0 to 1, in equal steps of time."""
        found, number = [(0.0, 0.0)], 0
        for step in range(1, _POINTS + 1):
            until_s = self.over_s * step / _POINTS
            while number < len(self.at_s) and self.at_s[number] <= until_s + 1e-9:
                number += 1
            found.append((round(until_s, 3), round(number / len(self.at_s), 6)))
        return [*found[:-1], (found[-1][0], 1.0)]


def read_access_log(path: Path) -> LoggedArrivals:
    """The arrivals in a log. Raises UsageError if it can't be read, or has fewer than two different times."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return parse_access_log(iter(lambda: file.readline(_MAX_LINE_LENGTH), ""), str(path))
    except OSError as error:
        message = f"--from-log {path} can't be read: {error.strerror}"
        raise UsageError(message) from None


def parse_access_log(lines: Iterable[str], source: str) -> LoggedArrivals:
    """The arrivals in a log's lines; `source` names it in messages. Raises UsageError as `read_access_log` does."""
    uploads: list[float] = []
    others: list[float] = []
    unread = 0
    for number, line in enumerate(lines):
        if number == MAX_LINES:
            message = f"--from-log {source} has more than {MAX_LINES:,} lines: give a part of it"
            raise UsageError(message)
        at_s = _time_in(line)
        if at_s is None:
            unread += bool(line.strip())
        else:
            (uploads if _UPLOAD.search(line) else others).append(at_s)
    chosen = sorted(uploads or others)
    if not chosen or chosen[0] == chosen[-1]:
        what = "no line with a time" if not chosen else "all its requests in one second"
        message = (
            f"--from-log {source} has {what}: expected an access log such as "
            '1.2.3.4 - - [14/Feb/2024:17:44:01 +0700] "PUT /x HTTP/1.1" 201 9'
        )
        raise UsageError(message)
    return LoggedArrivals(tuple(at_s - chosen[0] for at_s in chosen), bool(uploads), unread)


def _time_in(line: str) -> float | None:
    found = _COMMON.search(line)
    try:
        if found is not None:
            return datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z").timestamp()
        iso = _ISO.search(line)
        if iso is None:
            return None
        moment = datetime.fromisoformat(iso[0])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def with_logged_arrivals(template: str, logged: LoggedArrivals, source: str) -> str:
    """A scenario's template with arrivals, stations and deadline of a log. Raises UsageError for more uploads than stations."""
    region = next((name for name, size in _REGION_STATIONS if size >= logged.stations), None)
    if region is None:
        message = (
            f"--from-log {source} has {len(logged.at_s):,} uploads, more than any region can send: give a part of it"
        )
        raise UsageError(message)
    deadline_s = math.ceil(max(30.0, logged.over_s * 1.2))
    template = template.replace('deadline = "30s" ', f'deadline = "{deadline_s}s" ', 1)
    if _REGION.search(template) is None:  # the template for a server of one's own names none
        template = _COUNT.sub(r'region = "kaliwates"\n\g<0>', template, count=1)
    template = _REGION.sub(f'region = "{region}"', template, count=1)
    template = _COUNT.sub(f"count = {logged.stations}", template, count=1)
    before, _, rest = template.partition('kind = "poisson"\n')
    after = rest[rest.index("[client]") :]
    return before + "".join(_arrivals(logged, source)) + "\n" + after


def _arrivals(logged: LoggedArrivals, source: str) -> Iterator[str]:
    what = "uploads" if logged.only_uploads else "requests (none of them POST, PUT or PATCH)"
    name = "".join(character if character.isprintable() else "?" for character in source)
    yield f"# from {name}: {len(logged.at_s):,} {what} over {logged.over_s:,.0f} s, at most {logged.peak_per_s:,} in a second;\n"
    yield f"# {_PAGES_PER_STATION} pages a station, so a station arrives for every {_PAGES_PER_STATION} of them\n"
    yield 'kind = "curve"\npoints = [\n'
    yield from (f'    ["{at_s:g}s", {share:g}],\n' for at_s, share in logged.points())
    yield "]\n"
