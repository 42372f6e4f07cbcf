"""Region files -> stations. A region file is CSV with the columns code,name,stations; the length of the code is the level.

10 digits: a kelurahan. 6 (kecamatan) or 2 (province): only the total is known, so its stations are put into synthetic
kelurahan of at most 999, whose last four digits start at 9001 and whose names contain "synthetic".
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import overload

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.base.safe_files import read_bounded
from harness.scenario.stations import REGIONS

MAX_STATIONS = 2_000_000
"""More than twice Indonesia's 823,236; a file that asks for more is refused before it fills the memory."""

MAX_PROBLEMS = 50
"""Wrong lines after which reading stops: the file is certainly not a region file."""
MAX_NAME_LENGTH = 120
_MAX_STATIONS_PER_KELURAHAN = 999


class RegionStations(Sequence[Station]):
    """The stations of a region in the order of their codes, each made when it is asked for: few plans take all of 823,236."""

    def __init__(self, kelurahan: Mapping[str, tuple[str, int]]) -> None:
        """`kelurahan` has the name and the number of stations of each code."""
        self._kelurahan = [(code, name, stations) for code, (name, stations) in sorted(kelurahan.items())]
        self._ends = list(accumulate(stations for _, _, stations in self._kelurahan))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Station: ...

    @overload
    def __getitem__(self, place: slice) -> list[Station]: ...

    def __getitem__(self, place: int | slice) -> Station | list[Station]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        village = bisect_right(self._ends, index)
        code, name, stations = self._kelurahan[village]
        return _station(code, name, index - self._ends[village] + stations + 1)

    def __iter__(self) -> Iterator[Station]:
        for code, name, stations in self._kelurahan:
            for number in range(1, stations + 1):
                yield _station(code, name, number)


def _station(code: str, name: str, number: int) -> Station:
    return Station(f"{code}{number:03d}", name)


def load_region(name: str) -> RegionStations:
    """Stations of a shipped region or of a CSV file, in the order of their codes.

    Raises ConfigurationError that lists every wrong line.
    """
    return parse_region(_read_region_text(name), name)


def load_kelurahan_names(name: str) -> dict[str, str]:
    """Names of a region's kelurahan by code: all that a report needs, without creating 823,236 stations.

    Raises as `load_region` does.
    """
    return {code: title for code, (title, _) in _parse_kelurahan(_read_region_text(name), name).items()}


def _read_region_text(name: str) -> str:
    if name.endswith(".csv"):
        try:
            return read_bounded(Path(name)).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(name, [f"can't be read: {error}"]) from None
    if name not in REGIONS:
        raise ConfigurationError(name, [f"is not a region: use one of {', '.join(REGIONS)}, or a .csv file"])
    return (resources.files("harness") / "regions" / f"{name}.csv").read_text("utf-8")


def parse_region(text: str, source: str) -> RegionStations:
    """Stations in the text of a region file; `source` names it in messages."""
    return RegionStations(_parse_kelurahan(text, source))


def _parse_kelurahan(text: str, source: str) -> dict[str, tuple[str, int]]:
    """Code -> name and number of stations. Raises ConfigurationError that lists every wrong line."""
    problems: list[str] = []
    kelurahan: dict[str, tuple[str, int]] = {}
    total = 0
    for line, row in enumerate(_csv_rows(text, source), start=1):
        if not row or (line == 1 and row[0] == "code"):
            continue
        wrong = _row_problem(row)
        if wrong:
            problems.append(f"line {line}: {wrong}")
            if len(problems) == MAX_PROBLEMS:
                raise ConfigurationError(source, [*problems, "possibly more: this is not a region file"])
            continue
        code, title, count = row[0], row[1], int(row[2])
        total += count
        if total > MAX_STATIONS:
            raise ConfigurationError(source, [f"line {line}: more than {MAX_STATIONS:,} stations in all"])
        for village, label, stations in _expand_row(code, title, count):
            if village in kelurahan:
                problems.append(f"line {line}: duplicate code {code}")
                break
            kelurahan[village] = (label, stations)
    if not kelurahan and not problems:
        problems.append("has no stations; each line should be code,name,stations")
    if problems:
        raise ConfigurationError(source, problems)
    return kelurahan


def _csv_rows(text: str, source: str) -> Iterator[list[str]]:
    """Rows of CSV text. Raises ConfigurationError if it is not CSV: a bare carriage return, an unclosed quote."""
    reader = csv.reader(io.StringIO(text))
    try:
        yield from reader
    except csv.Error as error:
        raise ConfigurationError(source, [f"line {reader.line_num}: not valid CSV: {error}"]) from None


def _row_problem(row: list[str]) -> str:
    if len(row) != 3:
        found = "fields separated by semicolons" if row[0].count(";") == 2 else f"{len(row)} fields"
        return f"has {found}, expected 3 separated by commas: code,name,stations"
    code, title, stations = row
    # names are printed to terminals and reports: control characters could manipulate a terminal
    if not title.isprintable() or len(title) > MAX_NAME_LENGTH:
        return f"the name {title[:40]!r} should have at most {MAX_NAME_LENGTH} characters, all of them printable"
    if not (code.isascii() and code.isdigit() and len(code) in {2, 6, 10}):
        return f'code "{code}" should have 10 digits (a kelurahan), 6 (a kecamatan) or 2 (a province)'
    # the length limit keeps int() from parsing megabytes of digits
    if not (stations.isascii() and stations.isdigit() and 1 <= len(stations) <= 7 and int(stations) >= 1):
        return f'stations "{stations}" should be a number from 1'
    if len(code) == 10 and int(stations) > _MAX_STATIONS_PER_KELURAHAN:
        return f"stations {stations}: a kelurahan has at most {_MAX_STATIONS_PER_KELURAHAN}"
    return ""


def _expand_row(code: str, name: str, stations: int) -> list[tuple[str, str, int]]:
    """The kelurahan that a row stands for: (10-digit code, name, stations) of each."""
    if len(code) == 10:
        return [(code, name, stations)]
    parts = -(-stations // _MAX_STATIONS_PER_KELURAHAN)
    prefix = code.ljust(6, "9")
    sizes = [stations // parts + (number < stations % parts) for number in range(parts)]
    return [(f"{prefix}{9001 + number}", f"{name} (synthetic {number + 1})", size) for number, size in enumerate(sizes)]
