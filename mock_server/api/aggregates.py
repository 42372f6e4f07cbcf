"""The sums of the stored PPWP pages, at every level from the nation to the station. Pure.

A snapshot is never changed: the next one is made from it and the rows that came since, so that all sums of a response
agree. It holds a hundred thousand stations in few objects: a full garbage collection, which stops the process, stays
short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from mock_server.http.forms import is_region_code
from mock_server.upload.readings import reading_figures

LEVELS = (0, 2, 4, 6, 10, 13)
"""Digits of a code at each level: nation, province, regency, district, village, station."""

FigureCounts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Region:
    """The sums over the stations of a region."""

    children: frozenset[str] = frozenset()
    stations: int = 0
    published: int = 0
    votes: FigureCounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoteAggregates:
    """All stations and regions, up to a row of the store."""

    votes: dict[str, FigureCounts] = field(default_factory=dict)
    """By station; empty until its votes are published."""
    administration: dict[str, FigureCounts] = field(default_factory=dict)
    """By station: the other figures that its votes were published with."""
    regions: dict[str, Region] = field(default_factory=dict)
    last_id: int = 0


def region_path(code: str) -> list[str]:
    """The code's regions from the nation down to itself.

    >>> region_path("3509191001001")
    ['', '35', '3509', '350919', '3509191001', '3509191001001']
    """
    return [code[:digits] for digits in LEVELS if digits <= len(code)]


def with_stations(aggregates: VoteAggregates, codes: Iterable[str]) -> VoteAggregates:
    """The aggregates with these stations added, though nothing is stored for them."""
    builder = _AggregatesBuilder(aggregates)
    for code in codes:
        builder.add_station(code)
    return builder.build(aggregates.last_id)


def with_rows(aggregates: VoteAggregates, rows: Iterable[tuple[int, str, str]]) -> VoteAggregates:
    """The aggregates with more rows (id, station, reading), in the order of their ids; "" is a page without a reading.

    Of several readings of a station the first one with votes counts.
    """
    builder: _AggregatesBuilder | None = None
    last_id = aggregates.last_id
    for row_id, code, reading in rows:
        builder = builder or _AggregatesBuilder(aggregates)
        last_id = row_id
        if not is_region_code(code):
            continue
        builder.add_station(code)
        if reading:
            builder.add_reading(code, reading)
    return aggregates if builder is None else builder.build(last_id)


@dataclass(slots=True)
class _RegionBuilder:
    """A region under construction: changed in place, where a frozen one would be copied for every station."""

    children: set[str]
    stations: int
    published: int
    votes: FigureCounts


class _AggregatesBuilder:
    """The successor of a snapshot under construction; what does not change is shared between the two."""

    def __init__(self, aggregates: VoteAggregates) -> None:
        self._votes = dict(aggregates.votes)
        self._administration = dict(aggregates.administration)
        self._regions = dict(aggregates.regions)
        self._builders: dict[str, _RegionBuilder] = {}

    def build(self, last_id: int) -> VoteAggregates:
        """The new snapshot."""
        for code, region in self._builders.items():
            self._regions[code] = Region(frozenset(region.children), region.stations, region.published, region.votes)
        return VoteAggregates(self._votes, self._administration, self._regions, last_id)

    def add_station(self, code: str) -> None:
        """Adds a station to its regions, unless it is there."""
        if code in self._votes:
            return
        self._votes[code] = {}
        for above, below in pairwise(region_path(code)):
            region = self._region(above)
            region.stations += 1
            region.children.add(below)

    def _region(self, code: str) -> _RegionBuilder:
        found = self._builders.get(code)
        if found is None:
            known = self._regions.get(code, Region())
            found = _RegionBuilder(set(known.children), known.stations, known.published, dict(known.votes))
            self._builders[code] = found
        return found

    def add_reading(self, code: str, reading: str) -> None:
        """Adds a station's votes at every level, unless it already has some."""
        if self._votes[code]:  # a later copy, stored by a fault or without dedupe, must not count twice
            return
        votes, administration = reading_figures(reading)
        if not votes:
            return
        self._votes[code], self._administration[code] = votes, administration
        for above in region_path(code)[:-1]:
            region = self._region(above)
            region.published += 1
            for nominee, count in votes.items():
                region.votes[nominee] = region.votes.get(nominee, 0) + count
