"""A closed workload's rounds: which stations each phone takes, one after another, and how long it thinks before each.

Every station comes once, so that every photo that can arrive has a key and a digest of its own beforehand. Which phone takes
which station, and how long it thinks before, is drawn beforehand too: neither the server's speed nor the number of workers
changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.scenario.arrivals import ClosedArrivals

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_PHONES_KEY = "arrivals.phones"


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """What every phone does."""

    phones: tuple[IntArray, ...]
    """Of each phone, the numbers of its stations in the order in which it takes them; never empty."""
    think_s: FloatArray
    """Shape (stations,): the pause before each station."""

    def of_worker(self, rank: int, workers: int) -> tuple[IntArray, ...]:
        """The phones of one of `workers` workers."""
        return self.phones[rank::workers]


def plan_closed_loop(arrivals: ClosedArrivals, stations: Sequence[Station], seed: int) -> ClosedLoop:
    """Stations dealt out to the phones like cards, and a pause before each drawn from `think`.

    Raises ConfigurationError where there are fewer stations than phones.
    """
    if arrivals.phones > len(stations):
        problem = f"{_PHONES_KEY} = {arrivals.phones:,}: there are {len(stations):,} stations, and each phone needs one"
        raise ConfigurationError(_PHONES_KEY, [problem])
    order = np.random.default_rng([seed, 0xC105]).permutation(len(stations))
    shares = np.random.default_rng([seed, 0x7417]).uniform(size=len(stations))
    think_s = np.array([arrivals.think.quantile(max(share, np.finfo(float).tiny)) for share in shares.tolist()])
    return ClosedLoop(tuple(order[phone :: arrivals.phones] for phone in range(arrivals.phones)), think_s)


def first_due_times(arrivals: ClosedArrivals, rounds: ClosedLoop) -> FloatArray:
    """When each station is due, as far as that is known beforehand: each phone's first, +infinity for all others."""
    due = np.full(len(rounds.think_s), np.inf)
    first = np.array([stations[0] for stations in rounds.phones])
    due[first] = arrivals.start + rounds.think_s[first]
    return due


def earliest_due_times(rounds: ClosedLoop, due_s: FloatArray) -> FloatArray:
    """When each station would be due if its phone's uploads took no time: shape (stations,)."""
    soonest = due_s.copy()
    for stations in rounds.phones:
        soonest[stations[1:]] = due_s[stations[0]] + np.cumsum(rounds.think_s[stations[1:]])
    return soonest
