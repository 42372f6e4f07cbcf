"""When readers come and what they read: drawn from the scenario's seed, the same however many workers send. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.model import Station
from harness.scenario.readers import LEVEL_DIGITS, Level, ReaderOptions

if TYPE_CHECKING:
    import numpy.typing as npt

_TIMES, _CHOICES = 0x2EAD, 0x2EAE
"""What a seed is joined with: times don't depend on what is read, so that another choice keeps them."""
_BLOCK = 1024
_PREFIX_DIGITS = tuple(digits for digits in LEVEL_DIGITS.values() if digits)


@dataclass(frozen=True, slots=True)
class Read:
    """One read to make."""

    due_s: float
    resource: int
    """Number of what is read: in `readers.paths`, else in `readers.levels`."""
    path: str


def read_times(options: ReaderOptions, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """When reads are due, in seconds since T0, without end: a Poisson process, in blocks of shape (1024,)."""
    rng = np.random.default_rng([seed, _TIMES])
    last_s = 0.0
    while True:
        times = last_s + np.cumsum(rng.exponential(1 / options.rate, _BLOCK))
        last_s = float(times[-1])
        yield times


def draw_reads(
    options: ReaderOptions, stations: Sequence[Station], seed: int, rank: int = 0, workers: int = 1
) -> Iterator[Read]:
    """The reads of one of `workers` workers, by due time and without end: every so many-th of all."""
    rng = np.random.default_rng([seed, _CHOICES])
    names, first = resource_names(options), rank
    for times in read_times(options, seed):
        drawn = rng.random((_BLOCK, 2)) * (len(names), len(stations))
        own = slice(first, None, workers)
        for due_s, (resource, station) in zip(times[own].tolist(), drawn[own].astype(int).tolist(), strict=True):
            path = names[resource] if options.paths else result_path(options.levels[resource], stations[station].code)
            yield Read(due_s, resource, path)
        first = (first - _BLOCK) % workers


def count_reads(options: ReaderOptions, seed: int, until_s: float, rank: int = 0, workers: int = 1) -> int:
    """How many reads of a worker are due before a time."""
    count, first = 0, rank
    for times in read_times(options, seed):
        count += int(np.searchsorted(times[first::workers], until_s))
        if times[-1] >= until_s:
            break
        first = (first - _BLOCK) % workers
    return count


def resource_names(options: ReaderOptions) -> tuple[str, ...]:
    """What `Read.resource` counts: the paths, or the levels."""
    return options.paths or options.levels


def result_path(level: Level, station: str) -> str:
    """Where the mock publishes the results of the place of this level that a station lies in.

    >>> result_path("kecamatan", "3509191001001")
    '/pemilu/hhcw/ppwp/35/3509/350919.json'
    >>> result_path("nation", "3509191001001")
    '/pemilu/hhcw/ppwp.json'
    """
    parts = [station[:digits] for digits in _PREFIX_DIGITS if digits <= LEVEL_DIGITS[level]]
    return "/".join(["/pemilu/hhcw/ppwp", *parts]) + ".json"
