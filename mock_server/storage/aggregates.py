"""What the stored pages of PPWP add up to, at every level from the nation to the station. Pure.

A snapshot is never changed: the next one is made from it and the rows that came since, so that whoever reads one sees
sums that agree. It holds a hundred thousand stations in a few objects: the garbage collector, which stops everything,
has nothing to look through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from mock_server.upload.readings import reading_figures

LEVELS = (0, 2, 4, 6, 10, 13)
"""Digits of a code at each level: nation, province, regency, district, village, station."""

FigureCounts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Region:
    """What is known of a region: sums over its stations."""

    children: frozenset[str] = frozenset()
    stations: int = 0
    published: int = 0
    votes: FigureCounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoteAggregates:
    """All stations and regions, up to a row of the store."""

    votes: dict[str, FigureCounts] = field(default_factory=dict)
    """Of each station that is known, empty until they are published."""
    administration: dict[str, FigureCounts] = field(default_factory=dict)
    """Of each station whose votes are published with it."""
    regions: dict[str, Region] = field(default_factory=dict)
    last_id: int = 0


def region_path(code: str) -> list[str]:
    """The code's regions from the nation down to itself.

    >>> region_path("3509191001001")
    ['', '35', '3509', '350919', '3509191001', '3509191001001']
    """
    return [code[:digits] for digits in LEVELS if digits <= len(code)]


def with_stations(tally: VoteAggregates, codes: Iterable[str]) -> VoteAggregates:
    """The tally that knows these stations too, though nothing of theirs is held."""
    growth = _AggregatesBuilder(tally)
    for code in codes:
        growth.know(code)
    return growth.tally(tally.last_id)


def with_rows(tally: VoteAggregates, rows: Iterable[tuple[int, str, str]]) -> VoteAggregates:
    """The tally with more rows (id, station, reading), in the order of their ids; "" is a page without a reading.

    Of several readings of a station the first one with votes counts.
    """
    growth: _AggregatesBuilder | None = None
    last_id = tally.last_id
    for row_id, code, reading in rows:
        growth = growth or _AggregatesBuilder(tally)
        last_id = row_id
        growth.know(code)
        if reading:
            growth.add(code, reading)
    return tally if growth is None else growth.tally(last_id)


@dataclass(slots=True)
class _RegionBuilder:
    """A region that is being added to: changed in place, where a frozen one would be copied for every station."""

    children: set[str]
    stations: int
    published: int
    votes: FigureCounts


class _AggregatesBuilder:
    """A tally's successor while it is made; what did not change is shared with it."""

    def __init__(self, tally: VoteAggregates) -> None:
        self._votes = dict(tally.votes)
        self._administration = dict(tally.administration)
        self._regions = dict(tally.regions)
        self._growing: dict[str, _RegionBuilder] = {}

    def tally(self, last_id: int) -> VoteAggregates:
        """What it has become."""
        for code, region in self._growing.items():
            self._regions[code] = Region(frozenset(region.children), region.stations, region.published, region.votes)
        return VoteAggregates(self._votes, self._administration, self._regions, last_id)

    def know(self, code: str) -> None:
        """Puts a station into its regions."""
        if code in self._votes:
            return
        self._votes[code] = {}
        for above, below in pairwise(region_path(code)):
            region = self._region(above)
            region.stations += 1
            region.children.add(below)

    def _region(self, code: str) -> _RegionBuilder:
        found = self._growing.get(code)
        if found is None:
            known = self._regions.get(code, Region())
            found = _RegionBuilder(set(known.children), known.stations, known.published, dict(known.votes))
            self._growing[code] = found
        return found

    def add(self, code: str, reading: str) -> None:
        """Adds a station's votes, at every level, unless there are some."""
        if self._votes[code]:
            return
        votes, administration = reading_figures(reading)
        if not votes:
            return
        self._votes[code], self._administration[code] = votes, administration
        for above in region_path(code)[:-1]:
            region = self._region(above)
            region.published += 1
            for candidate, count in votes.items():
                region.votes[candidate] = region.votes.get(candidate, 0) + count
