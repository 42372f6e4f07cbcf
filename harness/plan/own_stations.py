"""Station lists of the user's own: a CSV file with one station per line, in any script, with columns of any names.

The columns that the scenario names are the code, the groups and the due time; each other one is a value that requests may
contain. Accounts are a second file, of secrets, which only the processes that send read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.base.safe_files import read_bounded
from harness.scenario.scenario import Scenario
from harness.scenario.stations import MAX_CODE_LENGTH, StationOptions
from harness.scenario.templating import COLUMN_NAME, COLUMN_PREFIXES, part_has_secret, placeholders_in
from mock_server.profile.units import duration_s

MAX_STATIONS = 2_000_000
MAX_PROBLEMS = 50
MAX_VALUE_LENGTH = 1_000
_DOT_SEGMENTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class ListedStation(Station):
    """A station of a list: its groups, from the largest to the smallest, its further columns and its own due time."""

    groups: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    due: float | None = None
    """Seconds from the first one's time, or as the list has them; None if it has none."""

    @property
    def kelurahan(self) -> str:
        """The smallest group that it belongs to: what a kelurahan is for the built-in regions; "" without groups."""
        return self.groups[-1] if self.groups else ""


def load_station_list(options: StationOptions) -> list[Station]:
    """The stations of `options.file`, in the order of their codes. Raises ConfigurationError that lists every wrong line."""
    path = Path(str(options.file))
    return parse_station_list(_read(path), str(path), options)


def parse_station_list(text: str, source: str, options: StationOptions) -> list[Station]:
    """The stations in a list's text, in the order of their codes; `source` names it in messages."""
    rows = _Rows(text, source)
    wanted = [options.code, *options.groups, *([options.due] if options.due else [])]
    rows.require(wanted)
    secret = next((name for name in rows.header if part_has_secret(name, "x")), None)
    if secret is not None:
        problem = (
            f'line 1: the column "{secret}" may have secrets, and this list is copied into the run folder: move it to the file '
            "that stations.accounts names"
        )
        raise ConfigurationError(source, [problem])
    further = [name for name in rows.header if name not in {options.code, options.due}]
    problems: list[str] = []
    found: dict[str, ListedStation] = {}
    for line, row in rows:
        try:
            station = _station(row, options, further)
            if station.code in found:
                _fail(f'duplicate {options.code} "{station.code}"')
            found[station.code] = station
        except ValueError as error:
            problems.append(f"line {line}: {error}")
        if len(found) > MAX_STATIONS:
            raise ConfigurationError(source, [f"line {line}: more than {MAX_STATIONS:,} stations"])
        if len(problems) == MAX_PROBLEMS:
            raise ConfigurationError(source, [*problems, "possibly more: this is not a list of stations"])
    if not found and not problems:
        problems.append("has no stations; each line after the first should be one")
    if problems:
        raise ConfigurationError(source, problems)
    return list(_from_the_first([found[code] for code in sorted(found)]))


def _station(row: dict[str, str], options: StationOptions, further: Sequence[str]) -> ListedStation:
    code = row[options.code]
    if not 1 <= len(code) <= MAX_CODE_LENGTH or not code.isprintable() or code != code.strip() or code in _DOT_SEGMENTS:
        _fail(
            f'{options.code} "{_shown(code)}" should have 1 to {MAX_CODE_LENGTH} printable characters, '
            "without blanks at its ends"
        )
    for name in further:
        if not row[name].isprintable() or len(row[name]) > MAX_VALUE_LENGTH:
            _fail(f"{name} should be one line of at most {MAX_VALUE_LENGTH:,} printable characters")
    empty = next((name for name in options.groups if not row[name].strip()), None)
    if empty is not None:
        _fail(f"{empty} is empty: every station belongs to one")
    due = _due(row[options.due], options.due) if options.due else None
    columns = {name: row[name] for name in further}
    groups = tuple(row[name].strip() for name in options.groups)
    return ListedStation(code, groups[-1] if groups else "", groups, columns, due)


def _fail(message: str) -> None:
    raise ValueError(message)


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)[:80]


_A_DATE_S = 1e8
"""Above this a due time is of a date (Unix seconds): no run lasts for three years."""


def _due(text: str, column: str) -> float:
    """Seconds in a number ("12.5"), a duration ("1m30s") or a date and time (ISO 8601; UTC if it names no zone)."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = _parsed_due(text.strip(), column)
    if not math.isfinite(seconds) or seconds < 0:
        _fail(f'{column} "{_shown(text)}" should be a time from 0')
    return seconds


def _parsed_due(text: str, column: str) -> float:
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    with contextlib.suppress(ValueError):
        return duration_s(text)
    message = (
        f'{column} "{_shown(text)}" should be seconds, a duration ("90s") or a date and time ("2024-02-14T19:00:00")'
    )
    raise ValueError(message)


def _from_the_first(stations: list[ListedStation]) -> list[ListedStation]:
    """Dates counted from the earliest one; seconds and durations stay what they are."""
    dates = [one.due for one in stations if one.due is not None and one.due > _A_DATE_S]
    if not dates:
        return stations
    first = min(dates)
    return [replace(one, due=max(0.0, (one.due or 0.0) - first)) for one in stations]


# --- accounts


_NO_COLUMNS: Mapping[str, str] = {}
Accounts = dict[str, dict[str, str]]
"""Station code -> name of a column -> its value."""


def load_accounts(options: StationOptions) -> Accounts:
    """The accounts of the stations; empty without a file of them. Holds secrets: only for the processes that send.

    Raises ConfigurationError if the file is readable for others, or a line is wrong; no message contains a value.
    """
    if options.accounts is None:
        return {}
    path = Path(options.accounts)
    _check_private(path)
    return parse_accounts(_read(path), str(path), options.code)


def parse_accounts(text: str, source: str, code: str) -> Accounts:
    """The accounts in a file's text. Raises ConfigurationError, without any of its values."""
    rows = _Rows(text, source)
    rows.require([code])
    problems: list[str] = []
    found: Accounts = {}
    for line, row in rows:
        station = row.pop(code)
        bad = next((name for name, value in row.items() if not value.isprintable()), None)
        if bad is not None:
            problems.append(f"line {line}: {bad} contains control characters")
        if station in found:
            problems.append(f"line {line}: a second account of the same {code}")
        found[station] = row
        if len(problems) == MAX_PROBLEMS:
            break
    if problems:
        raise ConfigurationError(source, problems)
    return found


def request_columns(station: Station, accounts: Accounts) -> Mapping[str, str]:
    """What requests of a station may contain of the user's own files, by placeholder: "station.…" and "account.…"."""
    if not isinstance(station, ListedStation) and not accounts:
        return _NO_COLUMNS
    own = station.columns if isinstance(station, ListedStation) else {}
    account = accounts.get(station.code, {})
    return {
        **{f"station.{name}": value for name, value in own.items()},
        **{f"account.{name}": value for name, value in account.items()},
    }


def find_station_problems(scenario: Scenario) -> list[str]:
    """What a scenario asks of the user's own files that they do not have: columns for its placeholders, accounts of stations.

    Raises ConfigurationError if a file is wrong.
    """
    options = scenario.stations
    words = sorted(_column_words(scenario))
    if options.file is None and options.accounts is None:
        return [f"target: {{{word}}} is a column of your own file, and stations has none" for word in words[:1]]
    stations = load_station_list(options) if options.file is not None else []
    accounts = load_accounts(options)
    missing = [one.code for one in stations if one.code not in accounts] if options.accounts is not None else []
    problems = []
    if missing:
        listed = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        problems.append(
            f"stations.accounts has no account for {len(missing):,} of {len(stations):,} stations: {listed}"
        )
    first = stations[0].columns if stations and isinstance(stations[0], ListedStation) else {}
    known = [f"station.{name}" for name in first]
    known += [f"account.{name}" for name in next(iter(accounts.values()), {})]
    for word in words:
        if word not in known:
            listed = ", ".join(f"{{{one}}}" for one in known) or "none"
            problems.append(f"target: there is no column for {{{word}}}; there are {listed}")
    return problems


def _column_words(scenario: Scenario) -> set[str]:
    """The placeholders of [target] that stand for columns of the user's own files."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, str):
            found.update(word for word in placeholders_in(value) if word.startswith(COLUMN_PREFIXES))
        elif isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                walk(inner)

    walk(None if scenario.target is None else scenario.target.model_dump())
    return found


def _check_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(str(path), [f"can't be read: {error.strerror}"]) from None
    if stat.S_IMODE(mode) & 0o077:
        problem = f"has secrets and mode {stat.S_IMODE(mode):04o}, so others can read it: chmod 600 {path.name}"
        raise ConfigurationError(str(path), [problem])


# --- CSV


def _read(path: Path) -> str:
    try:
        return read_bounded(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise ConfigurationError(str(path), [f"can't be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:  # its text would contain bytes of the file
        raise ConfigurationError(str(path), [f"is not UTF-8 (byte {error.start:,})"]) from None


class _Rows:
    """The rows of a CSV text by the names in its first line."""

    def __init__(self, text: str, source: str) -> None:
        self._reader = csv.reader(io.StringIO(text))
        self._source = source
        self.header = [name.strip() for name in self._next() or []]
        wrong = [name for name in self.header if not COLUMN_NAME.fullmatch(name)]
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if wrong or twice:
            problem = (
                f'line 1: duplicate column "{_shown(twice[0])}"'
                if twice
                else f'line 1: "{_shown(wrong[0])}" is not a name of a column: 1 to 64 printable characters without braces'
            )
            raise ConfigurationError(source, [problem])

    def require(self, names: Sequence[str]) -> None:
        """Raise ConfigurationError if a column is missing."""
        missing = [name for name in names if name not in self.header]
        if missing:
            problem = f'line 1: there is no column "{missing[0]}"; there are {", ".join(self.header) or "none"}'
            raise ConfigurationError(self._source, [problem])

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Number of a line, from 1, and its values."""
        while (row := self._next()) is not None:
            if not row:
                continue
            if len(row) != len(self.header):
                problem = f"line {self._reader.line_num}: has {len(row)} fields, the first line has {len(self.header)}"
                raise ConfigurationError(self._source, [problem])
            yield self._reader.line_num, dict(zip(self.header, row, strict=True))

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise ConfigurationError(self._source, [f"line {self._reader.line_num}: not valid CSV: {error}"]) from None
