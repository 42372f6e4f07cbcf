"""What the stored pages of PPWP add up to, at every level from the nation to the station. Pure.

A snapshot is never changed: the next one is made from it and the rows that came since, so that whoever reads one sees
sums that agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from mock_server.forms import VOTES_PAGE
from mock_server.readings import figures

LEVELS = (0, 2, 4, 6, 10, 13)
"""Digits of a code at each level: nation, province, regency, district, village, station."""


class Image(NamedTuple):
    """A photo that is held."""

    stored_at: float
    receipt: str


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of one station."""

    votes: dict[str, int] = field(default_factory=dict)
    administration: dict[str, int] = field(default_factory=dict)
    has_votes: bool = False
    images: tuple[Image | None, ...] = (None, None, None)


@dataclass(frozen=True, slots=True)
class Region:
    """What is known of a region: sums over its stations."""

    children: frozenset[str] = frozenset()
    stations: int = 0
    published: int = 0
    votes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tally:
    """All stations and regions, up to a row of the store."""

    stations: dict[str, Result] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    last_id: int = 0


def region_path(code: str) -> list[str]:
    """The code's regions from the nation down to itself.

    >>> region_path("3509191001001")
    ['', '35', '3509', '350919', '3509191001', '3509191001001']
    """
    return [code[:digits] for digits in LEVELS if digits <= len(code)]


def with_stations(tally: Tally, codes: Iterable[str]) -> Tally:
    """The tally that knows these stations too, though nothing of theirs is held."""
    stations, regions = dict(tally.stations), dict(tally.regions)
    for code in codes:
        _know(stations, regions, code)
    return replace(tally, stations=stations, regions=regions)


def with_rows(tally: Tally, rows: Iterable[tuple[int, str, int, str, float, str]]) -> Tally:
    """The tally with more rows (id, station, page, reading, stored_at, receipt), in the order of their ids.

    Of several copies of a page the first one counts.
    """
    stations, regions = dict(tally.stations), dict(tally.regions)
    last_id = tally.last_id
    for row_id, code, page, reading, stored_at, receipt in rows:
        last_id = row_id
        _know(stations, regions, code)
        result = stations[code]
        if result.images[page - 1] is None:
            images = [*result.images]
            images[page - 1] = Image(stored_at, receipt)
            result = replace(result, images=tuple(images))
        if page == VOTES_PAGE and not result.has_votes:
            votes, administration = figures(reading)
            if votes:
                result = replace(result, votes=votes, administration=administration, has_votes=True)
                _add_votes(regions, code, votes)
        stations[code] = result
    return Tally(stations, regions, last_id)


def _know(stations: dict[str, Result], regions: dict[str, Region], code: str) -> None:
    if code in stations:
        return
    stations[code] = Result()
    path = region_path(code)
    for above, below in pairwise(path):
        region = regions.get(above, Region())
        regions[above] = replace(region, stations=region.stations + 1, children=region.children | {below})


def _add_votes(regions: dict[str, Region], code: str, votes: dict[str, int]) -> None:
    for above in region_path(code)[:-1]:
        region = regions[above]
        sums = dict(region.votes)
        for candidate, count in votes.items():
            sums[candidate] = sums.get(candidate, 0) + count
        regions[above] = replace(region, published=region.published + 1, votes=sums)
