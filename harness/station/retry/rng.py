"""Random numbers of one station, from a generator that is seeded when the first one is drawn.

Python's generator has 2.5 KB of state and takes 10 µs to seed; most stations of a healthy run never draw a number.
"""

from __future__ import annotations

from random import Random
from typing import Protocol


class RandomSource(Protocol):
    """What a strategy draws from; `random.Random` is one."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def uniform(self, a: float, b: float) -> float:
        """A number between `a` and `b`."""


class LazyRandom:
    """Draws the same numbers as `random.Random(seed)`."""

    __slots__ = ("_rng", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._rng: Random | None = None

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._seeded().random()

    def uniform(self, a: float, b: float) -> float:
        """A number between `a` and `b`."""
        return self._seeded().uniform(a, b)

    def _seeded(self) -> Random:
        if self._rng is None:
            self._rng = Random(self._seed)
        return self._rng
