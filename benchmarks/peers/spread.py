"""Figures over rounds: a median with what it lay between. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RoundStats:
    """The median of some rounds, and the least and the greatest of them."""

    median: float
    least: float
    greatest: float
    rounds: int


def round_stats(values: Sequence[float]) -> RoundStats:
    """Raises ValueError if there is none.

    >>> spread_of([3.0, 1.0, 2.0])
    Spread(median=2.0, least=1.0, greatest=3.0, rounds=3)
    """
    if not values:
        message = "no round has been measured"
        raise ValueError(message)
    return RoundStats(statistics.median(values), min(values), max(values), len(values))


def paired_ratios(rounds: Sequence[tuple[float, float]]) -> RoundStats | None:
    """Ours to theirs, round by round: what disturbed a round disturbed both sides of it. None if there is no round of both.

    >>> ratios([(1.0, 2.0), (2.0, 2.0), (3.0, 2.0)])
    Spread(median=1.0, least=0.5, greatest=1.5, rounds=3)
    """
    return round_stats([one / other for one, other in rounds]) if rounds else None
